//! What the server has for all passwords, and for each.

use std::fmt;

use opaque_ke::ServerSetup as OpaqueServerSetup;
use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::Suite;
use crate::encoding::SecretBytes;

/// Length of a [`CredentialIdentifier`] in bytes.
pub const CREDENTIAL_IDENTIFIER_LENGTH: usize = 32;

/// Names the OPRF key under which a password is registered. A fresh random one for every registration response: were it
/// the user name, anybody could evaluate a name's OPRF before the name exists and prepare a dictionary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CredentialIdentifier(pub [u8; CREDENTIAL_IDENTIFIER_LENGTH]);

impl CredentialIdentifier {
    /// A fresh one.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut identifier = [0; CREDENTIAL_IDENTIFIER_LENGTH];
        rng.fill_bytes(&mut identifier);
        Self(identifier)
    }
}

impl AsRef<[u8]> for CredentialIdentifier {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The server's long-term secrets: OPRF seed and key pair (128 bytes). Zeroized on drop, not printable.
pub struct ServerSetup(pub(super) OpaqueServerSetup<Suite>);

impl ServerSetup {
    /// A fresh setup. A deployment has one, for ever: its passwords cannot be verified with another.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(OpaqueServerSetup::new(rng))
    }
}

impl SecretBytes for ServerSetup {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize().to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        OpaqueServerSetup::deserialize(bytes).ok().map(Self)
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerSetup")
    }
}
