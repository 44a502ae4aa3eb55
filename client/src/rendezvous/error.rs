//! What can go wrong when two devices meet.

use vestibule_protocol::rendezvous::EndReason;

use crate::error::local_urn;
use crate::relay::RelayUrlError;

/// Why two devices do not come together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RendezvousError {
    /// The home has a rendezvous that did not come to an end.
    #[error("a rendezvous is under way on this device already")]
    UnderWay,
    /// The server names a relay that is not connected to.
    #[error(transparent)]
    RelayUrl(#[from] RelayUrlError),
    /// No connection to the relay came about at all. The rendezvous is kept.
    #[error("no connection to {relay}: {reason}")]
    RelayUnreachable {
        /// The relay.
        relay: String,
        /// What went wrong.
        reason: String,
    },
    /// The relay does not let this device in, with this HTTP status: the rendezvous has ended.
    #[error("the relay refuses this device (status {0})")]
    RelayRefused(u16),
    /// The rendezvous has ended before both devices were content.
    #[error("{0}")]
    Ended(EndReason),
}

impl RendezvousError {
    /// As [`Error::urn`](crate::Error::urn).
    pub(crate) fn urn(&self) -> String {
        local_urn(match self {
            Self::Ended(EndReason::Refused(problem)) => return problem.problem_type.clone(),
            Self::UnderWay => "rendezvous-under-way",
            Self::RelayUrl(_) => "server-answer-refused",
            Self::RelayUnreachable { .. } => "server-unreachable",
            Self::RelayRefused(_) => "relay-refused",
            Self::Ended(_) => "rendezvous-ended",
        })
    }
}
