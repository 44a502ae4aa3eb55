//! The client's side: a request for a batch, and the tokens in the answer.

use hkdf::Hkdf;
use privacypass::amortized_tokens::{AmortizedBatchTokenRequest, AmortizedBatchTokenResponse, TokenState};
use privacypass::common::private::Scalar;
use privacypass::{Nonce, Serialize as _};
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha512;
use vestibule_protocol::encoding::{Bytes, SecretBytes, secret};
use vestibule_protocol::limits::TOKEN_BATCH_SIZE;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Suite, TOKEN_RESPONSE_LENGTH, Token, TokenChallenge, TokenPublicKey};

/// Why the answer to a request for tokens is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BatchError {
    /// It is not an answer of the right length to a whole batch, or holds what is no element of the group.
    #[error("the answer is not a batch of {TOKEN_BATCH_SIZE} tokens")]
    Malformed,
    /// It does not prove that it was made with the key that was asked for. With a key of one's own one could be
    /// recognised.
    #[error("the answer was not made with the key that is published")]
    NotProven,
}

/// A batch that is being asked for: all that is needed to send the same request again and to finish the tokens. It can be
/// kept on disk between the two.
///
/// Nonces and blinds come out of one seed, which is as secret as the blinds.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenBatch {
    #[serde(serialize_with = "serialize_public_key", deserialize_with = "deserialize_public_key")]
    public_key: TokenPublicKey,
    #[serde(with = "secret")]
    seed: BatchSeed,
}

impl TokenBatch {
    /// A fresh batch under this key, which must be the one that the queuing service publishes to everybody.
    pub fn new(public_key: TokenPublicKey, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut seed = BatchSeed([0; 32]);
        rng.fill_bytes(&mut seed.0);
        Self { public_key, seed }
    }

    /// The key under which the tokens are asked for.
    pub fn public_key(&self) -> &TokenPublicKey {
        &self.public_key
    }

    /// The request for tokens that answer `challenge`: the same bytes each time.
    pub fn request(&self, challenge: &TokenChallenge) -> Vec<u8> {
        self.state(challenge).0.tls_serialize_detached().expect("it is shorter than 64 KiB")
    }

    /// The tokens in the answer to that request: the whole batch or, if anything is wrong with one, none.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn finish(&self, challenge: &TokenChallenge, response: &[u8]) -> Result<Vec<Token>, BatchError> {
        if response.len() != TOKEN_RESPONSE_LENGTH {
            return Err(BatchError::Malformed);
        }
        let response =
            AmortizedBatchTokenResponse::<Suite>::try_from_bytes(response).map_err(|_| BatchError::Malformed)?;
        let tokens = response.issue_tokens(&self.state(challenge).1).map_err(|error| {
            use privacypass::common::errors::IssueTokenError::{InvalidEvaluationElement, InvalidProof};
            match error {
                InvalidEvaluationElement { .. } | InvalidProof { .. } => BatchError::Malformed,
                _ => BatchError::NotProven,
            }
        })?;
        let bytes = tokens.iter().map(|token| token.tls_serialize_detached().map(Zeroizing::new));
        let tokens = bytes.map(|bytes| bytes.ok().and_then(|bytes| Token::from_bytes(&bytes)));
        let tokens: Option<Vec<Token>> = tokens.collect();
        tokens.filter(|tokens| tokens.len() == TOKEN_BATCH_SIZE).ok_or(BatchError::Malformed)
    }

    fn state(&self, challenge: &TokenChallenge) -> (AmortizedBatchTokenRequest<Suite>, TokenState<Suite>) {
        let (nonces, blinds) = self.seed.nonces_and_blinds();
        let key = self.public_key.element();
        AmortizedBatchTokenRequest::issue_token_request_with_params(key, &challenge.inner(), nonces, blinds)
            .expect("there are as many blinds as nonces, and none of them is zero")
    }
}

/// 32 random bytes, of which the nonces and blinds of a batch are made.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct BatchSeed([u8; 32]);

impl BatchSeed {
    /// `nonce_i = HKDF-Expand(seed, "Vestibule 1.0 token nonce" ‖ uint16(i), 32)`, and
    /// `blind_i = HKDF-Expand(seed, "Vestibule 1.0 token blind" ‖ uint16(i), 64)` modulo the group's order; HKDF with
    /// SHA-512 and an empty salt.
    fn nonces_and_blinds(&self) -> (Vec<Nonce>, Vec<Scalar<Suite>>) {
        let hkdf = Hkdf::<Sha512>::new(None, &self.0);
        let batch = 0..TOKEN_BATCH_SIZE as u16;
        let nonces = batch.clone().map(|index| {
            let mut nonce = Nonce::default();
            expand(&hkdf, b"Vestibule 1.0 token nonce", index, &mut nonce);
            nonce
        });
        let blinds = batch.map(|index| {
            let mut wide = Zeroizing::new([0; 64]);
            expand(&hkdf, b"Vestibule 1.0 token blind", index, &mut *wide);
            Scalar::<Suite>::from_bytes_mod_order_wide(&wide)
        });
        (nonces.collect(), blinds.collect())
    }
}

fn expand(hkdf: &Hkdf<Sha512>, label: &[u8], index: u16, output: &mut [u8]) {
    hkdf.expand_multi_info(&[label, &index.to_be_bytes()], output).expect("it is shorter than 255 hashes");
}

impl SecretBytes for BatchSeed {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Debug for TokenBatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenBatch").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

fn serialize_public_key<S: serde::Serializer>(key: &TokenPublicKey, serializer: S) -> Result<S::Ok, S::Error> {
    Bytes(key.as_bytes().to_vec()).serialize(serializer)
}

fn deserialize_public_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TokenPublicKey, D::Error> {
    let bytes = Bytes::deserialize(deserializer)?;
    TokenPublicKey::from_bytes(&bytes.0).ok_or_else(|| serde::de::Error::custom("not a token key"))
}
