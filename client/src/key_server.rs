//! What a client does at the key server: every operation is a session of its own, an OPAQUE login and one request.

mod audit_log;
#[cfg(test)]
mod tests;

pub use audit_log::AuditLog;
pub(crate) use audit_log::{Known, read_audit_log};

use vestibule_protocol::endpoint::{
    OpenSession, OpenSessionRequest, OpenSessionResponse, SessionPath, UseSession, UseSessionRequest,
    UseSessionResponse,
};
use vestibule_protocol::key_server::{
    AuditEntry, AuditLogPage, ClientSession, ClientSessionError, PasswordChange, Registration, Request, Retrieved,
    Session as KeyServerSession, SessionOpening, StorageKey,
};
use vestibule_protocol::keys::ClientCredentialKey;
use vestibule_protocol::name::{UserId, UserName};
use vestibule_protocol::opaque::{OpaqueError, Password};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::request_signature::Service;

use crate::api::{Api, ApiError, Connection, RequestSigner};
use crate::error::Error;
use crate::home::{Account, KeyServerState};
use crate::session::Session;

/// The key server, as one user has it.
pub(crate) struct KeyServer<'a> {
    service: Api,
    randomness: Randomness,
    user_name: UserName,
    /// The user's client on this device, if there is one: what it signs does not count against the logins that
    /// strangers can use up.
    signer: Option<RequestSigner<'a, ClientCredentialKey>>,
}

/// A session that is open, and where it is used.
struct Opened<S: KeyServerSession> {
    path: SessionPath,
    session: ClientSession<S>,
}

impl<'a> KeyServer<'a> {
    /// The key server behind `connection`, for this user. `account` is the one on this device, whoever's it is.
    pub(crate) fn new(connection: &Connection, user_name: UserName, account: Option<&'a Account>) -> Self {
        let account = account.filter(|account| account.user_name == user_name && account.is_registered());
        Self {
            service: Api::new(Service::KeyServer, connection.clone()),
            randomness: connection.randomness.clone(),
            user_name,
            signer: account.map(Account::signer),
        }
    }

    /// Stores the user's storage key. It can be done once.
    pub(crate) async fn complete_registration(
        &self,
        password: Password,
        user_id: UserId,
        storage_key: &StorageKey,
    ) -> Result<AuditEntry, Error> {
        let Opened { path, session } = self.open::<Registration>(password).await?;
        let (awaited, request) = session.complete_registration(user_id, storage_key, &mut self.randomness.clone());
        let answer = self.send(&path, &request).await?;
        Ok(awaited.open(&answer).map_err(refused)?.audit_entry)
    }

    /// Retrieves the user's storage key.
    pub(crate) async fn retrieve_storage_key(&self, password: Password) -> Result<Retrieved, Error> {
        let Opened { path, session } = self.open::<Request>(password).await?;
        let (awaited, request) = session.retrieve_storage_key();
        let answer = self.send(&path, &request).await?;
        awaited.open_storage_key(&answer).map_err(refused)
    }

    /// Reads a page of the user's audit log: the newest, or the one before the entry with this number.
    async fn read_audit_log_page(&self, password: Password, before: Option<u64>) -> Result<AuditLogPage, Error> {
        let Opened { path, session } = self.open::<Request>(password).await?;
        let (awaited, request) = session.read_audit_log(before);
        let answer = self.send(&path, &request).await?;
        awaited.open(&answer).map_err(refused)
    }

    /// Changes the user's password. The storage key stays what it is.
    pub(crate) async fn change_password(
        &self,
        old_password: Password,
        new_password: Password,
        user_id: UserId,
        storage_key: &StorageKey,
    ) -> Result<AuditEntry, Error> {
        let user_name = self.user_name.clone();
        let randomness = &mut self.randomness.clone();
        let (opening, request) =
            SessionOpening::<PasswordChange>::start(user_name, old_password, new_password, randomness);
        let Opened { path, session } =
            self.log_in(&request, move |answer, randomness| opening.finish(answer, randomness)).await?;
        let (awaited, request) = session.change_password(user_id, storage_key, randomness);
        let answer = self.send(&path, &request).await;
        let opened = answer.and_then(|answer| awaited.open(&answer).map_err(refused));
        let changed = opened.map_err(|error| match leaves_doubt(&error) {
            true => Error::PasswordChangeUncertain(Box::new(error)),
            false => error,
        });
        Ok(changed?.audit_entry)
    }

    /// Deletes the user's storage key and audit log.
    pub(crate) async fn delete_storage_key(&self, password: Password) -> Result<(), Error> {
        let Opened { path, session } = self.open::<Request>(password).await?;
        let (awaited, request) = session.delete_storage_key();
        let answer = self.send(&path, &request).await?;
        awaited.open(&answer).map(|_| ()).map_err(refused)
    }

    async fn open<S>(&self, password: Password) -> Result<Opened<S>, Error>
    where
        S: KeyServerSession<RegistrationUnderWay = (), NewRegistration = ()> + Send + 'static,
    {
        let (opening, request) =
            SessionOpening::<S>::start(self.user_name.clone(), password, &mut self.randomness.clone());
        self.log_in(&request, move |answer, randomness| opening.finish(answer, randomness)).await
    }

    /// If the answer is lost, the same request opens another session.
    async fn log_in<S>(
        &self,
        request: &OpenSessionRequest,
        finish: impl FnOnce(&OpenSessionResponse, &mut Randomness) -> Result<ClientSession<S>, ClientSessionError>
        + Send
        + 'static,
    ) -> Result<Opened<S>, Error>
    where
        S: KeyServerSession + Send + 'static,
        S::NewRegistration: Send,
    {
        let body = serde_json::to_vec(request).expect("a request is made of what JSON can say");
        let answer = match &self.signer {
            Some(signer) => self.service.call_signed::<OpenSession, _>(&(), &body, signer).await?,
            None => self.service.call::<OpenSession>(&(), &body).await?,
        };
        let path = SessionPath { session_id: answer.session_id };
        let mut randomness = self.randomness.clone();
        // Argon2 takes a while and all of a core, so it does not run where other tasks do.
        let finished = tokio::task::spawn_blocking(move || finish(&answer, &mut randomness)).await;
        let session = finished.expect("OPAQUE does not panic").map_err(refused)?;
        Ok(Opened { path, session })
    }

    /// If the answer is lost, the same request gets it again for as long as the session lasts.
    async fn send(&self, path: &SessionPath, request: &UseSessionRequest) -> Result<UseSessionResponse, Error> {
        let body = serde_json::to_vec(request).expect("a request is made of what JSON can say");
        Ok(self.service.call::<UseSession>(path, &body).await?)
    }
}

/// Lets the newest entry that this device has seen be `entry`, if it is the next one: if others come in between, the next
/// reading of the log will tell.
pub(crate) fn follow_audit_log(session: &mut Session<'_>, entry: &AuditEntry) -> Result<(), Error> {
    match &session.account().key_server {
        Some(state) if state.newest_audit_entry.head().is_followed_by(entry) => keep_audit_entry(session, entry),
        _ => Ok(()),
    }
}

/// Lets the newest entry that this device has seen be `entry`.
pub(crate) fn keep_audit_entry(session: &mut Session<'_>, entry: &AuditEntry) -> Result<(), Error> {
    let key_server = KeyServerState { newest_audit_entry: *entry };
    session.change_account(|account| account.key_server = Some(key_server))
}

/// With a wrong password nothing in the server's answer makes sense, and with an unknown user nothing ever would.
fn refused(error: impl Into<ClientSessionError>) -> Error {
    match error.into() {
        ClientSessionError::Opaque(OpaqueError::NotAuthenticated) => Error::WrongPassword,
        error => Error::SessionRefused(error),
    }
}

/// Whether a request may have had its effect although this came of it.
fn leaves_doubt(error: &Error) -> bool {
    match error {
        // The answer to an earlier attempt may have been lost, and since then the session have expired.
        Error::Api(error @ ApiError::Problem { problem_type, .. }) => {
            error.may_pass() || *problem_type == Some(ProblemType::SessionUnknown)
        }
        Error::Api(ApiError::Stopped(_)) => false,
        _ => true,
    }
}
