//! A directory that one local cloud at a time keeps its state in.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::cloud::LocalCloudError;
use crate::private_file;

/// A locked state directory. The lock goes with the process, however it ends.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    pub(crate) fn open(path: &Path) -> Result<Self, LocalCloudError> {
        let unusable =
            |source| LocalCloudError::State { what: format!("the state directory {}", path.display()), source };
        private_file::create_directory(path).map_err(unusable)?;
        let lock = private_file::open(&path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(LocalCloudError::StateInUse { directory: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("dynamodb.sqlite")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets.json")
    }
}
