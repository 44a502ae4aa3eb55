//! State of the queuing service. Each module is the only code that knows its items.
//!
//! Nothing in it comes from the authentication service, and no item says when it was made.

pub mod clients;
pub mod key_packages;
pub mod public_keys;
pub mod records;
pub mod users;
