//! Many Ed25519 signatures checked at once, for about half the cost of checking them one by one.
//!
//! openmls checks signatures through its crypto provider. [`SignatureBatch`] is one that says "yes" and remembers, and
//! is asked at the end about them all. One that is wrong makes the whole batch fail; then each is checked alone, to name
//! it.
//!
//! The two ways of checking do not agree about every signature (docs/decisions/0011). Alone, a signature is checked
//! strictly, as everywhere in Vestibule. A batch adds up the same equations with random factors, so that a signature
//! whose key or commitment has a component of small order may pass in it. Only the holder of the private key can make
//! such a signature, and whoever claims the KeyPackage checks it strictly; so what passes here by it is a KeyPackage that
//! no friend accepts, at the cost of the one who published it. Keys of small order, for which anybody can make
//! signatures, are refused here too.

use std::sync::{Mutex, PoisonError};

use ed25519_dalek::{Signature, VerifyingKey, verify_batch};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair, KemOutput,
    SignatureScheme,
};
use tls_codec::SecretVLBytes;

/// Signatures waiting to be checked.
#[derive(Default)]
pub struct SignatureBatch {
    crypto: RustCrypto,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<Vec<u8>>,
    signatures: Vec<Signature>,
    keys: Vec<VerifyingKey>,
}

/// A signature of a batch is wrong: which one, counted from the first that was put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("signature {0} is not valid")]
pub struct BatchError(pub usize);

impl SignatureBatch {
    /// How many signatures wait to be checked.
    pub fn len(&self) -> usize {
        self.lock().signatures.len()
    }

    /// Whether no signature waits to be checked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks them all.
    ///
    /// # Errors
    /// [`BatchError`]: the first that is wrong.
    pub fn verify(self) -> Result<(), BatchError> {
        let Waiting { messages, signatures, keys } = self.waiting.into_inner().unwrap_or_else(PoisonError::into_inner);
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        if verify_batch(&messages, &signatures, &keys).is_ok() {
            return Ok(());
        }
        let mut each = messages.iter().zip(&signatures).zip(&keys);
        match each.position(|((message, signature), key)| key.verify_strict(message, signature).is_err()) {
            Some(position) => Err(BatchError(position)),
            // The batch was unlucky about nothing that a strict check minds.
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All but signatures is done by openmls' own provider, at once.
impl OpenMlsCrypto for SignatureBatch {
    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        if scheme != SignatureScheme::ED25519 {
            return Err(CryptoError::UnsupportedSignatureScheme);
        }
        let key = VerifyingKey::try_from(key).map_err(|_| CryptoError::InvalidSignature)?;
        let signature = Signature::from_slice(signature).map_err(|_| CryptoError::InvalidSignature)?;
        if key.is_weak() {
            return Err(CryptoError::InvalidSignature);
        }
        let mut waiting = self.lock();
        waiting.messages.push(message.to_vec());
        waiting.signatures.push(signature);
        waiting.keys.push(key);
        Ok(())
    }

    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        self.crypto.supports(ciphersuite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.crypto.supported_ciphersuites()
    }

    fn hkdf_extract(&self, hash_type: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.crypto.hkdf_extract(hash_type, salt, ikm)
    }

    fn hmac(&self, hash_type: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.crypto.hmac(hash_type, key, message)
    }

    fn hkdf_expand(
        &self,
        hash_type: HashType,
        prk: &[u8],
        info: &[u8],
        okm_len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        self.crypto.hkdf_expand(hash_type, prk, info, okm_len)
    }

    fn hash(&self, hash_type: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.crypto.hash(hash_type, data)
    }

    fn aead_encrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.crypto.aead_encrypt(aead, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.crypto.aead_decrypt(aead, key, data, nonce, aad)
    }

    fn signature_key_gen(&self, scheme: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        self.crypto.signature_key_gen(scheme)
    }

    fn sign(&self, scheme: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.crypto.sign(scheme, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        self.crypto.hpke_seal(config, key, info, aad, plaintext)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.crypto.hpke_open(config, input, key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        key: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        self.crypto.hpke_setup_sender_and_export(config, key, info, exporter_context, exporter_length)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        key: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        exporter_length: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        self.crypto.hpke_setup_receiver_and_export(config, enc, key, info, exporter_context, exporter_length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        self.crypto.derive_hpke_keypair(config, ikm)
    }
}
