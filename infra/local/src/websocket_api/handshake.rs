//! The opening handshake (RFC 6455, section 4.2) and what `$connect` has to say about it.

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use super::{Answer, IntegrationError};
use crate::http_api::answer::{MalformedAnswer, response};
use crate::lambda::InvocationError;

/// The answer that would accept a handshake, unless the request is none.
pub(super) fn accepting_answer(parts: &Parts) -> Option<Answer> {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    create_response(&request).ok().map(|response| response.map(|()| Full::default()))
}

/// The answer that refuses a handshake. API Gateway passes on the status alone.
pub(super) fn refusal(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::<Bytes>::default());
    *response.status_mut() = status;
    response
}

/// The accepting answer completed by what `$connect` answered, or the status to refuse with.
pub(super) fn answer(outcome: Result<Value, IntegrationError>, accepting: Answer) -> Result<Answer, StatusCode> {
    let answer = outcome.map_err(|error| status_of(&error))?;
    let answered = read(&answer).map_err(|malformed| {
        tracing::error!("{malformed}");
        StatusCode::BAD_GATEWAY
    })?;
    if !answered.status().is_success() {
        return Err(answered.status());
    }
    let mut accepting = accepting;
    if let Some(subprotocol) = answered.headers().get(SEC_WEBSOCKET_PROTOCOL) {
        accepting.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
    }
    Ok(accepting)
}

/// In contrast to an HTTP API, a WebSocket API makes nothing of an answer without a status code.
fn read(answer: &Value) -> Result<Answer, MalformedAnswer> {
    if answer.get("statusCode").is_none() {
        return Err(MalformedAnswer("statusCode"));
    }
    response(answer)
}

/// 500 if Lambda does not take the event, 502 if the function fails ("Handling Lambda errors with an API Gateway API").
fn status_of(error: &IntegrationError) -> StatusCode {
    match error {
        IntegrationError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        IntegrationError::Invocation(error) => match error {
            InvocationError::EventTooLarge(_) | InvocationError::Stopped | InvocationError::UnknownFunction(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            InvocationError::AnswerTooLarge(_) | InvocationError::Failed(_) | InvocationError::TimedOut(_) => {
                StatusCode::BAD_GATEWAY
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_makes_no_sense_as_an_answer_of_connect_is_a_bad_gateway() {
        for nonsense in [json!(null), json!("yes"), json!({}), json!({"body": "yes"}), json!({"statusCode": "many"})] {
            let refused = answer(Ok(nonsense.clone()), Answer::default()).unwrap_err();
            assert_eq!(refused, StatusCode::BAD_GATEWAY, "{nonsense}");
        }
        assert!(answer(Ok(json!({"statusCode": 200})), Answer::default()).is_ok());
    }
}
