//! Queue configs: how a message finds a client's queue without telling whose it is.
//!
//! ```text
//! struct {
//!     ProtocolVersion version;
//!     opaque qs_client_id[32];
//!     opaque push_token_key[32];
//! } QueueConfigPayload;                // signed by the QS client record key, label "QueueConfig": 134 bytes
//!
//! struct {
//!     opaque kem_output<V>;            // 32 bytes
//!     opaque ciphertext<V>;            // 150 bytes
//! } HPKECiphertext;                    // RFC 9420, section 5.1.3
//! ```
//!
//! The signed structure is encrypted to the queuing service with HPKE (RFC 9180, base mode, X25519-HKDF-SHA256,
//! HKDF-SHA256, ChaCha20-Poly1305) as MLS's `EncryptWithLabel` does with our label: the `info` is
//! [`QueueConfig::hpke_info`], the AAD is empty. It is signed first and encrypted then, so that the signature, which
//! would be the same every time, is not to be seen; and it is encrypted afresh for every KeyPackage.
//!
//! It stands in the extensions of the KeyPackage's *leaf node*, as the private-use extension
//! [`QUEUE_CONFIG_EXTENSION_TYPE`]: the leaf is what stays in a group when the KeyPackage is gone.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroize as _;

use crate::credential::ProtocolVersion;
use crate::encoding::SecretBytes as _;
use crate::hpke;
use crate::keys::{HpkePrivateKey, QsClientRecordKey, SigningKey};
use crate::queuing::QsClientId;
use crate::signed::{SignedPayload, Unverified, Verified, labelled};
use crate::symmetric::PushTokenKey;

/// The MLS extension type of a queue config, from the private-use range (RFC 9420, section 17.3).
pub const QUEUE_CONFIG_EXTENSION_TYPE: u16 = 0xf002;

/// Length of every queue config on the wire, an `HPKECiphertext`, in bytes.
pub const QUEUE_CONFIG_LENGTH: usize = 1 + 32 + 2 + 134 + 16;

/// Payload of a [`QueueConfig`].
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueConfigPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// Whose queue it is.
    pub qs_client_id: QsClientId,
    push_token_key: [u8; 32],
}

impl QueueConfigPayload {
    /// The key under which the client's push token is kept, if it keeps one.
    pub fn push_token_key(&self) -> PushTokenKey {
        PushTokenKey::from_secret_bytes(&self.push_token_key).expect("it has the length")
    }
}

impl Drop for QueueConfigPayload {
    fn drop(&mut self) {
        self.push_token_key.zeroize();
    }
}

impl SignedPayload for QueueConfigPayload {
    const TYPE_NAME: &'static str = "QueueConfig";
    type Signer = QsClientRecordKey;
}

/// A queue config before it is encrypted.
pub type QueueConfig = Verified<QueueConfigPayload>;

impl QueueConfig {
    /// Makes the queue config of a client.
    pub fn issue(qs_client_id: QsClientId, push_token_key: &PushTokenKey, key: &SigningKey<QsClientRecordKey>) -> Self {
        let payload = QueueConfigPayload {
            version: ProtocolVersion::Vestibule1,
            qs_client_id,
            push_token_key: *push_token_key.as_bytes(),
        };
        Self::sign(payload, key)
    }

    /// The `info` of its encryption: `struct { opaque label<V> = "Vestibule 1.0 QueueConfig"; opaque context<V> = ""; }`.
    pub fn hpke_info() -> Vec<u8> {
        labelled(QueueConfigPayload::TYPE_NAME, b"")
    }
}

/// Decrypts a queue config. `None` if it is not one, or not encrypted to this key. Its signature is to be checked with
/// the key of the client that it names.
pub fn open_queue_config(sealed: &[u8], key: &HpkePrivateKey) -> Option<Unverified<QueueConfigPayload>> {
    let plaintext = hpke::open(key, &QueueConfig::hpke_info(), b"", sealed)?;
    Unverified::from_bytes(&plaintext).ok()
}
