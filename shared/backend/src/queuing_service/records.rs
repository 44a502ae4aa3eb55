//! Users and their clients in `QsTable`, and the clients' queues in `QsQueueTable`.
//!
//! | table | pk | sk | attributes |
//! |---|---|---|---|
//! | `QsTable` | `USER#<qs_user_id>` | `USER` | the user's ([`super::users`]) |
//! | | `CLIENT#<qs_client_id>` | `CLIENT` | the client's ([`super::clients`]) |
//! | | `FRIENDSHIP#<friendship token hash>` | `FRIENDSHIP` | `qs_user_id` S; none once the token is retired |
//! | | | `CLIENT#<qs_client_id>` | – |
//! | `QsQueueTable` | `CLIENT#<qs_client_id>` | `QUEUE` | the queue's ([`crate::queues`]) |
//!
//! The partition of a friendship token lists its user's clients, so that a claim finds them with one query and nothing
//! but the hash of what it was given. When a token is retired the list goes and the item without a user stays: nobody
//! else can take the hash.

use std::fmt;

use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Delete, Put, TransactWriteItem, Update};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::CreateQsUserResponse;
use vestibule_protocol::friendship::FriendshipTokenHash;
use vestibule_protocol::keys::{HpkePublicKey, QsUserRecordKey, VerifyingKey};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::queuing::{QsClientId, QsClientRecord, QsUserId};
use vestibule_protocol::time::Timestamp;

use super::{clients, users};
use crate::dynamodb::{
    Item, PARTITION_KEY, SORT_KEY, TransactionPart as _, corrupt_item, failed_call, is_condition_failed, put_new,
    transact, try_again,
};
use crate::queues;
use crate::redemption::Payment;
use crate::{Environment, StartError};

/// The attribute that names a user, in the items of others.
pub(super) const QS_USER_ID: &str = "qs_user_id";
/// The hash of the request that made a record.
pub(super) const CREATION_HASH: &str = "creation_hash";
const CLIENT_PREFIX: &str = "CLIENT#";

/// Everything that a new user is made of, checked.
pub struct NewQsUser {
    /// The user record's key.
    pub verifying_key: VerifyingKey<QsUserRecordKey>,
    /// The first client.
    pub client: NewQsClient,
    /// Who knows the token may claim the user's KeyPackages.
    pub friendship_token_hash: FriendshipTokenHash,
}

/// Everything that a new client is made of, checked.
pub struct NewQsClient {
    /// The client's record.
    pub record: QsClientRecord,
    /// The queue's HPKE key.
    pub queue_encryption_key: HpkePublicKey,
    /// The queue's initial ratchet key.
    pub queue_ratchet_key: RatchetKey,
    /// The hash of the request, by which its repetition is known.
    pub creation_hash: [u8; 32],
}

impl NewQsClient {
    /// Checks what a client of this user is to be made of: the record is signed by its own key and for the user.
    ///
    /// # Errors
    /// [`ProblemType::QsRecordInvalid`], [`ProblemType::QueueKeyInvalid`].
    pub fn check(
        client_record: &Bytes,
        qs_user_id: &QsUserId,
        queue: &QueueKeys,
        creation_hash: [u8; 32],
    ) -> Result<Self, Problem> {
        let record = QsClientRecord::verify_self_signed(&client_record.0)
            .map_err(|error| record_invalid(format_args!("client_record: {error}")))?;
        if record.payload().qs_user_id != *qs_user_id {
            return Err(record_invalid("client_record: it is for another user"));
        }
        let queue_encryption_key = HpkePublicKey::from_bytes(&queue.encryption_key.0).ok_or_else(|| {
            Problem::new(ProblemType::QueueKeyInvalid, "queue.encryption_key is an X25519 public key of 32 bytes")
        })?;
        Ok(Self { record, queue_encryption_key, queue_ratchet_key: queue.ratchet_key.clone(), creation_hash })
    }
}

/// The users and clients of the queuing service, for whoever creates or claims.
pub struct QsRecords {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl QsRecords {
    /// The records in the table named by `QS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("QS_TABLE")?.to_owned() })
    }

    /// Creates a user with a first client and its queue and spends a token, in one transaction. The same request again gets
    /// the same answer, and what it pays with is not spent.
    ///
    /// # Errors
    /// [`ProblemType::TokenSpent`], [`ProblemType::QsRecordTaken`], [`ProblemType::FriendshipTokenTaken`], or the problem of
    /// a failed call; nothing is stored then.
    pub async fn create(
        &self,
        queue_table: &str,
        user: &NewQsUser,
        payment: &Payment,
        now: Timestamp,
    ) -> Result<CreateQsUserResponse, Problem> {
        let qs_user_id = QsUserId::of(&user.verifying_key);
        let qs_client_id = user.client.record.qs_client_id();
        let response = CreateQsUserResponse { qs_user_id, qs_client_id };
        let hash = &user.friendship_token_hash;
        // By the position of the first four is told which condition failed.
        let items = [
            users::new_item(user, &qs_user_id, &qs_client_id),
            clients::new_item(&user.client, &qs_user_id),
            friendship_item(hash, &qs_user_id),
            friends_client_key(hash, &qs_client_id),
        ];
        let puts = items.into_iter().map(|item| put_new(&self.table, item));
        let queue = put_new(queue_table, new_queue(&user.client, now));
        let parts = [payment.put()].into_iter().chain(puts.chain([queue]).map(Put::part)).collect();
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(response) };
        let mut reasons = reasons.iter();
        let (payment_reason, user_reason) = (reasons.next(), reasons.next());
        let (client_reason, friendship_reason) = (reasons.next(), reasons.next());
        if was_created_by(user_reason, &user.client.creation_hash) {
            return Ok(response);
        }
        payment.check_reason(payment_reason)?;
        if is_condition_failed(user_reason) {
            return Err(record_taken("user"));
        }
        if is_condition_failed(client_reason) {
            return Err(record_taken("client"));
        }
        if is_condition_failed(friendship_reason) {
            return Err(friendship_token_taken());
        }
        if reasons.any(|reason| is_condition_failed(Some(reason))) {
            return Err(corrupt_item("a record of a QS user that does not exist"));
        }
        Err(try_again())
    }

    /// The clients of the user with this friendship token: one query.
    ///
    /// # Errors
    /// [`ProblemType::FriendshipTokenUnknown`], or the problem of a failed call.
    pub async fn clients_of_friend(&self, hash: &FriendshipTokenHash) -> Result<Vec<QsClientId>, Problem> {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression(format!("{PARTITION_KEY} = :friendship"))
            .expression_attribute_values(":friendship", AttributeValue::S(friendship_partition(hash)));
        let answer = request.send().await.map_err(|error| failed_call("Query", &error))?;
        let items: Vec<_> = answer.items.unwrap_or_default().into_iter().map(Item::from).collect();
        if !items.iter().any(|item| item.get_string(QS_USER_ID).is_some()) {
            let detail = "ask for the friendship code anew: this one is unknown, or not in use any more";
            return Err(Problem::new(ProblemType::FriendshipTokenUnknown, detail));
        }
        let clients = items.iter().filter_map(|item| item.get_string(SORT_KEY)?.strip_prefix(CLIENT_PREFIX));
        clients.map(|id| id.parse().map_err(|_| corrupt_item("a friend's client"))).collect()
    }
}

/// Whether a record could not be created because the request of this hash had done so. Of a deleted one there is no hash.
pub(super) fn was_created_by(reason: Option<&CancellationReason>, creation_hash: &[u8; 32]) -> bool {
    let existing = reason.filter(|_| is_condition_failed(reason)).and_then(|reason| reason.item.clone());
    existing.is_some_and(|item| Item::from(item).get_bytes(CREATION_HASH) == Some(creation_hash))
}

/// The item of a new client's queue.
pub(super) fn new_queue(client: &NewQsClient, now: Timestamp) -> Item {
    let (encryption_key, ratchet_key) = (&client.queue_encryption_key, &client.queue_ratchet_key);
    let owner_key = &client.record.payload().verifying_key;
    queues::new_owned_item(&client.record.qs_client_id(), owner_key, encryption_key, ratchet_key, now)
}

/// The item that says whose a friendship token is.
pub(super) fn friendship_item(hash: &FriendshipTokenHash, qs_user_id: &QsUserId) -> Item {
    Item::keyed(friendship_partition(hash), "FRIENDSHIP").string(QS_USER_ID, qs_user_id.to_string())
}

/// The item, nothing but a key, that says that a client is one of a friendship token's user's.
pub(super) fn friends_client_key(hash: &FriendshipTokenHash, qs_client_id: &QsClientId) -> Item {
    Item::keyed(friendship_partition(hash), format!("{CLIENT_PREFIX}{qs_client_id}"))
}

/// The parts of a transaction that retire a friendship token: it leads to nobody, and is nobody else's.
pub(super) fn retire<'a>(
    table: &str,
    hash: &FriendshipTokenHash,
    clients: impl IntoIterator<Item = &'a QsClientId>,
) -> Vec<TransactWriteItem> {
    let retired = Update::builder()
        .table_name(table)
        .set_key(Some(Item::keyed(friendship_partition(hash), "FRIENDSHIP").into()))
        .update_expression(format!("REMOVE {QS_USER_ID}"))
        .build()
        .expect("table, key and expression are given")
        .part();
    let clients = clients.into_iter().map(|id| delete(table, friends_client_key(hash, id)));
    [retired].into_iter().chain(clients).collect()
}

/// The part of a transaction that deletes an item, whether it is there or not.
pub(super) fn delete(table: &str, key: Item) -> TransactWriteItem {
    Delete::builder().table_name(table).set_key(Some(key.into())).build().expect("table and key are given").part()
}

/// The part of a transaction that puts an item over whatever is there.
pub(super) fn put(table: &str, item: Item) -> TransactWriteItem {
    Put::builder().table_name(table).set_item(Some(item.into())).build().expect("table and item are given").part()
}

fn friendship_partition(hash: &FriendshipTokenHash) -> String {
    format!("FRIENDSHIP#{hash}")
}

/// The problem of a record that is not well-formed or not what it should be.
pub fn record_invalid(detail: impl fmt::Display) -> Problem {
    Problem::new(ProblemType::QsRecordInvalid, detail)
}

pub(super) fn record_taken(kind: &str) -> Problem {
    let detail = format!("the {kind} record's key was used before, in another request; make a fresh one");
    Problem::new(ProblemType::QsRecordTaken, detail)
}

pub(super) fn friendship_token_taken() -> Problem {
    Problem::new(ProblemType::FriendshipTokenTaken, "make a fresh friendship token")
}
