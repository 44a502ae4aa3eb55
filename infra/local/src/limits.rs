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
        }
    }
}
