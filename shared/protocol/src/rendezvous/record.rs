//! Records: what the messages of a channel are, once encrypted.
//!
//! ```text
//! struct {
//!     uint8 kind;              // 1: a part of a message that fills a record; 2: its last part; 3: close
//!     uint16 length;
//!     opaque content[length];
//!     opaque padding[...];     // zeros
//! } Record;
//!
//! struct {
//!     opaque label<V> = "Vestibule 1.0 RendezvousRecord";
//!     uint8 sender;            // 1: the new device; 2: the existing device
//!     opaque mailbox_id[32];
//!     uint64 counter;
//! } RecordContext;
//!
//! ciphertext = ChaCha20-Poly1305(record key of the sender, nonce = 0[4] ‖ uint64 counter, Record, aad = RecordContext)
//! ```
//!
//! A ciphertext has 256, 1024, 4096 or 16384 bytes, the fewest that its content needs.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use tls_codec::{Serialize as _, TlsSerialize, TlsSize, VLByteSlice};
use zeroize::Zeroizing;

use super::{MailboxId, Role};
use crate::limits::MAX_RELAY_MESSAGE_LENGTH;
use crate::symmetric::RendezvousRecordKey;

/// The lengths that a ciphertext can have, in bytes.
pub(super) const CIPHERTEXT_LENGTHS: [usize; 4] = [256, 1024, 4096, MAX_RELAY_MESSAGE_LENGTH];

/// What a ciphertext has beside content and padding: kind, length and authentication tag.
const OVERHEAD: usize = 1 + 2 + 16;

/// The longest content of a record, in bytes.
pub(super) const MAX_CONTENT_LENGTH: usize = MAX_RELAY_MESSAGE_LENGTH - OVERHEAD;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum RecordKind {
    /// A part of a message that another part follows.
    Part = 1,
    /// The last part of a message, or all of it.
    Last = 2,
    /// The sender sends nothing more.
    Close = 3,
}

/// The length of the ciphertext of a record with so much content.
pub(super) fn ciphertext_length(content_length: usize) -> usize {
    let fits = |length: &usize| content_length + OVERHEAD <= *length;
    CIPHERTEXT_LENGTHS.into_iter().find(fits).unwrap_or(MAX_RELAY_MESSAGE_LENGTH)
}

/// Where a record belongs.
#[derive(Clone, Copy)]
pub(super) struct RecordContext {
    pub(super) sender: Role,
    pub(super) mailbox_id: MailboxId,
    pub(super) counter: u64,
}

impl RecordContext {
    fn to_bytes(self) -> Vec<u8> {
        #[derive(TlsSerialize, TlsSize)]
        struct Encoded<'a> {
            label: VLByteSlice<'a>,
            sender: Role,
            mailbox_id: [u8; 32],
            counter: u64,
        }
        let encoded = Encoded {
            label: VLByteSlice(b"Vestibule 1.0 RendezvousRecord"),
            sender: self.sender,
            mailbox_id: *self.mailbox_id.as_bytes(),
            counter: self.counter,
        };
        encoded.tls_serialize_detached().expect("it is short")
    }

    fn nonce(self) -> Nonce {
        let mut nonce = Nonce::default();
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        nonce
    }

    /// Encrypts a record with at most [`MAX_CONTENT_LENGTH`] bytes of content. Whoever calls it sees to it that no
    /// counter is used twice with a key.
    pub(super) fn seal(self, key: &RendezvousRecordKey, kind: RecordKind, content: &[u8]) -> Vec<u8> {
        let plaintext_length = ciphertext_length(content.len()) - 16;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(plaintext_length));
        plaintext.push(kind as u8);
        plaintext.extend(u16::try_from(content.len()).expect("content fits a record").to_be_bytes());
        plaintext.extend_from_slice(content);
        plaintext.resize(plaintext_length, 0);
        let payload = Payload { msg: &plaintext, aad: &self.to_bytes() };
        cipher(key).encrypt(&self.nonce(), payload).expect("a record is short enough to encrypt")
    }

    /// Decrypts a record. `None` if it is not the one that the holder of the key made for this place, or not what such
    /// a one makes.
    pub(super) fn open(self, key: &RendezvousRecordKey, ciphertext: &[u8]) -> Option<(RecordKind, Zeroizing<Vec<u8>>)> {
        if !CIPHERTEXT_LENGTHS.contains(&ciphertext.len()) {
            return None;
        }
        let payload = Payload { msg: ciphertext, aad: &self.to_bytes() };
        let plaintext = Zeroizing::new(cipher(key).decrypt(&self.nonce(), payload).ok()?);
        let (kind, rest) = plaintext.split_first()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (content, padding) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let kind = match kind {
            1 => RecordKind::Part,
            2 => RecordKind::Last,
            3 if content.is_empty() => RecordKind::Close,
            _ => return None,
        };
        let is_as_made = ciphertext_length(content.len()) == ciphertext.len() && padding.iter().all(|byte| *byte == 0);
        is_as_made.then(|| (kind, Zeroizing::new(content.to_vec())))
    }
}

fn cipher(key: &RendezvousRecordKey) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.as_bytes().into())
}
