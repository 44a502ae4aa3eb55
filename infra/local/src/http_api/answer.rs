//! A function's answer as an HTTP response.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// An answer that API Gateway cannot make a response of.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function's answer is malformed: {0}")]
pub(crate) struct MalformedAnswer(pub(crate) &'static str);

/// What these say, API Gateway decides itself.
const DROPPED_HEADERS: [&str; 4] = ["connection", "content-length", "keep-alive", "transfer-encoding"];

/// The response that a function's answer stands for. An answer without a status code is the body of a 200.
pub(crate) fn response(answer: &Value) -> Result<Response<Full<Bytes>>, MalformedAnswer> {
    let Some(status) = answer.get("statusCode") else {
        return Ok(json_response(StatusCode::OK, answer));
    };
    let status = status.as_u64().and_then(|status| u16::try_from(status).ok());
    let status =
        status.filter(|status| (200..600).contains(status)).and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = Response::new(Full::new(body(answer)?));
    *response.status_mut() = status.ok_or(MalformedAnswer("statusCode"))?;
    *response.headers_mut() = headers(answer)?;
    Ok(response)
}

/// An answer of API Gateway's own.
pub(super) fn message(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"message": message}))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn body(answer: &Value) -> Result<Bytes, MalformedAnswer> {
    let is_base64 = match answer.get("isBase64Encoded") {
        None | Some(Value::Null) => false,
        Some(is_base64) => is_base64.as_bool().ok_or(MalformedAnswer("isBase64Encoded"))?,
    };
    match answer.get("body") {
        None | Some(Value::Null) => Ok(Bytes::new()),
        Some(Value::String(body)) if is_base64 => {
            BASE64_STANDARD.decode(body).map(Bytes::from).map_err(|_| MalformedAnswer("body"))
        }
        Some(Value::String(body)) => Ok(Bytes::from(body.clone())),
        Some(_) => Err(MalformedAnswer("body")),
    }
}

/// `headers` and `cookies`; payload format 2.0 has no `multiValueHeaders`.
fn headers(answer: &Value) -> Result<HeaderMap, MalformedAnswer> {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let name: HeaderName = name.parse().map_err(|_| MalformedAnswer("headers"))?;
        if !DROPPED_HEADERS.contains(&name.as_str()) {
            headers.insert(remapped(name), header_value(value, "headers")?);
        }
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.append(SET_COOKIE, header_value(cookie, "cookies")?);
    }
    Ok(headers)
}

fn remapped(name: HeaderName) -> HeaderName {
    if name == WWW_AUTHENTICATE { HeaderName::from_static("x-amzn-remapped-www-authenticate") } else { name }
}

fn header_value(value: &Value, member: &'static str) -> Result<HeaderValue, MalformedAnswer> {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(MalformedAnswer(member)),
    };
    HeaderValue::try_from(value).map_err(|_| MalformedAnswer(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_headers_cookies_and_body_are_taken_over() {
        let answer = json!({
            "statusCode": 201,
            "headers": {"Content-Type": "text/plain", "x-count": 3, "content-length": "99"},
            "cookies": ["a=1", "b=2; Secure"],
            "body": "aGk=",
            "isBase64Encoded": true,
        });
        let response = response(&answer).unwrap();
        assert_eq!(response.status(), 201);
        let headers = response.headers();
        assert_eq!(
            (&headers["content-type"], &headers["x-count"]),
            (&"text/plain".parse().unwrap(), &"3".parse().unwrap())
        );
        assert_eq!(headers.get("content-length"), None);
        assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2; Secure"]);
        assert_eq!(body(&answer).unwrap(), "hi");
    }

    #[test]
    fn the_header_www_authenticate_is_renamed() {
        let response = response(&json!({"statusCode": 401, "headers": {"WWW-Authenticate": "PrivateToken"}})).unwrap();
        assert_eq!(response.headers().get("www-authenticate"), None);
        assert_eq!(response.headers()["x-amzn-remapped-www-authenticate"], "PrivateToken");
    }

    #[test]
    fn an_answer_without_a_status_code_is_the_body_of_a_200() {
        let response = response(&json!({"greeting": "hello"})).unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (StatusCode::OK, &HeaderValue::from_static("application/json"))
        );
    }

    #[test]
    fn malformed_answers_are_refused() {
        for answer in [
            json!({"statusCode": "200"}),
            json!({"statusCode": 99}),
            json!({"statusCode": 200, "body": {}}),
            json!({"statusCode": 200, "body": "?", "isBase64Encoded": true}),
            json!({"statusCode": 200, "headers": {"a b": "c"}}),
            json!({"statusCode": 200, "headers": {"a": ["b"]}}),
            json!({"statusCode": 200, "cookies": [1, {}]}),
        ] {
            assert!(response(&answer).is_err(), "{answer}");
        }
    }
}
