//! Lambda: an event in, an answer out, within its limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vestibule_backend::EventHandler;

use crate::lifeline::Lifeline;

/// A started function.
pub(crate) struct Lambda {
    pub(crate) name: String,
    pub(crate) handler: EventHandler,
    pub(crate) timeout: Duration,
    pub(crate) payload_bytes: usize,
    pub(crate) lifeline: Lifeline,
}

/// Why a function gave no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// There is no function of that name.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// The event is larger than Lambda takes.
    #[error("the event has {0} bytes, more than Lambda takes")]
    EventTooLarge(usize),
    /// The answer is larger than Lambda passes on.
    #[error("the answer has {0} bytes, more than Lambda passes on")]
    AnswerTooLarge(usize),
    /// The handler returned an error or panicked.
    #[error("the function failed: {0}")]
    Failed(String),
    /// The function took longer than its timeout.
    #[error("the function did not answer within {0:?}")]
    TimedOut(Duration),
    /// The local cloud is being dropped.
    #[error("the local cloud is stopping")]
    Stopped,
}

impl Lambda {
    /// Lets the function handle an event. It goes on to the end, as on Lambda, even if nobody waits for its answer
    /// any more.
    pub(crate) async fn invoke(&self, event: Value) -> Result<Value, InvocationError> {
        let event_bytes = event.to_string().len();
        if event_bytes > self.payload_bytes {
            return Err(InvocationError::EventTooLarge(event_bytes));
        }
        let (handler, lifeline, timeout) = (Arc::clone(&self.handler), self.lifeline.clone(), self.timeout);
        let invocation =
            async move { lifeline.run(tokio::time::timeout(timeout, async { handler(event).await })).await };
        let answer = match tokio::spawn(invocation).await {
            Ok(Some(Ok(Ok(answer)))) => answer,
            Ok(Some(Ok(Err(error)))) => return Err(InvocationError::Failed(error.to_string())),
            Ok(Some(Err(_))) => return Err(InvocationError::TimedOut(timeout)),
            Ok(None) => return Err(InvocationError::Stopped),
            Err(panic) => return Err(InvocationError::Failed(panic.to_string())),
        };
        let answer_bytes = answer.to_string().len();
        if answer_bytes > self.payload_bytes {
            return Err(InvocationError::AnswerTooLarge(answer_bytes));
        }
        Ok(answer)
    }
}

impl fmt::Debug for Lambda {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lambda").field("name", &self.name).finish_non_exhaustive()
    }
}
