//! AddPackages: an MLS KeyPackage and, encrypted to friends, whose it is.
//!
//! ```text
//! struct {
//!     opaque key_package<V>;           // an MLS KeyPackage (RFC 9420, section 10)
//!     opaque encrypted_identity<V>;    // 616 bytes
//! } AddPackage;
//!
//! struct {
//!     opaque client_credential<V>;             // a ClientCredential
//!     opaque signature_encryption_key[32];     // of the KeyPackage's leaf credential
//!     opaque padding[...];                     // zeros, up to 576 bytes in all
//! } PackageIdentity;
//! ```
//!
//! `encrypted_identity = nonce[24] ‖ XChaCha20-Poly1305(friendship encryption key, nonce, PackageIdentity,
//! aad = KeyPackageRef)`, with a random nonce. All identities have one length, whatever the length of the name.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use tls_codec::{DeserializeBytes, Serialize as _, VLByteSlice, VLBytes};
use zeroize::Zeroizing;

use crate::encoding::{self, Bytes, SecretBytes as _};
use crate::limits::MAX_ADD_PACKAGE_LENGTH;
use crate::symmetric::{FriendshipEncryptionKey, SYMMETRIC_SECRET_LENGTH, SignatureEncryptionKey};

/// Length of the nonce in front of an encrypted identity, in bytes.
const NONCE_LENGTH: usize = 24;
/// Length of every identity, padding included, in bytes. A credential of the longest user name leaves 50 to spare.
const IDENTITY_LENGTH: usize = 576;
/// Length of every encrypted identity, in bytes.
pub const ENCRYPTED_IDENTITY_LENGTH: usize = NONCE_LENGTH + IDENTITY_LENGTH + 16;

/// Why bytes are not an AddPackage, or not one that a key opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddPackageError {
    /// They are longer than [`MAX_ADD_PACKAGE_LENGTH`].
    #[error("it has more than {MAX_ADD_PACKAGE_LENGTH} bytes")]
    TooLarge,
    /// They do not decode, or the encrypted identity has another length than all have.
    #[error("it is not a well-formed AddPackage")]
    Malformed,
    /// The friendship encryption key does not open it, or what is inside is no identity.
    #[error("the friendship encryption key does not open it")]
    NotForThisKey,
}

/// The name of a KeyPackage: the hash of RFC 9420, section 5.2, with SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPackageRef([u8; 32]);

impl KeyPackageRef {
    /// The name of the KeyPackage with this encoding.
    pub fn of(key_package: &[u8]) -> Self {
        let mut input = Vec::with_capacity(key_package.len() + 40);
        for part in [b"MLS 1.0 KeyPackage Reference", key_package] {
            VLByteSlice(part).tls_serialize(&mut input).expect("a Vec takes whatever is written");
        }
        Self(Sha256::digest(input).into())
    }

    /// The hash's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyPackageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encoding::encode(&self.0))
    }
}

impl fmt::Debug for KeyPackageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Whose KeyPackage it is. What is inside is claimed, not checked.
pub struct PackageIdentity {
    /// A `ClientCredential`.
    pub client_credential: Bytes,
    /// What opens the signature of the KeyPackage's leaf credential.
    pub signature_encryption_key: SignatureEncryptionKey,
}

impl PackageIdentity {
    /// The identity's encoding, or `None` if the credential is longer than any is.
    fn to_padded_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        // With its whole capacity from the start, so that growing leaves no copy of the key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * IDENTITY_LENGTH));
        VLByteSlice(&self.client_credential.0).tls_serialize(&mut *bytes).ok()?;
        bytes.extend_from_slice(self.signature_encryption_key.as_bytes());
        if bytes.len() > IDENTITY_LENGTH {
            return None;
        }
        bytes.resize(IDENTITY_LENGTH, 0);
        Some(bytes)
    }

    fn from_padded_bytes(bytes: &[u8]) -> Option<Self> {
        let (client_credential, rest) = VLBytes::tls_deserialize_bytes(bytes).ok()?;
        let (key, padding) = rest.split_at_checked(SYMMETRIC_SECRET_LENGTH)?;
        let is_padded = padding.iter().all(|byte| *byte == 0);
        is_padded.then_some(())?;
        Some(Self {
            client_credential: Bytes(client_credential.into()),
            signature_encryption_key: SignatureEncryptionKey::from_secret_bytes(key)?,
        })
    }
}

/// A KeyPackage and, encrypted, whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct AddPackage {
    key_package: Vec<u8>,
    encrypted_identity: [u8; ENCRYPTED_IDENTITY_LENGTH],
}

impl AddPackage {
    /// Puts `identity` beside `key_package`, encrypted under `key`; `None` if its credential is longer than any is.
    pub fn seal(
        key_package: Vec<u8>,
        identity: &PackageIdentity,
        key: &FriendshipEncryptionKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Option<Self> {
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut nonce);
        let plaintext = identity.to_padded_bytes()?;
        let reference = KeyPackageRef::of(&key_package);
        let ciphertext = XChaCha20Poly1305::new(key.as_bytes().into())
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: &plaintext, aad: reference.as_bytes() })
            .expect("the plaintext is shorter than 256 GiB");
        let encrypted_identity = [nonce.as_slice(), &ciphertext].concat().try_into().ok()?;
        Some(Self { key_package, encrypted_identity })
    }

    /// Decodes an AddPackage. Of the KeyPackage nothing is looked at.
    ///
    /// # Errors
    /// [`AddPackageError::TooLarge`], [`AddPackageError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddPackageError> {
        if bytes.len() > MAX_ADD_PACKAGE_LENGTH {
            return Err(AddPackageError::TooLarge);
        }
        let malformed = |_| AddPackageError::Malformed;
        let (key_package, rest) = VLBytes::tls_deserialize_bytes(bytes).map_err(malformed)?;
        let encrypted_identity = VLBytes::tls_deserialize_exact_bytes(rest).map_err(malformed)?;
        Ok(Self {
            key_package: key_package.into(),
            encrypted_identity: encrypted_identity.as_slice().try_into().map_err(|_| AddPackageError::Malformed)?,
        })
    }

    /// The AddPackage on the wire.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.key_package.len() + self.encrypted_identity.len() + 4);
        for part in [self.key_package.as_slice(), &self.encrypted_identity] {
            VLByteSlice(part).tls_serialize(&mut bytes).expect("a Vec takes whatever is written");
        }
        Bytes(bytes)
    }

    /// The KeyPackage's encoding.
    pub fn key_package(&self) -> &[u8] {
        &self.key_package
    }

    /// The KeyPackage's name.
    pub fn reference(&self) -> KeyPackageRef {
        KeyPackageRef::of(&self.key_package)
    }

    /// The identity as everybody sees it.
    pub fn encrypted_identity(&self) -> &[u8; ENCRYPTED_IDENTITY_LENGTH] {
        &self.encrypted_identity
    }

    /// Decrypts the identity.
    ///
    /// # Errors
    /// [`AddPackageError::NotForThisKey`].
    pub fn open(&self, key: &FriendshipEncryptionKey) -> Result<PackageIdentity, AddPackageError> {
        let (nonce, ciphertext) = self.encrypted_identity.split_at(NONCE_LENGTH);
        let reference = self.reference();
        let plaintext = XChaCha20Poly1305::new(key.as_bytes().into())
            .decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: reference.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| AddPackageError::NotForThisKey)?;
        PackageIdentity::from_padded_bytes(&plaintext).ok_or(AddPackageError::NotForThisKey)
    }
}

impl fmt::Debug for AddPackage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AddPackage({})", self.reference())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn sealed(credential_length: usize, key: &FriendshipEncryptionKey, rng: &mut StdRng) -> Option<AddPackage> {
        let identity = PackageIdentity {
            client_credential: Bytes(vec![7; credential_length]),
            signature_encryption_key: SignatureEncryptionKey::generate(rng),
        };
        AddPackage::seal(b"a KeyPackage".to_vec(), &identity, key, rng)
    }

    #[test]
    fn an_identity_opens_with_its_key_and_beside_its_key_package_alone() {
        let rng = &mut StdRng::seed_from_u64(1);
        let key = FriendshipEncryptionKey::generate(rng);
        let package = sealed(400, &key, rng).unwrap();
        assert_eq!(package.open(&key).unwrap().client_credential.0, vec![7; 400]);
        let other_key = FriendshipEncryptionKey::generate(rng);
        assert_eq!(package.open(&other_key).err(), Some(AddPackageError::NotForThisKey));
        let moved = AddPackage { key_package: b"another".to_vec(), ..package };
        assert_eq!(moved.open(&key).err(), Some(AddPackageError::NotForThisKey));
    }

    #[test]
    fn a_credential_that_does_not_fit_is_refused_rather_than_told_by_its_length() {
        let rng = &mut StdRng::seed_from_u64(1);
        let key = FriendshipEncryptionKey::generate(rng);
        assert!(sealed(542, &key, rng).is_some());
        assert!(sealed(543, &key, rng).is_none());
    }

    #[test]
    fn the_reference_is_the_hash_of_mls() {
        let mut input = vec![28];
        input.extend(b"MLS 1.0 KeyPackage Reference");
        input.extend([3, b'a', b'b', b'c']);
        assert_eq!(KeyPackageRef::of(b"abc").as_bytes().as_slice(), Sha256::digest(input).as_slice());
    }

    proptest! {
        #[test]
        fn every_package_of_one_key_package_length_has_one_length(seed: u64, length in 0usize..543) {
            let rng = &mut StdRng::seed_from_u64(seed);
            let key = FriendshipEncryptionKey::generate(rng);
            let package = sealed(length, &key, rng).unwrap();
            let bytes = package.to_bytes().0;
            prop_assert_eq!(bytes.len(), 1 + 12 + 2 + ENCRYPTED_IDENTITY_LENGTH);
            let read = AddPackage::from_bytes(&bytes).unwrap();
            prop_assert_eq!(read.open(&key).unwrap().client_credential.0.len(), length);
        }

        #[test]
        fn whatever_decodes_is_written_back_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            if let Ok(package) = AddPackage::from_bytes(&bytes) {
                prop_assert_eq!(package.to_bytes().0, bytes);
            }
        }
    }
}
