//! How files are sealed: XChaCha20-Poly1305 under one of the home's two keys.
//!
//! ```text
//! opaque header[16];      // the kind's name, then the format's version; also the associated data
//! opaque nonce[24];       // random
//! opaque ciphertext[...]; // with the tag, 16 bytes, at its end
//! ```
//!
//! The version says which key it is: 1 the device key, 2 the state key.

use std::fmt;
use std::path::Path;

use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::HomeError;

const NAME_LENGTH: usize = 15;
const HEADER_LENGTH: usize = NAME_LENGTH + 1;
const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;

/// How much longer what is sealed is than its contents, in bytes.
pub(super) const OVERHEAD: usize = HEADER_LENGTH + NONCE_LENGTH + TAG_LENGTH;

/// Length of a key in bytes.
pub(super) const KEY_LENGTH: usize = 32;

/// The kinds of file, none of which can be taken for another.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The state key.
    StateKey,
    /// The state.
    State,
    /// The private parts of a generation of KeyPackages.
    KeyPackages,
    /// A rendezvous under way.
    Rendezvous,
    /// The tokens.
    Tokens,
    /// The client's end of its queue, and the messages from it.
    Inbox,
    /// A message that is being sent.
    Outbox,
}

impl Kind {
    fn name(self) -> &'static [u8; NAME_LENGTH] {
        match self {
            Self::StateKey => b"VESTIBULE-STKEY",
            Self::State => b"VESTIBULE-STATE",
            Self::KeyPackages => b"VESTIBULE-PACKS",
            Self::Rendezvous => b"VESTIBULE-MEETS",
            Self::Tokens => b"VESTIBULE-COINS",
            Self::Inbox => b"VESTIBULE-INBOX",
            Self::Outbox => b"VESTIBULE-SENDS",
        }
    }
}

/// Which of the home's keys something is sealed under: the version of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Under {
    /// The state key itself; in homes made before there were state keys, everything.
    DeviceKey = 1,
    /// Everything else.
    StateKey = 2,
}

impl Under {
    /// Reads which key a file read from `path` is sealed under. Nobody vouches for it before it is opened.
    pub(super) fn of(kind: Kind, sealed: &[u8], path: &Path) -> Result<Self, HomeError> {
        let Some(rest) = sealed.strip_prefix(kind.name()) else {
            return Err(HomeError::ForeignFile(path.to_owned()));
        };
        match rest.first() {
            Some(1) => Ok(Self::DeviceKey),
            Some(2) => Ok(Self::StateKey),
            Some(0) | None => Err(HomeError::Damaged(path.to_owned())),
            Some(_) => Err(HomeError::NewerVersion(path.to_owned())),
        }
    }

    /// What stands in front of everything of this kind that is sealed under this key.
    pub(super) fn header(self, kind: Kind) -> [u8; HEADER_LENGTH] {
        let mut header = [self as u8; HEADER_LENGTH];
        header[..NAME_LENGTH].copy_from_slice(kind.name());
        header
    }
}

/// One of the home's keys. Zeroized on drop, not printable.
pub(super) struct SealingKey {
    bytes: Zeroizing<[u8; KEY_LENGTH]>,
    role: Under,
}

impl SealingKey {
    /// A fresh key.
    pub(super) fn generate(role: Under, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self { bytes, role }
    }

    /// The key with these bytes; `None` if they are not 32.
    pub(super) fn from_bytes(role: Under, bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        (bytes.len() == KEY_LENGTH).then(|| {
            key.copy_from_slice(bytes);
            Self { bytes: key, role }
        })
    }

    /// The key's bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
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
        let header = self.role.header(kind);
        let tag = self
            .cipher()
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &header, &mut plaintext)
            .expect("a file is shorter than 256 GiB");
        [header.as_slice(), &nonce, &plaintext, &tag].concat()
    }

    /// Opens what was sealed under this key and read from `path`.
    pub(super) fn open(&self, kind: Kind, sealed: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
        let damaged = || HomeError::Damaged(path.to_owned());
        if Under::of(kind, sealed, path)? != self.role {
            return Err(damaged());
        }
        let (nonce, ciphertext) = sealed[HEADER_LENGTH..].split_at_checked(NONCE_LENGTH).ok_or_else(damaged)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let header = self.role.header(kind);
        self.cipher().decrypt_in_place(XNonce::from_slice(nonce), &header, &mut *buffer).map_err(|_| damaged())?;
        Ok(buffer)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.as_slice().into())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey")
    }
}
