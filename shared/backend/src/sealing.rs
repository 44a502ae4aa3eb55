//! Sealing: state that a service keeps in its clients' hands, encrypted and authenticated under its own key.
//!
//! A sealed value is `nonce[24] ‖ XChaCha20-Poly1305(key, nonce, plaintext, aad)`, where `aad` is the value's label,
//! `"Vestibule 1.0 <TYPE_NAME>"`.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use tls_codec::DeserializeBytes;
use vestibule_protocol::encoding::Bytes;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of the nonce in front of a sealed value, in bytes.
const NONCE_LENGTH: usize = 24;

/// Something that is sealed: a structure in TLS presentation language.
pub trait Sealable: tls_codec::Serialize + DeserializeBytes {
    /// The structure's name, which makes the label.
    const TYPE_NAME: &'static str;
}

/// A sealing key: 32 bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// The key with these bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }
}

/// A service's sealing keys: the newest seals, all of them open.
pub struct SealingKeys(Vec<SealingKey>);

impl SealingKeys {
    /// The keys, newest first; `None` if there is none.
    pub fn new(keys: Vec<SealingKey>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Seals `value`.
    pub fn seal<T: Sealable>(&self, value: &T, rng: &mut (impl RngCore + CryptoRng)) -> Bytes {
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut nonce);
        let plaintext = value.tls_serialize_detached().expect("our own structures are within TLS's limits");
        let label = label::<T>();
        let payload = Payload { msg: &plaintext, aad: label.as_bytes() };
        let ciphertext = XChaCha20Poly1305::new((&self.0[0].0).into())
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("the plaintext is shorter than 256 GiB");
        Bytes([nonce.as_slice(), &ciphertext].concat())
    }

    /// Opens what was sealed, or `None` if it is not a `T` sealed under one of these keys.
    pub fn open<T: Sealable>(&self, sealed: &[u8]) -> Option<T> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LENGTH)?;
        let label = label::<T>();
        self.0.iter().find_map(|key| {
            let payload = Payload { msg: ciphertext, aad: label.as_bytes() };
            let plaintext = XChaCha20Poly1305::new((&key.0).into()).decrypt(XNonce::from_slice(nonce), payload).ok()?;
            T::tls_deserialize_exact_bytes(&plaintext).ok()
        })
    }
}

fn label<T: Sealable>() -> String {
    format!("Vestibule 1.0 {}", T::TYPE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use vestibule_protocol::time::Timestamp;

    impl Sealable for Timestamp {
        const TYPE_NAME: &'static str = "Timestamp";
    }

    impl Sealable for [u8; 8] {
        const TYPE_NAME: &'static str = "EightBytes";
    }

    fn keys(numbers: &[u8]) -> SealingKeys {
        SealingKeys::new(numbers.iter().map(|number| SealingKey::new([*number; 32])).collect()).unwrap()
    }

    #[test]
    fn the_newest_key_seals_and_every_key_opens() {
        let value = Timestamp::from_seconds(1_800_000_000);
        let sealed = keys(&[1]).seal(&value, &mut StdRng::seed_from_u64(1));
        assert_eq!(keys(&[1]).open(&sealed.0), Some(value));
        assert_eq!(keys(&[2, 1]).open(&sealed.0), Some(value));
        assert_eq!(keys(&[2]).open::<Timestamp>(&sealed.0), None);
        assert!(SealingKeys::new(Vec::new()).is_none());
    }

    #[test]
    fn an_altered_truncated_or_relabelled_value_does_not_open() {
        let sealed = keys(&[1]).seal(&Timestamp::from_seconds(1), &mut StdRng::seed_from_u64(1)).0;
        assert_eq!(keys(&[1]).open::<[u8; 8]>(&sealed), None);
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert_eq!(keys(&[1]).open::<Timestamp>(&altered), None);
            assert_eq!(keys(&[1]).open::<Timestamp>(&sealed[..position]), None);
        }
    }
}
