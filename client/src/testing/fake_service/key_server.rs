//! A key server in this process: real sessions, a conditional store, no disk.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{OpenSessionRequest, UseSessionRequest, UseSessionResponse};
use vestibule_protocol::key_server::{
    AuditAction, AuditEntry, AuditHead, AuditLogPage, AuditOutcome, ChangePassword, CompleteRegistration,
    DeleteStorageKey, Deleted, EncryptedStorageKey, PasswordOwner, ReadAuditLog, ReceivedRequest, Recorded,
    RequestOperation, RetrieveStorageKey, RetrievedStorageKey, SessionUser, StoredSession,
};
use vestibule_protocol::limits::AUDIT_PAGE_LENGTH;
use vestibule_protocol::name::UserId;
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord, ServerSetup};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use crate::transport::Request;

#[derive(Default)]
pub(crate) struct FakeKeyServer {
    /// The users, by their names.
    pub(crate) users: BTreeMap<String, KsUser>,
    sessions: BTreeMap<String, Session>,
}

pub(crate) struct KsUser {
    user: SessionUser,
    record: RegistrationRecord,
    credential_identifier: CredentialIdentifier,
    /// Whether the authentication service has deleted the user.
    is_gone: bool,
    /// What is stored of the storage key; empty after it was deleted.
    pub(crate) encrypted_storage_key: Option<Vec<u8>>,
    /// The audit log, oldest entry first.
    pub(crate) audit_log: Vec<AuditEntry>,
}

struct Session {
    user_name: String,
    stored: StoredSession,
    user: SessionUser,
    /// The request it was used for, and its answer.
    used: Option<(UseSessionRequest, Bytes)>,
}

impl FakeKeyServer {
    pub(super) fn register(
        &mut self,
        user_name: &str,
        user_id: UserId,
        record: RegistrationRecord,
        credential_identifier: CredentialIdentifier,
    ) {
        let user = KsUser {
            user: SessionUser { user_id, version: 1 },
            record,
            credential_identifier,
            is_gone: false,
            encrypted_storage_key: None,
            audit_log: Vec::new(),
        };
        self.users.insert(user_name.to_owned(), user);
    }

    /// Lets there be no such user any more, as far as passwords go.
    pub(super) fn remove_password(&mut self, user_name: &str) {
        self.users.get_mut(user_name).unwrap().is_gone = true;
    }

    /// What a user's password is checked by.
    pub(super) fn password(&self, user_name: &str) -> (&RegistrationRecord, CredentialIdentifier) {
        let user = &self.users[user_name];
        (&user.record, user.credential_identifier)
    }

    pub(super) fn open_session(
        &mut self,
        request: &OpenSessionRequest,
        setup: &ServerSetup,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Value, Problem> {
        let nobody = SessionUser { user_id: UserId::generate(rng), version: 0 };
        let nobodys_identifier = CredentialIdentifier::generate(rng);
        let owner = match self.users.get(request.user_name.as_str()).filter(|user| !user.is_gone) {
            Some(KsUser { user, record, credential_identifier, .. }) => {
                PasswordOwner { record: Some(record), credential_identifier: *credential_identifier, user: *user }
            }
            None => PasswordOwner { record: None, credential_identifier: nobodys_identifier, user: nobody },
        };
        let user = owner.user;
        let (stored, answer) = StoredSession::open(request, setup, &owner, now, rng)
            .map_err(|error| Problem::new(ProblemType::InvalidOpaqueMessage, error))?;
        let user_name = request.user_name.to_string();
        let session = Session { user_name, stored, user, used: None };
        self.sessions.insert(answer.session_id.to_string(), session);
        Ok(json!(answer))
    }

    pub(super) fn use_session(&mut self, request: &Request, now: Timestamp) -> Result<Value, Problem> {
        let problem = |problem_type| Problem::new(problem_type, "as it is");
        let body: UseSessionRequest = serde_json::from_slice(&request.body).unwrap();
        let id = request.path.strip_prefix("/v1/ks/sessions/").unwrap();
        let named = id.parse().unwrap();
        let session = self.sessions.get_mut(id).filter(|session| session.stored.is_for(&body.user_name, &named, now));
        let session = session.ok_or_else(|| problem(ProblemType::SessionUnknown))?;
        if let Some((used_for, sealed_response)) = &session.used {
            let sealed_response = sealed_response.clone();
            let is_same = *used_for == body;
            return if is_same {
                Ok(json!(UseSessionResponse { sealed_response }))
            } else {
                Err(problem(ProblemType::SessionUsed))
            };
        }
        let user = self.users.get_mut(&session.user_name).ok_or_else(|| problem(ProblemType::PasswordRefused))?;
        let received = session
            .stored
            .receive(&body.ke3, &body.sealed_request)
            .map_err(|error| Problem::new(ProblemType::PasswordRefused, error))?;
        if session.user.version != user.user.version {
            return Err(problem(ProblemType::SessionSuperseded));
        }
        let sealed_response = user.answer(received, now).map_err(problem)?;
        session.used = Some((body, sealed_response.clone()));
        Ok(json!(UseSessionResponse { sealed_response }))
    }
}

impl KsUser {
    fn answer(&mut self, received: ReceivedRequest, now: Timestamp) -> Result<Bytes, ProblemType> {
        let user_id = self.user.user_id;
        match received {
            ReceivedRequest::Registration(completion, session) => {
                let CompleteRegistration { user_id: claimed, .. } = completion;
                let encrypted = checked(completion.encrypted_storage_key())?;
                if claimed != user_id {
                    return Err(ProblemType::UserIdMismatch);
                } else if self.encrypted_storage_key.is_some() {
                    return Err(ProblemType::StorageKeyExists);
                }
                self.encrypted_storage_key = Some(encrypted);
                let audit_entry = self.record(AuditAction::RegistrationCompleted, now);
                Ok(session.respond::<CompleteRegistration>(&Recorded { audit_entry }))
            }
            ReceivedRequest::Request(operation, session) => {
                let encrypted = self.encrypted_storage_key.clone().ok_or(ProblemType::StorageKeyMissing)?;
                if encrypted.is_empty() {
                    return Err(ProblemType::StorageKeyDeleted);
                }
                Ok(match operation {
                    RequestOperation::RetrieveStorageKey => {
                        let entry = self.record(AuditAction::StorageKeyRetrieved, now);
                        session.respond::<RetrieveStorageKey>(&RetrievedStorageKey::new(user_id, &encrypted, entry))
                    }
                    RequestOperation::ReadAuditLog(ReadAuditLog { before }) => {
                        self.record(AuditAction::AuditLogRead, now);
                        let newest_first = self.audit_log.iter().rev().copied();
                        let page = newest_first.filter(|entry| before.is_none_or(|before| entry.sequence < before));
                        let entries = page.take(AUDIT_PAGE_LENGTH).collect();
                        session.respond::<ReadAuditLog>(&AuditLogPage { user_id, entries })
                    }
                    RequestOperation::DeleteStorageKey => {
                        self.encrypted_storage_key = Some(Vec::new());
                        self.audit_log.clear();
                        session.respond::<DeleteStorageKey>(&Deleted {})
                    }
                })
            }
            ReceivedRequest::PasswordChange(change, credential_identifier, session) => {
                let encrypted = checked(change.encrypted_storage_key())?;
                self.record = RegistrationRecord::from_upload(change.registration_record()).unwrap();
                self.credential_identifier = credential_identifier;
                self.encrypted_storage_key = Some(encrypted);
                self.user.version += 1;
                let audit_entry = self.record(AuditAction::PasswordChanged, now);
                Ok(session.respond::<ChangePassword>(&Recorded { audit_entry }))
            }
        }
    }

    /// Adds to the audit log.
    pub(crate) fn record(&mut self, action: AuditAction, now: Timestamp) -> AuditEntry {
        let head = self.audit_log.last().map_or(AuditHead::before_first(&self.user.user_id), AuditEntry::head);
        let entry = head.next(now, action, AuditOutcome::Succeeded);
        self.audit_log.push(entry);
        entry
    }
}

fn checked(encrypted_storage_key: &[u8]) -> Result<Vec<u8>, ProblemType> {
    let checked = EncryptedStorageKey::from_bytes(encrypted_storage_key);
    checked.map(|checked| checked.to_bytes().0).map_err(|_| ProblemType::EncryptedStorageKeyInvalid)
}
