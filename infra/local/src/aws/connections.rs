//! The `@connections` API of API Gateway.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::Answer;
use crate::arn::api_host;
use crate::websocket_api::{Refusal, Registry};

/// The operation that a request to `https://<host of the API>/<stage>/@connections/<id>` asks for, and what it is about
/// as JSON. Nothing if the request is none to a WebSocket API.
pub(crate) fn read(method: &str, uri: &http::Uri, body: &[u8]) -> Option<(&'static str, Value)> {
    let host = uri.host()?;
    let api_id = host.split('.').next().filter(|api_id| host == api_host(api_id))?;
    let path = percent_decode_str(uri.path()).decode_utf8().ok()?;
    let (stage, connection_id) = path.strip_prefix('/')?.split_once("/@connections/")?;
    let mut call = json!({"ApiId": api_id, "Stage": stage, "ConnectionId": connection_id});
    let operation = match method {
        "DELETE" => "DeleteConnection",
        "GET" => "GetConnection",
        "POST" => {
            call["Data"] = json!(std::str::from_utf8(body).ok()?);
            "PostToConnection"
        }
        _ => return None,
    };
    Some((operation, call))
}

/// The method with which an operation is called, which is part of the ARN that IAM is asked about.
pub(crate) fn method_of(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "DeleteConnection" => "DELETE",
        "GetConnection" => "GET",
        "PostToConnection" => "POST",
        _ => return None,
    })
}

/// Answers a call as API Gateway does.
pub(crate) fn answer(registry: &Registry, operation: &str, call: &Value) -> Answer {
    let text = |member: &str| call[member].as_str().unwrap_or_default();
    let (api_id, stage, id) = (text("ApiId"), text("Stage"), text("ConnectionId"));
    let outcome = match operation {
        "DeleteConnection" => registry.delete(api_id, stage, id).map(|()| Value::Null),
        "GetConnection" => registry.get(api_id, stage, id),
        _ => registry.post(api_id, stage, id, text("Data")).map(|()| Value::Null),
    };
    match outcome {
        Ok(Value::Null) if operation == "DeleteConnection" => Answer { status: 204, body: Vec::new() },
        Ok(Value::Null) => Answer { status: 200, body: Vec::new() },
        Ok(body) => Answer::ok(&body),
        Err(Refusal::UnknownApi) => Answer::error(403, "ForbiddenException", "Forbidden"),
        Err(Refusal::Gone) => gone(),
        Err(Refusal::TooLarge) => Answer::error(413, "PayloadTooLargeException", "Payload too large"),
        Err(Refusal::BufferFull) => limit_exceeded(),
    }
}

pub(crate) fn gone() -> Answer {
    Answer::error(410, "GoneException", "Gone")
}

/// Documented for callers that ask too much, and for clients whose buffer is full.
pub(crate) fn limit_exceeded() -> Answer {
    Answer::error(429, "LimitExceededException", "Too many requests")
}
