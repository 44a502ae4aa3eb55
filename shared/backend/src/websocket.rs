//! WebSocket API events (API Gateway) as typed events, and the functions that handle them.
//!
//! API Gateway holds the connection; a function sees one event at a time. Three things follow from that, on AWS and in
//! the local cloud alike. Events of one connection may be handled at the same time and in another order than they were
//! sent. An event may be delivered twice. And `$disconnect` is delivered at best: it may never come.

use std::fmt;
use std::future::Future;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use http::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, StatusCode};
use vestibule_protocol::problem::{Problem, ProblemType};

use crate::http::SourceAddress;
use crate::{Environment, StartError};

mod connections;

pub use connections::{ConnectionError, ConnectionState, Connections};

/// A function that serves one route of a WebSocket API.
pub trait WebSocketFunction: Sized + Send + Sync + 'static {
    /// The name of its binary.
    const NAME: &'static str;

    /// The event it handles, which says what route it serves: [`Connect`], [`Message`] or [`Disconnect`].
    type Event: WebSocketEvent;

    /// Gets ready: reads variables and secrets, makes clients. Once per process.
    ///
    /// # Errors
    /// [`StartError`], and the process ends: a function without its keys answers nothing.
    fn start(environment: &Environment) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// Handles an event.
    ///
    /// # Errors
    /// A [`Problem`]. For [`Connect`] its status refuses the connection, which is all that the client gets to see. For
    /// the other events nobody is told: a function that has something to say to a client posts it.
    fn handle(
        &self,
        event: Self::Event,
    ) -> impl Future<Output = Result<<Self::Event as WebSocketEvent>::Response, Problem>> + Send;
}

/// An event of a WebSocket API. The three there are implement it.
pub trait WebSocketEvent: Sized + Send + private::Decode {
    /// The route that leads to it.
    const ROUTE_KEY: &'static str;

    /// What a function answers if all is well.
    type Response: Into<Accepted> + Send;
}

/// What API Gateway knows a connection by. Nobody else gives meaning to its characters, and it is never used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(String);

/// `$connect`: a client wants to connect. Until the function has answered there is no connection to post to.
pub struct Connect {
    /// The connection that is to be.
    pub connection_id: ConnectionId,
    /// Where it comes from.
    pub source: SourceAddress,
    /// The headers of the handshake.
    pub headers: HeaderMap,
}

/// `$default`: a client sent a text message.
pub struct Message {
    /// The connection it came over.
    pub connection_id: ConnectionId,
    /// The message, of at most 128 KiB.
    pub body: String,
}

/// `$disconnect`: a connection has ended. Best effort: it may come late, twice or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The connection that was.
    pub connection_id: ConnectionId,
    /// The status code of the close frame (RFC 6455, section 7.4): 1005 if the client gave none, 1006 if there was no
    /// close frame.
    pub code: Option<u16>,
}

/// That a connection is accepted, and which subprotocol is spoken over it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    subprotocol: Option<String>,
}

impl Accepted {
    /// The connection is accepted and speaks no subprotocol.
    pub fn without_subprotocol() -> Self {
        Self::default()
    }

    /// The connection is accepted and speaks this one of the [`Connect::subprotocols`] offered. A client that is
    /// answered one that it did not offer ends the connection (RFC 6455, section 4.1), and many do so if they are
    /// answered none.
    pub fn with_subprotocol(subprotocol: impl Into<String>) -> Self {
        Self { subprotocol: Some(subprotocol.into()) }
    }
}

/// The events after [`Connect`] leave nothing to say.
impl From<()> for Accepted {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl Connect {
    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let offered = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        offered.map(str::trim).filter(|subprotocol| !subprotocol.is_empty())
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl ConnectionId {
    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ConnectionId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl WebSocketEvent for Connect {
    const ROUTE_KEY: &'static str = "$connect";
    type Response = Accepted;
}

impl WebSocketEvent for Message {
    const ROUTE_KEY: &'static str = "$default";
    type Response = ();
}

impl WebSocketEvent for Disconnect {
    const ROUTE_KEY: &'static str = "$disconnect";
    type Response = ();
}

/// What only this module does with events.
mod private {
    use super::{ApiGatewayWebsocketProxyRequest, ConnectionId};

    pub trait Decode: Sized {
        fn decode(event: ApiGatewayWebsocketProxyRequest, connection_id: ConnectionId) -> Option<Self>;
    }
}

impl private::Decode for Connect {
    fn decode(event: ApiGatewayWebsocketProxyRequest, connection_id: ConnectionId) -> Option<Self> {
        let source = SourceAddress::new(event.request_context.identity.source_ip.as_deref());
        // Only the multi-value headers have what a client sent in several fields of one name.
        let headers = if event.multi_value_headers.is_empty() { event.headers } else { event.multi_value_headers };
        Some(Self { connection_id, source, headers })
    }
}

impl private::Decode for Message {
    fn decode(event: ApiGatewayWebsocketProxyRequest, connection_id: ConnectionId) -> Option<Self> {
        // There are no binary messages, so none are encoded.
        let body = event.body.filter(|_| !event.is_base64_encoded)?;
        Some(Self { connection_id, body })
    }
}

impl private::Decode for Disconnect {
    fn decode(event: ApiGatewayWebsocketProxyRequest, connection_id: ConnectionId) -> Option<Self> {
        let code = event.request_context.disconnect_status_code.and_then(|code| u16::try_from(code).ok());
        Some(Self { connection_id, code })
    }
}

/// Decodes an event. One of another route is not for this function: then `template.yaml` names the wrong one.
pub(crate) fn decode<E: WebSocketEvent>(mut event: ApiGatewayWebsocketProxyRequest) -> Result<E, Problem> {
    let context = &mut event.request_context;
    let is_for_us = context.route_key.as_deref() == Some(E::ROUTE_KEY);
    let connection_id = context.connection_id.take().filter(|_| is_for_us).map(ConnectionId);
    let decoded = connection_id.and_then(|connection_id| E::decode(event, connection_id));
    decoded.ok_or_else(|| Problem::new(ProblemType::InternalError, format!("this is no event of {}", E::ROUTE_KEY)))
}

/// The answer when all is well.
pub(crate) fn success_response(accepted: Accepted) -> ApiGatewayProxyResponse {
    let subprotocol = accepted.subprotocol.as_deref().map(HeaderValue::from_str).transpose();
    let Ok(subprotocol) = subprotocol else {
        tracing::error!("the subprotocol is no header value");
        return response(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
    };
    let mut response = response(StatusCode::OK.as_u16());
    response.headers.extend(subprotocol.map(|subprotocol| (SEC_WEBSOCKET_PROTOCOL, subprotocol)));
    response
}

/// The answer when something is wrong: the status alone, for API Gateway passes on nothing else.
pub(crate) fn problem_response(problem: &Problem) -> ApiGatewayProxyResponse {
    response(problem.problem_type.status())
}

fn response(status: u16) -> ApiGatewayProxyResponse {
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = i64::from(status);
    response
}

#[cfg(test)]
mod tests;
