//! HMAC-SHA-256 over several values, for names that nobody makes without the key.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 over parts, each with its length in front.
pub(crate) fn keyed_hash(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
