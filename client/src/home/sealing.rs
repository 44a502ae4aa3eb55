//! How files are sealed: XChaCha20-Poly1305 under the device key.
//!
//! ```text
//! opaque header[16];      // the kind's name, then the format's version, 1; also the associated data
//! opaque nonce[24];       // random
//! opaque ciphertext[...]; // with the tag, 16 bytes, at its end
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::{HomeError, device_key_path, files, state_path};
use crate::fuse::Fuse;

const VERSION: u8 = 1;
const NAME_LENGTH: usize = 15;
const HEADER_LENGTH: usize = NAME_LENGTH + 1;
const NONCE_LENGTH: usize = 24;

/// The kinds of file, none of which can be taken for another.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The state.
    State,
    /// The private parts of a generation of KeyPackages.
    KeyPackages,
    /// A rendezvous under way.
    Rendezvous,
}

impl Kind {
    fn name(self) -> &'static [u8; NAME_LENGTH] {
        match self {
            Self::State => b"VESTIBULE-STATE",
            Self::KeyPackages => b"VESTIBULE-PACKS",
            Self::Rendezvous => b"VESTIBULE-MEETS",
        }
    }

    fn header(self) -> [u8; HEADER_LENGTH] {
        let mut header = [VERSION; HEADER_LENGTH];
        header[..NAME_LENGTH].copy_from_slice(self.name());
        header
    }
}

/// The key that seals the home's files: 32 bytes. Zeroized on drop, not printable.
pub(super) struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// The key of this device, from its file; a fresh one if there is neither key nor state. Where the sealing key
    /// comes from is decided here alone. The caller holds the directory's lock.
    pub(super) fn of_device(
        directory: &Path,
        rng: &mut (impl RngCore + CryptoRng),
        fuse: &Fuse,
    ) -> Result<Self, HomeError> {
        let path = device_key_path(directory);
        match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(key) => Ok(Self(Zeroizing::new(key))),
                Err(_) => Err(HomeError::DeviceKeyDamaged(path)),
            },
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(HomeError::Io { path, action: "read", source: error })
            }
            Err(_) if files::exists(&state_path(directory))? => Err(HomeError::DeviceKeyMissing(path)),
            Err(_) => {
                let mut key = Zeroizing::new([0; 32]);
                rng.fill_bytes(key.as_mut_slice());
                files::replace(&path, key.as_slice(), fuse)?;
                Ok(Self(key))
            }
        }
    }

    /// Seals `plaintext`, which is encrypted where it stands.
    pub(super) fn seal(
        &self,
        kind: Kind,
        mut plaintext: Zeroizing<Vec<u8>>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut nonce);
        let header = kind.header();
        let cipher = XChaCha20Poly1305::new(self.0.as_slice().into());
        let tag = cipher
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &header, &mut plaintext)
            .expect("a file is shorter than 256 GiB");
        [header.as_slice(), &nonce, &plaintext, &tag].concat()
    }

    /// Opens what was sealed and read from `path`.
    pub(super) fn open(&self, kind: Kind, sealed: Vec<u8>, path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
        if !sealed.starts_with(kind.name()) {
            return Err(HomeError::ForeignFile(path.to_owned()));
        }
        let damaged = || HomeError::Damaged(path.to_owned());
        let (header, rest) = sealed.split_at_checked(HEADER_LENGTH).ok_or_else(damaged)?;
        if header[NAME_LENGTH] > VERSION {
            return Err(HomeError::NewerVersion(path.to_owned()));
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LENGTH).ok_or_else(damaged)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let cipher = XChaCha20Poly1305::new(self.0.as_slice().into());
        cipher.decrypt_in_place(XNonce::from_slice(nonce), header, &mut *buffer).map_err(|_| damaged())?;
        Ok(buffer)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey")
    }
}
