//! An execution environment: a process, and the Runtime API that it alone calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::process::Process;
use super::runtime_api::{Invocation, RuntimeApi};
use super::{FunctionError, Program};
use crate::api_gateway::random_id;
use crate::http_server;
use crate::lifeline::Lifeline;

/// How long a process may take to ask for its first event. Lambda gives it 10 seconds; a laptop that builds something at the
/// same time may need more.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that waits for an event or handles one. It ends when this is dropped.
pub(super) struct Sandbox {
    process: Process,
    events: mpsc::Sender<Invocation>,
    server: AbortHandle,
}

impl Sandbox {
    /// Starts a process, and comes back when it takes events.
    pub(super) async fn start(program: &Program, lifeline: Lifeline) -> Result<Self, FunctionError> {
        let failed =
            |error| FunctionError::new("Runtime.InvalidEntrypoint", format!("{}: {error}", program.file.display()));
        let (listener, port) = http_server::listen(0).await.map_err(failed)?;
        let segment = random_id();
        let (api, mut ends) = RuntimeApi::new(program.arn.clone(), &segment);
        let process = Process::start(program, &format!("http://127.0.0.1:{port}/{segment}")).map_err(failed)?;
        let server = tokio::spawn(Arc::new(api).serve(listener, lifeline)).abort_handle();
        let mut sandbox = Self { process, events: ends.events, server };
        tokio::select! {
            _ = ends.is_ready.wait_for(|is_ready| *is_ready) => Ok(sandbox),
            end = sandbox.process.end() => Err(ended(&end)),
            () = tokio::time::sleep(START_TIMEOUT) => Err(timed_out(START_TIMEOUT)),
        }
    }

    /// Whether its process has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// What the process answers to an event, be it an error. If it gives no answer at all, it must not be used again.
    pub(super) async fn handle(
        &mut self,
        event: Bytes,
        timeout: Duration,
    ) -> Result<Result<Bytes, FunctionError>, FunctionError> {
        let (answer, answered) = oneshot::channel();
        let request_id = random_id();
        let invocation = Invocation { request_id, event, timeout, answer };
        let no_answer = || FunctionError::new("Runtime.NoAnswer", "the function asked for an event before it answered");
        self.events.send(invocation).await.map_err(|_| no_answer())?;
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| no_answer()),
            end = self.process.end() => Err(ended(&end)),
            () = tokio::time::sleep(timeout) => Err(timed_out(timeout)),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn ended(end: &str) -> FunctionError {
    FunctionError::new("Runtime.ExitError", format!("Runtime exited with {end}"))
}

fn timed_out(timeout: Duration) -> FunctionError {
    FunctionError::new("Sandbox.Timedout", format!("Task timed out after {:.2} seconds", timeout.as_secs_f64()))
}
