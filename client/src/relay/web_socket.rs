//! WebSockets (RFC 6455).

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use reqwest::{StatusCode, Upgraded};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use vestibule_protocol::limits::MAX_RELAY_FRAME_LENGTH;

use super::{RelayConnection, RelayError, RelayTransport, RelayUrl, Relaying, WebSocketOffer};
use crate::transport::{connection_pool, innermost_cause};

/// How long connecting may take, handshakes of TLS and WebSocket included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sending a frame, or closing, may take. Whoever is slower has no connection.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// After how much silence the server is asked for a sign of life, and how long it then has for it: nobody else notices
/// that the network is gone.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// WebSockets, under TLS unless the server is on this computer. It is reached as with requests (proxies, certificates),
/// over a connection of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSocketTransport;

impl RelayTransport for WebSocketTransport {
    fn connect<'a>(&'a self, url: &'a RelayUrl, offer: &'a WebSocketOffer) -> Relaying<'a, Box<dyn RelayConnection>> {
        Box::pin(async move {
            let upgraded = in_time(CONNECT_TIMEOUT, upgrade(url, offer)).await?;
            let connection: Box<dyn RelayConnection> = Box::new(Connection::new(upgraded).await);
            Ok(connection)
        })
    }
}

/// Asks for a WebSocket (RFC 6455, section 4.1) and checks the answer as section 4.2.2 has it.
async fn upgrade(url: &RelayUrl, offer: &WebSocketOffer) -> Result<Upgraded, RelayError> {
    let pool = connection_pool(url.is_loopback(), url.is_encrypted(), |pool| pool.http1_only());
    let pool = pool.map_err(|error| RelayError::Broken(error.0))?;
    let key = generate_key();
    let mut subprotocols = HeaderValue::from_str(offer.header()).expect("base64url fits a header");
    subprotocols.set_sensitive(true);
    let request = pool
        .get(url.to_http())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key)
        .header(SEC_WEBSOCKET_PROTOCOL, subprotocols);
    let response = request.send().await.map_err(|error| broken(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(RelayError::Refused(response.status().as_u16()));
    }
    let is_agreed = has(response.headers(), UPGRADE.as_str(), "websocket")
        && response
            .headers()
            .get(SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| *accept == derive_accept_key(key.as_bytes()))
        && response.headers().get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|agreed| agreed == offer.subprotocol())
        && !response.headers().contains_key("sec-websocket-extensions");
    if !is_agreed {
        return Err(RelayError::Broken("the server does not speak the protocol asked for".to_owned()));
    }
    response.upgrade().await.map_err(|error| broken(&error))
}

fn has(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
}

/// A connection that stands.
struct Connection {
    stream: WebSocketStream<Upgraded>,
    /// When the server last showed that it is there, or was asked whether it is.
    last_sign: Instant,
    is_asked: bool,
}

impl Connection {
    async fn new(upgraded: Upgraded) -> Self {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_RELAY_FRAME_LENGTH))
            .max_frame_size(Some(MAX_RELAY_FRAME_LENGTH));
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
        Self { stream, last_sign: Instant::now(), is_asked: false }
    }

    async fn receive_text(&mut self) -> Result<Option<String>, RelayError> {
        loop {
            let message = match timeout_at(self.last_sign + LONGEST_SILENCE, self.stream.next()).await {
                Ok(None) => return Ok(None),
                Ok(Some(message)) => message.map_err(|error| broken(&error))?,
                Err(_) if self.is_asked => return Err(RelayError::Broken("the server is silent".to_owned())),
                Err(_) => {
                    (self.last_sign, self.is_asked) = (Instant::now(), true);
                    self.send_message(Message::Ping(Vec::new().into())).await?;
                    continue;
                }
            };
            (self.last_sign, self.is_asked) = (Instant::now(), false);
            match message {
                Message::Text(text) => return Ok(Some(text.as_str().to_owned())),
                Message::Close(_) => return Ok(None),
                Message::Binary(_) => return Err(RelayError::Broken("the server sent a binary frame".to_owned())),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn send_message(&mut self, message: Message) -> Result<(), RelayError> {
        in_time(SEND_TIMEOUT, async { self.stream.send(message).await.map_err(|error| broken(&error)) }).await
    }
}

impl RelayConnection for Connection {
    fn send<'a>(&'a mut self, text: &'a str) -> Relaying<'a, ()> {
        Box::pin(self.send_message(Message::text(text)))
    }

    fn receive(&mut self) -> Relaying<'_, Option<String>> {
        Box::pin(self.receive_text())
    }

    fn close(&mut self) -> Relaying<'_, ()> {
        let closing = async {
            match self.stream.close(None).await {
                Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => Ok(()),
                Err(error) => Err(broken(&error)),
            }
        };
        Box::pin(in_time(SEND_TIMEOUT, closing))
    }
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RelayError>> + Send,
) -> Result<T, RelayError> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(RelayError::Broken("the server takes too long".to_owned())))
}

fn broken(error: &dyn std::error::Error) -> RelayError {
    RelayError::Broken(innermost_cause(error))
}
