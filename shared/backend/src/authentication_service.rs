//! State of the authentication service. Each module is the only code that knows its items.

pub mod client_changes;
pub mod client_set;
pub mod clients;
pub mod connection_packages;
pub mod connection_publications;
pub mod identities;
pub mod logins;
pub mod passwords;
pub mod public_credentials;
pub mod sealed_registration;
pub mod signing_requests;
pub mod token_allowances;
pub mod user_deletion;
pub mod user_records;
