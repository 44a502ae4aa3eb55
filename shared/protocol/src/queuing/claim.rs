//! The queuing service's answer to a claim, signed.

use sha2::{Digest, Sha256};
use tls_codec::{Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize, VLByteSlice};

use crate::credential::ProtocolVersion;
use crate::encoding::Bytes;
use crate::keys::{QsSigningKey, SigningKey, VerifyingKey};
use crate::signed::{SignedError, SignedPayload, Unverified, Verified};

/// Payload of a [`ClaimAnswer`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClaimAnswerPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The SHA-256 hash of the body of the request that is answered.
    pub request_hash: [u8; 32],
    /// [`packages_hash`] of what was handed out.
    pub packages_hash: [u8; 32],
}

impl SignedPayload for ClaimAnswerPayload {
    const TYPE_NAME: &'static str = "ClaimAnswer";
    type Signer = QsSigningKey;
}

/// What the queuing service signs when it hands out packages: which ones, and to which request. The request has a nonce,
/// so an answer of yesterday does not pass for one of today.
pub type ClaimAnswer = Verified<ClaimAnswerPayload>;

impl ClaimAnswer {
    /// Answers the request of this body hash with these AddPackages.
    pub fn issue(request_hash: [u8; 32], add_packages: &[Bytes], key: &SigningKey<QsSigningKey>) -> Self {
        let payload = ClaimAnswerPayload {
            version: ProtocolVersion::Vestibule1,
            request_hash,
            packages_hash: packages_hash(add_packages),
        };
        Self::sign(payload, key)
    }

    /// Decodes an answer and checks that it is the queuing service's to the request with the body `request_body`, with
    /// these AddPackages.
    ///
    /// # Errors
    /// [`SignedError`]; `SignatureInvalid` also if it is over another request or other packages.
    pub fn verify(
        bytes: &[u8],
        request_body: &[u8],
        add_packages: &[Bytes],
        key: &VerifyingKey<QsSigningKey>,
    ) -> Result<Self, SignedError> {
        let answer = Unverified::<ClaimAnswerPayload>::from_bytes(bytes)?.verify(key)?;
        let ClaimAnswerPayload { request_hash, packages_hash: claimed, .. } = answer.payload();
        let is_answer = request_hash.as_slice() == Sha256::digest(request_body).as_slice();
        if is_answer && *claimed == packages_hash(add_packages) {
            Ok(answer)
        } else {
            Err(SignedError::SignatureInvalid)
        }
    }
}

/// The SHA-256 hash over AddPackages in their order, each as an `opaque<V>`.
pub fn packages_hash(add_packages: &[Bytes]) -> [u8; 32] {
    let mut input = Vec::new();
    for package in add_packages {
        VLByteSlice(&package.0).tls_serialize(&mut input).expect("a Vec takes whatever is written");
    }
    Sha256::digest(input).into()
}
