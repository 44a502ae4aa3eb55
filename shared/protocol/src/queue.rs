//! What a client gives a service so that it can be written to (`user-creation.md`, "Finish AS registration").

use std::fmt;

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoding::{Bytes, SecretBytes, secret};

/// The initial symmetric key of a queue's ratchet: 32 random bytes that the client and the service share.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RatchetKey([u8; 32]);

impl RatchetKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }
}

impl SecretBytes for RatchetKey {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for RatchetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RatchetKey")
    }
}

/// The keys of a new queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QueueKeys {
    /// The HPKE public key (32 bytes) under which the ratchet's later fresh randomness is encrypted to the client.
    pub encryption_key: Bytes,
    /// The initial ratchet key: 32 bytes. A secret of the client and this service.
    #[serde(with = "secret")]
    #[cfg_attr(feature = "schema", schemars(with = "Bytes"))]
    pub ratchet_key: RatchetKey,
}
