//! `POST /v1/ks/sessions/{session_id}`: uses a session with the key server, once (`key-server-registration.md`).
//!
//! The same request again gets the same answer until the session's 60 seconds are over; any other is refused.
#![deny(missing_docs)]

mod operations;

use operations::UseOfSession;
use vestibule_backend::key_server::{AuditLog, SessionUse, Sessions, StorageKeyChange, StorageKeyItem, finish_login};
use vestibule_backend::secret::{SealingKsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{UseSession, UseSessionRequest, UseSessionResponse};
use vestibule_protocol::key_server::{ReceivedRequest, RequestOperation};
use vestibule_protocol::name::UserName;
use vestibule_protocol::problem::Problem;

/// The function.
pub struct KsUseSession {
    clock: Clock,
    sessions: Sessions,
    audit_log: AuditLog,
    sealing: Secret<SealingKsDocument>,
}

impl HttpFunction for KsUseSession {
    type Endpoint = UseSession;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            clock: environment.clock().clone(),
            sessions: Sessions::new(environment)?,
            audit_log: AuditLog::new(environment)?,
            sealing: Secret::read(environment, "SEALING_KS_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<UseSession>) -> Result<UseSessionResponse, Problem> {
        let now = self.clock.now();
        let session_id = &request.path.session_id;
        let UseSessionRequest { user_name, ke3, sealed_request } = &request.body;
        let (item, storage_key) = self.sessions.read(user_name, session_id, now).await?;
        if let Some(sealed_response) = item.answer_to(&request.body_hash)? {
            if matches!(storage_key, Some(StorageKeyItem::Deleted)) {
                self.complete_deletion(user_name).await;
            }
            return Ok(UseSessionResponse { sealed_response });
        }

        let sealing = self.sealing.current().await;
        let session = item.open(&sealing.sealing_keys, user_name, session_id, now)?;
        let received = finish_login(&session, ke3, sealed_request)?;
        let request_hash = request.body_hash;
        let storage_key = storage_key.as_ref();
        let use_of_session = UseOfSession { user_name, session_id, request_hash, storage_key, now };
        let session_use = match self.decide(received, use_of_session).await {
            Ok(session_use) => session_use,
            Err(problem) => {
                if problem.problem_type.status() < 500 {
                    self.sessions.refuse(user_name, session_id, &request_hash, now).await?;
                }
                return Err(problem);
            }
        };
        let deletes = matches!(session_use.storage_key, StorageKeyChange::Delete(_));
        let sealed_response = self.sessions.commit(session_use, now).await?;
        if deletes {
            self.complete_deletion(user_name).await;
        }
        Ok(UseSessionResponse { sealed_response })
    }
}

impl KsUseSession {
    /// What a request does, if it is one that can be granted.
    async fn decide<'a>(
        &self,
        received: ReceivedRequest,
        use_of_session: UseOfSession<'a>,
    ) -> Result<SessionUse<'a>, Problem> {
        match received {
            ReceivedRequest::Registration(completion, session) => {
                use_of_session.complete_registration(&completion, session)
            }
            ReceivedRequest::Request(RequestOperation::RetrieveStorageKey, session) => {
                use_of_session.retrieve_storage_key(session)
            }
            ReceivedRequest::Request(RequestOperation::ReadAuditLog(page), session) => {
                use_of_session.read_audit_log(page, session, &self.audit_log).await
            }
            ReceivedRequest::Request(RequestOperation::DeleteStorageKey, session) => {
                use_of_session.delete_storage_key(session)
            }
            ReceivedRequest::PasswordChange(change, credential_identifier, session) => {
                use_of_session.change_password(&change, credential_identifier, session)
            }
        }
    }

    /// Removes the log of a user whose storage key is deleted. The key itself is gone already, and the log cannot be read
    /// any more: if this fails, the entries expire by themselves.
    async fn complete_deletion(&self, user_name: &UserName) {
        if self.audit_log.delete(user_name).await.is_err() {
            tracing::warn!("entries of a deleted audit log are left to expire");
        }
    }
}
