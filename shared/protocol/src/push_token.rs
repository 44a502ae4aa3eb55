//! Push tokens: with what a client's device is woken up, encrypted so that the queuing service learns it only in the moment
//! that it has something to announce.
//!
//! ```text
//! struct {
//!     opaque push_token<V>;     // 1 to 510 bytes, as the push service gave it
//!     opaque padding[...];      // zeros, up to 512 bytes in all
//! } PushToken;
//! ```
//!
//! `encrypted_push_token = nonce[24] ‖ XChaCha20-Poly1305(push-token key, nonce, PushToken, aad)`, with a random nonce and,
//! as `aad`, the `QsClientId` under the label "PushToken". All have one length. The key comes to the service with each
//! message, in the queue config ([`crate::queue_config`]).

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use tls_codec::{DeserializeBytes as _, Serialize as _, VLByteSlice, VLBytes};
use zeroize::Zeroizing;

use crate::encoding::Bytes;
use crate::queuing::QsClientId;
use crate::signed::labelled;
use crate::symmetric::PushTokenKey;

/// Length of the nonce in front of an encrypted push token, in bytes.
const NONCE_LENGTH: usize = 24;
/// Length of every push token, padding included, in bytes.
const PADDED_LENGTH: usize = 512;
/// Length of every encrypted push token, in bytes.
pub const ENCRYPTED_PUSH_TOKEN_LENGTH: usize = NONCE_LENGTH + PADDED_LENGTH + 16;

/// Encrypts the push token of a client: [`ENCRYPTED_PUSH_TOKEN_LENGTH`] bytes. `None` if it is empty or too long.
pub fn seal_push_token(
    push_token: &[u8],
    qs_client_id: &QsClientId,
    key: &PushTokenKey,
    rng: &mut (impl RngCore + CryptoRng),
) -> Option<Bytes> {
    // With its whole capacity from the start, so that growing leaves no copy behind.
    let mut padded = Zeroizing::new(Vec::with_capacity(PADDED_LENGTH + push_token.len()));
    VLByteSlice(push_token).tls_serialize(&mut *padded).ok()?;
    if push_token.is_empty() || padded.len() > PADDED_LENGTH {
        return None;
    }
    padded.resize(PADDED_LENGTH, 0);
    let mut nonce = [0; NONCE_LENGTH];
    rng.fill_bytes(&mut nonce);
    let payload = Payload { msg: &padded, aad: &associated_data(qs_client_id) };
    let ciphertext = cipher(key).encrypt(XNonce::from_slice(&nonce), payload).ok()?;
    Some(Bytes([nonce.as_slice(), &ciphertext].concat()))
}

/// Decrypts the push token of a client. `None` if it is another's, or the key is another.
pub fn open_push_token(encrypted: &[u8], qs_client_id: &QsClientId, key: &PushTokenKey) -> Option<Zeroizing<Vec<u8>>> {
    if encrypted.len() != ENCRYPTED_PUSH_TOKEN_LENGTH {
        return None;
    }
    let (nonce, ciphertext) = encrypted.split_at(NONCE_LENGTH);
    let payload = Payload { msg: ciphertext, aad: &associated_data(qs_client_id) };
    let padded = Zeroizing::new(cipher(key).decrypt(XNonce::from_slice(nonce), payload).ok()?);
    let (push_token, padding) = VLBytes::tls_deserialize_bytes(&padded).ok()?;
    let is_padded = padding.iter().all(|byte| *byte == 0);
    (is_padded && !push_token.as_slice().is_empty()).then(|| Zeroizing::new(push_token.into()))
}

fn associated_data(qs_client_id: &QsClientId) -> Vec<u8> {
    labelled("PushToken", qs_client_id.as_bytes())
}

fn cipher(key: &PushTokenKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.as_bytes().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::keys::VerifyingKey;

    fn client(byte: u8) -> QsClientId {
        QsClientId::of(&VerifyingKey::from_bytes(&[byte; 32]).unwrap())
    }

    proptest! {
        #[test]
        fn a_push_token_of_any_length_has_one_length_and_opens_for_its_client_and_key(
            seed: u64,
            push_token in prop::collection::vec(any::<u8>(), 1..=510),
        ) {
            let rng = &mut StdRng::seed_from_u64(seed);
            let key = PushTokenKey::generate(rng);
            let sealed = seal_push_token(&push_token, &client(1), &key, rng).unwrap();
            prop_assert_eq!(sealed.0.len(), ENCRYPTED_PUSH_TOKEN_LENGTH);
            prop_assert_eq!(open_push_token(&sealed.0, &client(1), &key).unwrap().to_vec(), push_token);
            prop_assert!(open_push_token(&sealed.0, &client(2), &key).is_none());
            prop_assert!(open_push_token(&sealed.0, &client(1), &PushTokenKey::generate(rng)).is_none());
            prop_assert!(open_push_token(&sealed.0[1..], &client(1), &key).is_none());
        }
    }

    #[test]
    fn a_push_token_that_is_empty_or_too_long_is_none() {
        let rng = &mut StdRng::seed_from_u64(1);
        let key = PushTokenKey::generate(rng);
        for length in [0, 511, 5000] {
            assert!(seal_push_token(&vec![1; length], &client(1), &key, rng).is_none(), "{length}");
        }
    }
}
