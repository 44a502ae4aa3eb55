//! How two devices that share nothing but a number and two words find each other and agree on keys
//! (`new-device.md`, `new-device-sequence.md` rows 1 to 5).
//!
//! ```text
//!  Pairing ──► Session ◄──► frames ◄──► relay ◄──► frames ◄──► Session ◄── Pairing
//!                 │
//!                 ├ Delivery    numbers, acknowledges, resumes
//!                 └ handshake   SPAKE2 (spake2), keys (key_schedule), confirmations
//!                      └► Channel   records
//! ```
//!
//! [`Session`] is what a client uses; the others are its parts.

use serde::{Deserialize, Serialize};
use tls_codec::{TlsSerialize, TlsSize};

mod channel;
mod code;
mod delivery;
pub mod frame;
mod handshake;
mod key_schedule;
mod mailbox;
mod pairing;
mod record;
#[cfg(test)]
mod remembered_exchange;
mod session;
#[cfg(test)]
pub(crate) mod simulation;
mod spake2;
mod words;

pub use crate::symmetric::RendezvousTicket;
pub use channel::{ChannelMessage, SendError};
pub use code::{MAX_RENDEZVOUS_CODE_BITS, RENDEZVOUS_CODE_BITS, RendezvousCode, RendezvousCodeError};
pub use mailbox::{MailboxId, MailboxIdError, RELAY_SUBPROTOCOL, RendezvousTicketHash};
pub use pairing::{Pairing, PairingError, RandomString, WordPosition};
pub use session::{EndReason, Event, Progress, Rendezvous, SecuredSession, Session};

/// Which of the two devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, TlsSerialize, TlsSize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Role {
    /// The one that is to be linked: it shows the code, and speaks first.
    NewDevice = 1,
    /// The one that links it.
    ExistingDevice = 2,
}

impl Role {
    /// The other one.
    pub const fn peer(self) -> Self {
        match self {
            Self::NewDevice => Self::ExistingDevice,
            Self::ExistingDevice => Self::NewDevice,
        }
    }
}
