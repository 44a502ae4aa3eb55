//! How two devices that share nothing but a number and two words find each other and agree on keys
//! (`new-device.md`, `new-device-sequence.md` rows 1 to 5).

mod code;
pub mod frame;
mod mailbox;
mod pairing;
mod words;

pub use crate::symmetric::RendezvousTicket;
pub use code::{MAX_RENDEZVOUS_CODE_BITS, RENDEZVOUS_CODE_BITS, RendezvousCode, RendezvousCodeError};
pub use mailbox::{MailboxId, MailboxIdError, RELAY_SUBPROTOCOL, RendezvousTicketHash};
pub use pairing::{Pairing, PairingError, RandomString, WordPosition};
