//! How an owner gets messages out of a queue.
//!
//! Asking for the messages from a number on acknowledges those before it. They are deleted first, and then counted as
//! deleted: what is interrupted in between, the next request deletes again.

use std::ops::Range;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::DequeueResponse;
use vestibule_protocol::limits::QUEUE_PAGE_LENGTH;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::QueueMessage;
use vestibule_protocol::time::Timestamp;

use super::{CIPHERTEXT, FIRST_SEQUENCE, MESSAGE_PREFIX, Queue, QueueName, Queues, expiry, message_sort_key};
use crate::dynamodb::{EXPIRES_AT, Item, PARTITION_KEY, SORT_KEY, corrupt_item, failed_call, number, try_again};

/// How many items DynamoDB deletes in one batch.
const BATCH_LENGTH: usize = 25;
/// How often what a batch left undone is sent again.
const BATCH_RETRIES: u32 = 4;
/// How many messages one request deletes at most: two pages. Whoever acknowledges more at once leaves the rest to the next
/// request.
const MAX_DELETED: u64 = 2 * QUEUE_PAGE_LENGTH as u64;

impl Queues {
    /// The messages of a queue that was just read, from a number on: one query; a batch for every 25 messages that this
    /// acknowledges and a write if there are any, or if it is the owner's first request in a month.
    ///
    /// # Errors
    /// [`ProblemType::QueueSequenceAhead`], or the problem of a failed call.
    pub async fn dequeue(
        &self,
        name: &QueueName,
        queue: &Queue,
        from: u64,
        now: Timestamp,
    ) -> Result<DequeueResponse, Problem> {
        let next_sequence = queue.ratchet.next_sequence();
        if from > next_sequence {
            let detail =
                format!("the queue's next message will be number {next_sequence}; was its reader's state lost?");
            return Err(Problem::new(ProblemType::QueueSequenceAhead, detail));
        }
        // A request of before, which comes late, acknowledges nothing.
        let first = queue.first_sequence;
        let acknowledged = from.clamp(first, first.saturating_add(MAX_DELETED));
        self.delete(name, first..acknowledged).await?;
        if acknowledged > first || expiry(now) > queue.expires_at {
            self.acknowledge(name, acknowledged, now).await?;
        }
        let messages = self.page(name, from.max(first)).await?;
        let behind_page = messages.last().map_or(0, |message| message.sequence + 1);
        Ok(DequeueResponse { messages, next_sequence: next_sequence.max(behind_page) })
    }

    async fn delete(&self, name: &QueueName, sequences: Range<u64>) -> Result<(), Problem> {
        let delete = |sequence| {
            let request = DeleteRequest::builder().set_key(Some(name.message_key(sequence).into()));
            WriteRequest::builder().delete_request(request.build().expect("a key is given")).build()
        };
        let deletes: Vec<_> = sequences.map(delete).collect();
        for batch in deletes.chunks(BATCH_LENGTH) {
            self.delete_batch(batch.to_vec()).await?;
        }
        Ok(())
    }

    async fn delete_batch(&self, mut pending: Vec<WriteRequest>) -> Result<(), Problem> {
        for attempt in 0..=BATCH_RETRIES {
            let request = self.client.batch_write_item().request_items(&self.table, pending);
            let answer = request.send().await.map_err(|error| failed_call("BatchWriteItem", &error))?;
            pending = answer.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
            if pending.is_empty() {
                return Ok(());
            }
            self.pause(attempt + 1).await;
        }
        tracing::warn!(operation = "BatchWriteItem", "items were left unprocessed");
        Err(try_again())
    }

    /// Notes that everything before `first` is deleted, and that the owner was here this month.
    async fn acknowledge(&self, name: &QueueName, first: u64, now: Timestamp) -> Result<(), Problem> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(name.key().into()))
            .update_expression(format!("SET {FIRST_SEQUENCE} = :first, {EXPIRES_AT} = :expiry"))
            .condition_expression(format!("{FIRST_SEQUENCE} <= :first AND {EXPIRES_AT} > :now"))
            .expression_attribute_values(":first", number(first))
            .expression_attribute_values(":expiry", number(expiry(now).seconds()))
            .expression_attribute_values(":now", number(now.seconds()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            // Another request has acknowledged more, or the queue is gone: the next request will be told.
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(failed_call("UpdateItem", &error)),
        }
    }

    /// The messages from a number on, as far as one query goes: 500, or a megabyte.
    async fn page(&self, name: &QueueName, first: u64) -> Result<Vec<QueueMessage>, Problem> {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(QUEUE_PAGE_LENGTH as i32)
            .key_condition_expression(format!("{PARTITION_KEY} = :queue AND {SORT_KEY} BETWEEN :first AND :last"))
            .expression_attribute_values(":queue", AttributeValue::S(name.partition.clone()))
            .expression_attribute_values(":first", AttributeValue::S(message_sort_key(first)))
            .expression_attribute_values(":last", AttributeValue::S(message_sort_key(u64::MAX)));
        let answer = request.send().await.map_err(|error| failed_call("Query", &error))?;
        let items = answer.items.unwrap_or_default();
        let messages =
            items.into_iter().map(|item| read_message(&Item::from(item)).ok_or_else(|| corrupt_item("a message")));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        // A query may see one half of a transaction: then what is behind the gap comes with the next page.
        let is_next = |(message, expected): &(QueueMessage, u64)| message.sequence == *expected;
        Ok(messages.into_iter().zip(first..).take_while(is_next).map(|(message, _)| message).collect())
    }
}

fn read_message(item: &Item) -> Option<QueueMessage> {
    let sequence = item.get_string(SORT_KEY)?.strip_prefix(MESSAGE_PREFIX)?.parse().ok()?;
    Some(QueueMessage { sequence, ciphertext: Bytes(item.get_bytes(CIPHERTEXT)?.to_vec()) })
}
