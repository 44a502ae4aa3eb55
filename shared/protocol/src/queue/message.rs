//! The messages of a queue, as they are stored.
//!
//! ```text
//! struct {
//!     uint8 kind;              // 1: somebody's message; 2: a key update
//!     uint32 length;
//!     opaque content[length];  // the message, or an HPKECiphertext
//!     opaque padding[...];     // zeros
//! } QueuePlaintext;
//!
//! struct {
//!     opaque label<V> = "Vestibule 1.0 QueueMessage";
//!     opaque queue_id[32];
//!     uint64 sequence;
//! } QueueContext;
//!
//! ciphertext = ChaCha20-Poly1305(message_key[sequence], nonce of zeros, QueuePlaintext, aad = QueueContext)
//! ```
//!
//! The nonce may be constant because a message key encrypts nothing else. A ciphertext has 256, 1024, 4096, 16384 or 65536
//! bytes, the fewest that its content needs.
//!
//! The HPKE encryption of a key update has the `info` `struct { opaque label<V> = "Vestibule 1.0 QueueKeyUpdate"; opaque
//! content<V> = QueueContext; }` and no AAD.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use tls_codec::{Serialize as _, TlsSerialize, TlsSize, VLByteSlice};
use zeroize::Zeroizing;

use super::QueueId;
use super::key_schedule::{FRESH_SECRET_LENGTH, MessageKey};
use crate::encoding::Bytes;
use crate::hpke;
use crate::keys::{HpkePrivateKey, HpkePublicKey};
use crate::limits::{MAX_QUEUE_MESSAGE_LENGTH, QUEUE_KEY_UPDATE_INTERVAL};
use crate::signed::labelled;

/// The lengths that a ciphertext can have, in bytes.
pub const QUEUE_CIPHERTEXT_LENGTHS: [usize; 5] = [256, 1024, 4 * 1024, 16 * 1024, 64 * 1024];

/// Length of the authentication tag, in bytes.
const TAG_LENGTH: usize = 16;
/// What a ciphertext has beside content and padding: kind, length and authentication tag.
const OVERHEAD: usize = 1 + 4 + TAG_LENGTH;

/// A message of a queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueMessage {
    /// Its number: the first of a queue has 0, the next one more.
    pub sequence: u64,
    /// What only the queue's owner opens: 256 bytes to 64 KiB.
    pub ciphertext: Bytes,
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum MessageKind {
    /// Somebody's.
    Message = 1,
    /// The service's own: fresh randomness for the ratchet.
    KeyUpdate = 2,
}

/// Where a message belongs.
#[derive(Clone, Copy)]
pub(super) struct QueueContext {
    pub(super) queue_id: QueueId,
    pub(super) sequence: u64,
}

impl QueueContext {
    /// What the message with this number is.
    pub(super) fn kind(self) -> MessageKind {
        if self.sequence.is_multiple_of(QUEUE_KEY_UPDATE_INTERVAL) {
            MessageKind::KeyUpdate
        } else {
            MessageKind::Message
        }
    }

    /// Encrypts content of at most [`MAX_QUEUE_MESSAGE_LENGTH`] bytes. Whoever calls it sees to it that no key is used
    /// twice.
    pub(super) fn seal(self, key: &MessageKey, content: &[u8]) -> QueueMessage {
        let plaintext_length = ciphertext_length(content.len()) - TAG_LENGTH;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(plaintext_length));
        plaintext.push(self.kind() as u8);
        plaintext.extend(u32::try_from(content.len()).expect("content fits a message").to_be_bytes());
        plaintext.extend_from_slice(content);
        plaintext.resize(plaintext_length, 0);
        let payload = Payload { msg: &plaintext, aad: &self.to_bytes() };
        let ciphertext = cipher(key).encrypt(&Nonce::default(), payload).expect("a message is short enough to encrypt");
        QueueMessage { sequence: self.sequence, ciphertext: Bytes(ciphertext) }
    }

    /// Decrypts content. `None` if it is not what the holder of the key made for this place, or not what such a one makes.
    pub(super) fn open(self, key: &MessageKey, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if !QUEUE_CIPHERTEXT_LENGTHS.contains(&ciphertext.len()) {
            return None;
        }
        let payload = Payload { msg: ciphertext, aad: &self.to_bytes() };
        let plaintext = Zeroizing::new(cipher(key).decrypt(&Nonce::default(), payload).ok()?);
        let (kind, rest) = plaintext.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (content, padding) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let is_as_made = *kind == self.kind() as u8
            && content.len() <= MAX_QUEUE_MESSAGE_LENGTH
            && ciphertext_length(content.len()) == ciphertext.len()
            && padding.iter().all(|byte| *byte == 0);
        is_as_made.then(|| Zeroizing::new(content.to_vec()))
    }

    /// Encrypts the randomness of a key update to the queue's owner.
    pub(super) fn seal_fresh_secret(
        self,
        key: &HpkePublicKey,
        fresh_secret: &[u8; FRESH_SECRET_LENGTH],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Vec<u8> {
        hpke::seal(key, &self.key_update_info(), b"", fresh_secret, rng)
    }

    /// Decrypts the randomness of a key update.
    pub(super) fn open_fresh_secret(
        self,
        key: &HpkePrivateKey,
        sealed: &[u8],
    ) -> Option<Zeroizing<[u8; FRESH_SECRET_LENGTH]>> {
        let opened = hpke::open(key, &self.key_update_info(), b"", sealed)?;
        opened.as_slice().try_into().ok().map(Zeroizing::new)
    }

    fn key_update_info(self) -> Vec<u8> {
        labelled("QueueKeyUpdate", &self.to_bytes())
    }

    fn to_bytes(self) -> Vec<u8> {
        #[derive(TlsSerialize, TlsSize)]
        struct Encoded<'a> {
            label: VLByteSlice<'a>,
            queue_id: [u8; 32],
            sequence: u64,
        }
        let encoded = Encoded {
            label: VLByteSlice(b"Vestibule 1.0 QueueMessage"),
            queue_id: *self.queue_id.as_bytes(),
            sequence: self.sequence,
        };
        encoded.tls_serialize_detached().expect("it is short")
    }
}

/// The length of the ciphertext of so much content.
fn ciphertext_length(content_length: usize) -> usize {
    let fits = |length: &usize| content_length + OVERHEAD <= *length;
    QUEUE_CIPHERTEXT_LENGTHS.into_iter().find(fits).expect("no message is longer than the longest")
}

fn cipher(key: &MessageKey) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.as_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_message_has_room() {
        assert_eq!(ciphertext_length(MAX_QUEUE_MESSAGE_LENGTH), 64 * 1024);
        assert_eq!(ciphertext_length(0), 256);
        assert_eq!((ciphertext_length(256 - OVERHEAD), ciphertext_length(257 - OVERHEAD)), (256, 1024));
    }
}
