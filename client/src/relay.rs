//! How a device reaches the relay: WebSockets, beside the requests of [`transport`](crate::transport). The place at the
//! queuing service where a device listens for messages is reached the same way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use reqwest::Url;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vestibule_protocol::queuing::{LISTEN_SUBPROTOCOL, ListenRequest};
use vestibule_protocol::rendezvous::{RELAY_SUBPROTOCOL, RendezvousTicket};
use zeroize::Zeroizing;

use crate::server_url::is_loopback_host;

mod web_socket;

pub use web_socket::WebSocketTransport;

/// Where the relay is: `wss://`, or `ws://` if the host is this computer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayUrl(Url);

/// The server named a relay that no device connects to: not a `wss` URL, nor a `ws` URL of this computer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server names a relay that is neither wss:// nor on this computer")]
pub struct RelayUrlError;

impl RelayUrl {
    /// Whether the relay is on this computer.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.0.host_str().unwrap_or_default())
    }

    /// Whether what goes to the relay travels under TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// The URL of the request that opens a WebSocket, which is one of HTTP.
    fn to_http(&self) -> Url {
        let mut url = self.0.clone();
        url.set_scheme(if self.is_encrypted() { "https" } else { "http" }).expect("ws is as special as http");
        url
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        let url = Url::parse(text).map_err(|_| RelayUrlError)?;
        let has_more = url.fragment().is_some() || !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "ws" | "wss") || !url.has_host() || has_more {
            return Err(RelayUrlError);
        }
        let relay = Self(url);
        if relay.is_encrypted() || relay.is_loopback() { Ok(relay) } else { Err(RelayUrlError) }
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl Serialize for RelayUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RelayUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What a device asks for in the handshake of a WebSocket, and what it shows to be let in.
pub struct WebSocketOffer {
    subprotocol: &'static str,
    header: Zeroizing<String>,
}

impl WebSocketOffer {
    /// Asks for the relay's protocol and shows a ticket.
    pub(crate) fn relay(ticket: &RendezvousTicket) -> Self {
        Self { subprotocol: RELAY_SUBPROTOCOL, header: ticket.to_subprotocols() }
    }

    /// Asks to listen and shows the request that the device's client has signed.
    pub(crate) fn listening(request: &ListenRequest) -> Self {
        Self { subprotocol: LISTEN_SUBPROTOCOL, header: Zeroizing::new(request.to_subprotocols()) }
    }

    /// The subprotocol that the other end has to agree to.
    pub fn subprotocol(&self) -> &str {
        self.subprotocol
    }

    /// The value of `Sec-WebSocket-Protocol`: the subprotocol and what is shown, which is nobody else's business.
    pub fn header(&self) -> &str {
        &self.header
    }
}

/// Why there is no connection to the relay, or none any more. Without anything that was sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RelayError {
    /// It broke, or did not come about. Another one may.
    #[error("{0}")]
    Broken(String),
    /// The relay does not let this device in, with this HTTP status.
    #[error("the server answered with status {0}")]
    Refused(u16),
}

impl RelayError {
    /// Whether the next attempt may have another outcome.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Refused(status) => matches!(status, 408 | 429 | 500..),
        }
    }
}

/// What the methods of [`RelayTransport`] and [`RelayConnection`] promise.
pub type Relaying<'a, T> = Pin<Box<dyn Future<Output = Result<T, RelayError>> + Send + 'a>>;

/// Connects to a relay, once: when to try again is not its business.
pub trait RelayTransport: Send + Sync {
    /// Opens a WebSocket at `url` that speaks the subprotocol of `offer`.
    ///
    /// # Errors
    /// [`RelayError`].
    fn connect<'a>(&'a self, url: &'a RelayUrl, offer: &'a WebSocketOffer) -> Relaying<'a, Box<dyn RelayConnection>>;
}

/// A WebSocket. Dropped, it is closed, with whatever farewell can be said at once.
pub trait RelayConnection: Send {
    /// Sends a text frame. If the future is dropped, it may have been sent or not.
    ///
    /// # Errors
    /// [`RelayError::Broken`]. Whether the frame arrived is unknown then.
    fn send<'a>(&'a mut self, text: &'a str) -> Relaying<'a, ()>;

    /// Waits for the next text frame; `None` if the relay has closed the connection. Nothing is lost if the future is
    /// dropped.
    ///
    /// # Errors
    /// [`RelayError::Broken`]; also if the relay does not show any sign of life, or sends what is not a text frame, or one
    /// that is too long.
    fn receive(&mut self) -> Relaying<'_, Option<String>>;

    /// Closes the connection, so that all that was sent arrives.
    fn close(&mut self) -> Relaying<'_, ()>;
}

#[cfg(test)]
mod tests;
