//! Posting to connections and ending them: the `@connections` API of API Gateway.

use std::fmt;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::retry::RetryConfig;
use aws_sdk_apigatewaymanagement::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apigatewaymanagement::primitives::{Blob, DateTime};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use super::ConnectionId;
use crate::dynamodb::{error_code, try_again};
use crate::{Environment, StartError};

/// The connections of a WebSocket API.
#[derive(Clone)]
pub struct Connections {
    client: Client,
}

/// When something happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// When the client connected.
    pub connected_at: Timestamp,
    /// When a message last went over it, in whichever direction.
    pub last_active_at: Timestamp,
}

/// Why something cannot be done to a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// There is no such connection: it has ended, or `$connect` has not been answered yet.
    #[error("the connection is gone")]
    Gone,
    /// Something went wrong. What was to be done may have been done or not.
    #[error("the connection cannot be reached: {}", .0.detail)]
    Failed(Problem),
}

impl Connections {
    /// The connections of the API whose `@connections` API is at the URL that `variable` holds. In the template:
    ///
    /// ```yaml
    /// !Sub "https://${TheWebSocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}"
    /// ```
    ///
    /// # Errors
    /// [`StartError`] if the variable is not set or is no such URL.
    pub fn new(environment: &Environment, variable: &str) -> Result<Self, StartError> {
        Ok(Self { client: environment.connections(variable)? })
    }

    /// Posts a text message of at most 128 KiB. That it succeeds means that API Gateway has taken it, not that the
    /// client has received it: a message under way when the connection breaks is lost. It is tried once, for the client
    /// would see a second try as a second message.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn post(&self, connection: &ConnectionId, text: &str) -> Result<(), ConnectionError> {
        let without_retries = aws_sdk_apigatewaymanagement::config::Builder::new();
        let without_retries = without_retries.retry_config(RetryConfig::disabled());
        let post = self.client.post_to_connection().connection_id(connection.as_str()).data(Blob::new(text));
        let posted = post.customize().config_override(without_retries).send().await;
        posted.map(drop).map_err(|error| connection_error("PostToConnection", &error))
    }

    /// Ends a connection. One that is gone already has ended.
    ///
    /// # Errors
    /// [`ConnectionError::Failed`].
    pub async fn close(&self, connection: &ConnectionId) -> Result<(), ConnectionError> {
        let deleted = self.client.delete_connection().connection_id(connection.as_str()).send().await;
        match deleted.map_err(|error| connection_error("DeleteConnection", &error)) {
            Ok(_) | Err(ConnectionError::Gone) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    /// Looks at a connection. Even while it is there, its client may have left without a word.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn get(&self, connection: &ConnectionId) -> Result<ConnectionState, ConnectionError> {
        let got = self.client.get_connection().connection_id(connection.as_str()).send().await;
        let got = got.map_err(|error| connection_error("GetConnection", &error))?;
        let time = |time: Option<DateTime>| {
            let seconds = time.and_then(|time| u64::try_from(time.secs()).ok());
            seconds.map(Timestamp::from_seconds).ok_or_else(|| {
                let detail = "API Gateway does not say since when the connection is there";
                ConnectionError::Failed(Problem::new(ProblemType::InternalError, detail))
            })
        };
        Ok(ConnectionState { connected_at: time(got.connected_at)?, last_active_at: time(got.last_active_at)? })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connections").finish_non_exhaustive()
    }
}

/// What a failed call means. The log names the operation and the error code, never a message or a connection.
fn connection_error<E, R>(operation: &'static str, error: &SdkError<E, R>) -> ConnectionError
where
    E: ProvideErrorMetadata,
{
    let code = error_code(error);
    match code {
        "GoneException" => ConnectionError::Gone,
        "AccessDeniedException"
        | "BadRequestException"
        | "ForbiddenException"
        | "PayloadTooLargeException"
        | "construction-failure" => {
            tracing::error!(operation, code, "a call to the WebSocket API is refused");
            ConnectionError::Failed(Problem::new(ProblemType::InternalError, "the call is refused"))
        }
        _ => {
            tracing::warn!(operation, code, "a call to the WebSocket API failed");
            ConnectionError::Failed(try_again())
        }
    }
}
