//! The home's keys: where they come from, and who can have them.
//!
//! ```text
//! struct {
//!     opaque under_device_key[88];    // the state key, sealed under the device key
//!     opaque under_storage_key[72];   // the same under the user's storage key, for the purpose "state-key", with the
//!                                     // header of what is sealed under a state key as associated data;
//!                                     // not there before the user has a storage key
//! } StateKeyFile;
//! ```
//!
//! The device key is written before the state key, and both before anything that is sealed under the state key. So whatever a
//! crash leaves, nothing is without the key that opens it: where one is missing, somebody has removed it.

use std::fs;
use std::io;
use std::path::Path;

use rand::{CryptoRng, RngCore};
use vestibule_protocol::key_server::StorageKey;
use zeroize::Zeroizing;

use super::sealing::{KEY_LENGTH, Kind, OVERHEAD, SealingKey, Under};
use super::{HomeError, device_key_path, files, state_key_path, state_path};
use crate::fuse::Fuse;

/// What the storage key seals the state key for.
const PURPOSE: &str = "state-key";

/// Length of the state key, sealed under the device key.
const UNDER_DEVICE_KEY_LENGTH: usize = KEY_LENGTH + OVERHEAD;

/// Length of the state key, sealed under the storage key: with a nonce and a tag.
const UNDER_STORAGE_KEY_LENGTH: usize = 24 + KEY_LENGTH + 16;

/// The keys that seal a home's files.
#[derive(Debug)]
pub(super) struct Keys {
    /// Seals the state key, and in older homes other files.
    device_key: SealingKey,
    /// Seals all other files.
    state_key: SealingKey,
}

impl Keys {
    /// Reads the keys from their files; makes those that cannot have been there before. The caller holds the directory's
    /// lock.
    ///
    /// # Errors
    /// [`HomeError::Locked`] if the user's password would help; other [`HomeError`]s if it would not.
    pub(super) fn of_home(
        directory: &Path,
        rng: &mut (impl RngCore + CryptoRng),
        fuse: &Fuse,
    ) -> Result<Self, HomeError> {
        let device_key = read_device_key(directory);
        match WrappedStateKey::read(directory)? {
            Some(wrapped) => wrapped.open_under_device_key(device_key, directory),
            None => {
                let device_key = match device_key? {
                    Some(device_key) => device_key,
                    None if files::exists(&state_path(directory))? => {
                        return Err(HomeError::DeviceKeyMissing(device_key_path(directory)));
                    }
                    None => make_device_key(directory, rng, fuse)?,
                };
                Self::make_state_key(directory, device_key, rng, fuse)
            }
        }
    }

    /// Makes a state key for a new home, or for one that was made before there were state keys.
    fn make_state_key(
        directory: &Path,
        device_key: SealingKey,
        rng: &mut (impl RngCore + CryptoRng),
        fuse: &Fuse,
    ) -> Result<Self, HomeError> {
        let path = state_path(directory);
        if let Some(sealed) = files::read(&path)? {
            if Under::of(Kind::State, &sealed, &path)? != Under::DeviceKey {
                return Err(HomeError::StateKeyMissing(state_key_path(directory)));
            }
            // Made under a wrong device key, the state key would be in the way of the right one.
            device_key.open(Kind::State, &sealed, &path)?;
        }
        let keys = Self { device_key, state_key: SealingKey::generate(Under::StateKey, rng) };
        keys.store(directory, None, rng, fuse)?;
        Ok(keys)
    }

    /// Opens the state key with the user's storage key, where the device key is of no use (any more), and puts it under the
    /// device key that is there or a fresh one.
    ///
    /// # Errors
    /// [`HomeError::AnotherStorageKey`] if it is not sealed under this storage key, or under none at all.
    pub(super) fn unlock(
        directory: &Path,
        storage_key: &StorageKey,
        rng: &mut (impl RngCore + CryptoRng),
        fuse: &Fuse,
    ) -> Result<Self, HomeError> {
        let wrapped = WrappedStateKey::read(directory)?.ok_or_else(|| {
            // An older home: the device key is all that there ever was.
            HomeError::DeviceKeyMissing(device_key_path(directory))
        })?;
        let state_key = wrapped.open_under_storage_key(storage_key, directory)?;
        let path = state_path(directory);
        if let Some(sealed) = files::read(&path)? {
            state_key.open(Kind::State, &sealed, &path)?;
        }
        let device_key = match read_device_key(directory) {
            Ok(Some(device_key)) => device_key,
            Ok(None) | Err(HomeError::DeviceKeyDamaged(_)) => make_device_key(directory, rng, fuse)?,
            Err(error) => return Err(error),
        };
        let keys = Self { device_key, state_key };
        keys.store(directory, wrapped.under_storage_key.as_deref(), rng, fuse)?;
        Ok(keys)
    }

    /// Puts the state key under the user's storage key too.
    pub(super) fn wrap(
        &self,
        directory: &Path,
        storage_key: &StorageKey,
        rng: &mut (impl RngCore + CryptoRng),
        fuse: &Fuse,
    ) -> Result<(), HomeError> {
        let wrap = storage_key.seal(PURPOSE, self.state_key.as_bytes(), &Under::StateKey.header(Kind::StateKey), rng);
        self.store(directory, Some(&wrap), rng, fuse)
    }

    /// Writes the state key, sealed.
    fn store(
        &self,
        directory: &Path,
        under_storage_key: Option<&[u8]>,
        rng: &mut (impl RngCore + CryptoRng),
        fuse: &Fuse,
    ) -> Result<(), HomeError> {
        let state_key = Zeroizing::new(self.state_key.as_bytes().to_vec());
        let under_device_key = self.device_key.seal(Kind::StateKey, state_key, rng);
        let contents = [under_device_key.as_slice(), under_storage_key.unwrap_or_default()].concat();
        files::replace(&state_key_path(directory), &contents, fuse)
    }

    /// Seals the contents of a file.
    pub(super) fn seal(
        &self,
        kind: Kind,
        plaintext: Zeroizing<Vec<u8>>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Vec<u8> {
        self.state_key.seal(kind, plaintext, rng)
    }

    /// Opens what was read from `path`, under whichever key it is sealed.
    pub(super) fn open(&self, kind: Kind, sealed: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
        match Under::of(kind, sealed, path)? {
            Under::DeviceKey => self.device_key.open(kind, sealed, path),
            Under::StateKey => self.state_key.open(kind, sealed, path),
        }
    }

    /// As a home before there were state keys would have sealed a file.
    #[cfg(test)]
    pub(super) fn seal_under_device_key(&self, kind: Kind, plaintext: Zeroizing<Vec<u8>>) -> Vec<u8> {
        self.device_key.seal(kind, plaintext, &mut rand::rngs::OsRng)
    }
}

/// What the file `state-key` holds.
struct WrappedStateKey {
    under_device_key: Vec<u8>,
    under_storage_key: Option<Vec<u8>>,
}

impl WrappedStateKey {
    /// Reads the file, or gives `None` if there is none.
    fn read(directory: &Path) -> Result<Option<Self>, HomeError> {
        let path = state_key_path(directory);
        let Some(mut under_device_key) = files::read(&path)? else { return Ok(None) };
        Under::of(Kind::StateKey, &under_device_key, &path)?;
        let under_storage_key = match under_device_key.len().checked_sub(UNDER_DEVICE_KEY_LENGTH) {
            Some(0) => None,
            Some(UNDER_STORAGE_KEY_LENGTH) => Some(under_device_key.split_off(UNDER_DEVICE_KEY_LENGTH)),
            _ => return Err(HomeError::Damaged(path)),
        };
        Ok(Some(Self { under_device_key, under_storage_key }))
    }

    fn open_under_device_key(
        &self,
        device_key: Result<Option<SealingKey>, HomeError>,
        directory: &Path,
    ) -> Result<Keys, HomeError> {
        let path = state_key_path(directory);
        let opened = device_key.and_then(|device_key| {
            let device_key = device_key.ok_or_else(|| HomeError::DeviceKeyMissing(device_key_path(directory)))?;
            let bytes = device_key.open(Kind::StateKey, &self.under_device_key, &path)?;
            let state_key = SealingKey::from_bytes(Under::StateKey, &bytes);
            Ok(Keys { device_key, state_key: state_key.ok_or_else(|| HomeError::Damaged(path.clone()))? })
        });
        opened.map_err(|error| match error {
            HomeError::DeviceKeyMissing(_) | HomeError::DeviceKeyDamaged(_) | HomeError::Damaged(_)
                if self.under_storage_key.is_some() =>
            {
                HomeError::Locked(directory.to_owned())
            }
            error => error,
        })
    }

    fn open_under_storage_key(&self, storage_key: &StorageKey, directory: &Path) -> Result<SealingKey, HomeError> {
        let opened = self.under_storage_key.as_ref().and_then(|wrap| {
            let bytes = storage_key.open(PURPOSE, wrap, &Under::StateKey.header(Kind::StateKey)).ok()?;
            SealingKey::from_bytes(Under::StateKey, &bytes)
        });
        opened.ok_or_else(|| HomeError::AnotherStorageKey(state_key_path(directory)))
    }
}

/// Reads the key of this device, or gives `None` if it is not there.
fn read_device_key(directory: &Path) -> Result<Option<SealingKey>, HomeError> {
    let path = device_key_path(directory);
    match fs::read(&path).map(Zeroizing::new) {
        Ok(bytes) => {
            let key = SealingKey::from_bytes(Under::DeviceKey, &bytes);
            key.map(Some).ok_or(HomeError::DeviceKeyDamaged(path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HomeError::Io { path, action: "read", source }),
    }
}

fn make_device_key(
    directory: &Path,
    rng: &mut (impl RngCore + CryptoRng),
    fuse: &Fuse,
) -> Result<SealingKey, HomeError> {
    let path = device_key_path(directory);
    let key = SealingKey::generate(Under::DeviceKey, rng);
    files::replace(&path, key.as_bytes(), fuse)?;
    Ok(key)
}
