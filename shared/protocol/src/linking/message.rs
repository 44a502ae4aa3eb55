//! The messages of a linking, each a message of the rendezvous channel.

use std::fmt;

use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use super::handover::{Handover, SecretOpaque};
use super::{DeclineReason, LinkingError};
use crate::device_label::DeviceName;
use crate::encoding::Bytes;
use crate::name::UserName;
use crate::signed::Fingerprint;

/// A message, its type in front.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and for a moment")]
pub(super) enum LinkingMessage {
    #[tls_codec(discriminant = 1)]
    UserName(UserNameMessage),
    #[tls_codec(discriminant = 2)]
    CredentialRequest(CredentialRequest),
    #[tls_codec(discriminant = 3)]
    IssuedCredential(IssuedCredential),
    #[tls_codec(discriminant = 4)]
    IdentityKeyPackage(IdentityKeyPackage),
    #[tls_codec(discriminant = 5)]
    Handover(HandoverMessage),
    #[tls_codec(discriminant = 6)]
    StateBundles(StateBundlesChunk),
    #[tls_codec(discriminant = 7)]
    Confirmed,
    #[tls_codec(discriminant = 8)]
    Declined(DeclineReason),
}

impl LinkingMessage {
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, LinkingError> {
        Self::tls_deserialize_exact_bytes(bytes).map_err(|_| LinkingError::Malformed)
    }

    pub(super) fn to_outgoing(&self) -> OutgoingMessage {
        let bytes = self.tls_serialize_detached().expect("its parts are within TLS's limits");
        OutgoingMessage(Zeroizing::new(bytes))
    }
}

/// Row 6, from the existing device: whose the new device is to be.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct UserNameMessage {
    pub(super) user_name: UserName,
    /// The root that the existing device trusts.
    pub(super) as_credential_fingerprint: Fingerprint,
}

/// Row 7, from the new device.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct CredentialRequest {
    pub(super) device_name: DeviceName,
    pub(super) client_credential_csr: Bytes,
}

/// Row 8, from the existing device.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct IssuedCredential {
    pub(super) client_credential: Bytes,
    pub(super) as_intermediate_credential: Bytes,
}

/// Row 9, from the new device.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct IdentityKeyPackage {
    pub(super) key_package: Bytes,
    pub(super) as_intermediate_credential: Bytes,
}

/// Row 10, from the existing device: followed by the state bundles.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct HandoverMessage {
    pub(super) handover: Handover,
    /// How many bytes the chunks that follow have together.
    pub(super) state_bundles_length: u32,
}

/// A part of row 10.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct StateBundlesChunk {
    pub(super) index: u32,
    pub(super) bytes: SecretOpaque,
}

/// A message for the other device. Zeroized on drop, not printable.
#[derive(Clone)]
pub struct OutgoingMessage(Zeroizing<Vec<u8>>);

impl OutgoingMessage {
    /// What [`SecuredSession::send`](crate::rendezvous::SecuredSession::send) takes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OutgoingMessage of {} bytes", self.0.len())
    }
}
