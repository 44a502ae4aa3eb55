//! The user's identity: the MLS group of the user's clients, which the authentication service keeps and every client
//! follows.
//!
//! The server says in which order changes come, and nothing more: what it sends is checked here again. A change of this
//! client's own is on disk before it is first sent, with what it leads to, and until the answer tells whether it was
//! accepted. One that came too late is made anew.

mod catch_up;
mod change;
mod credentials;
mod devices;
mod generations;
mod own;
mod removal;
mod renewal;
mod reset;
mod rotation;
mod sharing;
mod start;

#[cfg(test)]
mod tests;

pub(crate) use catch_up::catch_up;
pub(crate) use catch_up::follow;
pub(crate) use change::{Sent, commit, prepare_update, send_pending};
use credentials::verify_members;
pub(crate) use credentials::{KnownIntermediates, intermediate_under, root_of};
pub use devices::{Device, DeviceChange};
pub(crate) use devices::{find_changes, known_client_uuids, list, note, see_all};
pub(crate) use generations::{exists, replay};
use own::OwnKeys;
pub use removal::Removal;
pub(crate) use removal::{remove_device, remove_leaf, send_removal, tidy};
pub(crate) use renewal::{ensure_labelled, renew, update_leaf};
pub use reset::IdentityReset;
pub(crate) use reset::reset;
pub use rotation::KeyRotation;
pub(crate) use rotation::{go_on, half_removed, state_of};
pub(crate) use start::ensure_started;

use vestibule_identity::IdentityError;
use vestibule_protocol::name::ClientId;

use crate::error::local_urn;

/// Why the identity cannot be followed or changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityFailure {
    /// The server has accepted what it must not, or sends something else.
    #[error("the server's history of your devices is not acceptable: {0}")]
    HistoryRefused(IdentityError),
    /// A page of the history has nothing of what it should.
    #[error("the server's history of your devices has a gap")]
    HistoryIncomplete,
    /// A client's credential was not issued by the deployment that this device trusts.
    #[error("{0} is among your devices, but its credential was not issued by the server that this device trusts")]
    ForeignClient(ClientId),
    /// A client has made a commit that nobody can follow.
    #[error(
        "{} has made a change that your other devices cannot follow: `vestibule identity reset` removes it and starts over",
        .device
    )]
    Stuck {
        /// The client, and what it is called.
        device: Device,
    },
    /// The identity was started over, and this device has missed its turn to join.
    #[error(
        "your devices started over without this one: remove it and link it again, or start over once more with \
         `vestibule identity reset`"
    )]
    LeftBehind,
    /// Another copy of this home has changed the identity in this device's name.
    #[error("another copy of this device's home is in use: remove this device with another one, and link it again")]
    Copied,
    /// Others came first again and again.
    #[error("your other devices are changing at the same time: try again")]
    Busy,
    /// A change could not be made.
    #[error("the change of your devices could not be made: {0}")]
    NotMade(IdentityError),
}

impl IdentityFailure {
    /// As [`Error::urn`](crate::Error::urn).
    pub(crate) fn urn(&self) -> String {
        local_urn(match self {
            Self::HistoryRefused(_) | Self::HistoryIncomplete | Self::ForeignClient(_) => "server-answer-refused",
            Self::Stuck { .. } => "identity-stuck",
            Self::LeftBehind | Self::Copied => "identity-left-behind",
            Self::Busy => "identity-busy",
            Self::NotMade(_) => "identity-change-not-made",
        })
    }
}
