//! The keys of a queue's owner at the queuing service.

use aws_sdk_dynamodb::types::Update;
use vestibule_protocol::keys::{QsClientRecordKey, VerifyingKey};
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::time::Timestamp;

use super::listeners::FORGET_LISTENER;
use super::{OWNER_KEY, PREVIOUS_OWNER_KEY, QueueName};
use crate::dynamodb::{EXPIRES_AT, bytes, number};

/// The part of a transaction that gives a queue's owner another key. It fails if there is no queue. Whoever listens was let
/// in with the key before, and is not told of messages any more.
pub(crate) fn rotate_owner_key(
    table: &str,
    qs_client_id: &QsClientId,
    current: &VerifyingKey<QsClientRecordKey>,
    new: &VerifyingKey<QsClientRecordKey>,
    now: Timestamp,
) -> Update {
    Update::builder()
        .table_name(table)
        .set_key(Some(QueueName::of_qs_client(qs_client_id).key().into()))
        .update_expression(format!("SET {OWNER_KEY} = :new, {PREVIOUS_OWNER_KEY} = :current {FORGET_LISTENER}"))
        .condition_expression(format!("{OWNER_KEY} = :current AND {EXPIRES_AT} > :now"))
        .expression_attribute_values(":new", bytes(new.as_bytes()))
        .expression_attribute_values(":current", bytes(current.as_bytes()))
        .expression_attribute_values(":now", number(now.seconds()))
        .build()
        .expect("table, key and expression are given")
}
