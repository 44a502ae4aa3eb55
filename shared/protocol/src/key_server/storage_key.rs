//! The storage key and the form in which the key server keeps it (`key-server-registration.md`, step 1).

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256, Sha512};
use tls_codec::{Serialize as _, VLByteSlice};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::credential::Ciphersuite;
use crate::encoding::{self, Bytes};
use crate::name::UserId;
use crate::opaque::ExportKey;
use crate::signed::labelled;

/// Length of a storage key, and of the key that it is encrypted under, in bytes.
const KEY_LENGTH: usize = 32;
/// Length of a storage key's ciphertext in bytes: the key and the authentication tag.
const CIPHERTEXT_LENGTH: usize = KEY_LENGTH + 16;
/// Length of every [`EncryptedStorageKey`] in bytes.
pub const ENCRYPTED_STORAGE_KEY_LENGTH: usize = 2 + KEY_LENGTH + CIPHERTEXT_LENGTH;
/// Length of the nonce in front of what a storage key seals, in bytes.
const NONCE_LENGTH: usize = 24;

/// A user's storage key: 32 random bytes, the same for as long as the user exists, made by the first client and given back
/// by the password alone.
///
/// Its bytes are for nobody: not for the disk, not for the application. What it is for is done here, under subkeys of it
/// that mean nothing to each other. It is not `Clone`, not printable, and zeroized on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct StorageKey([u8; KEY_LENGTH]);

/// Something sealed under a storage key does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StorageKeyError {
    /// It was altered, or sealed under another key, for another purpose or with other associated data.
    #[error("it was not sealed like this under this storage key")]
    NotOfThisKey,
}

impl StorageKey {
    /// A fresh storage key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut key = Self([0; KEY_LENGTH]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// A storage key of known bytes.
    #[cfg(test)]
    pub(super) fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    /// Encrypts the storage key under what the password gave, for the key server to keep.
    pub fn encrypt(
        &self,
        export_key: &ExportKey,
        user_id: &UserId,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> EncryptedStorageKey {
        let mut pad = [0; KEY_LENGTH];
        rng.fill_bytes(&mut pad);
        let payload = Payload { msg: &self.0, aad: &associated_data(user_id) };
        let ciphertext = encryption_key(export_key, &pad).encrypt(&Nonce::default(), payload);
        let ciphertext = ciphertext.ok().and_then(|ciphertext| ciphertext.try_into().ok());
        EncryptedStorageKey { pad, ciphertext: ciphertext.expect("it is the key and a tag") }
    }

    /// Seals `plaintext` for `purpose`, a name of the application's own choosing: `nonce[24] ‖ XChaCha20-Poly1305(subkey,
    /// nonce, plaintext, associated data)` with a random nonce.
    pub fn seal(
        &self,
        purpose: &str,
        plaintext: &[u8],
        associated_data: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut nonce);
        let payload = Payload { msg: plaintext, aad: associated_data };
        let key = self.subkey("StorageKeySeal", purpose);
        let ciphertext = XChaCha20Poly1305::new(key.as_slice().into())
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("the plaintext is shorter than 256 GiB");
        [nonce.as_slice(), &ciphertext].concat()
    }

    /// Opens what [`StorageKey::seal`] sealed for the same purpose with the same associated data.
    ///
    /// # Errors
    /// [`StorageKeyError`].
    pub fn open(
        &self,
        purpose: &str,
        sealed: &[u8],
        associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StorageKeyError> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LENGTH).ok_or(StorageKeyError::NotOfThisKey)?;
        let payload = Payload { msg: ciphertext, aad: associated_data };
        let key = self.subkey("StorageKeySeal", purpose);
        let plaintext = XChaCha20Poly1305::new(key.as_slice().into()).decrypt(XNonce::from_slice(nonce), payload);
        plaintext.map(Zeroizing::new).map_err(|_| StorageKeyError::NotOfThisKey)
    }

    /// What tells two storage keys apart and gives nothing of them away.
    pub fn fingerprint(&self) -> StorageKeyFingerprint {
        StorageKeyFingerprint(*self.subkey("StorageKeyFingerprint", ""))
    }

    /// `HKDF-SHA-256(salt = "", ikm = storage key, info = label and purpose, length = 32)`.
    fn subkey(&self, label: &str, purpose: &str) -> Zeroizing<[u8; KEY_LENGTH]> {
        let mut subkey = Zeroizing::new([0; KEY_LENGTH]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(&labelled(label, purpose.as_bytes()), subkey.as_mut_slice())
            .expect("32 bytes are few enough");
        subkey
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StorageKey")
    }
}

/// The fingerprint of a storage key: 32 bytes; 43 characters of base64url in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StorageKeyFingerprint([u8; 32]);

impl fmt::Display for StorageKeyFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encoding::encode(&self.0))
    }
}

impl fmt::Debug for StorageKeyFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A storage key as the key server keeps it.
///
/// ```text
/// struct {
///     uint16 ciphersuite = 0x0003;    // whose AEAD it is: ChaCha20-Poly1305
///     opaque pad[32];                 // random, for each encryption
///     opaque ciphertext[48];
/// } EncryptedStorageKey;              // 82 bytes
///
/// secret     = pad XOR the first 32 bytes of SHA-512(struct { opaque<V> = "encryption key"; opaque<V> = export_key; })
/// ciphertext = ChaCha20-Poly1305(secret, nonce of zeros, storage key, aad = user_id[16] ‖ "storage key")
/// ```
///
/// The pad is public: without it the key could not be derived again. It makes the key one of a single use, which is why the
/// nonce may be constant. The spec's encryption key is the pair `(secret, "")`; its empty context adds nothing to the AAD.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedStorageKey {
    pad: [u8; KEY_LENGTH],
    ciphertext: [u8; CIPHERTEXT_LENGTH],
}

/// Why bytes are not an encrypted storage key, or not one that a password opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncryptedStorageKeyError {
    /// They have another length.
    #[error("an encrypted storage key has {ENCRYPTED_STORAGE_KEY_LENGTH} bytes")]
    WrongLength,
    /// They are of another ciphersuite.
    #[error("the encrypted storage key is of another ciphersuite")]
    UnknownCiphersuite,
    /// The export key is not the one under which it was encrypted, or the user another.
    #[error("the encrypted storage key does not open with this password for this user")]
    NotOfThisPassword,
}

impl EncryptedStorageKey {
    /// Reads the 82 bytes.
    ///
    /// # Errors
    /// [`EncryptedStorageKeyError::WrongLength`], [`EncryptedStorageKeyError::UnknownCiphersuite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EncryptedStorageKeyError> {
        if bytes.len() != ENCRYPTED_STORAGE_KEY_LENGTH {
            return Err(EncryptedStorageKeyError::WrongLength);
        }
        let (ciphersuite, rest) = bytes.split_at(2);
        if ciphersuite != CIPHERSUITE.to_be_bytes() {
            return Err(EncryptedStorageKeyError::UnknownCiphersuite);
        }
        let (pad, ciphertext) = rest.split_at(KEY_LENGTH);
        let parts = pad.try_into().ok().zip(ciphertext.try_into().ok());
        let (pad, ciphertext) = parts.expect("the length was checked");
        Ok(Self { pad, ciphertext })
    }

    /// The 82 bytes.
    pub fn to_bytes(&self) -> Bytes {
        Bytes([CIPHERSUITE.to_be_bytes().as_slice(), &self.pad, &self.ciphertext].concat())
    }

    /// Decrypts the storage key with what the password gave.
    ///
    /// # Errors
    /// [`EncryptedStorageKeyError::NotOfThisPassword`].
    pub fn decrypt(&self, export_key: &ExportKey, user_id: &UserId) -> Result<StorageKey, EncryptedStorageKeyError> {
        let payload = Payload { msg: &self.ciphertext, aad: &associated_data(user_id) };
        let storage_key = encryption_key(export_key, &self.pad).decrypt(&Nonce::default(), payload);
        let storage_key = storage_key.map(Zeroizing::new).ok();
        let storage_key = storage_key.and_then(|key| key.as_slice().try_into().ok());
        storage_key.map(StorageKey).ok_or(EncryptedStorageKeyError::NotOfThisPassword)
    }
}

impl fmt::Debug for EncryptedStorageKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EncryptedStorageKey")
    }
}

const CIPHERSUITE: u16 = Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519 as u16;

/// `Enc` under `secret = pad XOR Hash("encryption key", export_key)`, truncated.
fn encryption_key(export_key: &ExportKey, pad: &[u8; KEY_LENGTH]) -> ChaCha20Poly1305 {
    let mut input = Zeroizing::new(Vec::with_capacity(128));
    for part in [b"encryption key".as_slice(), export_key.as_bytes()] {
        VLByteSlice(part).tls_serialize(&mut *input).expect("a Vec takes whatever is written");
    }
    let mut secret = Zeroizing::new([0; KEY_LENGTH]);
    let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(&input)));
    for ((secret, pad), hash) in secret.iter_mut().zip(pad).zip(hash.iter()) {
        *secret = pad ^ hash;
    }
    ChaCha20Poly1305::new(secret.as_slice().into())
}

/// `user_id ‖ "storage key"`, the user id as the 16 bytes of its UUID.
fn associated_data(user_id: &UserId) -> Vec<u8> {
    [user_id.as_bytes().as_slice(), b"storage key"].concat()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::opaque::{ClientRegistration, CredentialIdentifier, Parameters, Password, ServerSetup};

    fn export_key(seed: u64) -> ExportKey {
        let rng = &mut StdRng::seed_from_u64(seed);
        let setup = ServerSetup::generate(rng);
        let (registration, request) = ClientRegistration::start(Password::new("correct horse".to_owned()), rng);
        let identifier = CredentialIdentifier::generate(rng);
        let response = setup.respond_to_registration(&request.0, identifier.as_ref()).unwrap();
        let alice = "alice@localhost".parse().unwrap();
        registration.finish(&response.0, &Parameters::of_user(&alice), rng).unwrap().export_key
    }

    #[test]
    fn what_one_password_encrypts_for_a_user_opens_with_that_password_for_that_user_alone() {
        let rng = &mut StdRng::seed_from_u64(1);
        let (user_id, storage_key) = (UserId::generate(rng), StorageKey::generate(rng));
        let (right, wrong) = (export_key(1), export_key(2));
        let encrypted = storage_key.encrypt(&right, &user_id, rng);
        assert_eq!(encrypted.decrypt(&right, &user_id).unwrap().0, storage_key.0);
        let refused = Some(EncryptedStorageKeyError::NotOfThisPassword);
        assert_eq!(encrypted.decrypt(&wrong, &user_id).err(), refused);
        assert_eq!(encrypted.decrypt(&right, &UserId::generate(rng)).err(), refused);
        assert_ne!(storage_key.encrypt(&right, &user_id, rng), encrypted, "a pad was used twice");
    }

    #[test]
    fn an_encrypted_storage_key_has_one_length_and_one_ciphersuite() {
        let rng = &mut StdRng::seed_from_u64(2);
        let (user_id, export_key) = (UserId::generate(rng), export_key(1));
        let bytes = StorageKey::generate(rng).encrypt(&export_key, &user_id, rng).to_bytes().0;
        assert_eq!(bytes.len(), 82);
        assert!(EncryptedStorageKey::from_bytes(&bytes).is_ok());
        for wrong in [&bytes[1..], &bytes[..81], &[bytes.as_slice(), &[0]].concat(), &[]] {
            assert_eq!(EncryptedStorageKey::from_bytes(wrong).err(), Some(EncryptedStorageKeyError::WrongLength));
        }
        for position in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[position] ^= 1;
            match EncryptedStorageKey::from_bytes(&altered) {
                Err(error) => assert!(position < 2 && error == EncryptedStorageKeyError::UnknownCiphersuite),
                Ok(encrypted) => assert!(encrypted.decrypt(&export_key, &user_id).is_err()),
            }
        }
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_under_the_same_key_alone() {
        let rng = &mut StdRng::seed_from_u64(3);
        let (key, other) = (StorageKey::generate(rng), StorageKey::generate(rng));
        let sealed = key.seal("settings", b"dark", b"v1", rng);
        assert_eq!(key.open("settings", &sealed, b"v1").unwrap().as_slice(), b"dark");
        let refused = Some(StorageKeyError::NotOfThisKey);
        assert_eq!(other.open("settings", &sealed, b"v1").err(), refused);
        assert_eq!(key.open("drafts", &sealed, b"v1").err(), refused);
        assert_eq!(key.open("settings", &sealed, b"v2").err(), refused);
        assert_eq!(key.open("settings", &sealed[..20], b"v1").err(), refused);
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_debug_prints_nothing() {
        let rng = &mut StdRng::seed_from_u64(4);
        let (key, other) = (StorageKey::generate(rng), StorageKey::generate(rng));
        assert_eq!(key.fingerprint(), key.fingerprint());
        assert_ne!(key.fingerprint(), other.fingerprint());
        assert_eq!(format!("{key:?}"), "StorageKey");
    }
}
