//! Sessions: opened with one write, used with one read and one transaction.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::key_server::{AuditEntry, SessionId, SessionUser, StoredSession};
use vestibule_protocol::limits::KEY_SERVER_SESSION_LIFETIME;
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use super::audit_log::put_entry;
use super::session_item::{REQUEST_HASH, SEALED_RESPONSE, SEALED_SESSION, SessionItem, is_alive, key, new_item};
use super::storage_keys::{StorageKeyChange, StorageKeyItem};
use crate::authentication_service::passwords::Passwords;
use crate::dynamodb::{EXPIRES_AT, Item, bytes, failed_call, is_condition_failed, number, try_again};
use crate::{Environment, StartError};

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
    session_table: String,
    table: String,
    passwords: Passwords,
}

impl Sessions {
    /// The sessions in the table named by `KS_SESSION_TABLE`, with the storage keys in the one named by `KS_TABLE` and the
    /// passwords in the one named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            session_table: environment.variable("KS_SESSION_TABLE")?.to_owned(),
            table: environment.variable("KS_TABLE")?.to_owned(),
            passwords: Passwords::new(environment)?,
        })
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
        let only = |key: Item| {
            let keys = KeysAndAttributes::builder().consistent_read(true).keys(key.into()).build();
            keys.expect("a key is given")
        };
        let request = self
            .client
            .batch_get_item()
            .request_items(&self.session_table, only(key(user_name, session_id)))
            .request_items(&self.table, only(StorageKeyItem::key(user_name)));
        let answer = request.send().await.map_err(|error| failed_call("BatchGetItem", &error))?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(try_again());
        }
        let mut items = answer.responses.unwrap_or_default();
        let mut item_of = |table| items.remove(table).unwrap_or_default().pop().map(Item::from);
        let session = item_of(&self.session_table).filter(|item| is_alive(item, now)).ok_or_else(session_unknown)?;
        let storage_key = item_of(&self.table).as_ref().map(StorageKeyItem::read).transpose()?;
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

    /// Ends a session over which somebody who knows the password asked for what is refused: one write. The same request
    /// may be repeated, and nothing else be asked for.
    ///
    /// # Errors
    /// [`ProblemType::SessionUsed`] if it was used for another request meanwhile, or the problem of a failed call.
    pub async fn refuse(
        &self,
        user_name: &UserName,
        session_id: &SessionId,
        request_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), Problem> {
        let request = self
            .client
            .update_item()
            .table_name(&self.session_table)
            .set_key(Some(key(user_name, session_id).into()))
            .update_expression("SET #hash = :hash")
            .condition_expression(unused_condition())
            .expression_attribute_names("#hash", REQUEST_HASH)
            .expression_attribute_names("#session", SEALED_SESSION)
            .expression_attribute_values(":hash", bytes(request_hash))
            .expression_attribute_values(":now", number(now.seconds()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Err(session_used())
            }
            Err(error) => Err(failed_call("UpdateItem", &error)),
        }
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

    /// What a session was opened with goes when it is used: the answer is all that is needed of it.
    fn mark_used(&self, session_use: &SessionUse<'_>, now: Timestamp) -> Update {
        Update::builder()
            .table_name(&self.session_table)
            .set_key(Some(key(session_use.user_name, session_use.session_id).into()))
            .update_expression("SET #hash = :hash, #response = :response REMOVE #session")
            .condition_expression(unused_condition())
            .expression_attribute_names("#hash", REQUEST_HASH)
            .expression_attribute_names("#response", SEALED_RESPONSE)
            .expression_attribute_names("#session", SEALED_SESSION)
            .expression_attribute_values(":hash", bytes(&session_use.request_hash))
            .expression_attribute_values(":response", bytes(&session_use.sealed_response.0))
            .expression_attribute_values(":now", number(now.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are given")
    }
}

/// The session is there, not over, not used, and was refused no other request.
fn unused_condition() -> String {
    format!("attribute_exists(#session) AND {EXPIRES_AT} > :now AND (attribute_not_exists(#hash) OR #hash = :hash)")
}

/// Where sessions begin.
pub struct NewSessions {
    client: aws_sdk_dynamodb::Client,
    session_table: String,
}

impl NewSessions {
    /// The sessions in the table named by `KS_SESSION_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        let session_table = environment.variable("KS_SESSION_TABLE")?.to_owned();
        Ok(Self { client: environment.dynamodb(), session_table })
    }

    /// Keeps a session that was opened: one write.
    ///
    /// # Errors
    /// A [`Problem`] if the write fails.
    pub async fn put(
        &self,
        user_name: &UserName,
        session: &StoredSession,
        sealed_session: &Bytes,
    ) -> Result<(), Problem> {
        let item = new_item(user_name, session, sealed_session);
        let request = self.client.put_item().table_name(&self.session_table).set_item(Some(item.into()));
        request.send().await.map_err(|error| failed_call("PutItem", &error))?;
        Ok(())
    }
}

/// The problem of a session that is not there, not there any more, or another user's.
pub fn session_unknown() -> Problem {
    let seconds = KEY_SERVER_SESSION_LIFETIME.as_secs();
    Problem::new(ProblemType::SessionUnknown, format!("open a session and use it within {seconds} seconds"))
}

/// The problem of a second request over a session.
pub(super) fn session_used() -> Problem {
    Problem::new(ProblemType::SessionUsed, "open another session for another request")
}

/// The problem of a session whose password is not the user's any more.
pub fn session_superseded() -> Problem {
    Problem::new(ProblemType::SessionSuperseded, "the password was changed: log in with the new one")
}

/// The problem of a second registration.
pub fn storage_key_exists() -> Problem {
    Problem::new(ProblemType::StorageKeyExists, "a storage key is stored once; it can be retrieved")
}
