//! The connections of all WebSocket APIs: what the `@connections` API finds and does there.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};
use vestibule_protocol::time::Timestamp;

use super::connection::Connection;
use super::disturbance::{Disturbance, DisturbancePlan, Transfer};
use crate::template::WebSocketApi;

/// The connections that are open.
pub(crate) struct Registry {
    apis: Vec<WebSocketApi>,
    message_bytes: usize,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
    plan: RwLock<Option<Arc<DisturbancePlan>>>,
}

/// Why API Gateway does not do to a connection what a function asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such API or stage.
    UnknownApi,
    /// The connection has ended, is not established yet, or never was.
    Gone,
    /// The message is larger than a message may be.
    TooLarge,
    /// The client does not read what waits for it.
    BufferFull,
}

/// Keeps a connection in the registry.
pub(super) struct Registration {
    registry: Arc<Registry>,
    id: String,
}

impl Registry {
    /// `message_bytes` is how large a posted message may be.
    pub(crate) fn new(apis: Vec<WebSocketApi>, message_bytes: usize) -> Self {
        Self { apis, message_bytes, connections: Mutex::default(), plan: RwLock::default() }
    }

    /// Posts a message to a client.
    pub(crate) fn post(&self, api_id: &str, stage: &str, id: &str, text: &str) -> Result<(), Refusal> {
        let connection = self.connection(api_id, stage, id)?;
        if text.len() > self.message_bytes {
            return Err(Refusal::TooLarge);
        }
        let text = text.to_owned();
        match self.disturbance(&connection.next_post(&text)) {
            None => connection.send(text),
            Some(Disturbance::Twice) => connection.send(text.clone()).inspect(|()| {
                // The caller is answered once, for the first.
                let _ = connection.send(text);
            }),
            Some(Disturbance::Delayed(delay)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    // By now the client may have left.
                    let _ = connection.send(text);
                });
                Ok(())
            }
            Some(Disturbance::AfterNext) => {
                connection.hold_post(text);
                Ok(())
            }
            Some(Disturbance::Lost) => Ok(()),
        }
    }

    /// What is known of a connection.
    pub(crate) fn get(&self, api_id: &str, stage: &str, id: &str) -> Result<Value, Refusal> {
        let connection = self.connection(api_id, stage, id)?;
        Ok(json!({
            "connectedAt": iso_time(connection.connected_at),
            "identity": {"sourceIp": connection.source_ip, "userAgent": connection.user_agent},
            "lastActiveAt": iso_time(connection.last_activity().time),
        }))
    }

    /// Ends a connection. What was posted before is still sent to a client that reads; to functions it is gone from now on.
    pub(crate) fn delete(&self, api_id: &str, stage: &str, id: &str) -> Result<(), Refusal> {
        self.connection(api_id, stage, id)?.close();
        self.connections().remove(id);
        Ok(())
    }

    /// Lets functions find a connection until the registration is dropped.
    pub(super) fn register(self: &Arc<Self>, connection: Arc<Connection>) -> Registration {
        let id = connection.id.clone();
        self.connections().insert(id.clone(), connection);
        Registration { registry: Arc::clone(self), id }
    }

    /// What happens to a transfer.
    pub(super) fn disturbance(&self, transfer: &Transfer) -> Option<Disturbance> {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner).clone();
        plan.and_then(|plan| plan(transfer))
    }

    pub(crate) fn set_plan(&self, plan: Option<Arc<DisturbancePlan>>) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    fn connection(&self, api_id: &str, stage: &str, id: &str) -> Result<Arc<Connection>, Refusal> {
        if !self.apis.iter().any(|api| api.id == api_id && api.stage == stage) {
            return Err(Refusal::UnknownApi);
        }
        let connection = self.connections().get(id).cloned();
        connection.filter(|connection| connection.api_id == api_id).ok_or(Refusal::Gone)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.connections().remove(&self.id);
    }
}

/// As in ISO 8601, such as `2024-02-19T07:21:46Z`.
fn iso_time(time: Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    DateTime::from_secs(seconds).fmt(Format::DateTime).unwrap_or_default()
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("apis", &self.apis).finish_non_exhaustive()
    }
}
