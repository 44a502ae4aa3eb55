//! The HPKE keys of a ratchet tree, for whose bytes openmls has no accessor.

use openmls::treesync::EncryptionKey;
use tls_codec::{DeserializeBytes as _, Serialize as _, VLBytes};

/// The bytes of a node's HPKE key, which openmls takes as they come: whether they are a key is for the caller to check.
/// `None` if they are more than TLS can write.
pub fn encryption_key_bytes(key: &EncryptionKey) -> Option<Vec<u8>> {
    let bytes = key.tls_serialize_detached().ok()?;
    VLBytes::tls_deserialize_exact_bytes(&bytes).ok().map(Into::into)
}
