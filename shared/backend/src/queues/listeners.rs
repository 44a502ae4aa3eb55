//! Those who wait at the queuing service to be told that something is in their queue.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `CLIENT#<QS client id>` | `QUEUE` | beside the queue's own `listener` S (a connection) and `listener_settles_at` N, while somebody listens |
//! | `CONNECTION#<connection id>` | `CONNECTION` | `qs_client_id` S, `expires_at` N |
//!
//! **Nobody is missed.** The listener stands in the item that every message changes, and a message goes into the queue on
//! condition that no other listener has come than the one that was read. So either the listener comes first, and whoever
//! enqueues knows it, or the message does, and the client finds it when it fetches, which it does once it is connected.
//!
//! **Nobody is forgotten too early.** Until `$connect` has been answered there is no connection, and a post to it finds it
//! gone. So a connection that is gone is forgotten no sooner than `listener_settles_at`, by when there is one or will never
//! be. It is in whole minutes; the other times are in whole days. That of a connection which nobody said the end of goes with
//! the next message.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use vestibule_protocol::keys::{QsClientRecordKey, VerifyingKey};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::queuing::{ListenNotice, QsClientId};
use vestibule_protocol::time::{DAY, Timestamp};

use super::{OWNER_KEY, QueueName, queue_unknown};
use crate::dynamodb::{EXPIRES_AT, Item, PARTITION_KEY, bytes, corrupt_item, failed_call, number};
use crate::websocket::{ConnectionError, ConnectionId, Connections};
use crate::{Environment, StartError};

const LISTENER: &str = "listener";
const LISTENER_SETTLES_AT: &str = "listener_settles_at";
const QS_CLIENT_ID: &str = "qs_client_id";

/// What of an update expression forgets a queue's listener.
pub(super) const FORGET_LISTENER: &str = "REMOVE listener, listener_settles_at";

/// How long a listener has at least before it is forgotten for being gone. `$connect` is answered within 29 seconds, the
/// longest that API Gateway waits.
const SETTLING: Duration = Duration::from_secs(60);

/// What `listener_settles_at` is a multiple of, in seconds.
const MINUTE: u64 = 60;

/// The listeners of the queues at the queuing service.
pub struct Listeners {
    client: Client,
    table: String,
}

impl Listeners {
    /// The listeners in the table named by `QS_QUEUE_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("QS_QUEUE_TABLE")?.to_owned() })
    }

    /// Makes one of `connections` the one over which a client is told of messages: two writes. The one before it is closed.
    /// `owner_key` is what the client's request to listen was verified with.
    ///
    /// # Errors
    /// [`ProblemType::QueueUnknown`](vestibule_protocol::problem::ProblemType::QueueUnknown) if the queue is gone or its
    /// owner has another key meanwhile, or the problem of a failed call.
    pub async fn connect(
        &self,
        qs_client_id: &QsClientId,
        owner_key: &VerifyingKey<QsClientRecordKey>,
        connections: &Connections,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<(), Problem> {
        // First, so that there is no listener of which `$disconnect` could not tell whose it was.
        self.put_connection(qs_client_id, connection, now).await?;
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(QueueName::of_qs_client(qs_client_id).key().into()))
            .update_expression(format!("SET {LISTENER} = :connection, {LISTENER_SETTLES_AT} = :settled"))
            .condition_expression(format!("{OWNER_KEY} = :owner AND {EXPIRES_AT} > :now"))
            .expression_attribute_values(":connection", text(connection))
            .expression_attribute_values(":settled", number(settles_at(now).seconds()))
            .expression_attribute_values(":owner", bytes(owner_key.as_bytes()))
            .expression_attribute_values(":now", number(now.seconds()))
            .return_values(ReturnValue::UpdatedOld);
        let answer = request.send().await.map_err(|error| match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => queue_unknown(),
            _ => failed_call("UpdateItem", &error),
        })?;
        let replaced = answer.attributes.map(Item::from).and_then(|before| read_listener(&before));
        if let Some(replaced) = replaced.filter(|replaced| replaced != connection) {
            // If it stays open nothing comes over it any more, until it is idle for too long.
            let _ = connections.close(&replaced).await;
        }
        Ok(())
    }

    /// Forgets a connection that has ended: one read, two writes. Where a later connection has taken its place, that stays.
    ///
    /// # Errors
    /// The problem of a failed call.
    pub async fn disconnect(&self, connection: &ConnectionId, now: Timestamp) -> Result<(), Problem> {
        let key = connection_key(connection);
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key.clone().into())).send().await;
        let item = answer.map_err(|error| failed_call("GetItem", &error))?.item.map(Item::from);
        let is_alive = |item: &Item| item.get_time(EXPIRES_AT).is_some_and(|expires_at| now < expires_at);
        let Some(item) = item.filter(is_alive) else { return Ok(()) };
        let qs_client_id = item.get_string(QS_CLIENT_ID).and_then(|id| id.parse().ok());
        let qs_client_id: QsClientId = qs_client_id.ok_or_else(|| corrupt_item("a connection"))?;
        // It has ended, whether it had settled or not.
        let end = Timestamp::from_seconds(u64::MAX);
        self.forget(&QueueName::of_qs_client(&qs_client_id), connection, end).await?;
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key.into()));
        request.send().await.map(drop).map_err(|error| failed_call("DeleteItem", &error))
    }

    /// Tells a listener that there is something: one post, at best. Nothing depends on it: a client that is not told finds
    /// the message when it next fetches.
    pub async fn tell(&self, name: &QueueName, connections: &Connections, listener: &ConnectionId, now: Timestamp) {
        let told = connections.post(listener, &ListenNotice::Messages {}.to_json()).await;
        if told == Err(ConnectionError::Gone) {
            // If this fails, the next message finds it again.
            let _ = self.forget(name, listener, now).await;
        }
    }

    /// Forgets a queue's listener, if it is this one and had settled by then.
    async fn forget(&self, name: &QueueName, listener: &ConnectionId, by: Timestamp) -> Result<(), Problem> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(name.key().into()))
            .update_expression(FORGET_LISTENER)
            .condition_expression(format!("{LISTENER} = :listener AND {LISTENER_SETTLES_AT} <= :by"))
            .expression_attribute_values(":listener", text(listener))
            .expression_attribute_values(":by", number(by.seconds()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(failed_call("UpdateItem", &error)),
        }
    }

    /// Keeps whose a connection is. Its id is never used again, so what is there is the same.
    async fn put_connection(
        &self,
        qs_client_id: &QsClientId,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let item = connection_key(connection)
            .string(QS_CLIENT_ID, qs_client_id.to_string())
            .time(EXPIRES_AT, now.start_of_day().saturating_add(2 * DAY));
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.into()))
            .condition_expression(format!("attribute_not_exists({PARTITION_KEY})"));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(error) => Err(failed_call("PutItem", &error)),
        }
    }
}

/// The connection over which the owner of a queue is told of messages, if there is one.
pub(super) fn read_listener(queue: &Item) -> Option<ConnectionId> {
    queue.get_string(LISTENER).map(|id| ConnectionId::from(id.to_owned()))
}

/// The condition on a queue's item that it has no other listener than this, and the value of `:listener` in it. One that
/// has gone need not be told.
pub(super) fn no_other_than(listener: Option<&ConnectionId>) -> (String, Option<AttributeValue>) {
    let nobody = format!("attribute_not_exists({LISTENER})");
    match listener {
        Some(listener) => (format!("({nobody} OR {LISTENER} = :listener)"), Some(text(listener))),
        None => (nobody, None),
    }
}

fn settles_at(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.saturating_add(SETTLING).seconds().div_ceil(MINUTE).saturating_mul(MINUTE))
}

fn connection_key(connection: &ConnectionId) -> Item {
    Item::keyed(format!("CONNECTION#{connection}"), "CONNECTION")
}

fn text(connection: &ConnectionId) -> AttributeValue {
    AttributeValue::S(connection.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_settles_in_one_to_two_minutes_and_says_no_second() {
        for now in (1_800_000_000..1_800_000_120).map(Timestamp::from_seconds) {
            let left = settles_at(now).saturating_since(now);
            assert!(left >= SETTLING && left < 2 * SETTLING && settles_at(now).seconds().is_multiple_of(MINUTE));
        }
        assert!(settles_at(Timestamp::from_seconds(u64::MAX)) <= Timestamp::from_seconds(u64::MAX));
    }
}
