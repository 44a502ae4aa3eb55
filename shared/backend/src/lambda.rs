//! How an event reaches a function and its answer goes back, on Lambda and in the local cloud.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use aws_lambda_events::apigw::{
    ApiGatewayProxyResponse, ApiGatewayV2httpRequest, ApiGatewayV2httpResponse, ApiGatewayWebsocketProxyRequest,
};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tokio::time::Instant;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use vestibule_protocol::endpoint::Endpoint;
use vestibule_protocol::problem::Problem;

use crate::http::{EndpointRequest, problem_response, success_response};
use crate::websocket::{self, WebSocketFunction};
use crate::{Environment, StartError};

/// A function that serves one endpoint of the HTTP API.
pub trait HttpFunction: Sized + Send + Sync + 'static {
    /// The endpoint.
    type Endpoint: Endpoint;

    /// Gets ready: reads variables and secrets, makes clients. Once per process.
    ///
    /// # Errors
    /// [`StartError`], and the process ends: a function without its keys answers nothing.
    fn start(environment: &Environment) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// Answers a request that decodes.
    ///
    /// # Errors
    /// The [`Problem`] to answer with.
    fn handle(
        &self,
        request: EndpointRequest<Self::Endpoint>,
    ) -> impl Future<Output = Result<<Self::Endpoint as Endpoint>::Response, Problem>> + Send;
}

/// A started function, as the Lambda service sees it: an event's JSON in, an answer's JSON out.
pub type EventHandler = Arc<dyn Fn(Value) -> Answering<'static, Value> + Send + Sync>;

/// An answer on its way, behind a pointer: inside the runtime's own futures it would be nested too deeply for the compiler.
type Answering<'a, Answer> = Pin<Box<dyn Future<Output = Result<Answer, lambda_runtime::Error>> + Send + 'a>>;

/// Starts `F` for a caller that has events as JSON.
///
/// # Errors
/// [`StartError`].
pub async fn event_handler<F: HttpFunction>(environment: Environment) -> Result<EventHandler, StartError> {
    let function = Arc::new(F::start(&environment).await?);
    Ok(Arc::new(move |event| {
        let function = Arc::clone(&function);
        Box::pin(async move {
            let event: ApiGatewayV2httpRequest = serde_json::from_value(event)?;
            Ok(serde_json::to_value(answer(&*function, event).await)?)
        })
    }))
}

/// Starts `F`, a function of a WebSocket API, for a caller that has events as JSON.
///
/// # Errors
/// [`StartError`].
pub async fn websocket_event_handler<F: WebSocketFunction>(
    environment: Environment,
) -> Result<EventHandler, StartError> {
    let function = Arc::new(F::start(&environment).await?);
    Ok(Arc::new(move |event| {
        let function = Arc::clone(&function);
        Box::pin(async move {
            let event: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event)?;
            Ok(serde_json::to_value(answer_websocket(&*function, event).await)?)
        })
    }))
}

/// The `main` of a function: runs `F` on Lambda's runtime until Lambda ends the process.
pub fn run<F: HttpFunction>() -> ExitCode {
    run_on_lambda(F::Endpoint::DESCRIPTION.function, async |environment| {
        let function = &F::start(&environment).await.map_err(|error| error.to_string())?;
        let service = service_fn(|event: LambdaEvent<ApiGatewayV2httpRequest>| -> Answering<'_, _> {
            Box::pin(async move { Ok(answer(function, event.payload).await) })
        });
        lambda_runtime::run(service).await.map_err(|error| error.to_string())
    })
}

/// The `main` of a function of a WebSocket API: runs `F` on Lambda's runtime until Lambda ends the process.
pub fn run_websocket<F: WebSocketFunction>() -> ExitCode {
    run_on_lambda(F::NAME, async |environment| {
        let function = &F::start(&environment).await.map_err(|error| error.to_string())?;
        let service = service_fn(|event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| -> Answering<'_, _> {
            Box::pin(async move { Ok(answer_websocket(function, event.payload).await) })
        });
        lambda_runtime::run(service).await.map_err(|error| error.to_string())
    })
}

fn run_on_lambda(name: &'static str, serve: impl AsyncFnOnce(Environment) -> Result<(), String>) -> ExitCode {
    log_to_lambda();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async { serve(Environment::of_lambda().map_err(|error| error.to_string())?).await })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(function = name, reason, "cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Decodes, handles, encodes, and logs.
async fn answer<F: HttpFunction>(function: &F, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let description = &F::Endpoint::DESCRIPTION;
    let started = Instant::now();
    let result = match EndpointRequest::decode(event) {
        Ok(request) => function.handle(request).await,
        Err(problem) => Err(problem),
    };
    log_outcome(description.function, started, &result);
    match result {
        Ok(response) => success_response(description, &response),
        Err(problem) => problem_response(&problem),
    }
}

/// Decodes, handles, encodes, and logs.
async fn answer_websocket<F: WebSocketFunction>(
    function: &F,
    event: ApiGatewayWebsocketProxyRequest,
) -> ApiGatewayProxyResponse {
    let started = Instant::now();
    let result = match websocket::decode(event) {
        Ok(event) => function.handle(event).await,
        Err(problem) => Err(problem),
    };
    log_outcome(F::NAME, started, &result);
    match result {
        Ok(response) => websocket::success_response(response.into()),
        Err(problem) => websocket::problem_response(&problem),
    }
}

/// Logs one line that names nobody.
fn log_outcome<T>(function: &'static str, started: Instant, result: &Result<T, Problem>) {
    let outcome = result.as_ref().map_or_else(|problem| problem.problem_type.slug(), |_| "ok");
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(function, outcome, milliseconds, "answered");
}

/// Logs as JSON.
fn log_to_lambda() {
    let lines = tracing_subscriber::fmt::layer().json().without_time().with_current_span(false);
    tracing_subscriber::registry().with(lines.with_filter(log_filter(log_level()))).init();
}

/// The level that the environment variable `VESTIBULE_LOG` names; `info` if it names none.
pub fn log_level() -> LevelFilter {
    std::env::var("VESTIBULE_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO)
}

/// Lets through our own events at `level`. Dependencies stay at warnings whatever it is: at lower levels some write
/// requests and answers in full, and with them secrets.
pub fn log_filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("vestibule", level)
}
