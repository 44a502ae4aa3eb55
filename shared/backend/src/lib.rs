//! What Vestibule's functions share: their environment, DynamoDB state, request authentication, secrets, problem
//! responses, WebSocket connections and the Lambda entry.
#![deny(missing_docs)]

pub mod authentication_service;
pub mod dynamodb;
mod environment;
mod http;
pub mod key_server;
mod keyed_hash;
mod lambda;
mod metrics;
pub mod queues;
pub mod queuing_service;
pub mod rate_limit;
pub mod redemption;
pub mod rendezvous_service;
pub mod sealing;
pub mod secret;
pub mod websocket;

pub use environment::{Environment, StartError};
pub use http::{EndpointRequest, SourceAddress, signature_problem};
pub use lambda::{
    EventHandler, HttpFunction, event_handler, log_filter, log_level, run, run_websocket, websocket_event_handler,
};
pub use metrics::Metric;
pub use vestibule_protocol::clock::Clock;
