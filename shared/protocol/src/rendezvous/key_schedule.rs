//! From SPAKE2's key to the keys of a channel.
//!
//! ```text
//! struct {
//!     ProtocolVersion version;
//!     uint32 code;
//!     opaque domain<V>;
//!     opaque mailbox_id[32];
//!     opaque new_device_message[33];       // SPAKE2
//!     opaque existing_device_message[33];
//! } RendezvousTranscript;
//!
//! transcript_hash = the labelled hash of RendezvousTranscript
//! secret = HKDF-SHA-256.Extract(salt = transcript_hash, SPAKE2's key)
//! key = HKDF-SHA-256.Expand(secret, "Vestibule 1.0 Rendezvous " ‖ role ‖ " " ‖ purpose, 32)
//!       role "new device" or "existing device", purpose "confirmation" or "record"
//! confirmation = HMAC-SHA-256(confirmation key, transcript_hash)
//! ```

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tls_codec::{Serialize as _, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use super::spake2::Message;
use super::{MailboxId, RendezvousCode, Role};
use crate::credential::ProtocolVersion;
use crate::encoding::{SecretBytes, equal_in_constant_time};
use crate::name::Domain;
use crate::signed::labelled_hash;
use crate::symmetric::{RendezvousConfirmationKey, RendezvousRecordKey, RendezvousSharedKey};

/// Length of a confirmation in bytes.
const CONFIRMATION_LENGTH: usize = 32;

/// What both devices must have seen alike.
pub(super) struct Transcript<'a> {
    pub(super) code: RendezvousCode,
    pub(super) domain: &'a Domain,
    pub(super) mailbox_id: MailboxId,
    pub(super) new_device_message: &'a Message,
    pub(super) existing_device_message: &'a Message,
}

impl Transcript<'_> {
    fn hash(&self) -> [u8; 32] {
        #[derive(TlsSerialize, TlsSize)]
        struct RendezvousTranscript {
            version: ProtocolVersion,
            code: u32,
            domain: Domain,
            mailbox_id: [u8; 32],
            new_device_message: Message,
            existing_device_message: Message,
        }
        let transcript = RendezvousTranscript {
            version: ProtocolVersion::Vestibule1,
            code: self.code.number(),
            domain: self.domain.clone(),
            mailbox_id: *self.mailbox_id.as_bytes(),
            new_device_message: *self.new_device_message,
            existing_device_message: *self.existing_device_message,
        };
        labelled_hash("RendezvousTranscript", &transcript.tls_serialize_detached().expect("it is short"))
    }
}

/// The keys of one device.
pub(super) struct Keys {
    /// What this device says to prove that it has the key.
    pub(super) confirmation: Confirmation,
    /// What the peer must say.
    pub(super) peer_confirmation: Confirmation,
    /// Under what this device encrypts.
    pub(super) sending: RendezvousRecordKey,
    /// Under what the peer encrypts.
    pub(super) receiving: RendezvousRecordKey,
}

/// A confirmation: a secret until it is sent. Zeroized on drop, not printable, compared in constant time.
pub(super) struct Confirmation(Zeroizing<[u8; CONFIRMATION_LENGTH]>);

impl Confirmation {
    /// What is sent.
    pub(super) fn to_message(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Whether the message is this confirmation.
    pub(super) fn matches(&self, message: &[u8]) -> bool {
        equal_in_constant_time(&*self.0, message)
    }
}

impl SecretBytes for Confirmation {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Confirmation")
    }
}

impl Keys {
    /// The keys of the device in `role`.
    pub(super) fn derive(role: Role, shared_key: &RendezvousSharedKey, transcript: &Transcript<'_>) -> Self {
        let transcript_hash = transcript.hash();
        let secret = Hkdf::<Sha256>::new(Some(&transcript_hash), shared_key.as_bytes());
        let expand = |role: Role, purpose: &str| {
            let label = format!("Vestibule 1.0 Rendezvous {} {purpose}", role.label());
            let mut key = Zeroizing::new([0; 32]);
            secret.expand(label.as_bytes(), &mut *key).expect("32 bytes are few enough for HKDF");
            key
        };
        let confirmation = |role| {
            let key = RendezvousConfirmationKey::from_bytes(*expand(role, "confirmation"));
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
            mac.update(&transcript_hash);
            Confirmation(Zeroizing::new(mac.finalize().into_bytes().into()))
        };
        Self {
            confirmation: confirmation(role),
            peer_confirmation: confirmation(role.peer()),
            sending: RendezvousRecordKey::from_bytes(*expand(role, "record")),
            receiving: RendezvousRecordKey::from_bytes(*expand(role.peer(), "record")),
        }
    }
}

impl Role {
    /// The role's name in the labels of keys.
    const fn label(self) -> &'static str {
        match self {
            Self::NewDevice => "new device",
            Self::ExistingDevice => "existing device",
        }
    }
}
