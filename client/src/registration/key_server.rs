//! The fourth stage: the user gets a storage key, which the key server keeps for whoever knows the password
//! (`key-server-registration.md`).

use vestibule_protocol::key_server::{AuditEntry, StorageKey};
use vestibule_protocol::name::UserId;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;

use super::Registration;
use crate::error::Error;
use crate::key_server::{KeyServer, keep_audit_entry};
use crate::password::{PasswordSource, PasswordUse};

pub(super) async fn run(registration: &mut Registration<'_>, password: &mut PasswordSource<'_>) -> Result<(), Error> {
    let password = registration.password(password, PasswordUse::Current)?;
    let session = &mut registration.session;
    let account = session.account();
    let user_id = account.user_id;
    let key_server = KeyServer::new(&session.connection, account.user_name.clone(), Some(account));
    let fresh = StorageKey::generate(&mut session.connection.randomness.clone());
    let (storage_key, audit_entry) = store_or_retrieve(&key_server, password, user_id, fresh).await?;

    session.home.open_with_storage_key_too(&storage_key)?;
    keep_audit_entry(session, &audit_entry)?;
    registration.password = None;
    Ok(())
}

/// Stores `fresh`; if an earlier run has stored another one and never knew, retrieves that.
async fn store_or_retrieve(
    key_server: &KeyServer<'_>,
    password: Password,
    user_id: UserId,
    fresh: StorageKey,
) -> Result<(StorageKey, AuditEntry), Error> {
    match key_server.complete_registration(password.clone(), user_id, &fresh).await {
        Ok(audit_entry) => Ok((fresh, audit_entry)),
        Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::StorageKeyExists) => {
            let retrieved = key_server.retrieve_storage_key(password).await?;
            Ok((retrieved.storage_key, retrieved.audit_entry))
        }
        Err(error) => Err(error),
    }
}
