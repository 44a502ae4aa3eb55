//! What Vestibule's clients and functions say to each other.
//!
//! No AWS and no I/O: whatever needs the time or randomness is given them.
#![deny(missing_docs)]

pub mod add_package;
pub mod clock;
pub mod connection_package;
pub mod credential;
pub mod device_label;
pub mod encoding;
pub mod endpoint;
mod fixed_secret;
pub mod friendship;
pub mod hpke;
pub mod key_server;
pub mod keys;
pub mod leaf_credential;
pub mod limits;
pub mod linking;
pub mod login;
pub mod name;
pub mod opaque;
#[cfg(feature = "schema")]
pub mod openapi;
pub mod problem;
pub mod push_token;
pub mod queue;
pub mod queue_config;
pub mod queuing;
pub mod randomness;
pub mod rendezvous;
pub mod request_signature;
pub mod signed;
pub mod symmetric;
mod text_form;
pub mod time;
pub mod token_key;
pub mod user_secrets;
