//! Leaf credentials: under what a client appears in a KeyPackage and in groups.
//!
//! In clear it is a pseudonym: a key of its own and a validity in whole days. The signature that makes it a client's,
//! and the fingerprint of that client's credential, are encrypted under a key of one use; in clear they would tell the
//! queuing service which packages are one client's, and of whom. As an MLS credential (RFC 9420, section 5.3) it has the
//! private-use type [`LEAF_CREDENTIAL_TYPE`] and as its content
//!
//! ```text
//! struct {
//!     opaque payload<V>;               // LeafCredentialPayload
//!     opaque encrypted_signature<V>;   // 112 bytes
//! } LeafCredential;
//!
//! struct {
//!     opaque signature[64];            // by the client credential's key, label "LeafCredential"
//!     opaque signer_fingerprint[32];   // of the ClientCredential
//! } LeafCredentialSignature;
//! ```
//!
//! `encrypted_signature = ChaCha20-Poly1305(signature-encryption key, nonce of zeros, LeafCredentialSignature,
//! aad = payload)`. The nonce may be constant because the key encrypts nothing else.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand::{CryptoRng, RngCore};
use tls_codec::{DeserializeBytes, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::credential::{Ciphersuite, ClientCredential, CredentialError, ProtocolVersion, check_days, check_now};
use crate::keys::{ClientCredentialKey, LeafCredentialKey, SigningKey, VerifyingKey};
use crate::limits::MAX_KEY_PACKAGE_DAYS;
use crate::signed::{Fingerprint, SignedError, SignedPayload, Unverified, Verified};
use crate::symmetric::SignatureEncryptionKey;
use crate::time::{ExpirationData, Timestamp};

/// The MLS credential type of a leaf credential, from the private-use range (RFC 9420, section 17.5).
pub const LEAF_CREDENTIAL_TYPE: u16 = 0xf001;

/// Length of the encrypted signature in bytes: signature, fingerprint, authentication tag.
const ENCRYPTED_SIGNATURE_LENGTH: usize = 64 + 32 + 16;

/// Payload of a [`LeafCredential`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct LeafCredentialPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// What the key is of.
    pub ciphersuite: Ciphersuite,
    /// The leaf's signature key.
    pub verifying_key: VerifyingKey<LeafCredentialKey>,
    /// When it is valid: exactly as long as the KeyPackage, at most [`MAX_KEY_PACKAGE_DAYS`].
    pub expiration_data: ExpirationData,
}

impl SignedPayload for LeafCredentialPayload {
    const TYPE_NAME: &'static str = "LeafCredential";
    type Signer = ClientCredentialKey;
}

#[derive(TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct LeafCredentialSignature {
    signature: [u8; 64],
    signer_fingerprint: Fingerprint,
}

/// A leaf credential, as everybody sees it.
#[derive(Clone, Debug)]
pub struct LeafCredential {
    payload: LeafCredentialPayload,
    payload_bytes: Vec<u8>,
    encrypted_signature: [u8; ENCRYPTED_SIGNATURE_LENGTH],
}

impl LeafCredential {
    /// Makes a leaf credential for `verifying_key`, signed with the key of `signer`, and the key that its signature is
    /// encrypted under.
    pub fn issue(
        verifying_key: VerifyingKey<LeafCredentialKey>,
        expiration_data: ExpirationData,
        signer: &ClientCredential,
        signer_key: &SigningKey<ClientCredentialKey>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (Self, SignatureEncryptionKey) {
        let payload = LeafCredentialPayload {
            version: ProtocolVersion::Vestibule1,
            ciphersuite: Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519,
            verifying_key,
            expiration_data,
        };
        let (payload_bytes, signature) = Verified::sign(payload.clone(), signer_key).into_parts();
        let signature = LeafCredentialSignature { signature, signer_fingerprint: signer.fingerprint() };
        let signature = signature.tls_serialize_detached().expect("it has a fixed length");
        let key = SignatureEncryptionKey::generate(rng);
        let encrypted = ChaCha20Poly1305::new(key.as_bytes().into())
            .encrypt(&Nonce::default(), Payload { msg: &signature, aad: &payload_bytes })
            .expect("the plaintext is shorter than 256 GiB");
        let encrypted_signature = encrypted.try_into().expect("it has a fixed length");
        (Self { payload, payload_bytes, encrypted_signature }, key)
    }

    /// Decodes the content of an MLS credential of type [`LEAF_CREDENTIAL_TYPE`].
    ///
    /// # Errors
    /// [`SignedError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignedError> {
        let malformed = |_| SignedError::Malformed;
        let (payload_bytes, rest) = VLBytes::tls_deserialize_bytes(bytes).map_err(malformed)?;
        let encrypted_signature = VLBytes::tls_deserialize_exact_bytes(rest).map_err(malformed)?;
        Ok(Self {
            payload: LeafCredentialPayload::tls_deserialize_exact_bytes(payload_bytes.as_slice()).map_err(malformed)?,
            payload_bytes: payload_bytes.into(),
            encrypted_signature: encrypted_signature.as_slice().try_into().map_err(|_| SignedError::Malformed)?,
        })
    }

    /// The content of the MLS credential.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.payload_bytes.as_slice(), &self.encrypted_signature] {
            tls_codec::VLByteSlice(part).tls_serialize(&mut bytes).expect("a Vec takes whatever is written");
        }
        bytes
    }

    /// What it says in clear.
    pub fn payload(&self) -> &LeafCredentialPayload {
        &self.payload
    }

    /// Checks what can be checked in clear: that it is valid now, for whole days and no longer than allowed.
    ///
    /// # Errors
    /// [`CredentialError::ValidityRefused`], [`CredentialError::NotValidNow`].
    pub fn check_validity(&self, now: Timestamp) -> Result<(), CredentialError> {
        check_days(&self.payload.expiration_data, MAX_KEY_PACKAGE_DAYS, None)?;
        check_now(&self.payload.expiration_data, now)
    }

    /// Decrypts the signature and checks that the key of `signer`, a verified credential, made it, and that the validity
    /// lies inside the signer's.
    ///
    /// # Errors
    /// [`CredentialError`]; `Signed(SignatureInvalid)` also if `key` does not decrypt it.
    pub fn verify(
        &self,
        key: &SignatureEncryptionKey,
        signer: &ClientCredential,
        now: Timestamp,
    ) -> Result<(), CredentialError> {
        self.check_validity(now)?;
        let invalid = CredentialError::Signed(SignedError::SignatureInvalid);
        let signature = ChaCha20Poly1305::new(key.as_bytes().into())
            .decrypt(&Nonce::default(), Payload { msg: &self.encrypted_signature, aad: &self.payload_bytes })
            .map_err(|_| invalid)?;
        let LeafCredentialSignature { signature, signer_fingerprint } =
            LeafCredentialSignature::tls_deserialize_exact_bytes(&signature).map_err(|_| invalid)?;
        if signer_fingerprint != signer.fingerprint() {
            return Err(CredentialError::UnknownSigner);
        }
        Unverified::<LeafCredentialPayload>::from_parts(self.payload_bytes.clone(), signature)?
            .verify(&signer.payload().verifying_key)?;
        check_days(&self.payload.expiration_data, MAX_KEY_PACKAGE_DAYS, Some(&signer.payload().expiration_data))
    }
}

#[cfg(test)]
mod tests;
