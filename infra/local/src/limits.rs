//! The limits of API Gateway and Lambda. Tests may make them smaller.

use std::time::Duration;

/// Limits that the local cloud keeps to as AWS does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The request line and the values of the headers, together.
    pub header_bytes: usize,
    /// The body of a request.
    pub body_bytes: usize,
    /// An event or an answer of a function, as JSON.
    pub payload_bytes: usize,
    /// How long API Gateway waits for a function.
    pub integration_timeout: Duration,
    /// How long a function may take at most, whatever the template grants it.
    pub function_timeout: Duration,
    /// Those of WebSocket APIs alone.
    pub websocket: WebSocketLimits,
}

/// Limits of WebSocket APIs ("Quotas for configuring and running a WebSocket API").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// The payload of a frame. A client that sends a larger one is closed with code 1009.
    pub frame_bytes: usize,
    /// A message, in however many frames. A client that sends a larger one is closed with code 1009.
    pub message_bytes: usize,
    /// How long a connection may go without a message in either direction. Then it is closed with code 1001.
    pub idle_timeout: Duration,
    /// How long a connection may last. Then it is closed with code 1001.
    pub lifetime: Duration,
    /// How long API Gateway waits for a function.
    pub integration_timeout: Duration,
    /// How long a client may take to read what was posted before a function closed its connection, and again to leave. AWS
    /// documents none.
    pub farewell: Duration,
}

impl Default for Limits {
    /// AWS's own.
    fn default() -> Self {
        Self {
            header_bytes: 10_240,
            body_bytes: 10 * 1024 * 1024,
            payload_bytes: 6 * 1024 * 1024,
            integration_timeout: Duration::from_secs(30),
            function_timeout: Duration::from_secs(15 * 60),
            websocket: WebSocketLimits::default(),
        }
    }
}

impl Default for WebSocketLimits {
    /// AWS's own, as far as they are known.
    fn default() -> Self {
        Self {
            frame_bytes: 32 * 1024,
            message_bytes: 128 * 1024,
            idle_timeout: Duration::from_secs(10 * 60),
            lifetime: Duration::from_secs(2 * 60 * 60),
            integration_timeout: Duration::from_secs(29),
            farewell: Duration::from_secs(1),
        }
    }
}
