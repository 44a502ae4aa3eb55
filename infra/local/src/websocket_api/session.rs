//! An open connection: what the client sends, what is sent to it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::connection::Connection;
use super::registry::Registration;
use super::{Queue, WebSocketApi};
use crate::limits::WebSocketLimits;

/// How many bytes wait between a message and the socket at most: every frame is flushed before the next, so there is never
/// more than one, and what answers pings.
const WRITE_BUFFER_BYTES: usize = 512 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An open connection.
pub(super) struct Session<'a> {
    pub(super) api: &'a Arc<WebSocketApi>,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) limits: &'a WebSocketLimits,
}

/// How a connection ended.
pub(super) struct Ending {
    /// What `$disconnect` is told, see RFC 6455, section 7.4.
    pub(super) code: u16,
    /// The text that goes with it. AWS documents none; two are known from recorded events: "Going away" and
    /// "Client-side close frame status not set".
    pub(super) reason: String,
    /// Whether the server is the one to say so.
    is_said_by_us: bool,
}

impl Session<'_> {
    /// Serves the connection to its end. Functions find it until then.
    pub(super) async fn run(&self, upgraded: Upgraded, mut queue: Queue, registration: Registration) -> Ending {
        let config = WebSocketConfig::default()
            .max_frame_size(Some(self.limits.frame_bytes))
            .max_message_size(Some(self.limits.message_bytes))
            .max_write_buffer_size(WRITE_BUFFER_BYTES);
        let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let (mut sink, mut stream) = socket.split();
        let ending = {
            let mut writing = std::pin::pin!(self.write(&mut sink, &mut queue));
            // A client that sends without reading is read while it is written to, so that neither waits for the other.
            tokio::select! {
                ending = self.read(&mut stream) => ending,
                ending = &mut writing => ending,
                () = idle(self.connection, self.limits.idle_timeout) => Ending::said(CloseCode::Away, "Going away"),
                () = tokio::time::sleep(self.limits.lifetime) => Ending::said(CloseCode::Away, "Going away"),
                () = self.connection.closing() => {
                    // Nothing more is read, and what waits is written to a client that takes it.
                    let written = tokio::time::timeout(self.limits.farewell, writing).await;
                    written.unwrap_or_else(|_| Ending::deleted())
                }
            }
        };
        drop(registration);
        let socket = sink.reunite(stream).expect("both are halves of one socket");
        let farewell = say_farewell(socket, ending.close_frame());
        // In the background: $disconnect does not wait for a client that takes its time.
        let (lifeline, patience) = (self.api.lifeline.clone(), self.limits.farewell);
        tokio::spawn(async move { lifeline.run(tokio::time::timeout(patience, farewell)).await });
        ending
    }

    async fn read(&self, stream: &mut SplitStream<Socket>) -> Ending {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.connection.touch(self.api.clock.now());
                    self.api.handle_message(self.connection, text.as_str().to_owned());
                }
                Some(Ok(Message::Binary(_))) => return Ending::said(CloseCode::Unsupported, "Binary frames"),
                Some(Ok(Message::Close(frame))) => return Ending::by_client(frame),
                // Pings are answered underneath. Like pongs they are no messages, so they do not count as activity.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(Error::Capacity(_))) => return Ending::said(CloseCode::Size, "Message too big"),
                Some(Err(Error::Utf8(_))) => return Ending::said(CloseCode::Invalid, "Invalid UTF-8"),
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return Ending::broken(),
                Some(Err(Error::Protocol(_))) => return Ending::said(CloseCode::Protocol, "Protocol error"),
                Some(Err(_)) | None => return Ending::broken(),
            }
        }
    }

    async fn write(&self, sink: &mut SplitSink<Socket, Message>, queue: &mut Queue) -> Ending {
        loop {
            let text = tokio::select! {
                biased;
                Some(text) = queue.recv() => text,
                () = self.connection.closing() => return Ending::deleted(),
            };
            for frame in frames(text.as_bytes(), self.limits.frame_bytes) {
                if sink.send(Message::Frame(frame)).await.is_err() {
                    return Ending::broken();
                }
            }
            self.connection.touch(self.api.clock.now());
        }
    }
}

/// Comes back when no message has gone over the connection for too long.
async fn idle(connection: &Connection, timeout: Duration) {
    loop {
        let last = connection.last_activity().instant;
        tokio::time::sleep_until(last + timeout).await;
        if connection.last_activity().instant == last {
            return;
        }
    }
}

impl Ending {
    /// The connection broke.
    pub(super) fn broken() -> Self {
        Self { code: CloseCode::Abnormal.into(), reason: "Connection broken".to_owned(), is_said_by_us: false }
    }

    /// A function deleted the connection.
    fn deleted() -> Self {
        Self::said(CloseCode::Normal, "Connection closed normally")
    }

    fn by_client(frame: Option<CloseFrame>) -> Self {
        let (code, reason) = match frame {
            Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
            None => (CloseCode::Status.into(), "Client-side close frame status not set".to_owned()),
        };
        Self { code, reason, is_said_by_us: false }
    }

    fn said(code: CloseCode, reason: &str) -> Self {
        Self { code: code.into(), reason: reason.to_owned(), is_said_by_us: true }
    }

    fn close_frame(&self) -> Option<CloseFrame> {
        let frame = || CloseFrame { code: self.code.into(), reason: self.reason.as_str().into() };
        self.is_said_by_us.then(frame)
    }
}

/// The frames of a text message, none of them larger than a frame may be.
fn frames(text: &[u8], frame_bytes: usize) -> impl Iterator<Item = Frame> {
    let number = text.len().div_ceil(frame_bytes).max(1);
    (0..number).map(move |index| {
        let end = text.len().min((index + 1) * frame_bytes);
        let kind = if index == 0 { Data::Text } else { Data::Continue };
        Frame::message(text[index * frame_bytes..end].to_vec(), OpCode::Data(kind), index + 1 == number)
    })
}

/// Says why the connection ends, or confirms what the client said, and waits for the client to leave. What it still
/// sends is read and dropped: otherwise the system would reset the connection, and the client might not see the reason.
async fn say_farewell(mut socket: Socket, frame: Option<CloseFrame>) {
    let said = match frame {
        Some(frame) => socket.close(Some(frame)).await,
        None => socket.flush().await,
    };
    // Whatever went wrong, the client has left.
    if let Err(error) = said {
        tracing::debug!("the end of a connection could not be said: {error}");
    }
    let mut stream = socket.into_inner();
    if stream.shutdown().await.is_ok() {
        let mut dropped = vec![0; 16 * 1024];
        while matches!(stream.read(&mut dropped).await, Ok(length) if length > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use vestibule_protocol::time::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_message_keeps_a_connection_from_being_idle() {
        let (parts, ()) = http::Request::new(()).into_parts();
        let now = Timestamp::from_seconds(0);
        let (connection, _queue) = Connection::new("sockets", &parts, "192.0.2.1:50000".parse().unwrap(), now);
        let timeout = Duration::from_millis(100);
        let message = async {
            tokio::time::sleep(timeout / 4).await;
            connection.touch(now);
            connection.last_activity().instant
        };
        // Polls the message first, so it is in time even if both are woken late.
        let (last, ()) = futures_util::future::join(message, idle(&connection, timeout)).await;
        assert!(last.elapsed() >= timeout);
    }

    #[test]
    fn a_message_is_cut_into_frames() {
        let cut = |bytes: usize| -> Vec<(usize, bool)> {
            let text = vec![b'x'; bytes];
            frames(&text, 10).map(|frame| (frame.payload().len(), frame.header().is_final)).collect()
        };
        assert_eq!(cut(0), [(0, true)]);
        assert_eq!(cut(10), [(10, true)]);
        assert_eq!(cut(11), [(10, false), (1, true)]);
        assert_eq!(cut(20), [(10, false), (10, true)]);
    }
}
