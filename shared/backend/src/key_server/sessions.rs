//! Sessions: opened with one write, used with one read and one transaction.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::key_server::{AuditEntry, SessionId, SessionUser, StoredSession};
use vestibule_protocol::limits::KEY_SERVER_SESSION_LIFETIME;
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use super::audit_log::put_entry;
use super::storage_keys::{StorageKeyChange, StorageKeyItem};
use super::user_partition;
use crate::authentication_service::passwords::Passwords;
use crate::dynamodb::{
    EXPIRES_AT, Item, PARTITION_KEY, SORT_KEY, bytes, corrupt_item, failed_call, is_condition_failed, number, try_again,
};
use crate::sealing::{Sealable, SealingKeys};
use crate::{Environment, StartError};

const SEALED_SESSION: &str = "sealed_session";
const REQUEST_HASH: &str = "request_hash";
const SEALED_RESPONSE: &str = "sealed_response";

impl Sealable for StoredSession {
    const TYPE_NAME: &'static str = "KeyServerSession";
}

/// A session as it was read.
pub struct SessionItem {
    sealed_session: Vec<u8>,
    answer: Option<Answer>,
}

/// What the use of a session was answered with.
struct Answer {
    request_hash: Vec<u8>,
    sealed_response: Vec<u8>,
}

impl SessionItem {
    fn read(item: &Item) -> Result<Self, Problem> {
        let corrupt = || corrupt_item("a session");
        let sealed_session = item.get_bytes(SEALED_SESSION).ok_or_else(corrupt)?.to_vec();
        let answer = match (item.get_bytes(REQUEST_HASH), item.get_bytes(SEALED_RESPONSE)) {
            (Some(request_hash), Some(sealed_response)) => {
                Some(Answer { request_hash: request_hash.to_vec(), sealed_response: sealed_response.to_vec() })
            }
            (None, None) => None,
            _ => return Err(corrupt()),
        };
        Ok(Self { sealed_session, answer })
    }

    /// The response to the request of this hash, if the session was used with it; none if it was not used yet.
    ///
    /// # Errors
    /// [`ProblemType::SessionUsed`] if it was used with another.
    pub fn answer_to(&self, request_hash: &[u8; 32]) -> Result<Option<Bytes>, Problem> {
        match &self.answer {
            None => Ok(None),
            Some(answer) if answer.request_hash == request_hash => Ok(Some(Bytes(answer.sealed_response.clone()))),
            Some(_) => Err(Problem::new(ProblemType::SessionUsed, "open another session for another request")),
        }
    }

    /// The session itself.
    ///
    /// # Errors
    /// [`session_unknown`] if it was sealed under keys that are gone.
    pub fn open(&self, sealing_keys: &SealingKeys) -> Result<StoredSession, Problem> {
        sealing_keys.open(&self.sealed_session).ok_or_else(session_unknown)
    }
}

/// What one use of a session does, all of it or nothing.
pub struct SessionUse<'a> {
    /// Whose session it is.
    pub user_name: &'a UserName,
    /// Which.
    pub session_id: &'a SessionId,
    /// The user for whom it was opened.
    pub user: SessionUser,
    /// The hash of the request.
    pub request_hash: [u8; 32],
    /// What to answer, now and when the request is repeated.
    pub sealed_response: Bytes,
    /// What happens to the storage key.
    pub storage_key: StorageKeyChange<'a>,
    /// The password that takes the place of the old one.
    pub new_password: Option<(RegistrationRecord, CredentialIdentifier)>,
    /// What the audit log says of it.
    pub audit_entry: Option<AuditEntry>,
}

/// The sessions of the key server.
pub struct Sessions {
    client: aws_sdk_dynamodb::Client,
    table: String,
    passwords: Passwords,
}

impl Sessions {
    /// The sessions in the table named by `KS_TABLE`, with the passwords in the one named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        let table = environment.variable("KS_TABLE")?.to_owned();
        Ok(Self { client: environment.dynamodb(), table, passwords: Passwords::new(environment)? })
    }

    /// The passwords that open the sessions.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Keeps a session that was opened: one write.
    ///
    /// # Errors
    /// A [`Problem`] if the write fails.
    pub async fn put(
        &self,
        user_name: &UserName,
        session_id: &SessionId,
        sealed_session: &Bytes,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let item = key(user_name, session_id)
            .bytes(SEALED_SESSION, sealed_session)
            .time(EXPIRES_AT, now.saturating_add(KEY_SERVER_SESSION_LIFETIME));
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item.into()));
        request.send().await.map_err(|error| failed_call("PutItem", &error))?;
        Ok(())
    }

    /// A session and what is kept of its user's storage key: one read.
    ///
    /// # Errors
    /// [`ProblemType::SessionUnknown`], or a [`Problem`] if the read fails.
    pub async fn read(
        &self,
        user_name: &UserName,
        session_id: &SessionId,
        now: Timestamp,
    ) -> Result<(SessionItem, Option<StorageKeyItem>), Problem> {
        let keys = KeysAndAttributes::builder()
            .consistent_read(true)
            .keys(key(user_name, session_id).into())
            .keys(StorageKeyItem::key(user_name).into())
            .build()
            .expect("keys are given");
        let request = self.client.batch_get_item().request_items(&self.table, keys);
        let answer = request.send().await.map_err(|error| failed_call("BatchGetItem", &error))?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(try_again());
        }
        let items = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
        let (mut session, mut storage_key) = (None, None);
        for item in items.into_iter().map(Item::from) {
            match item.get_string(SORT_KEY) {
                Some("STORAGE_KEY") => storage_key = Some(StorageKeyItem::read(&item)?),
                _ => session = Some(item),
            }
        }
        let session = session.filter(|item| is_alive(item, now)).ok_or_else(session_unknown)?;
        Ok((SessionItem::read(&session)?, storage_key))
    }

    /// Uses a session: one transaction, of the session, the password, the storage key and the audit log.
    ///
    /// # Errors
    /// [`ProblemType::SessionUsed`] if it was used meanwhile (the same request gets the same response),
    /// [`ProblemType::SessionSuperseded`] if the password was changed meanwhile, [`ProblemType::StorageKeyExists`] if one
    /// was stored meanwhile, or the problem of a failed call; nothing is stored then.
    pub async fn commit(&self, session_use: SessionUse<'_>, now: Timestamp) -> Result<Bytes, Problem> {
        let items = self.transaction(&session_use, now);
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(items)).send().await else {
            return Ok(session_use.sealed_response);
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(failed_call("TransactWriteItems", &error));
        };
        let reasons = canceled.cancellation_reasons();
        if is_condition_failed(reasons.first()) {
            let item = Item::from(reasons[0].item.clone().unwrap_or_default());
            if !is_alive(&item, now) {
                return Err(session_unknown());
            }
            return SessionItem::read(&item)?.answer_to(&session_use.request_hash)?.ok_or_else(try_again);
        }
        if is_condition_failed(reasons.get(1)) {
            return Err(session_superseded());
        }
        if is_condition_failed(reasons.get(2)) && matches!(session_use.storage_key, StorageKeyChange::Store(_)) {
            return Err(storage_key_exists());
        }
        // Another session of the user was used in between: the same request again finds what that one left.
        Err(try_again())
    }

    /// The parts of the transaction. [`Sessions::commit`] tells by the position which condition failed.
    fn transaction(&self, session_use: &SessionUse<'_>, now: Timestamp) -> Vec<TransactWriteItem> {
        let SessionUse { user_name, user, storage_key, new_password, audit_entry, .. } = session_use;
        let password = match new_password {
            None => TransactWriteItem::builder().condition_check(self.passwords.check_unchanged(user_name, user)),
            Some((record, identifier)) => {
                TransactWriteItem::builder().update(self.passwords.replace(user_name, user, record, identifier))
            }
        };
        let head = audit_entry.as_ref().map(AuditEntry::head);
        let entry = audit_entry
            .iter()
            .map(|entry| TransactWriteItem::builder().put(put_entry(&self.table, user_name, entry)).build());
        [
            TransactWriteItem::builder().update(self.mark_used(session_use, now)).build(),
            password.build(),
            storage_key.write(&self.table, user_name, user, head.as_ref(), now),
        ]
        .into_iter()
        .chain(entry)
        .collect()
    }

    fn mark_used(&self, session_use: &SessionUse<'_>, now: Timestamp) -> Update {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(session_use.user_name, session_use.session_id).into()))
            .update_expression("SET #hash = :hash, #response = :response")
            .condition_expression(format!(
                "attribute_exists({PARTITION_KEY}) AND attribute_not_exists(#hash) AND {EXPIRES_AT} > :now"
            ))
            .expression_attribute_names("#hash", REQUEST_HASH)
            .expression_attribute_names("#response", SEALED_RESPONSE)
            .expression_attribute_values(":hash", bytes(&session_use.request_hash))
            .expression_attribute_values(":response", bytes(&session_use.sealed_response.0))
            .expression_attribute_values(":now", number(now.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are given")
    }
}

/// The problem of a session that is not there, not there any more, or another user's.
pub fn session_unknown() -> Problem {
    let seconds = KEY_SERVER_SESSION_LIFETIME.as_secs();
    Problem::new(ProblemType::SessionUnknown, format!("open a session and use it within {seconds} seconds"))
}

/// The problem of a session whose password is not the user's any more.
pub fn session_superseded() -> Problem {
    Problem::new(ProblemType::SessionSuperseded, "the password was changed: log in with the new one")
}

/// The problem of a second registration.
pub fn storage_key_exists() -> Problem {
    Problem::new(ProblemType::StorageKeyExists, "a storage key is stored once; it can be retrieved")
}

fn is_alive(item: &Item, now: Timestamp) -> bool {
    item.get_time(EXPIRES_AT).is_some_and(|expires_at| now < expires_at)
}

fn key(user_name: &UserName, session_id: &SessionId) -> Item {
    Item::keyed(user_partition(user_name), format!("SESSION#{session_id}"))
}
