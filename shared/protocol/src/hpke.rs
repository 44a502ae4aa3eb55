//! HPKE (RFC 9180) in base mode, with the algorithms of the one ciphersuite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.
//!
//! What is encrypted travels as in MLS (RFC 9420, section 5.1.3):
//!
//! ```text
//! struct {
//!     opaque kem_output<V>;    // 32 bytes
//!     opaque ciphertext<V>;    // 16 bytes more than the plaintext
//! } HPKECiphertext;
//! ```

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use rand::{CryptoRng, RngCore};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};
use zeroize::Zeroizing;

use crate::encoding::SecretBytes as _;
use crate::keys::{HpkePrivateKey, HpkePublicKey};

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type KemOutput = <X25519HkdfSha256 as Kem>::EncappedKey;

#[derive(TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct HpkeCiphertext {
    kem_output: VLBytes,
    ciphertext: VLBytes,
}

/// Encrypts `plaintext` to the owner of `key`, differently every time, and gives the `HPKECiphertext`.
pub fn seal(
    key: &HpkePublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<u8> {
    let key = PublicKey::from_bytes(key.as_bytes()).expect("a key has 32 bytes");
    let (kem_output, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
        &OpModeS::Base,
        &key,
        info,
        plaintext,
        aad,
        rng,
    )
    .expect("no key is of low order, and no plaintext too long");
    let sealed = HpkeCiphertext { kem_output: kem_output.to_bytes().to_vec().into(), ciphertext: ciphertext.into() };
    sealed.tls_serialize_detached().expect("it is shorter than TLS's limits")
}

/// Decrypts an `HPKECiphertext`. `None` if it is not one, or not for this key, `info` and `aad`.
pub fn open(key: &HpkePrivateKey, info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let sealed = HpkeCiphertext::tls_deserialize_exact_bytes(sealed).ok()?;
    let kem_output = KemOutput::from_bytes(sealed.kem_output.as_slice()).ok()?;
    let key = PrivateKey::from_bytes(&key.to_secret_bytes()).ok()?;
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key,
        &kem_output,
        info,
        sealed.ciphertext.as_slice(),
        aad,
    )
    .ok()
    .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_vector_of_rfc_9180_opens() {
        // Appendix A.2.1.1, the encryption with sequence number 0.
        let key = unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let key = HpkePrivateKey::from_secret_bytes(&key).unwrap();
        let kem_output = unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let ciphertext = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";
        let sealed = [vec![32], kem_output, vec![45], unhex(ciphertext)].concat();
        let opened = open(&key, b"Ode on a Grecian Urn", b"Count-0", &sealed).unwrap();
        assert_eq!(*opened, b"Beauty is truth, truth beauty");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_for_its_key_and_context_alone(
            seed: u64,
            plaintext in prop::collection::vec(any::<u8>(), 0..200),
            flipped in any::<prop::sample::Index>(),
        ) {
            let rng = &mut StdRng::seed_from_u64(seed);
            let (key, other) = (HpkePrivateKey::generate(rng), HpkePrivateKey::generate(rng));
            let sealed = seal(&key.public_key(), b"info", b"aad", &plaintext, rng);
            prop_assert_eq!(sealed.len(), 1 + 32 + plaintext.len() + 16 + if plaintext.len() + 16 < 64 { 1 } else { 2 });
            prop_assert_eq!(open(&key, b"info", b"aad", &sealed).map(|opened| opened.to_vec()), Some(plaintext));
            prop_assert!(open(&other, b"info", b"aad", &sealed).is_none());
            prop_assert!(open(&key, b"inf", b"aad", &sealed).is_none());
            prop_assert!(open(&key, b"info", b"aa", &sealed).is_none());
            let mut altered = sealed.clone();
            altered[flipped.index(sealed.len())] ^= 1;
            prop_assert!(open(&key, b"info", b"aad", &altered).is_none());
            prop_assert!(open(&key, b"info", b"aad", &sealed[1..]).is_none());
        }
    }
}
