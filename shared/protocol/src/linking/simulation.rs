//! The whole linking between two simulated devices: real state machines on a real session, with a relay, a network,
//! batteries, persons and an authentication service that do whatever the seed says.

mod authentication_service;
mod circumstances;
mod existing_party;
mod new_party;
mod party;
mod tests;

use authentication_service::AuthenticationService;
use circumstances::{Circumstances, around};
use existing_party::ExistingParty;
use new_party::NewParty;
use party::Party;
