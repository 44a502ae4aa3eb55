//! The client's side of a session.

use std::marker::PhantomData;

use rand::{CryptoRng, RngCore};

use super::audit::AuditEntry;
use super::channel::{ChannelError, ChannelKeys, DirectionKey, request_hash};
use super::operations::{
    ChangePassword, CompleteRegistration, DeleteStorageKey, Operation, ReadAuditLog, RetrieveStorageKey,
};
use super::session::{PasswordChange, Registration, RegistrationExchange, Request, Session, opaque_context};
use super::storage_key::{EncryptedStorageKey, EncryptedStorageKeyError, StorageKey};
use crate::encoding::Bytes;
use crate::endpoint::{OpenSessionRequest, OpenSessionResponse, UseSessionRequest, UseSessionResponse};
use crate::name::{UserId, UserName};
use crate::opaque::{ClientLogin, ClientRegistration, ExportKey, OpaqueError, Parameters, Password};

/// Why a session cannot be opened, or its response not be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientSessionError {
    /// The login failed.
    #[error(transparent)]
    Opaque(#[from] OpaqueError),
    /// The server's answer lacks what this kind of session needs, or has what it does not.
    #[error("the key server's answer is malformed")]
    MalformedAnswer,
    /// The sealed response is not the server's to this request.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The storage key does not open with the password that opened the session.
    #[error(transparent)]
    StorageKey(#[from] EncryptedStorageKeyError),
}

/// A session that is being opened: between the client's `KE1` and the server's `KE2`. It holds the password.
pub struct SessionOpening<S: Session> {
    user_name: UserName,
    login: ClientLogin,
    registration: S::RegistrationUnderWay,
}

/// A new password on its way to the server.
pub struct RegistrationUnderWay {
    state: ClientRegistration,
    request: Bytes,
}

impl<S: Session<RegistrationUnderWay = (), NewRegistration = ()>> SessionOpening<S> {
    /// Opens a session for this user: the state, and the request to send.
    pub fn start(
        user_name: UserName,
        password: Password,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (Self, OpenSessionRequest) {
        let (login, ke1) = ClientLogin::start(password, rng);
        let opaque_registration_request = None;
        let request =
            OpenSessionRequest { kind: S::KIND, user_name: user_name.clone(), ke1, opaque_registration_request };
        (Self { user_name, login, registration: () }, request)
    }

    /// Finishes the login with the server's answer.
    ///
    /// # Errors
    /// [`ClientSessionError`]; a wrong password is [`OpaqueError::NotAuthenticated`]. Nothing is to be sent then.
    pub fn finish(
        self,
        answer: &OpenSessionResponse,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<ClientSession<S>, ClientSessionError> {
        if answer.opaque_registration_response.is_some() {
            return Err(ClientSessionError::MalformedAnswer);
        }
        let Self { user_name, login, registration: () } = self;
        let channel = Channel::log_in::<S>(&user_name, login, answer, None, rng)?;
        Ok(ClientSession { user_name, channel, new_registration: () })
    }
}

impl SessionOpening<PasswordChange> {
    /// Opens a session for this user to change the password: the state, and the request to send.
    pub fn start(
        user_name: UserName,
        old_password: Password,
        new_password: Password,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (Self, OpenSessionRequest) {
        let (login, ke1) = ClientLogin::start(old_password, rng);
        let (state, request) = ClientRegistration::start(new_password, rng);
        let opaque_registration_request = Some(request.clone());
        let kind = PasswordChange::KIND;
        let opening = OpenSessionRequest { kind, user_name: user_name.clone(), ke1, opaque_registration_request };
        (Self { user_name, login, registration: RegistrationUnderWay { state, request } }, opening)
    }

    /// Finishes the login with the old password, and the registration of the new one, with the server's answer.
    ///
    /// # Errors
    /// [`ClientSessionError`]; a wrong password is [`OpaqueError::NotAuthenticated`]. Nothing is to be sent then.
    pub fn finish(
        self,
        answer: &OpenSessionResponse,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<ClientSession<PasswordChange>, ClientSessionError> {
        let Self { user_name, login, registration: RegistrationUnderWay { state, request } } = self;
        let response = answer.opaque_registration_response.as_ref().ok_or(ClientSessionError::MalformedAnswer)?;
        let exchange = RegistrationExchange::new(&request, response).ok_or(OpaqueError::MalformedMessage)?;
        // First the login, which vouches for the response.
        let channel = Channel::log_in::<PasswordChange>(&user_name, login, answer, Some(&exchange), rng)?;
        let new_registration = state.finish(&response.0, &Parameters::of_user(&user_name), rng)?;
        Ok(ClientSession { user_name, channel, new_registration })
    }
}

/// An open session: the server has proved that it knows the user's record, and can be sent one request, with which the
/// client proves that it knows the password.
///
/// What a session of another kind allows does not compile:
///
/// ```compile_fail,E0599
/// use vestibule_protocol::key_server::{ClientSession, Registration};
///
/// fn retrieve(session: ClientSession<Registration>) {
///     session.retrieve_storage_key();
/// }
/// ```
///
/// ```compile_fail,E0271
/// use vestibule_protocol::key_server::{ClientSession, PasswordChange, RetrieveStorageKey};
///
/// fn retrieve(session: ClientSession<PasswordChange>) {
///     session.send(RetrieveStorageKey);
/// }
/// ```
///
/// And this is how it does:
///
/// ```
/// use vestibule_protocol::key_server::{ClientSession, Request, RetrieveStorageKey};
///
/// fn retrieve(session: ClientSession<Request>) {
///     session.send(RetrieveStorageKey);
/// }
/// ```
pub struct ClientSession<S: Session> {
    user_name: UserName,
    channel: Channel,
    new_registration: S::NewRegistration,
}

/// What the login gave.
struct Channel {
    ke3: Bytes,
    keys: ChannelKeys,
    export_key: ExportKey,
}

impl Channel {
    fn log_in<S: Session>(
        user_name: &UserName,
        login: ClientLogin,
        answer: &OpenSessionResponse,
        exchange: Option<&RegistrationExchange>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, OpaqueError> {
        let context = opaque_context(S::KIND, &answer.session_id, exchange);
        let finished = login.finish(&answer.ke2.0, &Parameters::of_user(user_name).with_context(&context), rng)?;
        let keys = ChannelKeys::derive(S::KIND, &finished.session_key, &answer.session_id, user_name);
        Ok(Self { ke3: finished.ke3, keys, export_key: finished.export_key })
    }
}

impl<S: Session> ClientSession<S> {
    /// Uses the session for an operation that it allows: what opens the response, and the request to send. Sent again, the
    /// request must be the same.
    pub fn send<O: Operation<Session = S>>(self, operation: O) -> (AwaitedResponse<O>, UseSessionRequest) {
        let (awaited, _, request) = self.use_for(operation);
        (awaited, request)
    }

    fn use_for<O: Operation<Session = S>>(self, operation: O) -> (AwaitedResponse<O>, ExportKey, UseSessionRequest) {
        let Channel { ke3, keys, export_key } = self.channel;
        let sealed_request = keys.request.seal(&operation.into_request(), &[]);
        let request_hash = request_hash(&sealed_request.0);
        let awaited = AwaitedResponse { key: keys.response, request_hash, operation: PhantomData };
        (awaited, export_key, UseSessionRequest { user_name: self.user_name, ke3, sealed_request })
    }
}

#[cfg(test)]
impl<S: Session> ClientSession<S> {
    /// Uses the session for anything, as somebody does who keeps to no rules.
    pub(super) fn send_anything(self, request: &impl tls_codec::Serialize) -> UseSessionRequest {
        let Channel { ke3, keys, .. } = self.channel;
        UseSessionRequest { user_name: self.user_name, ke3, sealed_request: keys.request.seal(request, &[]) }
    }
}

impl ClientSession<Registration> {
    /// Encrypts a storage key under what the password gave, and stores it for this user.
    pub fn complete_registration(
        self,
        user_id: UserId,
        storage_key: &StorageKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (AwaitedResponse<CompleteRegistration>, UseSessionRequest) {
        let encrypted_storage_key = storage_key.encrypt(&self.channel.export_key, &user_id, rng);
        self.send(CompleteRegistration::new(user_id, &encrypted_storage_key))
    }
}

impl ClientSession<Request> {
    /// Retrieves the storage key.
    pub fn retrieve_storage_key(self) -> (AwaitedStorageKey, UseSessionRequest) {
        let (response, export_key, request) = self.use_for(RetrieveStorageKey);
        (AwaitedStorageKey { response, export_key }, request)
    }

    /// Reads a page of the audit log: the newest entries, or those before the one with this number.
    pub fn read_audit_log(self, before: Option<u64>) -> (AwaitedResponse<ReadAuditLog>, UseSessionRequest) {
        self.send(ReadAuditLog { before })
    }

    /// Deletes storage key and audit log.
    pub fn delete_storage_key(self) -> (AwaitedResponse<DeleteStorageKey>, UseSessionRequest) {
        self.send(DeleteStorageKey)
    }
}

impl ClientSession<PasswordChange> {
    /// Changes the password: stores its record, and the storage key encrypted under what the new password gives.
    pub fn change_password(
        self,
        user_id: UserId,
        storage_key: &StorageKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (AwaitedResponse<ChangePassword>, UseSessionRequest) {
        let encrypted_storage_key = storage_key.encrypt(&self.new_registration.export_key, &user_id, rng);
        let operation = ChangePassword::new(&self.new_registration.record, &encrypted_storage_key);
        self.send(operation)
    }
}

/// What opens the response to a request.
pub struct AwaitedResponse<O: Operation> {
    key: DirectionKey,
    request_hash: [u8; 32],
    operation: PhantomData<O>,
}

impl<O: Operation> AwaitedResponse<O> {
    /// Opens the response.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub fn open(&self, response: &UseSessionResponse) -> Result<O::Response, ChannelError> {
        self.key.open(&response.sealed_response.0, &self.request_hash)
    }
}

/// What opens the response to a retrieval, and decrypts the storage key in it with what the password gave.
pub struct AwaitedStorageKey {
    response: AwaitedResponse<RetrieveStorageKey>,
    export_key: ExportKey,
}

/// A user's storage key, retrieved.
#[derive(Debug)]
pub struct Retrieved {
    /// The user's id.
    pub user_id: UserId,
    /// The key.
    pub storage_key: StorageKey,
    /// What the audit log says of it.
    pub audit_entry: AuditEntry,
}

impl AwaitedStorageKey {
    /// Opens the response and decrypts the storage key.
    ///
    /// # Errors
    /// [`ClientSessionError::Channel`], [`ClientSessionError::StorageKey`].
    pub fn open_storage_key(&self, response: &UseSessionResponse) -> Result<Retrieved, ClientSessionError> {
        let retrieved = self.response.open(response)?;
        let encrypted = EncryptedStorageKey::from_bytes(retrieved.encrypted_storage_key())?;
        let storage_key = encrypted.decrypt(&self.export_key, &retrieved.user_id)?;
        Ok(Retrieved { user_id: retrieved.user_id, storage_key, audit_entry: retrieved.audit_entry })
    }
}
