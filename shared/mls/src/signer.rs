//! Signature keys as openmls takes them.

use std::fmt;

use ed25519_dalek::Signer as _;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use vestibule_protocol::encoding::SecretBytes as _;
use vestibule_protocol::keys::{KeyPurpose, SigningKey};

/// A signature key of a leaf, as openmls takes it. Zeroized on drop, not printable.
pub struct MlsSigner(ed25519_dalek::SigningKey);

impl<P: KeyPurpose> From<&SigningKey<P>> for MlsSigner {
    fn from(key: &SigningKey<P>) -> Self {
        let bytes = key.to_secret_bytes();
        Self(ed25519_dalek::SigningKey::try_from(bytes.as_slice()).expect("the key has the length"))
    }
}

impl Signer for MlsSigner {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).to_bytes().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl fmt::Debug for MlsSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MlsSigner")
    }
}
