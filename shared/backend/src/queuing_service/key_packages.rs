//! The clients' KeyPackages in `QsTable`.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `CLIENT#<qs_client_id>` | `CLIENT` | beside the record's own: `generation` N, `digest` B, `head` N, `tail` N, `not_after` N, `last_resort` B, `last_resort_not_after` N, `last_resort_uses` N |
//! | | `KEY_PACKAGE#<generation, 20 digits>#<digest>#<index, 3 digits>` | `add_package` B, `expires_at` N |
//!
//! A *generation* is what one request published. Its packages lie under its number and the digest of the request, and
//! are written first; then one conditional update of the record makes them the current ones. So no claim ever sees a
//! half-written generation, two requests with one number do not mix, and what a crash leaves behind expires.
//!
//! `head` counts up with every claim: whoever raises it owns the package of that index and deletes it.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use vestibule_protocol::encoding::{self, Bytes};
use vestibule_protocol::endpoint::GetKeyPackagesResponse;
use vestibule_protocol::keys::{QsClientRecordKey, VerifyingKey};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::time::Timestamp;

use super::clients::{VERIFYING_KEY, client_key, client_partition, client_unknown};
use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call, number, try_again, without_retries};
use crate::metrics::{self, Metric};
use crate::{Environment, StartError};

const ADD_PACKAGE: &str = "add_package";
const DIGEST: &str = "digest";
const GENERATION: &str = "generation";
const HEAD: &str = "head";
const LAST_RESORT: &str = "last_resort";
const LAST_RESORT_USES: &str = "last_resort_uses";
const NOT_AFTER: &str = "not_after";
const TAIL: &str = "tail";

/// How many items DynamoDB takes in one batch.
const BATCH_SIZE: usize = 25;
/// How often what a batch left undone is sent again.
const BATCH_RETRIES: u32 = 4;

/// The attributes of a client's record that has no KeyPackages yet, in `item`.
pub(super) fn without_any(item: Item) -> Item {
    [GENERATION, HEAD, TAIL, NOT_AFTER, LAST_RESORT_USES].into_iter().fold(item, |item, name| item.number(name, 0))
}

/// An AddPackage to be stored.
pub struct StoredPackage {
    /// The AddPackage.
    pub add_package: Bytes,
    /// The first second after its validity.
    pub not_after: Timestamp,
}

/// What one request publishes, checked.
pub struct NewGeneration {
    /// Its number.
    pub number: u64,
    /// The SHA-256 hash of the request.
    pub digest: [u8; 32],
    /// The packages to be handed out once.
    pub packages: Vec<StoredPackage>,
    /// The package to be handed out when they are gone.
    pub last_resort: StoredPackage,
    /// The first second in which one of `packages` is not valid any more.
    pub not_after: Timestamp,
}

/// A client's record, as far as KeyPackages are concerned.
pub struct QsClient {
    /// The client's key.
    pub verifying_key: VerifyingKey<QsClientRecordKey>,
    generation: u64,
    digest: Option<Vec<u8>>,
    supply: GetKeyPackagesResponse,
}

impl QsClient {
    fn from_item(item: &Item, now: Timestamp) -> Result<Self, Problem> {
        let corrupt = || corrupt_item("a QS client");
        let verifying_key = item.get_bytes(VERIFYING_KEY).ok_or_else(client_unknown)?;
        let number = |name| item.get_number(name).ok_or_else(corrupt);
        let (generation, not_after) = (number(GENERATION)?, Timestamp::from_seconds(number(NOT_AFTER)?));
        let left = number(TAIL)?.saturating_sub(number(HEAD)?);
        Ok(Self {
            verifying_key: VerifyingKey::from_bytes(verifying_key).ok_or_else(corrupt)?,
            generation,
            digest: item.get_bytes(DIGEST).map(<[u8]>::to_vec),
            supply: GetKeyPackagesResponse {
                generation,
                remaining: if now < not_after { left } else { 0 },
                last_resort_uses: number(LAST_RESORT_USES)?,
                not_after,
            },
        })
    }

    /// The client's supply.
    pub fn supply(&self) -> GetKeyPackagesResponse {
        self.supply.clone()
    }

    /// Whether the request of this hash published this generation already.
    ///
    /// # Errors
    /// [`ProblemType::GenerationOutdated`], [`ProblemType::GenerationTaken`]: it never will.
    pub fn is_published(&self, generation: u64, digest: &[u8; 32]) -> Result<bool, Problem> {
        if generation > self.generation {
            return Ok(false);
        }
        let current = self.generation;
        if generation < current || generation == 0 {
            let detail = format!("generation {current} is published; publish a higher one");
            return Err(Problem::new(ProblemType::GenerationOutdated, detail));
        }
        if self.digest.as_deref() == Some(digest) {
            return Ok(true);
        }
        let detail = format!("generation {current} is published with other KeyPackages; publish a higher one");
        Err(Problem::new(ProblemType::GenerationTaken, detail))
    }
}

/// The KeyPackages of the queuing service's clients.
pub struct KeyPackages {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl KeyPackages {
    /// The KeyPackages in the table named by `QS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("QS_TABLE")?.to_owned() })
    }

    /// Reads a client's record: one read.
    ///
    /// # Errors
    /// [`ProblemType::QsClientUnknown`], or the problem of a failed call.
    pub async fn client(&self, id: &QsClientId, now: Timestamp) -> Result<QsClient, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let request = request.set_key(Some(client_key(id).into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        QsClient::from_item(&Item::from(answer.item.ok_or_else(client_unknown)?), now)
    }

    /// Publishes a generation: a batch for every 25 packages, and one update. What was published before is not handed out
    /// any more.
    ///
    /// # Errors
    /// [`ProblemType::GenerationOutdated`], [`ProblemType::GenerationTaken`] if another request was faster; the problem of
    /// a failed call.
    pub async fn publish(&self, id: &QsClientId, generation: &NewGeneration, now: Timestamp) -> Result<(), Problem> {
        let items: Vec<_> = (0..)
            .zip(&generation.packages)
            .map(|(index, package)| {
                package_key(id, generation.number, &generation.digest, index)
                    .bytes(ADD_PACKAGE, &package.add_package)
                    .time(EXPIRES_AT, package.not_after)
            })
            .collect();
        for batch in items.chunks(BATCH_SIZE) {
            self.write_batch(batch).await?;
        }
        self.make_current(id, generation, now).await
    }

    /// Takes one package of a client: an ordinary one that nobody else is given, or else the last-resort one. At most one
    /// update and one delete, or two updates; one more if a package was lost.
    ///
    /// # Errors
    /// The problem of a failed call. A package may be lost by it: what raised `head` is not repeated.
    pub async fn claim(&self, id: &QsClientId, now: Timestamp) -> Result<Option<Bytes>, Problem> {
        if let Some(key) = self.take_next(id, now).await?
            && let Some(add_package) = self.take(key, now).await?
        {
            metrics::count(Metric::KeyPackages, "claimed", 1);
            return Ok(Some(add_package));
        }
        let last_resort = self.use_last_resort(id, now).await?;
        if last_resort.is_some() {
            metrics::count(Metric::KeyPackages, "last-resort", 1);
        }
        Ok(last_resort)
    }

    /// Puts items, over what is there: the same request puts the same.
    async fn write_batch(&self, items: &[Item]) -> Result<(), Problem> {
        let put = |item: &Item| {
            let put = PutRequest::builder().set_item(Some(item.clone().into())).build().expect("an item is given");
            WriteRequest::builder().put_request(put).build()
        };
        let mut pending: Vec<_> = items.iter().map(put).collect();
        for attempt in 0..=BATCH_RETRIES {
            let request = self.client.batch_write_item().request_items(&self.table, pending);
            let answer = request.send().await.map_err(|error| failed_call("BatchWriteItem", &error))?;
            pending = answer.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
            if pending.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25) * 2u32.pow(attempt)).await;
        }
        tracing::warn!(operation = "BatchWriteItem", "items were left unprocessed");
        Err(try_again())
    }

    async fn make_current(&self, id: &QsClientId, generation: &NewGeneration, now: Timestamp) -> Result<(), Problem> {
        let bytes = |bytes: &[u8]| AttributeValue::B(bytes.to_vec().into());
        let result = self
            .update_client(id)
            .update_expression(format!(
                "SET {GENERATION} = :generation, {DIGEST} = :digest, {HEAD} = :zero, {TAIL} = :tail, \
                 {NOT_AFTER} = :not_after, {LAST_RESORT} = :last_resort, \
                 last_resort_not_after = :last_resort_not_after, {LAST_RESORT_USES} = :zero"
            ))
            .condition_expression(format!("{GENERATION} < :generation"))
            .expression_attribute_values(":generation", number(generation.number))
            .expression_attribute_values(":digest", bytes(&generation.digest))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":tail", number(generation.packages.len() as u64))
            .expression_attribute_values(":not_after", number(generation.not_after.seconds()))
            .expression_attribute_values(":last_resort", bytes(&generation.last_resort.add_package.0))
            .expression_attribute_values(":last_resort_not_after", number(generation.last_resort.not_after.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            metrics::count(Metric::KeyPackages, "published", generation.packages.len() as u64);
            return Ok(());
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(failed_call("UpdateItem", &error));
        };
        // Somebody was faster: perhaps this very request, sent twice.
        let existing = QsClient::from_item(&Item::from(failed.item.clone().unwrap_or_default()), now)?;
        if existing.is_published(generation.number, &generation.digest)? { Ok(()) } else { Err(try_again()) }
    }

    /// Raises `head`, if there is a package at it, and gives the key of that package.
    async fn take_next(&self, id: &QsClientId, now: Timestamp) -> Result<Option<Item>, Problem> {
        let update = self
            .update_client(id)
            .update_expression(format!("ADD {HEAD} :one"))
            .condition_expression(format!("{HEAD} < {TAIL} AND {NOT_AFTER} > :now"));
        let Some(client) = count_up(update, now).await? else { return Ok(None) };
        let corrupt = || corrupt_item("a QS client");
        let (generation, head) = (client.get_number(GENERATION), client.get_number(HEAD));
        let digest = client.get_bytes(DIGEST).ok_or_else(corrupt)?;
        let index = head.and_then(|head| head.checked_sub(1)).ok_or_else(corrupt)?;
        Ok(Some(package_key(id, generation.ok_or_else(corrupt)?, digest, index)))
    }

    /// Deletes a package and gives it, unless it is gone or expired.
    async fn take(&self, key: Item, now: Timestamp) -> Result<Option<Bytes>, Problem> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key.into()))
            .return_values(ReturnValue::AllOld)
            .customize()
            // The second attempt would find nothing.
            .config_override(without_retries());
        let answer = request.send().await.map_err(|error| failed_call("DeleteItem", &error))?;
        let Some(item) = answer.attributes.map(Item::from) else { return Ok(None) };
        let corrupt = || corrupt_item("a KeyPackage");
        let is_valid = now < item.get_time(EXPIRES_AT).ok_or_else(corrupt)?;
        let add_package = Bytes(item.get_bytes(ADD_PACKAGE).ok_or_else(corrupt)?.to_vec());
        Ok(is_valid.then_some(add_package))
    }

    async fn use_last_resort(&self, id: &QsClientId, now: Timestamp) -> Result<Option<Bytes>, Problem> {
        let update = self
            .update_client(id)
            .update_expression(format!("ADD {LAST_RESORT_USES} :one"))
            .condition_expression("last_resort_not_after > :now");
        let Some(client) = count_up(update, now).await? else { return Ok(None) };
        let last_resort = client.get_bytes(LAST_RESORT).ok_or_else(|| corrupt_item("a QS client"))?;
        Ok(Some(Bytes(last_resort.to_vec())))
    }

    fn update_client(&self, id: &QsClientId) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).set_key(Some(client_key(id).into()))
    }
}

/// Makes an update that adds `:one` to something, and gives the item after it; none if its condition does not hold.
async fn count_up(update: UpdateItemFluentBuilder, now: Timestamp) -> Result<Option<Item>, Problem> {
    let result = update
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":now", number(now.seconds()))
        .return_values(ReturnValue::AllNew)
        .customize()
        // The second attempt would count again.
        .config_override(without_retries())
        .send()
        .await;
    match result {
        Ok(UpdateItemOutput { attributes, .. }) => Ok(attributes.map(Item::from)),
        Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
            Ok(None)
        }
        Err(error) => Err(failed_call("UpdateItem", &error)),
    }
}

fn package_key(id: &QsClientId, generation: u64, digest: &[u8], index: u64) -> Item {
    let digest = encoding::encode(digest);
    Item::keyed(client_partition(id), format!("KEY_PACKAGE#{generation:020}#{digest}#{index:03}"))
}
