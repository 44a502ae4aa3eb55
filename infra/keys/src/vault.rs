//! The deployment's secrets and public items where they are kept: read, and replaced.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use vestibule_backend::Environment;
use vestibule_backend::dynamodb::{Item, PARTITION_KEY};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

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
    /// Somebody else has written the item meanwhile.
    #[error("the item in {0} was changed by somebody else just now: begin again with what is there (download)")]
    Changed(String),
}

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
        let mut files = KeyFiles::default();
        for (purpose, logical_id) in SECRETS {
            let json = self.secret(logical_id).await?;
            files.secrets.extend(json.map(|json| SecretDocumentJson { logical_id, purpose, json }));
        }
        for kind in PublicItem::ALL {
            files.items.extend(self.item(kind).await?.map(|item| (kind, item)));
        }
        Ok(files)
    }

    /// Puts files in the place of what is there, unless something that is in use would be gone: then nothing is written. What
    /// is the same already stays. Secrets come first: what is published is asked for.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn upload(&self, files: &KeyFiles, now: Timestamp) -> Result<Vec<Written>, VaultError> {
        let mut present_items = Vec::new();
        for (kind, next) in &files.items {
            let present = self.item(*kind).await?;
            if let Some(present) = &present {
                check_item(*kind, present, next, now)?;
            }
            present_items.push(present);
        }
        let credentials = files.items.iter().find(|(kind, _)| *kind == PublicItem::Credentials).map(|(_, item)| item);
        let mut present_secrets = Vec::new();
        for next in &files.secrets {
            let present = self.secret(next.logical_id).await?;
            if let Some(present) = present.as_ref().filter(|present| !is_same(present, &next.json)) {
                check_secret(present, next, credentials, now)?;
            }
            present_secrets.push(present);
        }

        let mut written = Vec::new();
        for (next, present) in files.secrets.iter().zip(present_secrets) {
            let is_new = !present.is_some_and(|present| is_same(&present, &next.json));
            if is_new {
                self.put_secret(next).await?;
            }
            written.push(Written { place: self.stack.secret(next.logical_id)?.to_owned(), is_new });
        }
        for ((kind, next), present) in files.items.iter().zip(present_items) {
            let is_new = present.as_ref() != Some(next);
            if is_new {
                self.put_item(*kind, next, present).await?;
            }
            let place = format!("{}, {}", self.stack.table(kind.table())?, kind.file_name());
            written.push(Written { place, is_new });
        }
        Ok(written)
    }

    async fn secret(&self, logical_id: &str) -> Result<Option<Zeroizing<String>>, VaultError> {
        let arn = self.stack.secret(logical_id)?;
        match self.secrets.get_secret_value().secret_id(arn).send().await {
            Ok(answer) => Ok(answer.secret_string.map(Zeroizing::new)),
            // A secret that has no value yet is not found either.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(failed("GetSecretValue", arn, &error)),
        }
    }

    async fn put_secret(&self, secret: &SecretDocumentJson) -> Result<(), VaultError> {
        let arn = self.stack.secret(secret.logical_id)?;
        let put = self.secrets.put_secret_value().secret_id(arn).secret_string(secret.json.as_str());
        put.send().await.map_err(|error| failed("PutSecretValue", arn, &error))?;
        Ok(())
    }

    async fn item(&self, kind: PublicItem) -> Result<Option<Item>, VaultError> {
        let table = self.stack.table(kind.table())?;
        let get = self.tables.get_item().table_name(table).set_key(Some(kind.key().into())).consistent_read(true);
        let answer = get.send().await.map_err(|error| failed("GetItem", table, &error))?;
        Ok(answer.item.map(Item::from))
    }

    /// Puts an item in the place of exactly the one that was read.
    async fn put_item(&self, kind: PublicItem, next: &Item, present: Option<Item>) -> Result<(), VaultError> {
        let table = self.stack.table(kind.table())?;
        let mut put = self.tables.put_item().table_name(table).set_item(Some(next.clone().into()));
        let mut conditions = Vec::new();
        for (index, (name, value)) in present.map(attributes).unwrap_or_default().into_iter().enumerate() {
            conditions.push(format!("#n{index} = :v{index}"));
            put = put.expression_attribute_names(format!("#n{index}"), name);
            put = put.expression_attribute_values(format!(":v{index}"), value);
        }
        if conditions.is_empty() {
            conditions.push(format!("attribute_not_exists({PARTITION_KEY})"));
        }
        match put.condition_expression(conditions.join(" AND ")).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Err(VaultError::Changed(table.to_owned()))
            }
            Err(error) => Err(failed("PutItem", table, &error)),
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
