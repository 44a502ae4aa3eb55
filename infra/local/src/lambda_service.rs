//! A small Lambda: functions as processes that speak the real Runtime API, behind an Invoke API.
//!
//! As on Lambda, a process is started when an event comes for which none is idle, handles one event at a time, and is kept
//! for later ones. One that fails to start, ends, or takes longer than it may is replaced at the next event.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::InvocationError;
use crate::http_server;
use crate::invoke_api::{FUNCTION_ERROR, PATH};
use crate::lifeline::Lifeline;

mod process;
mod program;
mod runtime_api;
mod sandbox;

pub(crate) use self::program::Program;
use self::sandbox::Sandbox;

/// The functions and the processes they have.
pub(crate) struct LambdaService {
    path: String,
    functions: BTreeMap<String, Pool>,
    payload_bytes: usize,
    lifeline: Lifeline,
}

/// A function, and those of its processes that wait for an event.
struct Pool {
    program: Program,
    idle: Mutex<Vec<Sandbox>>,
}

/// How long a process took that was started for one event.
#[derive(Clone, Debug)]
pub struct ColdStart {
    /// From its start until it asked for the event.
    pub to_ready: Duration,
    /// From its start until it had answered.
    pub to_answer: Duration,
    /// What it answered.
    pub answer: Value,
}

/// What Lambda answers in place of a function, or what the function's runtime says went wrong.
#[derive(Debug)]
struct FunctionError {
    error_type: String,
    message: String,
}

impl LambdaService {
    /// A service of these programs, none of which is started yet, below a segment of the path that only the local cloud
    /// knows: others on this machine find the port too. Events are of at most `payload_bytes`.
    pub(crate) fn new(programs: Vec<Program>, segment: &str, payload_bytes: usize, lifeline: Lifeline) -> Self {
        let pool = |program: Program| (program.name.clone(), Pool { program, idle: Mutex::default() });
        let functions = programs.into_iter().map(pool).collect();
        Self { path: format!("/{segment}{}", PATH.0), functions, payload_bytes, lifeline }
    }

    /// Serves the Invoke API until the local cloud ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let lifeline = self.lifeline.clone();
        let answer = move |request, _| {
            let service = Arc::clone(&self);
            async move { Ok::<_, Infallible>(service.answer(request).await) }
        };
        http_server::serve(listener, lifeline, answer).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let name = parts.uri.path().strip_prefix(&self.path).and_then(|rest| rest.strip_suffix(PATH.1));
        let Some(name) = name.filter(|_| parts.method == Method::POST) else {
            return refusal(StatusCode::NOT_FOUND, "UnknownOperationException", "only Invoke is there");
        };
        let kind = parts.headers.get("x-amz-invocation-type");
        if kind.is_some_and(|kind| kind != "RequestResponse") {
            let message = "only the invocation type RequestResponse is there";
            return refusal(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message);
        }
        let Ok(event) = body.collect().await.map(|body| body.to_bytes()) else {
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContentException", "the body breaks off");
        };
        if event.len() > self.payload_bytes {
            let message = format!("the event has more than {} bytes", self.payload_bytes);
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", &message);
        }
        if serde_json::from_slice::<Value>(&event).is_err() {
            let message = "Could not parse request body into json";
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message);
        }
        if !self.functions.contains_key(name) {
            let message = format!("Function not found: {name}");
            return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
        }
        let (service, lifeline, name) = (Arc::clone(&self), self.lifeline.clone(), name.to_owned());
        // The function goes on to the end even if nobody waits for its answer any more.
        let invocation = tokio::spawn(async move { lifeline.run(service.invoke(&name, event)).await });
        match invocation.await {
            Ok(Some(Ok(answer))) => response(StatusCode::OK, None, answer),
            Ok(Some(Err(error))) => response(StatusCode::OK, Some("Unhandled"), error.json()),
            Ok(None) | Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", "Lambda is stopping"),
        }
    }

    /// Hands an event to an idle process of a function, or to one that is started for it.
    async fn invoke(&self, name: &str, event: Bytes) -> Result<Bytes, FunctionError> {
        let Some(pool) = self.functions.get(name) else {
            return Err(FunctionError::new("ResourceNotFoundException", format!("Function not found: {name}")));
        };
        let idle = std::iter::from_fn(|| pool.idle().pop()).find(|sandbox| !sandbox.has_ended());
        let mut sandbox = match idle {
            Some(sandbox) => sandbox,
            None => Sandbox::start(&pool.program, self.lifeline.clone()).await?,
        };
        // A process that has not answered is not asked again: what is dropped is killed.
        let answer = sandbox.handle(event, pool.program.timeout).await?;
        pool.idle().push(sandbox);
        answer
    }

    /// Starts a process for one event, ends it again, and says how long that took. None if there is no such function.
    pub(crate) async fn cold_start(&self, name: &str, event: &Value) -> Option<Result<ColdStart, InvocationError>> {
        let program = &self.functions.get(name)?.program;
        let start = Instant::now();
        let measured = async {
            let mut sandbox = Sandbox::start(program, self.lifeline.clone()).await?;
            let to_ready = start.elapsed();
            let answer = sandbox.handle(event.to_string().into(), program.timeout).await??;
            Ok((to_ready, start.elapsed(), answer))
        };
        let measured =
            measured.await.map_err(|error: FunctionError| error.message).and_then(|(to_ready, to_answer, answer)| {
                let answer = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
                Ok(ColdStart { to_ready, to_answer, answer })
            });
        Some(measured.map_err(InvocationError::Failed))
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Sandbox>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FunctionError {
    fn new(error_type: &str, message: impl Into<String>) -> Self {
        Self { error_type: error_type.to_owned(), message: message.into() }
    }

    fn json(&self) -> Bytes {
        json!({"errorType": self.error_type, "errorMessage": self.message}).to_string().into()
    }
}

impl fmt::Debug for LambdaService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LambdaService").finish_non_exhaustive()
    }
}

fn response(status: StatusCode, function_error: Option<&'static str>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let error = function_error.map(|error| (FUNCTION_ERROR, error));
    for (name, value) in [("content-type", "application/json")].into_iter().chain(error) {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

fn refusal(status: StatusCode, error_type: &'static str, message: &str) -> Response<Full<Bytes>> {
    let mut response = response(status, None, json!({"Type": "User", "Message": message}).to_string().into());
    response.headers_mut().insert("x-amzn-errortype", http::HeaderValue::from_static(error_type));
    response
}

// The program of a test is a shell script.
#[cfg(all(test, unix))]
mod tests;
