//! Users and their clients in `QsTable`, and the clients' queues in `QsQueueTable`.
//!
//! | table | pk | sk | attributes |
//! |---|---|---|---|
//! | `QsTable` | `USER#<qs_user_id>` | `USER` | `verifying_key` B, `friendship_token_hash` B, `creation_hash` B |
//! | | `CLIENT#<qs_client_id>` | `CLIENT` | `verifying_key` B, `qs_user_id` S, and the KeyPackages' ([`super::key_packages`]) |
//! | | `FRIENDSHIP#<friendship token hash>` | `FRIENDSHIP` | `qs_user_id` S; none once the token is retired |
//! | | | `CLIENT#<qs_client_id>` | – |
//! | `QsQueueTable` | `CLIENT#<qs_client_id>` | `QUEUE` | `encryption_key` B, `ratchet_key` B, `next_sequence` N |
//!
//! The partition of a friendship token lists its user's clients, so that a claim finds them with one query and nothing
//! but the hash of what it was given. When a token is retired the list goes and the item without a user stays: nobody
//! else can take the hash.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use vestibule_protocol::encoding::SecretBytes as _;
use vestibule_protocol::endpoint::CreateQsUserResponse;
use vestibule_protocol::friendship::FriendshipTokenHash;
use vestibule_protocol::keys::{HpkePublicKey, QsUserRecordKey, VerifyingKey};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::RatchetKey;
use vestibule_protocol::queuing::{QsClientId, QsClientRecord, QsUserId};

use super::key_packages;
use crate::dynamodb::{
    Item, PARTITION_KEY, SORT_KEY, corrupt_item, failed_call, is_condition_failed, put_new, try_again,
};
use crate::{Environment, StartError};

/// The client's public key, in its item.
pub(super) const VERIFYING_KEY: &str = "verifying_key";
const QS_USER_ID: &str = "qs_user_id";
const CREATION_HASH: &str = "creation_hash";
const CLIENT_PREFIX: &str = "CLIENT#";

/// Everything that a new user is made of, checked.
pub struct NewQsUser {
    /// The user record's key.
    pub verifying_key: VerifyingKey<QsUserRecordKey>,
    /// The first client's record.
    pub client: QsClientRecord,
    /// Who knows the token may claim the user's KeyPackages.
    pub friendship_token_hash: FriendshipTokenHash,
    /// The queue's HPKE key.
    pub queue_encryption_key: HpkePublicKey,
    /// The queue's initial ratchet key.
    pub queue_ratchet_key: RatchetKey,
    /// The hash of the request, by which its repetition is known.
    pub creation_hash: [u8; 32],
}

/// The users and clients of the queuing service.
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

    /// Creates a user with a first client and its queue, in one transaction. The same request again gets the same answer.
    ///
    /// # Errors
    /// [`ProblemType::QsRecordTaken`], [`ProblemType::FriendshipTokenTaken`], or the problem of a failed call; nothing is
    /// stored then.
    pub async fn create(&self, queue_table: &str, user: &NewQsUser) -> Result<CreateQsUserResponse, Problem> {
        let response = CreateQsUserResponse {
            qs_user_id: QsUserId::of(&user.verifying_key),
            qs_client_id: user.client.qs_client_id(),
        };
        let items = self.items(queue_table, user, &response);
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(items)).send().await else {
            return Ok(response);
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(failed_call("TransactWriteItems", &error));
        };
        let mut reasons = canceled.cancellation_reasons().iter();
        let (user_reason, client_reason, friendship_reason) = (reasons.next(), reasons.next(), reasons.next());
        if is_condition_failed(user_reason) {
            let existing = Item::from(user_reason.and_then(|reason| reason.item.clone()).unwrap_or_default());
            let creation_hash = existing.get_bytes(CREATION_HASH).ok_or_else(|| corrupt_item("a QS user"))?;
            return if creation_hash == user.creation_hash { Ok(response) } else { Err(record_taken("user")) };
        }
        if is_condition_failed(client_reason) {
            return Err(record_taken("client"));
        }
        if is_condition_failed(friendship_reason) {
            return Err(Problem::new(ProblemType::FriendshipTokenTaken, "make a fresh friendship token"));
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

    /// The items of a new user. [`QsRecords::create`] tells by the position of the first three which condition failed.
    fn items(&self, queue_table: &str, user: &NewQsUser, ids: &CreateQsUserResponse) -> Vec<TransactWriteItem> {
        let CreateQsUserResponse { qs_user_id, qs_client_id } = ids;
        let user_item = Item::keyed(format!("USER#{qs_user_id}"), "USER")
            .bytes(VERIFYING_KEY, user.verifying_key.as_bytes())
            .bytes("friendship_token_hash", user.friendship_token_hash.as_bytes())
            .bytes(CREATION_HASH, user.creation_hash);
        let client_item = key_packages::without_any(client_key(qs_client_id))
            .bytes(VERIFYING_KEY, user.client.payload().verifying_key.as_bytes())
            .string(QS_USER_ID, qs_user_id.to_string());
        let friendship = friendship_partition(&user.friendship_token_hash);
        let friendship_item = Item::keyed(&friendship, "FRIENDSHIP").string(QS_USER_ID, qs_user_id.to_string());
        let friends_client_item = Item::keyed(&friendship, format!("{CLIENT_PREFIX}{qs_client_id}"));
        let queue_item = Item::keyed(client_partition(qs_client_id), "QUEUE")
            .bytes("encryption_key", user.queue_encryption_key.as_bytes())
            .bytes("ratchet_key", user.queue_ratchet_key.to_secret_bytes())
            .number("next_sequence", 0);
        [user_item, client_item, friendship_item, friends_client_item]
            .into_iter()
            .map(|item| put_new(&self.table, item))
            .chain([put_new(queue_table, queue_item)])
            .map(|put| TransactWriteItem::builder().put(put).build())
            .collect()
    }
}

/// The partition of a client: its record and its KeyPackages.
pub(super) fn client_partition(id: &QsClientId) -> String {
    format!("{CLIENT_PREFIX}{id}")
}

/// The key of a client's record.
pub(super) fn client_key(id: &QsClientId) -> Item {
    Item::keyed(client_partition(id), "CLIENT")
}

fn friendship_partition(hash: &FriendshipTokenHash) -> String {
    format!("FRIENDSHIP#{hash}")
}

fn record_taken(kind: &str) -> Problem {
    let detail = format!("the {kind} record's key was used before, in another request; make a fresh one");
    Problem::new(ProblemType::QsRecordTaken, detail)
}
