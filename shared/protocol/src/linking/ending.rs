//! How a linking ends other than well.

use serde::{Deserialize, Serialize};
use tls_codec::{DeserializeBytes, TlsSerialize, TlsSize};

use super::message::{LinkingMessage, OutgoingMessage};
use crate::credential::CredentialError;

/// Why a device ends a linking. What a later version says besides reads as [`Failed`](Self::Failed).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, TlsSerialize, TlsSize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum DeclineReason {
    /// The person at the device does not want it.
    #[error("its user declined")]
    Person = 1,
    /// The existing device is not of the user that the new one was told to join.
    #[error("the user is not the one that was asked for")]
    AnotherUser = 2,
    /// The new device trusts another root than the existing one.
    #[error("the devices do not trust the same root credential")]
    AnotherRoot = 3,
    /// The signing request is not one for a new client of this user.
    #[error("the new device's request for a credential is not acceptable")]
    RequestRefused = 4,
    /// The credential is not the one that was asked for.
    #[error("the new device's credential is not the one that it asked for")]
    CredentialRefused = 5,
    /// The KeyPackage is not one of the new client for the user's identity.
    #[error("the new device's KeyPackage is not acceptable")]
    KeyPackageRefused = 6,
    /// The Welcome, or what came with it, is not one to the user's identity.
    #[error("the Welcome to the user's identity is not acceptable")]
    HandoverRefused = 7,
    /// The user has as many clients as a user can have.
    #[error("the user has as many devices as a user can have")]
    ClientLimit = 8,
    /// The existing device is not one of the user's any more.
    #[error("the existing device is not one of the user's any more")]
    ApproverRemoved = 9,
    /// The authentication service did not take the new client's confirmation.
    #[error("the new device was not confirmed in time")]
    NotConfirmed = 10,
    /// A message came that does not decode, or not here.
    #[error("a message came that the protocol does not know or not expect")]
    ProtocolViolation = 11,
    /// The device cannot go on.
    #[error("it could not go on")]
    Failed = 12,
}

impl DeclineReason {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Person,
            2 => Self::AnotherUser,
            3 => Self::AnotherRoot,
            4 => Self::RequestRefused,
            5 => Self::CredentialRefused,
            6 => Self::KeyPackageRefused,
            7 => Self::HandoverRefused,
            8 => Self::ClientLimit,
            9 => Self::ApproverRemoved,
            10 => Self::NotConfirmed,
            11 => Self::ProtocolViolation,
            _ => Self::Failed,
        }
    }
}

impl DeserializeBytes for DeclineReason {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (byte, rest) = u8::tls_deserialize_bytes(bytes)?;
        Ok((Self::from_byte(byte), rest))
    }
}

/// How a linking ended that did not link. `Display` gives what a person is to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// By this device.
    #[error("ended by this device: {0}")]
    Declined(DeclineReason),
    /// By the other device.
    #[error("ended by the other device: {0}")]
    PeerDeclined(DeclineReason),
    /// By the connection.
    #[error("the connection to the other device ended")]
    ConnectionEnded,
}

/// Why a machine does not take what it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkingError {
    /// The step is not due: it was made already, or the linking has ended. Nothing has changed.
    #[error("this step of the linking is not due")]
    NotDue,
    /// The message does not decode.
    #[error("the other device sent a message that does not decode")]
    Malformed,
    /// The message is not the next one.
    #[error("the other device sent a message that is not the next one")]
    OutOfOrder,
    /// The user is another, or of another deployment.
    #[error("the other device is of a user that was not asked for")]
    AnotherUser,
    /// The root is another.
    #[error("the devices do not trust the same root credential")]
    AnotherRoot,
    /// The signing request is for another user.
    #[error("the other device asks for a credential of another user")]
    RequestForAnotherUser,
    /// The signing request is for a client that the user has or had.
    #[error("the other device asks for the credential of a device that the user has already")]
    RequestForExistingClient,
    /// The signing request does not hold.
    #[error("the other device's request for a credential is not acceptable: {0}")]
    RequestRefused(CredentialError),
    /// The credential does not hold.
    #[error("the new device's credential is not acceptable: {0}")]
    CredentialRefused(CredentialError),
    /// The credential holds, and is not the one that was asked for.
    #[error("the new device's credential is not the one that was asked for")]
    CredentialMismatch,
    /// The KeyPackage comes with another intermediate credential.
    #[error("the KeyPackage comes with another intermediate credential than the one that issued")]
    KeyPackageOfAnotherChain,
    /// The state bundles have another length than announced, or than any have, or do not decode.
    #[error("the state of the user's groups is not what was announced")]
    StateBundlesRefused,
}

impl LinkingError {
    /// What the other device is told; `None` if the linking has not ended by this.
    pub fn reason(&self) -> Option<DeclineReason> {
        Some(match self {
            Self::NotDue => return None,
            Self::Malformed | Self::OutOfOrder => DeclineReason::ProtocolViolation,
            Self::AnotherUser => DeclineReason::AnotherUser,
            Self::AnotherRoot => DeclineReason::AnotherRoot,
            Self::RequestForAnotherUser | Self::RequestForExistingClient | Self::RequestRefused(_) => {
                DeclineReason::RequestRefused
            }
            Self::CredentialRefused(_) | Self::CredentialMismatch => DeclineReason::CredentialRefused,
            Self::KeyPackageOfAnotherChain => DeclineReason::KeyPackageRefused,
            Self::StateBundlesRefused => DeclineReason::HandoverRefused,
        })
    }

    /// What to send to the other device, before this one closes; `None` if the linking has not ended by this.
    pub fn message(&self) -> Option<OutgoingMessage> {
        self.reason().map(|reason| LinkingMessage::Declined(reason).to_outgoing())
    }
}
