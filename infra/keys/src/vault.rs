//! The deployment's secrets and public items where they are kept: read, and replaced.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use vestibule_backend::Environment;
use vestibule_backend::dynamodb::{Item, PARTITION_KEY};
use vestibule_backend::secret::SecretDocument as _;
use vestibule_protocol::time::Timestamp;
use vestibule_tokens::IssuerKeysDocument;
use zeroize::Zeroizing;

use crate::agreement::{check_agreement, check_usable};
use crate::succession::{check_item, check_secret};
use crate::{
    AuthenticationServiceKeys, Deployment, PublicItem, SECRETS, SecretDocumentJson, Stack, StackError, SuccessionError,
};

/// Secret documents and public items: some of a deployment's, or all.
#[derive(Default)]
pub struct KeyFiles {
    /// The secret documents.
    pub secrets: Vec<SecretDocumentJson>,
    /// The public items.
    pub items: Vec<(PublicItem, Item)>,
}

impl KeyFiles {
    /// The secret document for this purpose.
    pub fn secret(&self, purpose: &str) -> Option<&str> {
        self.secrets.iter().find(|secret| secret.purpose == purpose).map(|secret| secret.json.as_str())
    }

    /// The item of this kind.
    pub fn item(&self, wanted: PublicItem) -> Option<&Item> {
        self.items.iter().find(|(kind, _)| *kind == wanted).map(|(_, item)| item)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.items.is_empty()
    }
}

impl From<Deployment> for KeyFiles {
    /// Everything but the root key.
    fn from(deployment: Deployment) -> Self {
        let items = vec![
            (PublicItem::QsKeys, deployment.queuing_service.public_keys_item()),
            (PublicItem::TokenKeys, deployment.token_issuer.public_keys_item()),
            (PublicItem::Credentials, deployment.public_credentials_item()),
        ];
        let Deployment { mut secrets, queuing_service, token_issuer, .. } = deployment;
        secrets.extend(queuing_service.secrets);
        secrets.push(token_issuer.secret);
        Self { secrets, items }
    }
}

impl From<AuthenticationServiceKeys> for KeyFiles {
    fn from(keys: AuthenticationServiceKeys) -> Self {
        let items = vec![(PublicItem::Credentials, keys.public_credentials_item())];
        Self { secrets: keys.secret.into_iter().collect(), items }
    }
}

/// What an upload has done with a secret or an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The secret's ARN, or the table's name and what the item is for.
    pub place: String,
    /// Whether something else was there, or nothing.
    pub is_new: bool,
}

/// Why keys cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The stack does not say where.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Something that is in use would be gone. Nothing was written.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// AWS refuses a call.
    #[error("{operation} on {place}: {code}")]
    Call {
        /// The call.
        operation: &'static str,
        /// On what.
        place: String,
        /// What AWS says.
        code: String,
    },
    /// Somebody else has written the secret or the item meanwhile.
    #[error("{0} was changed by somebody else just now: begin again with what is there (download)")]
    Changed(String),
    /// Something was written before an error.
    #[error("{reason}")]
    Interrupted {
        /// What is in place.
        written: Vec<Written>,
        /// What is not: secrets' ARNs, or tables' names and what the items are for. The first may be, if no answer came.
        left: Vec<String>,
        /// What went wrong.
        reason: Box<VaultError>,
    },
}

/// What is there.
#[derive(Default)]
struct Present {
    files: KeyFiles,
    /// The version of the secret for each purpose.
    versions: BTreeMap<&'static str, String>,
}

/// What there is to write, and in whose place.
enum Step<'a> {
    Secret(&'a SecretDocumentJson, Option<&'a String>),
    Item(PublicItem, &'a Item, Option<&'a Item>),
}

/// The stage of the version that functions read.
const CURRENT_STAGE: &str = "AWSCURRENT";
/// The stage of a version until it is current. It stays with the last one that was put.
const NEXT_STAGE: &str = "VESTIBULENEXT";

/// The place where a deployment keeps its keys: Secrets Manager for secrets, the tables for what is public.
pub struct Vault {
    secrets: aws_sdk_secretsmanager::Client,
    tables: aws_sdk_dynamodb::Client,
    stack: Stack,
}

impl Vault {
    /// The one of this stack, through the clients of `environment`.
    pub fn new(environment: &Environment, stack: Stack) -> Self {
        Self { secrets: environment.secrets_manager(), tables: environment.dynamodb(), stack }
    }

    /// Everything that is there.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn download(&self) -> Result<KeyFiles, VaultError> {
        Ok(self.present(|_| true).await?.files)
    }

    /// The public items, and the secrets for these purposes: those that nobody needs now are not read.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn download_for(&self, purposes: &[&str]) -> Result<KeyFiles, VaultError> {
        Ok(self.present(|purpose| purposes.contains(&purpose)).await?.files)
    }

    /// Puts files in the place of what is there, unless something that is in use would be gone, or functions could not use what
    /// is new: then nothing is written. What is the same already stays. Secrets come first: what is published is asked for.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn upload(&self, files: &KeyFiles, now: Timestamp) -> Result<Vec<Written>, VaultError> {
        let Present { files: present, versions } = self.present(|_| true).await?;
        self.check(files, &present, now)?;
        let mut steps = Vec::new();
        for next in &files.secrets {
            let is_new = !present.secret(next.purpose).is_some_and(|present| is_same(present, &next.json));
            let place = self.stack.secret(next.logical_id)?.to_owned();
            steps.push((Step::Secret(next, versions.get(next.purpose)), Written { place, is_new }));
        }
        for (kind, next) in &files.items {
            let is_new = present.item(*kind) != Some(next);
            let place = format!("{}, {}", self.stack.table(kind.table())?, kind.file_name());
            steps.push((Step::Item(*kind, next, present.item(*kind)), Written { place, is_new }));
        }
        for (index, (step, written)) in steps.iter().enumerate() {
            let outcome = match step {
                _ if !written.is_new => Ok(()),
                Step::Secret(next, version) => self.put_secret(next, version.map(String::as_str)).await,
                Step::Item(kind, next, present) => self.put_item(*kind, next, *present).await,
            };
            if let Err(reason) = outcome {
                let written = steps[..index].iter().map(|(_, written)| written.clone()).collect();
                let is_new = |(_, left): &&(Step<'_>, Written)| left.is_new;
                let left = steps[index..].iter().filter(is_new).map(|(_, left)| left.place.clone()).collect();
                return Err(VaultError::Interrupted { written, left, reason: Box::new(reason) });
            }
        }
        Ok(steps.into_iter().map(|(_, written)| written).collect())
    }

    /// Checks an upload against what is there, before anything is written.
    fn check(&self, files: &KeyFiles, present: &KeyFiles, now: Timestamp) -> Result<(), SuccessionError> {
        let mut new = KeyFiles::default();
        for (kind, next) in &files.items {
            let there = present.item(*kind);
            if there == Some(next) {
                continue;
            }
            if let Some(there) = there {
                let purpose = IssuerKeysDocument::PURPOSE;
                check_item(*kind, there, next, files.secret(purpose).or(present.secret(purpose)), now)?;
            }
            new.items.push((*kind, next.clone()));
        }
        let credentials = files.item(PublicItem::Credentials).or(present.item(PublicItem::Credentials));
        for next in &files.secrets {
            let there = present.secret(next.purpose);
            if there.is_some_and(|there| is_same(there, &next.json)) {
                continue;
            }
            if let Some(there) = there {
                check_secret(there, next, credentials, now)?;
            }
            check_usable(next, self.stack.domain(), now)?;
            let SecretDocumentJson { logical_id, purpose, json } = next;
            new.secrets.push(SecretDocumentJson { logical_id, purpose, json: json.clone() });
        }
        check_agreement(&new, present, now)
    }

    /// The items that are there, and the secrets whose purpose is wanted, with the version of each.
    async fn present(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Present, VaultError> {
        let mut present = Present::default();
        for (purpose, logical_id) in SECRETS.into_iter().filter(|(purpose, _)| is_wanted(purpose)) {
            if let Some((json, version)) = self.secret(logical_id).await? {
                present.files.secrets.push(SecretDocumentJson { logical_id, purpose, json });
                present.versions.insert(purpose, version);
            }
        }
        for kind in PublicItem::ALL {
            present.files.items.extend(self.item(kind).await?.map(|item| (kind, item)));
        }
        Ok(present)
    }

    /// A secret's document and version.
    async fn secret(&self, logical_id: &str) -> Result<Option<(Zeroizing<String>, String)>, VaultError> {
        let arn = self.stack.secret(logical_id)?;
        match self.secrets.get_secret_value().secret_id(arn).send().await {
            Ok(answer) => Ok(answer.secret_string.map(Zeroizing::new).zip(answer.version_id)),
            // A secret that has no value yet is not found either.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(failed("GetSecretValue", arn, &error)),
        }
    }

    /// Puts a secret in the place of exactly the version that was read: first beside it, then the stage `AWSCURRENT` is moved
    /// from the one to the other.
    async fn put_secret(&self, secret: &SecretDocumentJson, present: Option<&str>) -> Result<(), VaultError> {
        let arn = self.stack.secret(secret.logical_id)?;
        let put = self.secrets.put_secret_value().secret_id(arn).secret_string(secret.json.as_str());
        let put = put.version_stages(NEXT_STAGE).send().await.map_err(|error| failed("PutSecretValue", arn, &error))?;
        let update = self.secrets.update_secret_version_stage().secret_id(arn).version_stage(CURRENT_STAGE);
        let update =
            update.set_move_to_version_id(put.version_id).set_remove_from_version_id(present.map(str::to_owned));
        let Err(error) = update.send().await else { return Ok(()) };
        // The first version of a secret has the stage at once, and somebody else may have put the same.
        match self.secret(secret.logical_id).await? {
            Some((json, _)) if is_same(&json, &secret.json) => Ok(()),
            there if there.as_ref().map(|(_, version)| version.as_str()) != present => {
                Err(VaultError::Changed(arn.to_owned()))
            }
            _ => Err(failed("UpdateSecretVersionStage", arn, &error)),
        }
    }

    async fn item(&self, kind: PublicItem) -> Result<Option<Item>, VaultError> {
        let table = self.stack.table(kind.table())?;
        let get = self.tables.get_item().table_name(table).set_key(Some(kind.key().into())).consistent_read(true);
        let answer = get.send().await.map_err(|error| failed("GetItem", table, &error))?;
        Ok(answer.item.map(Item::from))
    }

    /// Puts an item in the place of exactly the one that was read.
    async fn put_item(&self, kind: PublicItem, next: &Item, present: Option<&Item>) -> Result<(), VaultError> {
        let table = self.stack.table(kind.table())?;
        let mut put = self.tables.put_item().table_name(table).set_item(Some(next.clone().into()));
        let mut conditions = Vec::new();
        for (index, (name, value)) in present.cloned().map(attributes).unwrap_or_default().into_iter().enumerate() {
            conditions.push(format!("#n{index} = :v{index}"));
            put = put.expression_attribute_names(format!("#n{index}"), name);
            put = put.expression_attribute_values(format!(":v{index}"), value);
        }
        if conditions.is_empty() {
            conditions.push(format!("attribute_not_exists({PARTITION_KEY})"));
        }
        let Err(error) = put.condition_expression(conditions.join(" AND ")).send().await else { return Ok(()) };
        // Somebody else may have put the same, or the SDK asked again when an answer was lost.
        let is_refused = error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception());
        match is_refused {
            true if self.item(kind).await?.as_ref() == Some(next) => Ok(()),
            true => Err(VaultError::Changed(format!("{table}, {}", kind.file_name()))),
            false => Err(failed("PutItem", table, &error)),
        }
    }
}

fn attributes(item: Item) -> Vec<(String, AttributeValue)> {
    std::collections::HashMap::from(item).into_iter().collect()
}

/// Tools that write a document to a file like to end it with a new line.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end() == other.trim_end()
}

fn failed(operation: &'static str, place: &str, error: &impl ProvideErrorMetadata) -> VaultError {
    let code = error.code().unwrap_or("no answer").to_owned();
    VaultError::Call { operation, place: place.to_owned(), code }
}
