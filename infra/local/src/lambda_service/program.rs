//! What a function is before it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The binary of a function and what it is started with.
pub(crate) struct Program {
    /// The function's name.
    pub(crate) name: String,
    /// The binary.
    pub(crate) file: PathBuf,
    /// All of its environment variables but for the one that says where its Runtime API is.
    pub(crate) variables: BTreeMap<String, String>,
    /// The ARN it is told it was called by.
    pub(crate) arn: String,
    /// How long it may take to answer an event.
    pub(crate) timeout: Duration,
}

/// Without the variables, in one of which is an access key.
impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Program").field("name", &self.name).field("file", &self.file).finish_non_exhaustive()
    }
}
