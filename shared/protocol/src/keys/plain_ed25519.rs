//! Ed25519 (RFC 8032) as the rest of this crate calls it.

use ed25519_dalek::Signer as _;

/// Signs `message`. The same key and message give the same signature.
pub(super) fn sign(key: &ed25519_dalek::SigningKey, message: &[u8]) -> [u8; 64] {
    key.sign(message).to_bytes()
}

/// Whether `signature` is that of `key` over `message`. Low-order keys, non-canonical encodings and malleable signatures
/// are refused.
pub(super) fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    ed25519_dalek::VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}
