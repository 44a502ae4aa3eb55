//! Queues: how messages wait for a client (`user-creation.md`, "queue ratchets"). The authentication service's and the
//! queuing service's are alike.
//!
//! The service encrypts every message under a key of its own, which it derives from the queue's *ratchet key* and forgets
//! together with it:
//!
//! ```text
//! message_key[n] = HKDF-SHA-256.Expand(ratchet_key[n], "Vestibule 1.0 Queue message", 32)
//! next_key[n]    = HKDF-SHA-256.Expand(ratchet_key[n], "Vestibule 1.0 Queue ratchet", 32)
//! ratchet_key[n + 1] = next_key[n]
//! ```
//!
//! So whoever reads the service's table opens no message that was enqueued before. That those enqueued afterwards are safe
//! again is what *key updates* are for: every message whose number is a multiple of
//! [`QUEUE_KEY_UPDATE_INTERVAL`](crate::limits::QUEUE_KEY_UPDATE_INTERVAL) is not somebody's but the service's own, and
//! brings 32 fresh random bytes under the queue's HPKE key, which go into the ratchet:
//!
//! ```text
//! ratchet_key[n + 1] = HKDF-SHA-256.Expand(HKDF-SHA-256.Extract(salt = next_key[n], random bytes),
//!                                          "Vestibule 1.0 Queue key update", 32)
//! ```
//!
//! The first message of every queue is one, so that the ratchet key which the client sent to create the queue opens
//! nothing either.

use std::fmt;

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoding::{Bytes, SecretBytes, secret};
use crate::name::ClientId;
use crate::queuing::QsClientId;
use crate::signed::labelled_hash;

mod key_schedule;
mod message;
mod ratchet;
mod reader;

pub use message::{QUEUE_CIPHERTEXT_LENGTHS, QueueMessage};
pub use ratchet::{Enqueued, MessageTooLarge, QueueRatchet};
pub use reader::{QueueReader, ReadMessage, Reading, ReadingError};

/// The symmetric key of a queue's ratchet: 32 bytes that the client and the service share. The initial one is random.
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

/// Which queue it is: a message of one queue is none of another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QueueId([u8; 32]);

impl QueueId {
    /// The direct queue of a client at the authentication service.
    pub fn of_client(client_id: &ClientId) -> Self {
        Self(labelled_hash("DirectQueue", client_id.to_string().as_bytes()))
    }

    /// The fan-out queue of a client at the queuing service.
    pub fn of_qs_client(qs_client_id: &QsClientId) -> Self {
        Self(labelled_hash("FanOutQueue", qs_client_id.as_bytes()))
    }

    /// The identifier's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
