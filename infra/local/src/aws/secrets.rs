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

/// The stage of the document that `GetSecretValue` answers.
const CURRENT_STAGE: &str = "AWSCURRENT";

/// The secrets of the template. Some may have no document yet.
pub struct Secrets {
    declared: Vec<Secret>,
    file: Option<PathBuf>,
    documents: Mutex<BTreeMap<String, Zeroizing<String>>>,
    versions: Mutex<Versions>,
}

/// What tells one document of a secret from the next, and documents that wait for the stage `AWSCURRENT`. In memory only: who
/// replaces a secret begins with what it reads.
#[derive(Default)]
struct Versions {
    count: u64,
    current: BTreeMap<String, u64>,
    waiting: BTreeMap<String, Vec<(u64, Zeroizing<String>)>>,
}

impl Secrets {
    pub(crate) fn in_memory(declared: Vec<Secret>, documents: BTreeMap<String, Zeroizing<String>>) -> Self {
        Self { declared, file: None, documents: Mutex::new(documents), versions: Mutex::default() }
    }

    pub(crate) fn in_file(declared: Vec<Secret>, file: &Path) -> io::Result<Self> {
        let documents = match std::fs::read(file).map(Zeroizing::new) {
            Ok(content) => serde_json::from_slice::<BTreeMap<String, String>>(&content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let documents = documents.into_iter().map(|(name, document)| (name, Zeroizing::new(document))).collect();
        Ok(Self { declared, file: Some(file.to_owned()), documents: Mutex::new(documents), versions: Mutex::default() })
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
        let mut versions = self.versions();
        versions.count += 1;
        let version = versions.count;
        versions.current.insert(logical_id.to_owned(), version);
        Ok(())
    }

    /// Answers a call as Secrets Manager does.
    pub(crate) fn answer(&self, operation: &str, body: &Value) -> Answer {
        let id = body.get("SecretId").and_then(Value::as_str);
        let Some(secret) = self.declared.iter().find(|secret| Some(secret.arn.as_str()) == id) else {
            return not_found("Secrets Manager can't find the specified secret.");
        };
        match operation {
            "GetSecretValue" => {
                let documents = self.documents();
                let Some(document) = documents.get(&secret.logical_id) else {
                    let missing = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
                    return not_found(missing);
                };
                let mut described = described(secret, self.versions().current(&secret.logical_id), CURRENT_STAGE);
                described["SecretString"] = json!(document.as_str());
                Answer::ok(&described)
            }
            "PutSecretValue" => self.answer_put(secret, body),
            "UpdateSecretVersionStage" => self.answer_stage(secret, body),
            _ => {
                Answer::error(400, "UnknownOperationException", "the local cloud gets, puts and stages documents only")
            }
        }
    }

    /// A document without the stage `AWSCURRENT` waits for it.
    fn answer_put(&self, secret: &Secret, body: &Value) -> Answer {
        let Some(document) = body.get("SecretString").and_then(Value::as_str) else {
            return invalid("the local cloud puts strings only");
        };
        let stage = body["VersionStages"][0].as_str().unwrap_or(CURRENT_STAGE);
        if stage != CURRENT_STAGE {
            let mut versions = self.versions();
            versions.count += 1;
            let version = versions.count;
            let waiting = versions.waiting.entry(secret.logical_id.clone()).or_default();
            waiting.push((version, Zeroizing::new(document.to_owned())));
            return Answer::ok(&described(secret, version, stage));
        }
        match self.put(&secret.logical_id, document) {
            Ok(()) => Answer::ok(&described(secret, self.versions().current(&secret.logical_id), stage)),
            Err(error) => Answer::error(500, "InternalServiceError", &error.to_string()),
        }
    }

    /// Moves the stage `AWSCURRENT` to the document that waits, from exactly the version that the caller names.
    fn answer_stage(&self, secret: &Secret, body: &Value) -> Answer {
        if body["VersionStage"] != CURRENT_STAGE {
            return invalid("the local cloud moves the stage AWSCURRENT only");
        }
        let document = {
            let (documents, mut versions) = (self.documents(), self.versions());
            let has_current = documents.contains_key(&secret.logical_id);
            let current = has_current.then(|| json!(version_id(versions.current(&secret.logical_id))));
            if current.unwrap_or_default() != body["RemoveFromVersionId"] {
                return invalid("the stage AWSCURRENT is at another version");
            }
            let is_meant = |(version, _): &&(u64, Zeroizing<String>)| body["MoveToVersionId"] == version_id(*version);
            let meant = versions.waiting.get(&secret.logical_id).and_then(|waiting| waiting.iter().find(is_meant));
            let Some(document) = meant.map(|(_, document)| document.clone()) else {
                return not_found("Secrets Manager can't find the specified secret version.");
            };
            // One of those that wait is taken, and the others are too late.
            versions.waiting.remove(&secret.logical_id);
            document
        };
        match self.put(&secret.logical_id, &document) {
            Ok(()) => Answer::ok(&json!({"ARN": secret.arn, "Name": secret.logical_id})),
            Err(error) => Answer::error(500, "InternalServiceError", &error.to_string()),
        }
    }

    /// Every document.
    pub(crate) fn all(&self) -> BTreeMap<String, Zeroizing<String>> {
        self.documents().clone()
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<String, Zeroizing<String>>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Versions {
    fn current(&self, logical_id: &str) -> u64 {
        self.current.get(logical_id).copied().unwrap_or_default()
    }
}

fn version_id(version: u64) -> String {
    format!("{version:032}")
}

fn described(secret: &Secret, version: u64, stage: &str) -> Value {
    json!({"ARN": secret.arn, "Name": secret.logical_id, "VersionId": version_id(version), "VersionStages": [stage]})
}

fn not_found(message: &str) -> Answer {
    Answer::error(400, "ResourceNotFoundException", message)
}

fn invalid(message: &str) -> Answer {
    Answer::error(400, "InvalidParameterException", message)
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secrets").field("declared", &self.declared).finish_non_exhaustive()
    }
}
