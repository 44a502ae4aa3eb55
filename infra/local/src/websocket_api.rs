//! A WebSocket API that behaves like one of API Gateway, on the port of the HTTP API.
//!
//! A client connects to `/<id>/<stage>`; there is no host name to tell the APIs apart by. What happens then:
//!
//! - `$connect` decides. The handshake is answered with its status, and with the subprotocol it chooses. Until then the
//!   connection does not exist: posting to it from `$connect` is answered 410.
//! - Every text message is an event of `$default`. Events are handled as they come, those of one connection at the same
//!   time: AWS promises no order, so a function that needs one must not find it here either. What a function answers is
//!   dropped, for there are no route responses; if it fails, the client is told so by a message of API Gateway's own.
//! - A binary message closes the connection with 1003, one over the limits with 1009, idleness and age with 1001.
//! - `$disconnect` follows once the connection has ended, however that came about, and is not tried again.
//!
//! AWS documents the limits, the codes 1003 and 1009, and the statuses of the `@connections` API. The code 1001, the
//! statuses of a refused handshake and the gateway's own messages are known from recorded sessions. Where nothing is
//! known, this takes the reading on which functions and clients can rely the least: pings and pongs are no activity, and
//! after a handshake that `$connect` refused there is no `$disconnect`. That deleting a connection closes it with 1000,
//! after what was posted before, is a guess.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use vestibule_backend::Clock;

mod connection;
mod disturbance;
mod event;
mod handshake;
mod registry;
mod session;
mod urls;

use self::connection::Connection;
pub use self::disturbance::{Disturbance, Transfer, TransferKind};
pub(crate) use self::registry::{Refusal, Registry};
use self::session::{Ending, Session};
pub(crate) use self::urls::Urls;
use self::urls::path_of;
use crate::api_gateway::{random_id, request_line_and_header_bytes};
use crate::lambda::{InvocationError, Lambda};
use crate::lifeline::Lifeline;
use crate::limits::Limits;
use crate::template::{self, RouteKey};

/// The API: routes that lead to functions, and the connections there are.
pub(crate) struct WebSocketApi {
    pub(crate) description: template::WebSocketApi,
    pub(crate) routes: BTreeMap<RouteKey, Arc<Lambda>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) port: u16,
    pub(crate) lifeline: Lifeline,
}

/// An answer to a handshake.
type Answer = Response<Full<Bytes>>;

/// Why a route has no answer of its function.
#[derive(Debug, thiserror::Error)]
enum IntegrationError {
    #[error(transparent)]
    Invocation(#[from] InvocationError),
    #[error("the function did not answer within API Gateway's patience")]
    TimedOut,
}

impl WebSocketApi {
    /// Whether a request for this path is one to connect to this API.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        path == path_of(&self.description)
    }

    /// Answers a request to connect. What follows goes on in the background.
    pub(crate) async fn connect(self: Arc<Self>, mut request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        if request_line_and_header_bytes(&parts) > self.limits.header_bytes {
            return handshake::refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let Some(accepting) = handshake::accepting_answer(&parts) else {
            return handshake::refusal(StatusCode::BAD_REQUEST);
        };
        let (sender, answer) = oneshot::channel();
        // A client that hangs up ends the wait for the answer, but not what $connect has begun.
        let lifeline = self.lifeline.clone();
        tokio::spawn(async move { lifeline.run(self.serve(parts, peer, accepting, upgrade, sender)).await });
        answer.await.unwrap_or_else(|_| handshake::refusal(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Serves a connection from the handshake to its end.
    async fn serve(
        self: Arc<Self>,
        parts: Parts,
        peer: SocketAddr,
        accepting: Answer,
        upgrade: OnUpgrade,
        answer: oneshot::Sender<Answer>,
    ) {
        let (connection, queue) = Connection::new(&self.description.id, &parts, peer, self.clock.now());
        let connection = Arc::new(connection);
        let event = event::connect(&self, &connection, &parts);
        let disturbance = self.disturbance(&connection, RouteKey::Connect, "");
        let accepted = match self.deliver(&connection, RouteKey::Connect, event, disturbance).await {
            None => Ok(accepting),
            Some(outcome) => handshake::answer(outcome, accepting),
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(status) => {
                // Nobody to tell if this fails: the client has hung up.
                let _ = answer.send(handshake::refusal(status));
                return;
            }
        };
        // From here on functions can post.
        let registration = self.registry.register(Arc::clone(&connection));
        let is_answered = answer.send(accepted).is_ok();
        let upgraded = if is_answered { upgrade.await.ok() } else { None };
        let ending = match upgraded {
            Some(upgraded) => {
                let session = Session { api: &self, connection: &connection, limits: &self.limits.websocket };
                session.run(upgraded, queue, registration).await
            }
            None => {
                drop(registration);
                Ending::broken()
            }
        };
        let event = event::disconnect(&self, &connection, ending.code, &ending.reason);
        let disturbance = self.disturbance(&connection, RouteKey::Disconnect, "");
        self.deliver(&connection, RouteKey::Disconnect, event, disturbance).await;
    }

    /// Has the function of a message's route handle it, at the same time as everything else.
    fn handle_message(self: &Arc<Self>, connection: &Arc<Connection>, body: String) {
        let (api, connection) = (Arc::clone(self), Arc::clone(connection));
        // Asked here, so that messages are counted, and held back, in the order in which they came.
        let disturbance = self.disturbance(&connection, RouteKey::Default, &body);
        let request_id = random_id();
        let event = event::message(&api, &connection, &body, &request_id);
        if let (Some(Disturbance::AfterNext), Some(lambda)) = (disturbance, self.routes.get(&RouteKey::Default)) {
            return connection.hold_event(Arc::clone(lambda), event);
        }
        tokio::spawn(async move {
            let message = match api.deliver(&connection, RouteKey::Default, event, disturbance).await {
                Some(Ok(_)) => return,
                Some(Err(IntegrationError::Invocation(_))) => "Internal server error",
                Some(Err(IntegrationError::TimedOut)) => "Endpoint request timed out",
                // There is no such route.
                None => "Forbidden",
            };
            connection.tell(message, &request_id);
        });
    }

    /// What the tests' plan has happen to an event.
    fn disturbance(&self, connection: &Connection, route: RouteKey, body: &str) -> Option<Disturbance> {
        self.registry.disturbance(&connection.next_event(route, body))
    }

    /// Has the function of a route handle an event. Nothing if there is no such route; the answer is null if a disturbance
    /// puts the event off or loses it.
    async fn deliver(
        &self,
        connection: &Connection,
        route: RouteKey,
        event: Value,
        disturbance: Option<Disturbance>,
    ) -> Option<Result<Value, IntegrationError>> {
        let lambda = self.routes.get(&route)?;
        if let Some(Disturbance::Delayed(delay)) = disturbance {
            tokio::time::sleep(delay).await;
        }
        let answer = match disturbance {
            Some(Disturbance::Twice) => {
                let first = self.invoke(lambda, event.clone()).await;
                // As with a retry, nobody waits for the second answer.
                let _ = self.invoke(lambda, event).await;
                first
            }
            // What a client is waiting for can be neither lost nor put off.
            Some(Disturbance::AfterNext) if route != RouteKey::Connect => {
                connection.hold_event(Arc::clone(lambda), event);
                return Some(Ok(Value::Null));
            }
            Some(Disturbance::Lost) if route != RouteKey::Connect => return Some(Ok(Value::Null)),
            _ => self.invoke(lambda, event).await,
        };
        for (lambda, event) in connection.take_held_events() {
            let _ = self.invoke(&lambda, event).await;
        }
        Some(answer)
    }

    async fn invoke(&self, lambda: &Lambda, event: Value) -> Result<Value, IntegrationError> {
        let patience = self.limits.websocket.integration_timeout;
        let outcome = match tokio::time::timeout(patience, lambda.invoke(event)).await {
            Ok(outcome) => outcome.map_err(IntegrationError::from),
            Err(_) => Err(IntegrationError::TimedOut),
        };
        outcome.inspect_err(|error| tracing::error!(function = lambda.name, "{error}"))
    }
}

/// What is on its way to the client of a connection.
type Queue = mpsc::Receiver<String>;

impl fmt::Debug for WebSocketApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WebSocketApi").field("description", &self.description).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
