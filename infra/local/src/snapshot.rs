//! What a local cloud in memory holds, to begin others with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dynoxide::{Database, DynoxideError};
use zeroize::Zeroizing;

use crate::cloud::LocalCloudError;

/// The tables and secrets of a local cloud. Connections, messages on their way and what its functions remember are no part
/// of it.
#[derive(Clone)]
pub struct Snapshot {
    /// A database of SQLite.
    database: Arc<[u8]>,
    secrets: Arc<BTreeMap<String, Zeroizing<String>>>,
}

impl Snapshot {
    /// # Errors
    /// [`LocalCloudError`] if there is no room for the database in the directory for temporary files.
    pub(crate) fn take(
        database: &Database,
        secrets: BTreeMap<String, Zeroizing<String>>,
    ) -> Result<Self, LocalCloudError> {
        let file = tempfile::NamedTempFile::new().map_err(unusable)?;
        database.vacuum_into(&file.path().to_string_lossy()).map_err(failed)?;
        let database = std::fs::read(file.path()).map_err(unusable)?.into();
        Ok(Self { database, secrets: Arc::new(secrets) })
    }

    /// A database in memory with the same content.
    pub(crate) fn database(&self) -> Result<Database, LocalCloudError> {
        let file = tempfile::NamedTempFile::new().map_err(unusable)?;
        std::fs::write(file.path(), &self.database).map_err(unusable)?;
        let database = Database::memory().map_err(failed)?;
        database.restore_from(&file.path().to_string_lossy()).map_err(failed)?;
        Ok(database)
    }

    pub(crate) fn secrets(&self) -> BTreeMap<String, Zeroizing<String>> {
        (*self.secrets).clone()
    }
}

fn unusable(source: std::io::Error) -> LocalCloudError {
    LocalCloudError::State { what: "a temporary file".to_owned(), source }
}

fn failed(error: DynoxideError) -> LocalCloudError {
    LocalCloudError::Database(error.to_string())
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
