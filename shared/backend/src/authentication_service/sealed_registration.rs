//! What the AS keeps of a registration under way, in the client's hands.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use vestibule_protocol::opaque::{CREDENTIAL_IDENTIFIER_LENGTH, CredentialIdentifier};
use vestibule_protocol::time::Timestamp;

use crate::sealing::Sealable;

/// The state between the two halves of a registration.
#[derive(Clone, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedRegistration {
    credential_identifier: [u8; CREDENTIAL_IDENTIFIER_LENGTH],
    /// The hash of the request that initiated it. The provisional credential carries the same: the two belong together.
    pub initiation_hash: [u8; 32],
    /// When it ends.
    pub expires_at: Timestamp,
}

impl SealedRegistration {
    /// The state after a registration was initiated.
    pub fn new(credential_identifier: CredentialIdentifier, initiation_hash: [u8; 32], expires_at: Timestamp) -> Self {
        Self { credential_identifier: credential_identifier.0, initiation_hash, expires_at }
    }

    /// Under which identifier the password was registered.
    pub fn credential_identifier(&self) -> CredentialIdentifier {
        CredentialIdentifier(self.credential_identifier)
    }
}

impl Sealable for SealedRegistration {
    const TYPE_NAME: &'static str = "SealedRegistration";
}
