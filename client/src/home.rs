//! The home directory: what a client keeps between runs.
//!
//! It holds these files:
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | locked by the process that uses the directory |
//! | `device-key` | 32 random bytes: what opens the state key without asking anybody |
//! | `state-key` | the state key, sealed under the device key and, once the user has one, under the storage key |
//! | `state` | the state, sealed under the state key |
//! | `key-packages-<generation>` | the private parts of a generation of KeyPackages, sealed under the state key |
//! | `rendezvous` | the state of a rendezvous, for as long as it lasts, sealed under the state key |
//! | `tokens` | the tokens to pay with, sealed under the state key |
//! | `inbox` | the client's end of its queue and the messages from it that the application has not acknowledged, sealed under the state key |
//! | `outbox` | a message that is being sent, for as long as that lasts, sealed under the state key |
//! | `*.new` | a file not completely written yet; ignored and replaced |
//!
//! The directory is the user's alone (0700), the files too (0600). What cannot be read is never overwritten.
//!
//! What protects what is in the documentation of the crate.
//!
//! Homes made before there were state keys have all files sealed under the device key. They are read as they are; what is
//! written goes under the state key, and the rest follows before the storage key is trusted to open the home.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use vestibule_protocol::key_server::StorageKey;
use vestibule_protocol::randomness::Randomness;
use zeroize::Zeroizing;

use crate::fuse::{Fuse, Stopped};

mod connection_packages;
mod deletion;
mod files;
mod identity;
mod json;
mod key_packages;
mod key_server;
mod keys;
mod linking;
mod messages;
mod pseudonym;
mod rendezvous;
mod sealing;
mod sharing;
mod state;
mod tokens;
mod user_secrets;

pub(crate) use connection_packages::{ConnectionBatch, ConnectionKey, ConnectionPackages, ConnectionPublication};
pub(crate) use deletion::Deletion;
pub(crate) use identity::{ChangeKind, IdentityState, PendingChange, SeenDevice};
pub(crate) use json::to_secret_json;
pub(crate) use key_packages::PrivateKeyPackages;
pub(crate) use key_server::KeyServerState;
use keys::Keys;
pub(crate) use linking::{AddedClient, Approval, Renewal};
pub(crate) use pseudonym::{Generation, Pseudonym, PublicationUnderWay, Publications, QueuingServiceState};
pub(crate) use rendezvous::{ApplicationState, KeptRendezvous, KeptSession, RendezvousToKeep};
use sealing::{Kind, Under};
pub(crate) use sharing::{NextSecrets, Rotation, Sharing};
pub(crate) use state::{Account, AuthenticationServiceState, KeptRequest, OwnQueue, State};
pub(crate) use user_secrets::UserSecrets;

/// Why the home directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another process has it.
    #[error("another vestibule process is using {}", .0.display())]
    InUse(PathBuf),
    /// Others can look into the directory, and it holds something already.
    #[error("{} can be read by other users: use another directory, or make it yours with `chmod 700`", .0.display())]
    NotPrivate(PathBuf),
    /// There is a state but no key for it.
    #[error("{} is missing: without it the state beside it cannot be opened", .0.display())]
    DeviceKeyMissing(PathBuf),
    /// The device key is missing, or another one, and the user's password opens the home.
    #[error("the device key in {} is missing or another one: `vestibule unlock NAME@DOMAIN` makes a new one with your password", .0.display())]
    Locked(PathBuf),
    /// There is a state sealed under a state key, but no state key.
    #[error("{} is missing: without it the state beside it cannot be opened", .0.display())]
    StateKeyMissing(PathBuf),
    /// The storage key that the password gave is not the one that opens this home.
    #[error("{} is damaged, or belongs to another user", .0.display())]
    AnotherStorageKey(PathBuf),
    /// The key has another length.
    #[error("{} is damaged: a device key has 32 bytes", .0.display())]
    DeviceKeyDamaged(PathBuf),
    /// The file was not written by this program.
    #[error("{} is not a file that vestibule wrote there", .0.display())]
    ForeignFile(PathBuf),
    /// The file was written by a later version.
    #[error("{} was written by a newer version of vestibule", .0.display())]
    NewerVersion(PathBuf),
    /// The file was altered, cut short, or sealed with another key.
    #[error("{} is damaged, or belongs to another device key", .0.display())]
    Damaged(PathBuf),
    /// The file system does not do what it should.
    #[error("{} cannot be {action}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: "read", "written", …
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A test stopped the client.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A home directory that this process has to itself.
#[derive(Debug)]
pub(crate) struct Home {
    directory: PathBuf,
    keys: Keys,
    randomness: Randomness,
    fuse: Fuse,
    _lock: Lock,
}

/// The lock of a directory: gone when the file is closed, whatever ends the process.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    fn of(directory: &Path) -> Result<Self, HomeError> {
        let path = directory.join("lock");
        let file = files::open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(HomeError::Io { path, action: "locked", source }),
        }
    }
}

/// Unlocks the directory at once. To close the file is not enough: a program that another thread is just starting has it
/// open too, until it runs.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Home {
    /// Opens the home in `directory`, or gives `None` if there is none. Nothing is created then.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn open(directory: &Path, randomness: Randomness, fuse: Fuse) -> Result<Option<Self>, HomeError> {
        for path in [device_key_path(directory), state_key_path(directory), state_path(directory)] {
            if files::exists(&path)? {
                files::require_private_directory(directory)?;
                return Self::lock(directory, randomness, fuse, Keys::of_home).map(Some);
            }
        }
        Ok(None)
    }

    /// Opens the home in `directory`; makes directory and keys if there are none.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn open_or_create(directory: &Path, randomness: Randomness, fuse: Fuse) -> Result<Self, HomeError> {
        files::make_private_directory(directory, &fuse)?;
        Self::lock(directory, randomness, fuse, Keys::of_home)
    }

    /// Opens a home that is [locked](HomeError::Locked) with the user's storage key, and makes it one that opens without.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn unlock(
        directory: &Path,
        storage_key: &StorageKey,
        randomness: Randomness,
        fuse: Fuse,
    ) -> Result<Self, HomeError> {
        files::require_private_directory(directory)?;
        let unlock = |directory: &Path, randomness: &mut Randomness, fuse: &Fuse| {
            Keys::unlock(directory, storage_key, randomness, fuse)
        };
        Self::lock(directory, randomness, fuse, unlock)
    }

    fn lock(
        directory: &Path,
        mut randomness: Randomness,
        fuse: Fuse,
        keys: impl FnOnce(&Path, &mut Randomness, &Fuse) -> Result<Keys, HomeError>,
    ) -> Result<Self, HomeError> {
        let lock = Lock::of(directory)?;
        let keys = keys(directory, &mut randomness, &fuse)?;
        Ok(Self { directory: directory.to_owned(), keys, randomness, fuse, _lock: lock })
    }

    /// Lets the user's storage key open the home too, from now on.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn open_with_storage_key_too(&self, storage_key: &StorageKey) -> Result<(), HomeError> {
        self.reseal(Kind::State, &state_path(&self.directory))?;
        for path in self.all_key_packages()? {
            self.reseal(Kind::KeyPackages, &path)?;
        }
        self.keys.wrap(&self.directory, storage_key, &mut self.randomness.clone(), &self.fuse)
    }

    /// Puts a file that is still sealed under the device key under the state key. One that does not open is left alone.
    fn reseal(&self, kind: Kind, path: &Path) -> Result<(), HomeError> {
        let Some(sealed) = files::read(path)? else { return Ok(()) };
        if !matches!(Under::of(kind, &sealed, path), Ok(Under::DeviceKey)) {
            return Ok(());
        }
        let Ok(opened) = self.keys.open(kind, &sealed, path) else { return Ok(()) };
        self.replace(kind, path, opened)
    }

    fn replace(&self, kind: Kind, path: &Path, contents: Zeroizing<Vec<u8>>) -> Result<(), HomeError> {
        let sealed = self.keys.seal(kind, contents, &mut self.randomness.clone());
        files::replace(path, &sealed, &self.fuse)
    }

    /// Reads the state, or gives `None` if none was ever written.
    ///
    /// # Errors
    /// [`HomeError`] if it cannot be read or opened.
    pub(crate) fn load(&self) -> Result<Option<State>, HomeError> {
        let path = state_path(&self.directory);
        let Some(sealed) = files::read(&path)? else { return Ok(None) };
        State::from_json(&self.keys.open(Kind::State, &sealed, &path)?, &path).map(Some)
    }

    /// Replaces the state: a crash leaves the old or the new one, whole.
    ///
    /// # Errors
    /// [`HomeError`] if it cannot be written. Which of the two is there then, [`Home::load`] tells.
    pub(crate) fn store(&self, state: &State) -> Result<(), HomeError> {
        self.replace(Kind::State, &state_path(&self.directory), state.to_json())
    }

    /// Removes what belongs to the account and is not in the state.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn remove_account_files(&self) -> Result<(), HomeError> {
        self.remove_key_packages_except(&[])?;
        self.remove_wallet()?;
        self.remove_rendezvous()?;
        self.remove_messages()
    }

    /// Removes the state, as if none had ever been written.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn remove_state(&self) -> Result<(), HomeError> {
        self.fuse.reach("before the state is removed")?;
        files::remove(&state_path(&self.directory))?;
        Ok(self.fuse.reach("after the state was removed")?)
    }
}

fn device_key_path(directory: &Path) -> PathBuf {
    directory.join("device-key")
}

fn state_key_path(directory: &Path) -> PathBuf {
    directory.join("state-key")
}

fn state_path(directory: &Path) -> PathBuf {
    directory.join("state")
}

#[cfg(all(test, unix))]
mod tests;
