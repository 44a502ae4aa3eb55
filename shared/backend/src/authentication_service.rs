//! State of the authentication service. Each module is the only code that knows its items.

pub mod clients;
pub mod passwords;
pub mod public_credentials;
pub mod sealed_registration;
pub mod user_records;
