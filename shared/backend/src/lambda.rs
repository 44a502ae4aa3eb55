//! How an event reaches a function and its answer goes back, on Lambda and in the local cloud.

use std::fmt;
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
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::prelude::*;
use vestibule_protocol::endpoint::Endpoint;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use crate::http::{EndpointRequest, problem_response, success_response};
use crate::metrics::{self, Answered, OutcomeLog};
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
    let log = outcome_log(&environment);
    Ok(Arc::new(move |event| {
        let (function, log) = (Arc::clone(&function), log.clone());
        Box::pin(async move {
            let event: ApiGatewayV2httpRequest = serde_json::from_value(event)?;
            Ok(serde_json::to_value(answer(&*function, event, &log).await)?)
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
    let log = outcome_log(&environment);
    Ok(Arc::new(move |event| {
        let (function, log) = (Arc::clone(&function), log.clone());
        Box::pin(async move {
            let event: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event)?;
            Ok(serde_json::to_value(answer_websocket(&*function, event, &log).await)?)
        })
    }))
}

/// Where a function of a local cloud logs, whose deployment need not have a name.
fn outcome_log(environment: &Environment) -> OutcomeLog {
    OutcomeLog::Process { stage: environment.variable("STAGE").unwrap_or_default().to_owned() }
}

/// The `main` of a function: runs `F` on Lambda's runtime until Lambda ends the process.
pub fn run<F: HttpFunction>() -> ExitCode {
    run_on_lambda(F::Endpoint::DESCRIPTION.function, F::start, async |function: &F, log| {
        let service = service_fn(|event: LambdaEvent<ApiGatewayV2httpRequest>| -> Answering<'_, _> {
            Box::pin(async move { Ok(answer(function, event.payload, log).await) })
        });
        lambda_runtime::run(service).await.map_err(|error| error.to_string())
    })
}

/// The `main` of a function of a WebSocket API: runs `F` on Lambda's runtime until Lambda ends the process.
pub fn run_websocket<F: WebSocketFunction>() -> ExitCode {
    run_on_lambda(F::NAME, F::start, async |function: &F, log| {
        let service = service_fn(|event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| -> Answering<'_, _> {
            Box::pin(async move { Ok(answer_websocket(function, event.payload, log).await) })
        });
        lambda_runtime::run(service).await.map_err(|error| error.to_string())
    })
}

fn run_on_lambda<F>(
    name: &'static str,
    start: impl AsyncFnOnce(&Environment) -> Result<F, StartError>,
    serve: impl AsyncFnOnce(&F, &OutcomeLog) -> Result<(), String>,
) -> ExitCode {
    log_to_lambda();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            let environment = Environment::of_lambda().map_err(|error| error.to_string())?;
            let stage = environment.variable("STAGE").map_err(|error| error.to_string())?.to_owned();
            let function = ready(&environment, start(&environment)).await.map_err(|error| error.to_string())?;
            serve(&function, &OutcomeLog::CloudWatch { stage }).await
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(function = name, reason, "cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Starts a function, and meanwhile opens the connection to DynamoDB that its first request will use. A function that asks
/// for that request has both; one that cannot start says so at once.
async fn ready<F>(
    environment: &Environment,
    starting: impl Future<Output = Result<F, StartError>>,
) -> Result<F, StartError> {
    let connecting = async {
        environment.connect_to_dynamodb().await;
        Ok(())
    };
    let (function, ()) = tokio::try_join!(starting, connecting)?;
    Ok(function)
}

/// Decodes, handles, encodes, and logs.
async fn answer<F: HttpFunction>(
    function: &F,
    event: ApiGatewayV2httpRequest,
    log: &OutcomeLog,
) -> ApiGatewayV2httpResponse {
    let description = &F::Endpoint::DESCRIPTION;
    let handling = async {
        match EndpointRequest::decode(event) {
            Ok(request) => function.handle(request).await,
            Err(problem) => Err(problem),
        }
    };
    let result = logged(description.function, log, handling).await;
    match result {
        Ok(response) => success_response(description, &response),
        Err(problem) => problem_response(&problem),
    }
}

/// Decodes, handles, encodes, and logs.
async fn answer_websocket<F: WebSocketFunction>(
    function: &F,
    event: ApiGatewayWebsocketProxyRequest,
    log: &OutcomeLog,
) -> ApiGatewayProxyResponse {
    let handling = async {
        match websocket::decode(event) {
            Ok(event) => function.handle(event).await,
            Err(problem) => Err(problem),
        }
    };
    let result = logged(F::NAME, log, handling).await;
    match result {
        Ok(response) => websocket::success_response(response.into()),
        Err(problem) => websocket::problem_response(&problem),
    }
}

/// Handles a request and logs what came of it, naming nobody.
async fn logged<T>(
    function: &'static str,
    log: &OutcomeLog,
    handling: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let started = Instant::now();
    let (result, mut measurements) = metrics::measured(handling).await;
    let problem = result.as_ref().err().map(|problem| problem.problem_type);
    measurements.extend(metrics::of_answer(function, problem.map(ProblemType::slug)));
    log.write(Answered {
        function,
        outcome: problem.map_or("ok", ProblemType::slug),
        is_failure: problem.is_some_and(|problem| problem.status() >= 500),
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        measurements,
    });
    result
}

/// Logs as JSON.
fn log_to_lambda() {
    let lines = tracing_subscriber::fmt::layer().json().with_timer(LambdaTime).with_current_span(false);
    tracing_subscriber::registry().with(lines.with_filter(log_filter(log_level()))).init();
}

/// The time of a line. Lambda takes a line's level only from one with a time, and calls every other one `INFO`.
struct LambdaTime;

impl FormatTime for LambdaTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Timestamp::now().rfc_3339())
    }
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready as at_once};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;
    use crate::environment::tests::environment_at;

    async fn listen() -> (TcpListener, Environment) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let environment = environment_at(&format!("http://{}", listener.local_addr().unwrap()));
        (listener, environment)
    }

    #[tokio::test]
    async fn a_function_is_ready_when_its_connection_is_open() {
        let (listener, environment) = listen().await;
        let (answer, may_answer) = oneshot::channel();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            may_answer.await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        });
        let mut ready = Box::pin(ready(&environment, at_once(Ok("started"))));
        tokio::select! {
            biased;
            _ = &mut ready => panic!("it did not wait for its connection"),
            () = tokio::task::yield_now() => answer.send(()).unwrap(),
        }
        assert_eq!(ready.await.unwrap(), "started");
    }

    #[tokio::test]
    async fn a_function_that_cannot_start_waits_for_no_connection() {
        let (_listener, environment) = listen().await;
        let failed = || StartError::MissingVariable("OPAQUE_SECRET".to_owned());
        let started = tokio::select! {
            biased;
            started = ready(&environment, at_once(Err::<(), _>(failed()))) => started,
            () = tokio::task::yield_now() => panic!("it waited"),
        };
        assert_eq!(started.unwrap_err().to_string(), failed().to_string());
        // Nor does the connection wait for the function.
        let (listener, environment) = listen().await;
        tokio::select! {
            _ = ready(&environment, pending::<Result<(), _>>()) => panic!("it never starts"),
            connection = listener.accept() => drop(connection.unwrap()),
        }
    }

    #[test]
    fn a_line_of_the_log_begins_with_a_time_that_lambda_understands() {
        let mut time = String::new();
        LambdaTime.format_time(&mut Writer::new(&mut time)).unwrap();
        assert_eq!((time.len(), &time[10..11], &time[19..]), (20, "T", "Z"));
    }
}
