//! The home directory: what a client keeps between runs.
//!
//! It holds these files:
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | locked by the process that uses the directory |
//! | `device-key` | the 32 bytes that seal the others |
//! | `state` | the sealed state |
//! | `key-packages-<generation>` | the sealed private parts of a generation of KeyPackages |
//! | `rendezvous` | the sealed state of a rendezvous, for as long as it lasts |
//! | `*.new` | a file not completely written yet; ignored and replaced |
//!
//! The directory is the user's alone (0700), the files too (0600). What cannot be read is never overwritten.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::fuse::{Fuse, Stopped};
use vestibule_protocol::randomness::Randomness;

mod files;
mod json;
mod key_packages;
mod pseudonym;
mod rendezvous;
mod sealing;
mod state;

pub(crate) use key_packages::PrivateKeyPackages;
pub(crate) use pseudonym::{Generation, Pseudonym, PublicationUnderWay, Publications, QueuingServiceState};
pub(crate) use rendezvous::{ApplicationState, KeptRendezvous, KeptSession, RendezvousToKeep};
use sealing::{Kind, SealingKey};
pub(crate) use state::{Account, AuthenticationServiceState, ConnectionKey, KeptRequest, OwnQueue, State};

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
    sealing_key: SealingKey,
    randomness: Randomness,
    fuse: Fuse,
    /// Unlocked when it is closed, whatever ends the process.
    lock: File,
}

/// Unlocks the directory at once. To close the file is not enough: a program that another thread is just starting has it
/// open too, until it runs.
impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Home {
    /// Opens the home in `directory`, or gives `None` if there is none. Nothing is created.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn open(directory: &Path, randomness: Randomness, fuse: Fuse) -> Result<Option<Self>, HomeError> {
        if files::exists(&device_key_path(directory))? || files::exists(&state_path(directory))? {
            files::require_private_directory(directory)?;
            Self::lock(directory, randomness, fuse).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Opens the home in `directory`; makes directory and device key if there are none.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn open_or_create(directory: &Path, randomness: Randomness, fuse: Fuse) -> Result<Self, HomeError> {
        files::make_private_directory(directory, &fuse)?;
        Self::lock(directory, randomness, fuse)
    }

    fn lock(directory: &Path, mut randomness: Randomness, fuse: Fuse) -> Result<Self, HomeError> {
        let lock_path = directory.join("lock");
        let lock = files::open_lock(&lock_path)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => HomeError::InUse(directory.to_owned()),
            TryLockError::Error(source) => HomeError::Io { path: lock_path, action: "locked", source },
        })?;
        let sealing_key = SealingKey::of_device(directory, &mut randomness, &fuse)?;
        Ok(Self { directory: directory.to_owned(), sealing_key, randomness, fuse, lock })
    }

    /// Reads the state, or gives `None` if none was ever written.
    ///
    /// # Errors
    /// [`HomeError`] if it cannot be read or opened.
    pub(crate) fn load(&self) -> Result<Option<State>, HomeError> {
        let path = state_path(&self.directory);
        match fs::read(&path) {
            Ok(sealed) => {
                let opened = self.sealing_key.open(Kind::State, sealed, &path)?;
                State::from_json(&opened, &path).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { path, action: "read", source }),
        }
    }

    /// Replaces the state: a crash leaves the old or the new one, whole.
    ///
    /// # Errors
    /// [`HomeError`] if it cannot be written. Which of the two is there then, [`Home::load`] tells.
    pub(crate) fn store(&self, state: &State) -> Result<(), HomeError> {
        let sealed = self.sealing_key.seal(Kind::State, state.to_json(), &mut self.randomness.clone());
        files::replace(&state_path(&self.directory), &sealed, &self.fuse)
    }
}

fn device_key_path(directory: &Path) -> PathBuf {
    directory.join("device-key")
}

fn state_path(directory: &Path) -> PathBuf {
    directory.join("state")
}
#[cfg(all(test, unix))]
mod tests;
