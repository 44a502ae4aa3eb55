//! Queues: the authentication service's direct ones in `AsQueueTable`, the queuing service's fan-out ones in
//! `QsQueueTable` (docs/protocol.md, section 26). Neither table has recovery, streams or backups.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `CLIENT#<client id>` | `QUEUE` | `encryption_key` B, `ratchet_key` B, `next_sequence` N, `first_sequence` N, `expires_at` N; at the queuing service also `owner_key` B, and `previous_owner_key` B once that was rotated |
//! | | `MESSAGE#<sequence, 20 digits>` | `ciphertext` B, `expires_at` N |
//! | | `SENT#<hash of the request>` | `expires_at` N |
//!
//! At the queuing service there are also those who wait for messages ([`Listeners`]).
//!
//! `ratchet_key` is that of the message `next_sequence`; those before are nowhere any more. Messages below `first_sequence`
//! are acknowledged and deleted.
//!
//! **Times.** A queue's `expires_at` is [`QUEUE_LIFETIME`] after the end of the month in which its owner last fetched
//! something, or published connection packages: it says no more of when that was. A message's is as long after that again,
//! so that it outlives its queue unless the owner fetches for months without ever acknowledging. What remembers a request
//! says on which day it was made, and goes two days later.

use std::time::Duration;

use aws_sdk_dynamodb::types::Update;
use rand::RngCore as _;
use vestibule_protocol::encoding::SecretBytes as _;
use vestibule_protocol::keys::{HpkePublicKey, QsClientRecordKey, VerifyingKey};
use vestibule_protocol::limits::QUEUE_LIFETIME;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::{QueueId, QueueRatchet, RatchetKey};
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::time::{MONTH, Timestamp};

use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call, number};
use crate::websocket::ConnectionId;
use crate::{Environment, StartError};

mod dequeue;
mod enqueue;
mod keys;
mod listeners;

pub use listeners::Listeners;

pub(crate) use keys::rotate_owner_key;

const CIPHERTEXT: &str = "ciphertext";
const ENCRYPTION_KEY: &str = "encryption_key";
const FIRST_SEQUENCE: &str = "first_sequence";
const NEXT_SEQUENCE: &str = "next_sequence";
const OWNER_KEY: &str = "owner_key";
const PREVIOUS_OWNER_KEY: &str = "previous_owner_key";
const RATCHET_KEY: &str = "ratchet_key";

/// Whose queue it is.
#[derive(Clone, Debug)]
pub struct QueueName {
    partition: String,
    id: QueueId,
}

impl QueueName {
    /// The direct queue of a client.
    pub fn of_client(client_id: &ClientId) -> Self {
        Self { partition: format!("CLIENT#{client_id}"), id: QueueId::of_client(client_id) }
    }

    /// The fan-out queue of a client of the queuing service.
    pub fn of_qs_client(qs_client_id: &QsClientId) -> Self {
        Self { partition: format!("CLIENT#{qs_client_id}"), id: QueueId::of_qs_client(qs_client_id) }
    }

    /// The key of the queue's item. Without that there is no queue, whatever else is left of it.
    pub(crate) fn key(&self) -> Item {
        Item::keyed(&self.partition, "QUEUE")
    }

    fn message_key(&self, sequence: u64) -> Item {
        Item::keyed(&self.partition, message_sort_key(sequence))
    }

    fn sent_key(&self, request_hash: &[u8; 32]) -> Item {
        Item::keyed(&self.partition, format!("SENT#{}", vestibule_protocol::encoding::encode(request_hash)))
    }
}

const MESSAGE_PREFIX: &str = "MESSAGE#";

fn message_sort_key(sequence: u64) -> String {
    format!("{MESSAGE_PREFIX}{sequence:020}")
}

/// The item of a new queue.
pub(crate) fn new_item(
    name: &QueueName,
    encryption_key: &HpkePublicKey,
    ratchet_key: &RatchetKey,
    now: Timestamp,
) -> Item {
    name.key()
        .bytes(ENCRYPTION_KEY, encryption_key.as_bytes())
        .bytes(RATCHET_KEY, ratchet_key.to_secret_bytes())
        .number(NEXT_SEQUENCE, 0)
        .number(FIRST_SEQUENCE, 0)
        .time(EXPIRES_AT, expiry(now))
}

/// The item of a new queue at the queuing service, where the owner's key stands beside the queue: what comes to the queue
/// needs no other item.
pub(crate) fn new_owned_item(
    qs_client_id: &QsClientId,
    owner_key: &VerifyingKey<QsClientRecordKey>,
    encryption_key: &HpkePublicKey,
    ratchet_key: &RatchetKey,
    now: Timestamp,
) -> Item {
    let name = QueueName::of_qs_client(qs_client_id);
    new_item(&name, encryption_key, ratchet_key, now).bytes(OWNER_KEY, owner_key.as_bytes())
}

/// The part of a transaction that lets a queue last as long as if its owner had fetched something now, if it is there.
pub(crate) fn prolong(table: &str, name: &QueueName, now: Timestamp) -> Update {
    Update::builder()
        .table_name(table)
        .set_key(Some(name.key().into()))
        .update_expression(format!("SET {EXPIRES_AT} = :expiry"))
        .condition_expression(format!("{EXPIRES_AT} > :now"))
        .expression_attribute_values(":expiry", number(expiry(now).seconds()))
        .expression_attribute_values(":now", number(now.seconds()))
        .build()
        .expect("table, key and expression are given")
}

/// When a queue expires whose owner fetches something now.
fn expiry(now: Timestamp) -> Timestamp {
    now.start_of_month().saturating_add(MONTH).saturating_add(QUEUE_LIFETIME)
}

/// A queue, as it was read.
pub struct Queue {
    ratchet: QueueRatchet,
    first_sequence: u64,
    expires_at: Timestamp,
    owner_key: Option<VerifyingKey<QsClientRecordKey>>,
    previous_owner_key: Option<VerifyingKey<QsClientRecordKey>>,
    /// Over which connection the owner waits for messages, if it does.
    listener: Option<ConnectionId>,
}

impl Queue {
    fn read(name: &QueueName, item: &Item, now: Timestamp) -> Result<Option<Self>, Problem> {
        let queue = (|| {
            let encryption_key = HpkePublicKey::from_bytes(item.get_bytes(ENCRYPTION_KEY)?)?;
            let ratchet_key = RatchetKey::from_secret_bytes(item.get_bytes(RATCHET_KEY)?)?;
            let key = |name| item.get_bytes(name).and_then(VerifyingKey::from_bytes);
            Some(Self {
                ratchet: QueueRatchet::new(name.id, encryption_key, ratchet_key, item.get_number(NEXT_SEQUENCE)?),
                first_sequence: item.get_number(FIRST_SEQUENCE)?,
                expires_at: item.get_time(EXPIRES_AT)?,
                owner_key: key(OWNER_KEY),
                previous_owner_key: key(PREVIOUS_OWNER_KEY),
                listener: listeners::read_listener(item),
            })
        })();
        let queue = queue.ok_or_else(|| corrupt_item("a queue"))?;
        Ok(Some(queue).filter(|queue| now < queue.expires_at))
    }

    /// The key of the queue's owner at the queuing service, which signs the requests of the owner.
    ///
    /// # Errors
    /// A [`Problem`] if it has none, which every queue there has.
    pub fn owner_key(&self) -> Result<&VerifyingKey<QsClientRecordKey>, Problem> {
        self.owner_key.as_ref().ok_or_else(|| corrupt_item("a queue"))
    }

    /// The keys with which queue configs are signed that lead here: the owner's, and the one before that, because the
    /// leaves that the configs stand in are not replaced in the moment that the key is.
    pub fn config_keys(&self) -> impl Iterator<Item = &VerifyingKey<QsClientRecordKey>> {
        self.owner_key.iter().chain(&self.previous_owner_key)
    }
}

/// The queues of a service.
pub struct Queues {
    client: aws_sdk_dynamodb::Client,
    table: String,
    randomness: Randomness,
}

impl Queues {
    /// The queues in the table named by `table_variable`: `AS_QUEUE_TABLE` or `QS_QUEUE_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment, table_variable: &str) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable(table_variable)?.to_owned(),
            randomness: environment.randomness().clone(),
        })
    }

    /// A queue: one read.
    ///
    /// # Errors
    /// [`ProblemType::QueueUnknown`], or the problem of a failed call.
    pub async fn read(&self, name: &QueueName, now: Timestamp) -> Result<Queue, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(name.key().into())).send().await;
        let answer = answer.map_err(|error| failed_call("GetItem", &error))?;
        let queue = answer.item.map(|item| Queue::read(name, &Item::from(item), now)).transpose()?;
        queue.flatten().ok_or_else(queue_unknown)
    }

    /// Waits before another attempt, at random so that those who met do not meet again: up to 10 ms, up to twice as long
    /// each time, and never more than 320 ms.
    async fn pause(&self, attempt: u32) {
        let longest = 10_000 << attempt.min(5);
        let microseconds = self.randomness.clone().next_u64() % longest;
        tokio::time::sleep(Duration::from_micros(microseconds)).await;
    }
}

/// The problem of a queue that is not there.
pub fn queue_unknown() -> Problem {
    let detail = "it was deleted, or its owner has not fetched anything for 90 days, or it never was";
    Problem::new(ProblemType::QueueUnknown, detail)
}

#[cfg(test)]
mod tests {
    use vestibule_protocol::time::DAY;

    use super::*;

    #[test]
    fn a_queue_lasts_90_to_120_days_and_says_no_more_than_the_month() {
        let first = Timestamp::from_seconds(600 * MONTH.as_secs());
        let last = first.saturating_add(MONTH - Duration::from_secs(1));
        assert_eq!(expiry(first), expiry(last));
        assert_eq!(expiry(first).saturating_since(first), 120 * DAY);
        assert_eq!(expiry(last).saturating_since(last), 90 * DAY + Duration::from_secs(1));
        assert_ne!(expiry(last.saturating_add(DAY)), expiry(last));
    }

    #[test]
    fn messages_are_in_the_order_of_their_numbers() {
        let keys: Vec<_> = [0, 9, 10, u64::MAX].into_iter().map(message_sort_key).collect();
        assert!(keys.is_sorted() && keys.iter().all(|key| key.len() == keys[0].len()));
    }
}
