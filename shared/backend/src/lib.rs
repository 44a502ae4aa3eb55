//! What Vestibule's functions share: their environment, DynamoDB state, request authentication, secrets, problem
//! responses and the Lambda entry.
#![deny(missing_docs)]

mod clock;
mod environment;
mod lambda;

pub use clock::Clock;
pub use environment::{Environment, StartError};
pub use lambda::EventHandler;
