//! What the end-to-end tests share. The tests themselves are in `main.rs` and its modules.

#[path = "support/applicant.rs"]
mod applicant;
#[path = "support/clients.rs"]
mod clients;
#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/identity.rs"]
pub mod identity;
#[path = "support/key_server.rs"]
mod key_server;
#[path = "support/listening.rs"]
pub mod listening;
#[path = "support/log.rs"]
mod log;
#[path = "support/pseudonym.rs"]
mod pseudonym;
#[path = "support/qs_records.rs"]
mod qs_records;
#[path = "support/queues.rs"]
pub mod queues;
#[path = "support/recipe.rs"]
mod recipe;
#[path = "support/rendezvous.rs"]
pub mod rendezvous;
#[path = "support/session.rs"]
pub mod session;
#[path = "support/tokens.rs"]
mod tokens;

pub use applicant::Applicant;
pub use clients::{no_login, removal_of};
pub use cloud::{Answer, Call, TestCloud, all_at_once, all_at_once_until_answered, functions_directory, json_body};
pub use key_server::{KeyServerUser, OpenedSession, altered_use, opening_call, response};
pub use log::captured_log;
pub use pseudonym::{Pseudonym, sign as sign_for_qs};
pub use qs_records::copy;
pub use recipe::{Recipe, capabilities, last_resort_extension, private_extension};
