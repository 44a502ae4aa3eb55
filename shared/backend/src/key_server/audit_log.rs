//! The audit logs.

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, Put, WriteRequest};
use tls_codec::{DeserializeBytes as _, Serialize as _};
use vestibule_protocol::key_server::{AuditEntry, AuditHead};
use vestibule_protocol::limits::AUDIT_ENTRY_LIFETIME;
use vestibule_protocol::name::UserName;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;

use super::user_partition;
use crate::dynamodb::{EXPIRES_AT, Item, PARTITION_KEY, SORT_KEY, corrupt_item, failed_call, put_new, try_again};
use crate::{Environment, StartError};

const ENTRY: &str = "entry";
/// How many items one batch may delete.
const BATCH_LENGTH: i32 = 25;

/// The audit logs of the deployment's users.
pub struct AuditLog {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl AuditLog {
    /// The logs in the table named by `KS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("KS_TABLE")?.to_owned() })
    }

    /// At most `count` entries before the one with the number `before`, newest first; those that have expired are not
    /// there. One query.
    ///
    /// # Errors
    /// A [`Problem`] if the query fails.
    pub async fn read(
        &self,
        user_name: &UserName,
        head: &AuditHead,
        before: Option<u64>,
        count: usize,
        now: Timestamp,
    ) -> Result<Vec<AuditEntry>, Problem> {
        let newest = before.map_or(head.sequence, |before| before.saturating_sub(1).min(head.sequence));
        let limit = i32::try_from(count).unwrap_or(i32::MAX);
        let items = self.query(user_name, newest, limit).await?;
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let is_alive = item.get_time(EXPIRES_AT).is_none_or(|expires_at| now < expires_at);
            if !is_alive {
                break;
            }
            let entry = item.get_bytes(ENTRY).and_then(|bytes| AuditEntry::tls_deserialize_exact_bytes(bytes).ok());
            entries.push(entry.ok_or_else(|| corrupt_item("an audit entry"))?);
        }
        Ok(entries)
    }

    /// Deletes what is left of the log of a user whose storage key is deleted. Nobody can read it any more; what a failure
    /// leaves expires.
    ///
    /// # Errors
    /// A [`Problem`] if a call fails.
    pub async fn delete(&self, user_name: &UserName) -> Result<(), Problem> {
        loop {
            let items = self.query(user_name, u64::MAX, BATCH_LENGTH).await?;
            let deletions: Vec<_> = items.iter().filter_map(deletion).collect();
            if deletions.is_empty() {
                return Ok(());
            }
            let request = self.client.batch_write_item().request_items(&self.table, deletions);
            let answer = request.send().await.map_err(|error| failed_call("BatchWriteItem", &error))?;
            if answer.unprocessed_items.is_some_and(|items| !items.is_empty()) {
                return Err(try_again());
            }
        }
    }

    async fn query(&self, user_name: &UserName, newest: u64, limit: i32) -> Result<Vec<Item>, Problem> {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(limit)
            .key_condition_expression(format!("{PARTITION_KEY} = :user AND {SORT_KEY} BETWEEN :oldest AND :newest"))
            .expression_attribute_values(":user", AttributeValue::S(user_partition(user_name)))
            .expression_attribute_values(":oldest", AttributeValue::S(sort_key(0)))
            .expression_attribute_values(":newest", AttributeValue::S(sort_key(newest)));
        let answer = request.send().await.map_err(|error| failed_call("Query", &error))?;
        Ok(answer.items.unwrap_or_default().into_iter().map(Item::from).collect())
    }
}

/// The part of a transaction that adds an entry.
pub(super) fn put_entry(table: &str, user_name: &UserName, entry: &AuditEntry) -> Put {
    let bytes = entry.tls_serialize_detached().expect("it is within TLS's limits");
    let item = Item::keyed(user_partition(user_name), sort_key(entry.sequence))
        .bytes(ENTRY, bytes)
        .time(EXPIRES_AT, entry.at.saturating_add(AUDIT_ENTRY_LIFETIME));
    put_new(table, item)
}

/// Sorted as text they are sorted by number.
fn sort_key(sequence: u64) -> String {
    format!("AUDIT#{sequence:020}")
}

fn deletion(item: &Item) -> Option<WriteRequest> {
    let key = Item::keyed(item.get_string(PARTITION_KEY)?, item.get_string(SORT_KEY)?);
    let request = DeleteRequest::builder().set_key(Some(key.into())).build().ok()?;
    Some(WriteRequest::builder().delete_request(request).build())
}
