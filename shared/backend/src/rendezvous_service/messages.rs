//! The messages' bytes. Whether a message is in the mailbox, the mailbox's item says.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, ReturnValuesOnConditionCheckFailure, WriteRequest};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::limits::MAX_MAILBOX_MESSAGES;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::{MailboxId, Role};
use vestibule_protocol::time::Timestamp;

use super::mailbox_item::{Mailbox, partition};
use super::role_name;
use crate::dynamodb::{EXPIRES_AT, Item, PARTITION_KEY, SORT_KEY, corrupt_item, failed_call, try_again};

const PAYLOAD: &str = "payload";
/// How many items one `BatchWriteItem` may delete.
const BATCH_LENGTH: usize = 25;

/// Puts a message's bytes under its number: one write. The same bytes may be put again.
///
/// # Errors
/// [`ProblemType::MessageNumberTaken`], or the problem of a failed call.
pub(super) async fn put(
    client: &Client,
    table: &str,
    mailbox_id: &MailboxId,
    role: Role,
    number: u32,
    payload: &Bytes,
    expires_at: Timestamp,
) -> Result<(), Problem> {
    let item = key(mailbox_id, role, number).bytes(PAYLOAD, payload).time(EXPIRES_AT, expires_at);
    let request = client
        .put_item()
        .table_name(table)
        .set_item(Some(item.into()))
        .condition_expression(format!("attribute_not_exists({PARTITION_KEY})"))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let Err(error) = request.send().await else { return Ok(()) };
    let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
        return Err(failed_call("PutItem", &error));
    };
    let existing = Item::from(failed.item.clone().unwrap_or_default());
    match existing.get_bytes(PAYLOAD) {
        Some(bytes) if bytes == payload.0 => Ok(()),
        Some(_) => {
            let detail = "another message has this number: a device that lost its state cannot go on";
            Err(Problem::new(ProblemType::MessageNumberTaken, detail))
        }
        None => Err(corrupt_item("a message")),
    }
}

/// The messages of one device from a number on, in order: a read for each MiB.
pub(super) async fn read(
    client: &Client,
    table: &str,
    mailbox_id: &MailboxId,
    role: Role,
    first: u32,
) -> Result<Vec<(u32, Bytes)>, Problem> {
    let mut items = client
        .query()
        .table_name(table)
        .consistent_read(true)
        .key_condition_expression(format!("{PARTITION_KEY} = :mailbox AND {SORT_KEY} BETWEEN :first AND :last"))
        .expression_attribute_values(":mailbox", AttributeValue::S(partition(mailbox_id)))
        .expression_attribute_values(":first", AttributeValue::S(sort_key(role, first)))
        .expression_attribute_values(":last", AttributeValue::S(sort_key(role, MAX_MAILBOX_MESSAGES)))
        .into_paginator()
        .items()
        .send();
    let mut messages = Vec::new();
    while let Some(item) = items.next().await {
        let item = Item::from(item.map_err(|error| failed_call("Query", &error))?);
        let number = item.get_string(SORT_KEY).and_then(|key| key.rsplit('#').next()?.parse().ok());
        let payload = item.get_bytes(PAYLOAD).map(|payload| Bytes(payload.to_vec()));
        messages.push(number.zip(payload).ok_or_else(|| corrupt_item("a message"))?);
    }
    Ok(messages)
}

/// Deletes all messages of a mailbox: one write for each 25.
pub(super) async fn delete(
    client: &Client,
    table: &str,
    mailbox_id: &MailboxId,
    mailbox: &Mailbox,
) -> Result<(), Problem> {
    let keys: Vec<Item> = [Role::NewDevice, Role::ExistingDevice]
        .into_iter()
        .flat_map(|role| mailbox.device(role).stored.iter().map(move |number| key(mailbox_id, role, *number)))
        .collect();
    for batch in keys.chunks(BATCH_LENGTH) {
        let deletes = batch.iter().map(|key| {
            let delete = DeleteRequest::builder().set_key(Some(key.clone().into())).build().expect("a key is given");
            WriteRequest::builder().delete_request(delete).build()
        });
        let request = client.batch_write_item().request_items(table, deletes.collect());
        let answer = request.send().await.map_err(|error| failed_call("BatchWriteItem", &error))?;
        if answer.unprocessed_items.is_some_and(|items| !items.is_empty()) {
            return Err(try_again());
        }
    }
    Ok(())
}

fn key(mailbox_id: &MailboxId, role: Role, number: u32) -> Item {
    Item::keyed(partition(mailbox_id), sort_key(role, number))
}

fn sort_key(role: Role, number: u32) -> String {
    format!("MESSAGE#{}#{number:03}", role_name(role))
}
