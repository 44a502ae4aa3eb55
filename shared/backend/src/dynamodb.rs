//! DynamoDB items, and what its errors mean to a caller.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use crate::metrics;

/// The partition key of every table.
pub const PARTITION_KEY: &str = "pk";
/// The sort key of every table.
pub const SORT_KEY: &str = "sk";
/// When an item stops to exist, in seconds: DynamoDB deletes it some time after, so every read and every condition
/// checks it too.
pub const EXPIRES_AT: &str = "expires_at";

/// An item, or its key.
#[derive(Clone, Default, PartialEq)]
pub struct Item(HashMap<String, AttributeValue>);

impl Item {
    /// The key, or the beginning of the item, `partition` / `sort`.
    pub fn keyed(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self::default().string(PARTITION_KEY, partition).string(SORT_KEY, sort)
    }

    /// With a string.
    pub fn string(self, name: &str, value: impl Into<String>) -> Self {
        self.with(name, AttributeValue::S(value.into()))
    }

    /// With bytes.
    pub fn bytes(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(name, AttributeValue::B(Blob::new(value.as_ref())))
    }

    /// With a number.
    pub fn number(self, name: &str, value: u64) -> Self {
        self.with(name, AttributeValue::N(value.to_string()))
    }

    /// With a point in time, in seconds.
    pub fn time(self, name: &str, value: Timestamp) -> Self {
        self.number(name, value.seconds())
    }

    /// With a list of bytes.
    pub fn bytes_list(self, name: &str, values: &[impl AsRef<[u8]>]) -> Self {
        let values = values.iter().map(|value| AttributeValue::B(Blob::new(value.as_ref())));
        self.with(name, AttributeValue::L(values.collect()))
    }

    /// With a set of strings, which must not be empty.
    pub fn strings(self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.with(name, strings(values))
    }

    fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// The item as DynamoDB's JSON, for the tools with which an operator writes it.
    pub fn to_dynamodb_json(&self) -> Value {
        let attributes = self.0.iter().map(|(name, value)| (name.clone(), attribute_json(value)));
        Value::Object(attributes.collect())
    }

    /// Reads what [`Item::to_dynamodb_json`] writes; nothing else.
    pub fn from_dynamodb_json(json: &Value) -> Option<Self> {
        let attributes = json.as_object()?.iter();
        attributes.map(|(name, value)| Some((name.clone(), read_attribute(value)?))).collect::<Option<_>>().map(Self)
    }

    /// The bytes of an attribute.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name)?.as_b().ok().map(Blob::as_ref)
    }

    /// The text of an attribute.
    pub fn get_string(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_s().ok().map(String::as_str)
    }

    /// The number of an attribute.
    pub fn get_number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_n().ok()?.parse().ok()
    }

    /// The point in time of an attribute.
    pub fn get_time(&self, name: &str) -> Option<Timestamp> {
        self.get_number(name).map(Timestamp::from_seconds)
    }

    /// The set of numbers of an attribute; none if there is no such attribute, as DynamoDB knows no empty sets.
    pub fn get_numbers(&self, name: &str) -> Option<Vec<u64>> {
        let Some(value) = self.0.get(name) else { return Some(Vec::new()) };
        value.as_ns().ok()?.iter().map(|number| number.parse().ok()).collect()
    }

    /// The set of strings of an attribute.
    pub fn get_strings(&self, name: &str) -> Option<&[String]> {
        self.0.get(name)?.as_ss().ok().map(Vec::as_slice)
    }

    /// The list of bytes of an attribute.
    pub fn get_bytes_list(&self, name: &str) -> Option<Vec<&[u8]>> {
        self.0.get(name)?.as_l().ok()?.iter().map(|value| value.as_b().ok().map(Blob::as_ref)).collect()
    }
}

impl From<HashMap<String, AttributeValue>> for Item {
    fn from(attributes: HashMap<String, AttributeValue>) -> Self {
        Self(attributes)
    }
}

impl From<Item> for HashMap<String, AttributeValue> {
    fn from(item: Item) -> Self {
        item.0
    }
}

/// A number as expressions take it.
pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Bytes as expressions take them.
pub(crate) fn bytes(value: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// A set of strings as expressions take it.
pub(crate) fn strings(values: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::Ss(values.into_iter().collect())
}

/// For calls that do something else the second time: without retries inside the SDK.
pub(crate) fn without_retries() -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled())
}

/// The part of a transaction that puts an item where none is. The one that is there comes back if it fails.
pub(crate) fn put_new(table: &str, item: Item) -> Put {
    Put::builder()
        .table_name(table)
        .set_item(Some(item.into()))
        .condition_expression(format!("attribute_not_exists({PARTITION_KEY})"))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("a table and an item are given")
}

/// The part of a transaction that puts an item where none is, or one that has expired. The one that is there comes back
/// if it fails.
pub(crate) fn put_if_none_lives(table: &str, item: Item, now: Timestamp) -> Put {
    Put::builder()
        .table_name(table)
        .set_item(Some(item.into()))
        .condition_expression(format!("attribute_not_exists({PARTITION_KEY}) OR {EXPIRES_AT} <= :now"))
        .expression_attribute_values(":now", number(now.seconds()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("a table and an item are given")
}

/// A part of a transaction.
pub(crate) trait TransactionPart {
    /// The part, as the transaction takes it.
    fn part(self) -> TransactWriteItem;
}

impl TransactionPart for Put {
    fn part(self) -> TransactWriteItem {
        TransactWriteItem::builder().put(self).build()
    }
}

impl TransactionPart for Update {
    fn part(self) -> TransactWriteItem {
        TransactWriteItem::builder().update(self).build()
    }
}

impl TransactionPart for Delete {
    fn part(self) -> TransactWriteItem {
        TransactWriteItem::builder().delete(self).build()
    }
}

impl TransactionPart for ConditionCheck {
    fn part(self) -> TransactWriteItem {
        TransactWriteItem::builder().condition_check(self).build()
    }
}

/// Makes a transaction. If it is cancelled it has done nothing, and the reasons come back, one for each part.
///
/// # Errors
/// The problem of a failed call.
pub(crate) async fn transact(
    client: &aws_sdk_dynamodb::Client,
    parts: Vec<TransactWriteItem>,
) -> Result<Result<(), Vec<CancellationReason>>, Problem> {
    let result = client.transact_write_items().set_transact_items(Some(parts)).send().await;
    metrics::transaction_ended(result.is_ok());
    let Err(error) = result else { return Ok(Ok(())) };
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            Ok(Err(canceled.cancellation_reasons().to_vec()))
        }
        _ => Err(failed_call("TransactWriteItems", &error)),
    }
}

/// Whether the condition of this part of a transaction failed.
pub(crate) fn is_condition_failed(reason: Option<&CancellationReason>) -> bool {
    reason.is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

fn attribute_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) => json!({ "B": STANDARD.encode(bytes) }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(attribute_json).collect::<Vec<_>>() }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        _ => unreachable!("items are built of strings, numbers, bytes, lists of bytes and sets of strings"),
    }
}

fn read_attribute(json: &Value) -> Option<AttributeValue> {
    let (kind, value) = json.as_object().filter(|value| value.len() == 1)?.iter().next()?;
    match kind.as_str() {
        "S" => Some(AttributeValue::S(value.as_str()?.to_owned())),
        "N" => Some(AttributeValue::N(value.as_str()?.to_owned())),
        "B" => Some(AttributeValue::B(Blob::new(STANDARD.decode(value.as_str()?).ok()?))),
        "L" => value.as_array()?.iter().map(read_attribute).collect::<Option<_>>().map(AttributeValue::L),
        _ => None,
    }
}

/// Items hold keys and ratchets: only the names of their attributes are printed.
impl fmt::Debug for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The problem of an item that our own code did not write like this.
pub fn corrupt_item(what: &str) -> Problem {
    tracing::error!(what, "an item lacks an attribute or has one of the wrong type");
    Problem::new(ProblemType::InternalError, "the stored state is not readable")
}

/// What a log may say of a failed call to AWS: the service's error code, or at which step of the call it failed.
pub(crate) fn error_code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    match error {
        SdkError::ServiceError(service_error) => service_error.err().code().unwrap_or("unknown"),
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(_) => "dispatch-failure",
        SdkError::ResponseError(_) => "response-error",
        _ => "construction-failure",
    }
}

/// The problem of a DynamoDB call that failed for no reason of the caller's: to be tried again if it may pass, else a
/// defect of ours. The log names the operation and the error code, never an item.
pub fn failed_call<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Problem
where
    E: ProvideErrorMetadata,
{
    let code = error_code(error);
    let is_permanent = matches!(
        code,
        "AccessDeniedException"
            | "IdempotentParameterMismatchException"
            | "ItemCollectionSizeLimitExceededException"
            | "ResourceNotFoundException"
            | "SerializationException"
            | "UnrecognizedClientException"
            | "ValidationException"
            | "construction-failure"
    );
    if is_permanent {
        tracing::error!(operation, code, "a DynamoDB call is refused");
        return Problem::new(ProblemType::InternalError, "the service's state cannot be reached");
    }
    tracing::warn!(operation, code, "a DynamoDB call failed");
    try_again()
}

/// The problem of a request that met another, or a passing fault.
pub fn try_again() -> Problem {
    Problem::new(ProblemType::TemporarilyUnavailable, "send the same request again").retry_after(1)
}
