//! How the keys of a ratchet follow from one another.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::RatchetKey;

/// How many random bytes a key update brings.
pub(super) const FRESH_SECRET_LENGTH: usize = 32;

/// Under what one message is encrypted. Zeroized on drop, not printable.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct MessageKey([u8; 32]);

impl MessageKey {
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MessageKey")
    }
}

impl RatchetKey {
    /// The key of the message whose turn it is.
    pub(super) fn message_key(&self) -> MessageKey {
        MessageKey(*expand(&self.hkdf(), "message"))
    }

    /// The ratchet key after that message.
    pub(super) fn next(&self) -> Self {
        Self(*expand(&self.hkdf(), "ratchet"))
    }

    /// The ratchet key after that message, if it is a key update.
    pub(super) fn next_with(&self, fresh_secret: &[u8; FRESH_SECRET_LENGTH]) -> Self {
        let mixed = Hkdf::<Sha256>::new(Some(&self.next().0), fresh_secret);
        Self(*expand(&mixed, "key update"))
    }

    fn hkdf(&self) -> Hkdf<Sha256> {
        Hkdf::from_prk(&self.0).expect("a ratchet key is as long as a hash")
    }
}

fn expand(hkdf: &Hkdf<Sha256>, purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf.expand(format!("Vestibule 1.0 Queue {purpose}").as_bytes(), &mut *key)
        .expect("32 bytes are few enough for HKDF");
    key
}
