//! What Vestibule's functions share: their environment, DynamoDB state, request authentication, secrets, problem
//! responses and the Lambda entry.
#![deny(missing_docs)]

mod environment;
mod lambda;

pub use environment::{Environment, StartError};
pub use lambda::EventHandler;
pub use vestibule_protocol::clock::Clock;
