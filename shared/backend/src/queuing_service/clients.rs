//! Clients of the queuing service, in `QsTable`.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `CLIENT#<qs_client_id>` | `CLIENT` | `verifying_key` B, `qs_user_id` S, `creation_hash` B, `version` N, and the KeyPackages' ([`super::key_packages`]); `encrypted_push_token` B if it has one; once it was updated also `previous_verifying_key` B, `update_hash` B |
//! | | `CLIENT`, once the client is deleted | `qs_user_id` S |
//!
//! Who its user is, a deleted client still says, so that its deletion is answered again. `version` is the number that the
//! last update brought, or 0; what it was is remembered as with users ([`super::users`]). The key stands beside the client's queue as well ([`crate::queues`]).

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::Update;
use vestibule_protocol::endpoint::UpdateQsClientRequest;
use vestibule_protocol::keys::{QsClientRecordKey, VerifyingKey};
use vestibule_protocol::limits::MAX_QS_CLIENTS;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::{QsClientId, QsUserId};
use vestibule_protocol::request_signature::RequestSignature;
use vestibule_protocol::time::Timestamp;

use super::key_packages;
use super::records::{CREATION_HASH, NewQsClient, QS_USER_ID, delete, new_queue, put, record_taken, was_created_by};
use super::users::QsUser;
use crate::dynamodb::{
    Item, TransactionPart as _, bytes, corrupt_item, failed_call, is_condition_failed, number, put_new, transact,
    try_again,
};
use crate::queues::{QueueName, queue_unknown, rotate_owner_key};
use crate::redemption::Payment;
use crate::{Environment, StartError, signature_problem};

/// The client's public key, in its item.
pub(super) const VERIFYING_KEY: &str = "verifying_key";
const ENCRYPTED_PUSH_TOKEN: &str = "encrypted_push_token";
const PREVIOUS_VERIFYING_KEY: &str = "previous_verifying_key";
const UPDATE_HASH: &str = "update_hash";
const VERSION: &str = "version";
const CLIENT_PREFIX: &str = "CLIENT#";

/// A client, as it was read.
pub struct QsClientState {
    id: QsClientId,
    qs_user_id: QsUserId,
    /// None of a deleted client.
    verifying_key: Option<VerifyingKey<QsClientRecordKey>>,
    previous_verifying_key: Option<VerifyingKey<QsClientRecordKey>>,
    version: u64,
    update_hash: Option<Vec<u8>>,
}

impl QsClientState {
    fn read(id: QsClientId, item: &Item) -> Option<Self> {
        let key = |name| item.get_bytes(name).and_then(VerifyingKey::from_bytes);
        Some(Self {
            id,
            qs_user_id: item.get_string(QS_USER_ID)?.parse().ok()?,
            verifying_key: key(VERIFYING_KEY),
            previous_verifying_key: key(PREVIOUS_VERIFYING_KEY),
            version: item.get_number(VERSION).unwrap_or(0),
            update_hash: item.get_bytes(UPDATE_HASH).map(<[u8]>::to_vec),
        })
    }

    /// Whose client it is, or was.
    pub fn qs_user_id(&self) -> &QsUserId {
        &self.qs_user_id
    }

    /// Whether the client was deleted.
    pub fn is_deleted(&self) -> bool {
        self.verifying_key.is_none()
    }

    /// Checks that the client's key made a signature.
    ///
    /// # Errors
    /// [`ProblemType::QsClientUnknown`] if the client was deleted, or the problem of a signature that is not right.
    pub fn check_signature(&self, signature: &RequestSignature) -> Result<(), Problem> {
        signature.verify(self.verifying_key()?).map_err(signature_problem)
    }

    /// Whether the update with this number and this hash is done already. It may be signed by the key that it replaced.
    ///
    /// # Errors
    /// [`ProblemType::QsClientUnknown`] if the client was deleted, the problem of a signature that is not right, or
    /// [`ProblemType::RecordUpdateOutdated`]: it never will.
    pub fn is_updated(
        &self,
        signature: &RequestSignature,
        version: u64,
        request_hash: &[u8; 32],
    ) -> Result<bool, Problem> {
        let is_done = version == self.version && self.update_hash.as_deref() == Some(request_hash);
        if is_done && self.previous_verifying_key.as_ref().is_some_and(|key| signature.verify(key).is_ok()) {
            return Ok(true);
        }
        self.check_signature(signature)?;
        if is_done || version > self.version {
            return Ok(is_done);
        }
        let detail = format!("update {} of the record was made; make one with a higher number", self.version);
        Err(Problem::new(ProblemType::RecordUpdateOutdated, detail))
    }

    fn verifying_key(&self) -> Result<&VerifyingKey<QsClientRecordKey>, Problem> {
        self.verifying_key.as_ref().ok_or_else(client_unknown)
    }
}

/// The clients of the queuing service.
pub struct QsClients {
    client: aws_sdk_dynamodb::Client,
    table: String,
    queue_table: String,
}

impl QsClients {
    /// The clients in the table named by `QS_TABLE`, with their queues in the one named by `QS_QUEUE_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable("QS_TABLE")?.to_owned(),
            queue_table: environment.variable("QS_QUEUE_TABLE")?.to_owned(),
        })
    }

    /// A client, deleted or not: one read.
    ///
    /// # Errors
    /// [`ProblemType::QsClientUnknown`] if there never was one, or the problem of a failed call.
    pub async fn read(&self, id: &QsClientId) -> Result<QsClientState, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(client_key(id).into())).send().await;
        let answer = answer.map_err(|error| failed_call("GetItem", &error))?;
        let item = Item::from(answer.item.ok_or_else(client_unknown)?);
        QsClientState::read(*id, &item).ok_or_else(|| corrupt_item("a QS client"))
    }

    /// Creates another client of a user, with its queue, and spends a token: one transaction. The same request again gets
    /// the same answer, and what it pays with is not spent.
    ///
    /// # Errors
    /// [`ProblemType::QsUserUnknown`] if the user was deleted, [`ProblemType::QsClientLimitReached`],
    /// [`ProblemType::TokenSpent`], [`ProblemType::QsRecordTaken`], [`ProblemType::TemporarilyUnavailable`] if the user
    /// changed meanwhile, or the problem of a failed call; nothing is stored then.
    pub async fn create(
        &self,
        user: &QsUser,
        client: &NewQsClient,
        payment: &Payment,
        now: Timestamp,
    ) -> Result<QsClientId, Problem> {
        let id = client.record.qs_client_id();
        let clients: BTreeSet<_> = user.clients()?.iter().copied().chain([id]).collect();
        if clients.len() > MAX_QS_CLIENTS {
            let detail = format!("a user can have {MAX_QS_CLIENTS} clients; delete one first");
            return Err(Problem::new(ProblemType::QsClientLimitReached, detail));
        }
        let (users_part, friends_client) = user.set_clients(&self.table, &clients, &id)?;
        let parts = vec![
            payment.put(),
            put_new(&self.table, new_item(client, user.id())).part(),
            users_part,
            put(&self.table, friends_client),
            put_new(&self.queue_table, new_queue(client, now)).part(),
        ];
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(id) };
        if was_created_by(reasons.get(1), &client.creation_hash) {
            return Ok(id);
        }
        payment.check_reason(reasons.first())?;
        Err(if is_condition_failed(reasons.get(1)) { record_taken("client") } else { try_again() })
    }

    /// Gives a client another key, at its queue as well, and sets its push token: one transaction.
    ///
    /// # Errors
    /// [`ProblemType::QsClientUnknown`] if the client was deleted, [`ProblemType::QueueUnknown`] if its queue has expired,
    /// [`ProblemType::TemporarilyUnavailable`] if it changed meanwhile, or the problem of a failed call; nothing is changed
    /// then.
    pub async fn update(
        &self,
        client: &QsClientState,
        verifying_key: &VerifyingKey<QsClientRecordKey>,
        request: &UpdateQsClientRequest,
        request_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), Problem> {
        let UpdateQsClientRequest { version, encrypted_push_token, .. } = request;
        let current = client.verifying_key()?;
        let push_token = if encrypted_push_token.is_some() { ", #token = :token" } else { " REMOVE #token" };
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(client_key(&client.id).into()))
            .update_expression(format!(
                "SET #key = :key, #previous = :current, #update = :update, #version = :version{push_token}"
            ))
            .condition_expression("#key = :current AND #version < :version")
            .expression_attribute_names("#key", VERIFYING_KEY)
            .expression_attribute_names("#previous", PREVIOUS_VERIFYING_KEY)
            .expression_attribute_names("#update", UPDATE_HASH)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#token", ENCRYPTED_PUSH_TOKEN)
            .expression_attribute_values(":key", bytes(verifying_key.as_bytes()))
            .expression_attribute_values(":current", bytes(current.as_bytes()))
            .expression_attribute_values(":update", bytes(request_hash))
            .expression_attribute_values(":version", number(*version));
        let update = match encrypted_push_token {
            Some(token) => update.expression_attribute_values(":token", bytes(&token.0)),
            None => update,
        };
        let mut parts = vec![update.build().expect("table, key and expression are given").part()];
        if verifying_key != current {
            parts.push(rotate_owner_key(&self.queue_table, &client.id, current, verifying_key, now).part());
        }
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(()) };
        let has_expired = !is_condition_failed(reasons.first()) && is_condition_failed(reasons.get(1));
        Err(if has_expired { queue_unknown() } else { try_again() })
    }

    /// Deletes a client with its queue, and the user if it is the last one: one transaction. Its KeyPackages and messages
    /// are of no use to anybody then, and expire.
    ///
    /// # Errors
    /// [`ProblemType::TemporarilyUnavailable`] if the user changed meanwhile, or the problem of a failed call; nothing is
    /// deleted then.
    pub async fn delete(&self, user: &QsUser, id: &QsClientId) -> Result<(), Problem> {
        let mut clients = user.clients()?.clone();
        clients.remove(id);
        let parts = if clients.is_empty() {
            user.bury(&self.table, &self.queue_table)?
        } else {
            let (users_part, friends_client) = user.set_clients(&self.table, &clients, id)?;
            vec![
                users_part,
                delete(&self.table, friends_client),
                put(&self.table, tombstone(id, user.id())),
                delete(&self.queue_table, QueueName::of_qs_client(id).key()),
            ]
        };
        transact(&self.client, parts).await?.map_err(|_| try_again())
    }
}

/// The item of a new client.
pub(super) fn new_item(client: &NewQsClient, qs_user_id: &QsUserId) -> Item {
    key_packages::without_any(client_key(&client.record.qs_client_id()))
        .bytes(VERIFYING_KEY, client.record.payload().verifying_key.as_bytes())
        .string(QS_USER_ID, qs_user_id.to_string())
        .bytes(CREATION_HASH, client.creation_hash)
        .number(VERSION, 0)
}

/// The item of a deleted client.
pub(super) fn tombstone(id: &QsClientId, qs_user_id: &QsUserId) -> Item {
    client_key(id).string(QS_USER_ID, qs_user_id.to_string())
}

/// The partition of a client: its record and its KeyPackages.
pub(super) fn client_partition(id: &QsClientId) -> String {
    format!("{CLIENT_PREFIX}{id}")
}

/// The key of a client's record.
pub(super) fn client_key(id: &QsClientId) -> Item {
    Item::keyed(client_partition(id), "CLIENT")
}

/// The problem of a client that is not there.
pub(super) fn client_unknown() -> Problem {
    let detail = "create the client at the queuing service first; a deleted one stays deleted";
    Problem::new(ProblemType::QsClientUnknown, detail)
}
