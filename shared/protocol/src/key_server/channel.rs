//! The secure channel of a session: one message in each direction.
//!
//! ```text
//! key(direction) = HKDF-SHA-512(salt = "", ikm = OPAQUE session key,
//!     info = struct { opaque label<V> = "Vestibule 1.0 KeyServerRequest" or "… KeyServerResponse"; opaque content<V>; },
//!     length = 32)
//!
//! content = struct { SessionKind kind; opaque session_id[16]; opaque user_name<V>; }
//!
//! sealed_request  = ChaCha20-Poly1305(key(request), nonce of zeros, request, aad = "")
//! sealed_response = ChaCha20-Poly1305(key(response), nonce of zeros, response, aad = SHA-256(sealed_request))
//! ```
//!
//! The nonces may be constant because each key seals one message: a session has one request, and of the responses that
//! concurrent attempts at it may make, only the one that is stored ever leaves the server.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha512};
use tls_codec::DeserializeBytes;
use zeroize::Zeroizing;

use super::session::{SessionId, SessionKind, channel_info};
use crate::encoding::Bytes;
use crate::name::UserName;
use crate::opaque::SessionKey;
use crate::signed::labelled;

/// A sealed message is not the other side's for this session, or not one that this session can carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sealed message is not one of this session")]
pub struct ChannelError;

/// The key of one direction.
pub(super) struct DirectionKey(Zeroizing<[u8; 32]>);

/// The keys of a session's channel.
pub(super) struct ChannelKeys {
    pub(super) request: DirectionKey,
    pub(super) response: DirectionKey,
}

impl ChannelKeys {
    pub(super) fn derive(
        kind: SessionKind,
        session_key: &SessionKey,
        session_id: &SessionId,
        user_name: &UserName,
    ) -> Self {
        let hkdf = Hkdf::<Sha512>::new(None, session_key.as_bytes());
        let content = channel_info(kind, session_id, user_name);
        let key = |label| {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(&labelled(label, &content), key.as_mut_slice()).expect("32 bytes are few enough");
            DirectionKey(key)
        };
        Self { request: key("KeyServerRequest"), response: key("KeyServerResponse") }
    }
}

impl DirectionKey {
    /// Seals the one message of this direction.
    pub(super) fn seal(self, message: &impl tls_codec::Serialize, associated_data: &[u8]) -> Bytes {
        let plaintext =
            Zeroizing::new(message.tls_serialize_detached().expect("our own messages are within TLS's limits"));
        let payload = Payload { msg: &plaintext, aad: associated_data };
        let ciphertext = ChaCha20Poly1305::new(self.0.as_slice().into()).encrypt(&Nonce::default(), payload);
        Bytes(ciphertext.expect("the message is shorter than 256 GiB"))
    }

    /// Opens the one message of this direction.
    pub(super) fn open<T: DeserializeBytes>(&self, sealed: &[u8], associated_data: &[u8]) -> Result<T, ChannelError> {
        let payload = Payload { msg: sealed, aad: associated_data };
        let plaintext = ChaCha20Poly1305::new(self.0.as_slice().into()).decrypt(&Nonce::default(), payload);
        let plaintext = Zeroizing::new(plaintext.map_err(|_| ChannelError)?);
        T::tls_deserialize_exact_bytes(&plaintext).map_err(|_| ChannelError)
    }
}

/// What binds a response to its request.
pub(super) fn request_hash(sealed_request: &[u8]) -> [u8; 32] {
    Sha256::digest(sealed_request).into()
}
