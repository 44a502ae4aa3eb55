//! What can be done over a session: what is checked first, and what happens then.

use vestibule_backend::key_server::{
    AuditLog, SessionUse, StorageKeyChange, StorageKeyItem, StorageKeyRecord, session_superseded, storage_key_exists,
};
use vestibule_protocol::encoding::equal_in_constant_time;
use vestibule_protocol::key_server::{
    AuditAction, AuditEntry, AuditHead, AuditLogPage, AuditOutcome, ChangePassword, CompleteRegistration,
    DeleteStorageKey, Deleted, EncryptedStorageKey, Operation, PasswordChange, ReadAuditLog, Recorded, Registration,
    Request, RetrieveStorageKey, RetrievedStorageKey, ServerSession, Session, SessionId,
};
use vestibule_protocol::limits::AUDIT_PAGE_LENGTH;
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

/// A session that somebody uses who knows the password, and what there is.
pub(crate) struct UseOfSession<'a> {
    pub(crate) user_name: &'a UserName,
    pub(crate) session_id: &'a SessionId,
    pub(crate) request_hash: [u8; 32],
    pub(crate) storage_key: Option<&'a StorageKeyItem>,
    pub(crate) now: Timestamp,
}

impl<'a> UseOfSession<'a> {
    /// "Complete registration": the server's steps of `key-server-registration.md`, in their order.
    pub(crate) fn complete_registration(
        self,
        completion: &CompleteRegistration,
        session: ServerSession<Registration>,
    ) -> Result<SessionUse<'a>, Problem> {
        let user = session.user();
        if !equal_in_constant_time(completion.user_id.as_bytes(), user.user_id.as_bytes()) {
            let detail = "the user id is not that of the user who logged in";
            return Err(Problem::new(ProblemType::UserIdMismatch, detail));
        }
        let encrypted_storage_key = checked_storage_key(completion.encrypted_storage_key())?;
        match self.storage_key {
            None => {}
            Some(StorageKeyItem::Kept(_)) => return Err(storage_key_exists()),
            Some(StorageKeyItem::Deleted) => return Err(storage_key_deleted()),
        }
        let audit_entry = self.entry(&AuditHead::before_first(&user.user_id), AuditAction::RegistrationCompleted);
        let recorded = Recorded { audit_entry };
        let change = StorageKeyChange::Store(encrypted_storage_key);
        Ok(self.with_entry::<CompleteRegistration>(session, &recorded, change, audit_entry))
    }

    /// "Retrieve `storage_key` functionality".
    pub(crate) fn retrieve_storage_key(self, session: ServerSession<Request>) -> Result<SessionUse<'a>, Problem> {
        let record = self.kept_for(&session)?;
        let audit_entry = self.entry(&record.audit_head, AuditAction::StorageKeyRetrieved);
        let response = RetrievedStorageKey::new(record.user_id, &record.encrypted_storage_key, audit_entry);
        Ok(self.with_entry::<RetrieveStorageKey>(session, &response, StorageKeyChange::Keep(record), audit_entry))
    }

    pub(crate) async fn read_audit_log(
        self,
        page: ReadAuditLog,
        session: ServerSession<Request>,
        audit_log: &AuditLog,
    ) -> Result<SessionUse<'a>, Problem> {
        let record = self.kept_for(&session)?;
        let audit_entry = self.entry(&record.audit_head, AuditAction::AuditLogRead);
        // The newest entry is the one that says that the log is read.
        let newest = if page.before.is_none() { vec![audit_entry] } else { Vec::new() };
        let count = AUDIT_PAGE_LENGTH - newest.len();
        let older = audit_log.read(self.user_name, &record.audit_head, page.before, count, self.now).await?;
        let response = AuditLogPage { user_id: record.user_id, entries: newest.into_iter().chain(older).collect() };
        Ok(self.with_entry::<ReadAuditLog>(session, &response, StorageKeyChange::Keep(record), audit_entry))
    }

    pub(crate) fn delete_storage_key(self, session: ServerSession<Request>) -> Result<SessionUse<'a>, Problem> {
        let record = self.kept_for(&session)?;
        Ok(self.use_for::<DeleteStorageKey>(session, &Deleted {}, StorageKeyChange::Delete(record)))
    }

    pub(crate) fn change_password(
        self,
        change: &ChangePassword,
        credential_identifier: CredentialIdentifier,
        session: ServerSession<PasswordChange>,
    ) -> Result<SessionUse<'a>, Problem> {
        let record = self.kept_for(&session)?;
        let new_record = RegistrationRecord::from_upload(change.registration_record())
            .map_err(|error| Problem::new(ProblemType::InvalidOpaqueMessage, error))?;
        let encrypted_storage_key = checked_storage_key(change.encrypted_storage_key())?;
        let audit_entry = self.entry(&record.audit_head, AuditAction::PasswordChanged);
        let recorded = Recorded { audit_entry };
        let change = StorageKeyChange::Replace(record, encrypted_storage_key);
        let session_use = self.with_entry::<ChangePassword>(session, &recorded, change, audit_entry);
        Ok(SessionUse { new_password: Some((new_record, credential_identifier)), ..session_use })
    }

    /// The user's storage key, if it is still under the password that opened the session.
    fn kept_for<S: Session>(&self, session: &ServerSession<S>) -> Result<&'a StorageKeyRecord, Problem> {
        match self.storage_key {
            Some(StorageKeyItem::Kept(record)) if record.is_of(&session.user()) => Ok(record),
            Some(StorageKeyItem::Kept(_)) => Err(session_superseded()),
            Some(StorageKeyItem::Deleted) => Err(storage_key_deleted()),
            None => Err(Problem::new(ProblemType::StorageKeyMissing, "complete the registration first")),
        }
    }

    fn entry(&self, head: &AuditHead, action: AuditAction) -> AuditEntry {
        head.next(self.now, action, AuditOutcome::Succeeded)
    }

    fn with_entry<O: Operation>(
        self,
        session: ServerSession<O::Session>,
        response: &O::Response,
        storage_key: StorageKeyChange<'a>,
        audit_entry: AuditEntry,
    ) -> SessionUse<'a> {
        SessionUse { audit_entry: Some(audit_entry), ..self.use_for::<O>(session, response, storage_key) }
    }

    fn use_for<O: Operation>(
        self,
        session: ServerSession<O::Session>,
        response: &O::Response,
        storage_key: StorageKeyChange<'a>,
    ) -> SessionUse<'a> {
        SessionUse {
            user_name: self.user_name,
            session_id: self.session_id,
            user: session.user(),
            request_hash: self.request_hash,
            sealed_response: session.respond::<O>(response),
            storage_key,
            new_password: None,
            audit_entry: None,
        }
    }
}

fn checked_storage_key(bytes: &[u8]) -> Result<EncryptedStorageKey, Problem> {
    EncryptedStorageKey::from_bytes(bytes).map_err(|error| Problem::new(ProblemType::EncryptedStorageKeyInvalid, error))
}

fn storage_key_deleted() -> Problem {
    Problem::new(ProblemType::StorageKeyDeleted, "the user's account was deleted from the key server")
}
