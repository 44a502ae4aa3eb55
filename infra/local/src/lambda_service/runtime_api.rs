//! The Runtime API of Lambda (2018-06-01) as one process sees it.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use super::FunctionError;
use crate::http_server;
use crate::lifeline::Lifeline;

/// An event on its way to a process.
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) event: Bytes,
    pub(super) timeout: Duration,
    pub(super) answer: oneshot::Sender<Result<Bytes, FunctionError>>,
}

/// What the process calls.
pub(super) struct RuntimeApi {
    path: String,
    function_arn: String,
    events: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    current: Mutex<Option<Current>>,
    is_ready: watch::Sender<bool>,
}

/// The event that the process handles.
struct Current {
    request_id: String,
    answer: oneshot::Sender<Result<Bytes, FunctionError>>,
}

/// What the outside has of it.
pub(super) struct Ends {
    /// Where events are put.
    pub(super) events: mpsc::Sender<Invocation>,
    /// Whether the process has asked for its first event.
    pub(super) is_ready: watch::Receiver<bool>,
}

impl RuntimeApi {
    /// The API of a process of the function with this ARN, below a segment of the path that only the process knows: others
    /// on this machine find the port too.
    pub(super) fn new(function_arn: String, segment: &str) -> (Self, Ends) {
        let path = format!("/{segment}/2018-06-01/runtime/");
        let (sender, events) = mpsc::channel(1);
        let (is_ready, ready) = watch::channel(false);
        let events = tokio::sync::Mutex::new(events);
        let api = Self { path, function_arn, events, current: Mutex::default(), is_ready };
        (api, Ends { events: sender, is_ready: ready })
    }

    /// Serves it until the local cloud ends.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, lifeline: Lifeline) {
        let answer = move |request, _| {
            let api = Arc::clone(&self);
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        };
        http_server::serve(listener, lifeline, answer).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix(&self.path).unwrap_or_default();
        if parts.method == Method::GET && path == "invocation/next" {
            return self.next().await;
        }
        let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContent");
        };
        let (request_id, outcome) = match path.strip_prefix("invocation/").and_then(|path| path.split_once('/')) {
            Some((id, "response")) => (id, Ok(body)),
            Some((id, "error")) => (id, Err(error(&body))),
            // What it says of a failure to start is in its log; the process is about to end.
            None if path == "init/error" => return accepted(),
            _ => return refusal(StatusCode::NOT_FOUND, "UnknownOperation"),
        };
        if parts.method != Method::POST {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
        }
        let current = self.current().take_if(|current| current.request_id == request_id);
        let Some(current) = current else {
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestID");
        };
        // Lambda may have given up on it.
        let _ = current.answer.send(outcome);
        accepted()
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        // Who asks for an event will not answer the one before any more.
        self.current().take();
        self.is_ready.send_replace(true);
        let Some(invocation) = self.events.lock().await.recv().await else {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "Runtime.Stopped");
        };
        let Invocation { request_id, event, timeout, answer } = invocation;
        let deadline = SystemTime::now() + timeout;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &request_id)
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header("lambda-runtime-invoked-function-arn", &self.function_arn)
            .body(Full::new(event));
        *self.current() = Some(Current { request_id, answer });
        response.unwrap_or_else(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR, "Runtime.Failed"))
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RuntimeApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RuntimeApi").field("function_arn", &self.function_arn).finish_non_exhaustive()
    }
}

/// What a runtime says of a handler that failed.
fn error(body: &[u8]) -> FunctionError {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str, otherwise: &str| said[name].as_str().unwrap_or(otherwise).to_owned();
    FunctionError {
        error_type: member("errorType", "Runtime.Unknown"),
        message: member("errorMessage", "the function failed"),
    }
}

fn accepted() -> Response<Full<Bytes>> {
    json_response(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn refusal(status: StatusCode, error_type: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"errorType": error_type, "errorMessage": error_type}))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
