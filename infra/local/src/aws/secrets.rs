//! Secrets Manager: documents by name, in memory or in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answer::Answer;
use crate::private_file;
use crate::template::Secret;

/// The secrets of the template. Some may have no document yet.
pub struct Secrets {
    declared: Vec<Secret>,
    file: Option<PathBuf>,
    documents: Mutex<BTreeMap<String, Zeroizing<String>>>,
}

impl Secrets {
    pub(crate) fn in_memory(declared: Vec<Secret>, documents: BTreeMap<String, Zeroizing<String>>) -> Self {
        Self { declared, file: None, documents: Mutex::new(documents) }
    }

    pub(crate) fn in_file(declared: Vec<Secret>, file: &Path) -> io::Result<Self> {
        let documents = match std::fs::read(file).map(Zeroizing::new) {
            Ok(content) => serde_json::from_slice::<BTreeMap<String, String>>(&content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let documents = documents.into_iter().map(|(name, document)| (name, Zeroizing::new(document))).collect();
        Ok(Self { declared, file: Some(file.to_owned()), documents: Mutex::new(documents) })
    }

    /// Whether the secret of this logical id has a document.
    pub fn has(&self, logical_id: &str) -> bool {
        self.documents().contains_key(logical_id)
    }

    /// The document of the secret of this logical id, for whoever replaces it.
    pub(crate) fn document(&self, logical_id: &str) -> Option<Zeroizing<String>> {
        self.documents().get(logical_id).cloned()
    }

    /// Puts a document under the secret of this logical id, in place of the one it has.
    ///
    /// # Errors
    /// If the template has no such secret or the file cannot be written; the secret is then as it was.
    pub fn put(&self, logical_id: &str, document: &str) -> io::Result<()> {
        if !self.declared.iter().any(|secret| secret.logical_id == logical_id) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("template.yaml has no secret {logical_id}")));
        }
        let mut documents = self.documents();
        let mut changed = documents.clone();
        changed.insert(logical_id.to_owned(), Zeroizing::new(document.to_owned()));
        if let Some(file) = &self.file {
            let content: BTreeMap<&str, &str> =
                changed.iter().map(|(name, document)| (name.as_str(), document.as_str())).collect();
            private_file::replace(file, &Zeroizing::new(serde_json::to_vec(&content)?))?;
        }
        *documents = changed;
        Ok(())
    }

    /// Answers a call as Secrets Manager does.
    pub(crate) fn answer(&self, operation: &str, body: &Value) -> Answer {
        let not_found = |message: &str| Answer::error(400, "ResourceNotFoundException", message);
        let id = body.get("SecretId").and_then(Value::as_str);
        let Some(secret) = self.declared.iter().find(|secret| Some(secret.arn.as_str()) == id) else {
            return not_found("Secrets Manager can't find the specified secret.");
        };
        let mut described = json!({"ARN": secret.arn, "Name": secret.logical_id, "VersionStages": ["AWSCURRENT"]});
        match (operation, body.get("SecretString").and_then(Value::as_str)) {
            ("GetSecretValue", None) => {
                let documents = self.documents();
                let Some(document) = documents.get(&secret.logical_id) else {
                    let missing = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
                    return not_found(missing);
                };
                described["SecretString"] = json!(document.as_str());
                Answer::ok(&described)
            }
            ("PutSecretValue", Some(document)) => match self.put(&secret.logical_id, document) {
                Ok(()) => Answer::ok(&described),
                Err(error) => Answer::error(500, "InternalServiceError", &error.to_string()),
            },
            _ => Answer::error(400, "UnknownOperationException", "the local cloud gets and puts whole documents only"),
        }
    }

    /// Every document.
    pub(crate) fn all(&self) -> BTreeMap<String, Zeroizing<String>> {
        self.documents().clone()
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<String, Zeroizing<String>>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secrets").field("declared", &self.declared).finish_non_exhaustive()
    }
}
