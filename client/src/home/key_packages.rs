//! The private parts of KeyPackages: a file for each generation, written once.
//!
//! They are not in the state because they are large, ten times as large as all the rest, and change least: every later
//! change of the state would have to write them again. A generation's file is there before the state speaks of the
//! generation; one that the state does not speak of is what a crash left, and will be replaced or removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vestibule_key_packages::PrivateKeyPackage;

use super::json::to_secret_json;
use super::sealing::Kind;
use super::{Home, HomeError};

/// The version of [`PrivateKeyPackages`]' form.
const VERSION: u16 = 1;

const FILE_NAME_PREFIX: &str = "key-packages-";

/// What a client keeps of a generation of KeyPackages.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivateKeyPackages {
    version: u16,
    generation: u64,
    pub(crate) packages: Vec<PrivateKeyPackage>,
}

impl PrivateKeyPackages {
    pub(crate) fn new(generation: u64, packages: Vec<PrivateKeyPackage>) -> Self {
        Self { version: VERSION, generation, packages }
    }
}

impl Home {
    /// Writes the private parts of a generation.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn store_key_packages(&self, key_packages: &PrivateKeyPackages) -> Result<(), HomeError> {
        let path = self.key_packages_path(key_packages.generation);
        self.replace(Kind::KeyPackages, &path, to_secret_json(key_packages))
    }

    /// Reads the private parts of a generation that was kept.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn load_key_packages(&self, generation: u64) -> Result<PrivateKeyPackages, HomeError> {
        let path = self.key_packages_path(generation);
        let sealed = fs::read(&path).map_err(|source| HomeError::Io { path: path.clone(), action: "read", source })?;
        let json = self.keys.open(Kind::KeyPackages, &sealed, &path)?;
        let key_packages: PrivateKeyPackages =
            serde_json::from_slice(&json).map_err(|_| HomeError::Damaged(path.clone()))?;
        if key_packages.version > VERSION {
            Err(HomeError::NewerVersion(path))
        } else if key_packages.generation != generation {
            // A sealed file of ours, but in the place of another.
            Err(HomeError::Damaged(path))
        } else {
            Ok(key_packages)
        }
    }

    /// Removes the private parts of all generations but these.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn remove_key_packages_except(&self, generations: &[u64]) -> Result<(), HomeError> {
        let kept: Vec<_> = generations.iter().map(|generation| self.key_packages_path(*generation)).collect();
        for path in self.all_key_packages()? {
            if !kept.contains(&path) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.not_tidied(error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The files of all generations, whole or not.
    pub(super) fn all_key_packages(&self) -> Result<Vec<PathBuf>, HomeError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|source| self.not_tidied(source))? {
            let path = entry.map_err(|source| self.not_tidied(source))?.path();
            if is_key_packages_path(&path) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    fn not_tidied(&self, source: io::Error) -> HomeError {
        HomeError::Io { path: self.directory.clone(), action: "tidied", source }
    }

    fn key_packages_path(&self, generation: u64) -> PathBuf {
        self.directory.join(format!("{FILE_NAME_PREFIX}{generation}"))
    }
}

fn is_key_packages_path(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(FILE_NAME_PREFIX))
}
