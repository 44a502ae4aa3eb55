//! Structures that are signed: how they are framed, labelled, verified and fingerprinted.
//!
//! On the wire a signed structure is
//!
//! ```text
//! struct {
//!     opaque payload<V>;      // the TLS encoding of the payload's type
//!     opaque signature<V>;    // 64 bytes, Ed25519
//! } Signed;
//! ```
//!
//! The payload travels as opaque bytes, so that what is verified is what was received and never a re-encoding of it.

use std::fmt;

use sha2::{Digest, Sha256};
use tls_codec::{DeserializeBytes, Serialize as _, VLByteSlice, VLBytes};

use crate::encoding::Bytes;
use crate::keys::{KeyPurpose, SigningKey, VerifyingKey};
use crate::limits::MAX_SIGNED_STRUCTURE_LENGTH;
use crate::text_form::bytes_text_form;

/// The payload of a signed structure.
pub trait SignedPayload: tls_codec::Serialize + DeserializeBytes {
    /// The structure's name, which makes the label: `"Vestibule 1.0 <TYPE_NAME>"`. A signature over one type is never
    /// one over another.
    const TYPE_NAME: &'static str;

    /// The purpose of the key that signs.
    type Signer: KeyPurpose;
}

/// Why bytes are not a signed structure of the type asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignedError {
    /// They are longer than [`MAX_SIGNED_STRUCTURE_LENGTH`], do not decode, or something follows them.
    #[error("it is not a well-formed structure of the type wanted")]
    Malformed,
    /// The signature is not the signer's over this type and payload.
    #[error("its signature is not the signer's")]
    SignatureInvalid,
}

/// The SHA-256 hash of what is signed, label included: names a signed structure.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, tls_codec::TlsSerialize, tls_codec::TlsDeserializeBytes, tls_codec::TlsSize,
)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The hash's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

bytes_text_form!(Fingerprint, FingerprintError);

/// The text is not a fingerprint: 32 bytes as 43 characters of base64url are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a fingerprint is 32 bytes in base64url without padding")]
pub struct FingerprintError;

/// What the signature covers.
fn sign_content<P: SignedPayload>(payload: &[u8]) -> Vec<u8> {
    labelled(P::TYPE_NAME, payload)
}

/// `content` under the label `"Vestibule 1.0 <name>"`, framed as in MLS (RFC 9420, section 5.1.2):
/// `struct { opaque label<V>; opaque content<V>; } SignContent`.
pub fn labelled(name: &str, content: &[u8]) -> Vec<u8> {
    let label = format!("Vestibule 1.0 {name}");
    let mut framed = Vec::with_capacity(label.len() + content.len() + 8);
    for part in [label.as_bytes(), content] {
        VLByteSlice(part).tls_serialize(&mut framed).expect("a Vec takes whatever is written");
    }
    framed
}

/// The SHA-256 hash of `content` under the label `"Vestibule 1.0 <name>"`: an identifier that means nothing under
/// another label.
pub(crate) fn labelled_hash(name: &str, content: &[u8]) -> [u8; 32] {
    Sha256::digest(labelled(name, content)).into()
}

/// A signed structure that was received and decoded, whose signature nobody has checked yet.
#[derive(Clone)]
pub struct Unverified<P> {
    payload: P,
    payload_bytes: Vec<u8>,
    signature: [u8; 64],
}

impl<P: SignedPayload> Unverified<P> {
    /// Decodes a signed structure.
    ///
    /// # Errors
    /// [`SignedError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignedError> {
        if bytes.len() > MAX_SIGNED_STRUCTURE_LENGTH {
            return Err(SignedError::Malformed);
        }
        let malformed = |_| SignedError::Malformed;
        let (payload_bytes, rest) = VLBytes::tls_deserialize_bytes(bytes).map_err(malformed)?;
        let signature = VLBytes::tls_deserialize_exact_bytes(rest).map_err(malformed)?;
        let signature = signature.as_slice().try_into().map_err(|_| SignedError::Malformed)?;
        Self::from_parts(payload_bytes.into(), signature)
    }

    /// Puts together what did not travel together.
    pub(crate) fn from_parts(payload_bytes: Vec<u8>, signature: [u8; 64]) -> Result<Self, SignedError> {
        let payload = P::tls_deserialize_exact_bytes(&payload_bytes).map_err(|_| SignedError::Malformed)?;
        Ok(Self { payload, payload_bytes, signature })
    }

    /// What the structure says, true or not: enough to find the key to verify it with.
    pub fn claim(&self) -> &P {
        &self.payload
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignedError::SignatureInvalid`].
    pub fn verify(self, signer: &VerifyingKey<P::Signer>) -> Result<Verified<P>, SignedError> {
        if signer.verifies(&sign_content::<P>(&self.payload_bytes), &self.signature) {
            Ok(Verified { payload: self.payload, payload_bytes: self.payload_bytes, signature: self.signature })
        } else {
            Err(SignedError::SignatureInvalid)
        }
    }
}

/// A signed structure whose signature is known to be its signer's. Whether the signer is to be trusted, and the time
/// right, is for the type's own rules to say.
#[derive(Clone)]
pub struct Verified<P> {
    payload: P,
    payload_bytes: Vec<u8>,
    signature: [u8; 64],
}

impl<P: SignedPayload> Verified<P> {
    /// Signs `payload`.
    pub fn sign(payload: P, signer: &SigningKey<P::Signer>) -> Self {
        let payload_bytes = payload.tls_serialize_detached().expect("our own payloads are within TLS's limits");
        let signature = signer.sign(&sign_content::<P>(&payload_bytes));
        Self { payload, payload_bytes, signature }
    }

    /// What the structure says.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// The payload's bytes and the signature, for structures that do not travel as a `Signed`.
    pub(crate) fn into_parts(self) -> (Vec<u8>, [u8; 64]) {
        (self.payload_bytes, self.signature)
    }

    /// The structure's name.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(sign_content::<P>(&self.payload_bytes)).into())
    }

    /// The structure on the wire.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.payload_bytes.len() + self.signature.len() + 8);
        for part in [self.payload_bytes.as_slice(), &self.signature] {
            VLByteSlice(part).tls_serialize(&mut bytes).expect("a Vec takes whatever is written");
        }
        Bytes(bytes)
    }
}

impl<P: fmt::Debug> fmt::Debug for Verified<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.payload.fmt(formatter)
    }
}
