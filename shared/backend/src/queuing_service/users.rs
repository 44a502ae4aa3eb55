//! Users of the queuing service once they are created, in `QsTable`.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<qs_user_id>` | `USER` | `verifying_key` B, `clients` SS, `friendship_token_hash` B, `version` N, `creation_hash` B; once it was updated also `previous_verifying_key` B, `update_hash` B |
//! | | `USER`, once the user is deleted | `verifying_key` B |
//!
//! Every change is conditional on the `version` that was read, and raises it: of two at once, one has to look again. The
//! previous key and the hash of the last update are there for one thing alone, to answer that update again if its answer
//! was lost; the key of a deleted user, to answer its deletion.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetQsUserResponse;
use vestibule_protocol::friendship::FriendshipTokenHash;
use vestibule_protocol::keys::{QsUserRecordKey, VerifyingKey};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::{QsClientId, QsUserId};
use vestibule_protocol::request_signature::RequestSignature;

use super::clients;
use super::records::{
    CREATION_HASH, NewQsUser, delete, friends_client_key, friendship_item, friendship_token_taken, put, retire,
};
use crate::dynamodb::{
    Item, TransactionPart as _, bytes, corrupt_item, failed_call, is_condition_failed, number, put_new, strings,
    transact, try_again,
};
use crate::queues::QueueName;
use crate::{Environment, StartError, signature_problem};

const CLIENTS: &str = "clients";
const FRIENDSHIP_TOKEN_HASH: &str = "friendship_token_hash";
const PREVIOUS_VERIFYING_KEY: &str = "previous_verifying_key";
const UPDATE_HASH: &str = "update_hash";
const VERIFYING_KEY: &str = "verifying_key";
const VERSION: &str = "version";

/// A user, as it was read.
pub struct QsUser {
    id: QsUserId,
    verifying_key: VerifyingKey<QsUserRecordKey>,
    previous: Option<(VerifyingKey<QsUserRecordKey>, Vec<u8>)>,
    /// None of a deleted user.
    record: Option<Record>,
}

/// What a user has who is not deleted.
struct Record {
    clients: BTreeSet<QsClientId>,
    friendship_token_hash: FriendshipTokenHash,
    version: u64,
}

impl QsUser {
    fn read(id: QsUserId, item: &Item) -> Result<Self, Problem> {
        let key = |name| item.get_bytes(name).and_then(VerifyingKey::from_bytes);
        let record = || {
            let clients = item.get_strings(CLIENTS)?.iter().map(|id| id.parse().ok());
            Some(Record {
                clients: clients.collect::<Option<_>>()?,
                friendship_token_hash: FriendshipTokenHash::from_bytes(item.get_bytes(FRIENDSHIP_TOKEN_HASH)?)?,
                version: item.get_number(VERSION)?,
            })
        };
        let is_deleted = item.get_number(VERSION).is_none();
        let record = if is_deleted { None } else { Some(record().ok_or_else(|| corrupt_item("a QS user"))?) };
        Ok(Self {
            id,
            verifying_key: key(VERIFYING_KEY).ok_or_else(|| corrupt_item("a QS user"))?,
            previous: key(PREVIOUS_VERIFYING_KEY).zip(item.get_bytes(UPDATE_HASH).map(<[u8]>::to_vec)),
            record,
        })
    }

    /// Checks that the user's key made a signature.
    ///
    /// # Errors
    /// The problem of a signature that is not right.
    pub fn check_signature(&self, signature: &RequestSignature) -> Result<(), Problem> {
        signature.verify(&self.verifying_key).map_err(signature_problem)
    }

    /// Whether the signature is that of the key before the current one, under the very request that replaced it: then the
    /// update is done, and its answer was lost.
    pub fn was_updated_by(&self, signature: &RequestSignature, request_hash: &[u8; 32]) -> bool {
        let previous = self.previous.as_ref().filter(|(_, update_hash)| update_hash == request_hash);
        previous.is_some_and(|(key, _)| signature.verify(key).is_ok())
    }

    /// Whether the user was deleted.
    pub fn is_deleted(&self) -> bool {
        self.record.is_none()
    }

    /// What the user is told of itself.
    ///
    /// # Errors
    /// [`ProblemType::QsUserUnknown`] if it was deleted.
    pub fn description(&self) -> Result<GetQsUserResponse, Problem> {
        let record = self.record()?;
        Ok(GetQsUserResponse {
            qs_client_ids: record.clients.iter().copied().collect(),
            friendship_token_hash: Bytes(record.friendship_token_hash.as_bytes().to_vec()),
        })
    }

    fn record(&self) -> Result<&Record, Problem> {
        self.record.as_ref().ok_or_else(user_unknown)
    }

    pub(super) fn id(&self) -> &QsUserId {
        &self.id
    }

    /// The user's clients.
    pub(super) fn clients(&self) -> Result<&BTreeSet<QsClientId>, Problem> {
        self.record().map(|record| &record.clients)
    }

    /// The part of a transaction that changes the user's set of clients, and the key of the item that lists `changed` for
    /// friends.
    pub(super) fn set_clients(
        &self,
        table: &str,
        clients: &BTreeSet<QsClientId>,
        changed: &QsClientId,
    ) -> Result<(TransactWriteItem, Item), Problem> {
        let record = self.record()?;
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key(&self.id).into()))
            .update_expression("SET #clients = :clients, #version = :next")
            .condition_expression("#version = :version")
            .expression_attribute_names("#clients", CLIENTS)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":clients", strings(clients.iter().map(QsClientId::to_string)))
            .expression_attribute_values(":version", number(record.version))
            .expression_attribute_values(":next", number(record.version + 1));
        let update = update.build().expect("table, key and expression are given").part();
        Ok((update, friends_client_key(&record.friendship_token_hash, changed)))
    }

    /// The parts of a transaction that make an end of the user, with all clients and their queues. By the first is told
    /// whether the user has changed meanwhile.
    pub(super) fn bury(&self, table: &str, queue_table: &str) -> Result<Vec<TransactWriteItem>, Problem> {
        let record = self.record()?;
        let tombstone = Put::builder()
            .table_name(table)
            .set_item(Some(key(&self.id).bytes(VERIFYING_KEY, self.verifying_key.as_bytes()).into()))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", number(record.version));
        let mut parts = vec![tombstone.build().expect("table and item are given").part()];
        parts.extend(retire(table, &record.friendship_token_hash, &record.clients));
        for client in &record.clients {
            parts.push(put(table, clients::tombstone(client, &self.id)));
            parts.push(delete(queue_table, QueueName::of_qs_client(client).key()));
        }
        Ok(parts)
    }
}

/// The users of the queuing service.
pub struct QsUsers {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl QsUsers {
    /// The users in the table named by `QS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("QS_TABLE")?.to_owned() })
    }

    /// A user, deleted or not: one read.
    ///
    /// # Errors
    /// [`ProblemType::QsUserUnknown`] if there never was one, or the problem of a failed call.
    pub async fn read(&self, id: &QsUserId) -> Result<QsUser, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key(id).into())).send().await;
        let answer = answer.map_err(|error| failed_call("GetItem", &error))?;
        QsUser::read(*id, &Item::from(answer.item.ok_or_else(user_unknown)?))
    }

    /// Gives a user another key and another friendship token, or leaves the token if it is the same: one transaction. From
    /// then on the ones before are of no use.
    ///
    /// # Errors
    /// [`ProblemType::QsUserUnknown`] if the user was deleted, [`ProblemType::FriendshipTokenTaken`],
    /// [`ProblemType::TemporarilyUnavailable`] if it changed meanwhile, or the problem of a failed call; nothing is changed
    /// then.
    pub async fn update(
        &self,
        user: &QsUser,
        verifying_key: &VerifyingKey<QsUserRecordKey>,
        friendship_token_hash: &FriendshipTokenHash,
        request_hash: &[u8; 32],
    ) -> Result<(), Problem> {
        let record = user.record()?;
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(&user.id).into()))
            .update_expression(
                "SET #key = :key, #previous = :previous, #friendship = :friendship, #update = :update, #version = :next",
            )
            .condition_expression("#version = :version")
            .expression_attribute_names("#key", VERIFYING_KEY)
            .expression_attribute_names("#previous", PREVIOUS_VERIFYING_KEY)
            .expression_attribute_names("#friendship", FRIENDSHIP_TOKEN_HASH)
            .expression_attribute_names("#update", UPDATE_HASH)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":key", bytes(verifying_key.as_bytes()))
            .expression_attribute_values(":previous", bytes(user.verifying_key.as_bytes()))
            .expression_attribute_values(":friendship", bytes(friendship_token_hash.as_bytes()))
            .expression_attribute_values(":update", bytes(request_hash))
            .expression_attribute_values(":version", number(record.version))
            .expression_attribute_values(":next", number(record.version + 1));
        let mut parts = vec![update.build().expect("table, key and expression are given").part()];
        if *friendship_token_hash != record.friendship_token_hash {
            parts.push(put_new(&self.table, friendship_item(friendship_token_hash, &user.id)).part());
            let clients = record.clients.iter().map(|client| friends_client_key(friendship_token_hash, client));
            parts.extend(clients.map(|item| put(&self.table, item)));
            parts.extend(retire(&self.table, &record.friendship_token_hash, &record.clients));
        }
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(()) };
        // If the user changed too, the next attempt decides by what it is then.
        let is_taken = !is_condition_failed(reasons.first()) && is_condition_failed(reasons.get(1));
        Err(if is_taken { friendship_token_taken() } else { try_again() })
    }

    /// Deletes a user with all clients and their queues: one transaction. KeyPackages and messages are of no use to anybody
    /// then, and expire.
    ///
    /// # Errors
    /// [`ProblemType::QsUserUnknown`] if it is deleted already, [`ProblemType::TemporarilyUnavailable`] if it changed
    /// meanwhile, or the problem of a failed call; nothing is deleted then.
    pub async fn delete(&self, queue_table: &str, user: &QsUser) -> Result<(), Problem> {
        let parts = user.bury(&self.table, queue_table)?;
        transact(&self.client, parts).await?.map_err(|_| try_again())
    }
}

/// The item of a new user.
pub(super) fn new_item(user: &NewQsUser, id: &QsUserId, first_client: &QsClientId) -> Item {
    key(id)
        .bytes(VERIFYING_KEY, user.verifying_key.as_bytes())
        .strings(CLIENTS, [first_client.to_string()])
        .bytes(FRIENDSHIP_TOKEN_HASH, user.friendship_token_hash.as_bytes())
        .number(VERSION, 1)
        .bytes(CREATION_HASH, user.client.creation_hash)
}

fn key(id: &QsUserId) -> Item {
    Item::keyed(format!("USER#{id}"), "USER")
}

fn user_unknown() -> Problem {
    Problem::new(
        ProblemType::QsUserUnknown,
        "create the user at the queuing service first; a deleted one stays deleted",
    )
}
