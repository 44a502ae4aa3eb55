//! The server's side of a session.

use std::marker::PhantomData;

use rand::{CryptoRng, RngCore};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroize as _;

use super::channel::{ChannelError, ChannelKeys, DirectionKey, request_hash};
use super::operations::{ChangePassword, CompleteRegistration, Operation, RequestOperation};
use super::session::{
    PasswordChange, Registration, RegistrationExchange, Request, Session, SessionId, SessionKind, opaque_context,
};
use crate::encoding::{Bytes, SecretBytes as _};
use crate::endpoint::{OpenSessionRequest, OpenSessionResponse};
use crate::limits::KEY_SERVER_SESSION_LIFETIME;
use crate::name::{UserId, UserName};
use crate::opaque::{
    CREDENTIAL_IDENTIFIER_LENGTH, CredentialIdentifier, OpaqueError, Parameters, RegistrationRecord,
    SERVER_LOGIN_LENGTH, ServerLogin, ServerSetup,
};
use crate::time::Timestamp;

/// Why a session is not opened, or a request over it not heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ServerSessionError {
    /// An OPAQUE message is malformed, or the login fails.
    #[error(transparent)]
    Opaque(#[from] OpaqueError),
    /// An OPAQUE registration request where there is nothing to register, or none where there is.
    #[error("a session to change the password is opened with an OPAQUE registration request, and no other is")]
    RegistrationRequestMisplaced,
    /// The request is not sealed for this session.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// Whose password a login is with, as far as the server knows.
pub struct PasswordOwner<'a> {
    /// The record; none if there is no such user.
    pub record: Option<&'a RegistrationRecord>,
    /// Under which identifier it was registered; without a record one that the name always has.
    pub credential_identifier: CredentialIdentifier,
    /// The user; anything of the same size if there is none.
    pub user: SessionUser,
}

/// The user of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SessionUser {
    /// Its id.
    pub user_id: UserId,
    /// How many times the password has been set: what the session may do ends when this changes.
    pub version: u64,
}

/// What the server keeps of a session between its opening and its use. It is a secret, worth as much as the password for
/// as long as the session lasts: the `KE3` that it waits for follows from it.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct StoredSession {
    kind: SessionKind,
    session_id: SessionId,
    user_name: UserName,
    user: SessionUser,
    expires_at: Timestamp,
    login_state: [u8; SERVER_LOGIN_LENGTH],
    password_change: Option<StoredPasswordChange>,
}

/// What the server keeps of a new password between the two requests.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct StoredPasswordChange {
    credential_identifier: [u8; CREDENTIAL_IDENTIFIER_LENGTH],
    exchange: RegistrationExchange,
}

impl Drop for StoredSession {
    fn drop(&mut self) {
        self.login_state.zeroize();
    }
}

impl StoredSession {
    /// Opens a session: what to keep, and what to answer. For a user who does not exist it is the same work and the same
    /// sizes.
    ///
    /// # Errors
    /// [`ServerSessionError::Opaque`], [`ServerSessionError::RegistrationRequestMisplaced`].
    pub fn open(
        request: &OpenSessionRequest,
        setup: &ServerSetup,
        owner: &PasswordOwner<'_>,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, OpenSessionResponse), ServerSessionError> {
        let OpenSessionRequest { kind, user_name, ke1, opaque_registration_request } = request;
        let session_id = SessionId::generate(rng);
        let password_change = match (kind, opaque_registration_request) {
            (SessionKind::PasswordChange, Some(registration_request)) => {
                Some(respond_to_password_change(registration_request, setup, rng)?)
            }
            (SessionKind::Registration | SessionKind::Request, None) => None,
            _ => return Err(ServerSessionError::RegistrationRequestMisplaced),
        };
        let exchange = password_change.as_ref().map(|change| &change.exchange);
        let context = opaque_context(*kind, &session_id, exchange);
        let parameters = Parameters::of_user(user_name).with_context(&context);
        let identifier = owner.credential_identifier.as_ref();
        let (login, ke2) = setup.start_login(owner.record, identifier, &ke1.0, &parameters, rng)?;
        let answer = OpenSessionResponse {
            session_id,
            ke2,
            opaque_registration_response: exchange.map(|exchange| Bytes(exchange.response.to_vec())),
        };
        let login_state = login.to_secret_bytes().as_slice().try_into().expect("it has one length");
        let (kind, user_name, user) = (*kind, user_name.clone(), owner.user);
        let expires_at = now.saturating_add(KEY_SERVER_SESSION_LIFETIME);
        Ok((Self { kind, session_id, user_name, user, expires_at, login_state, password_change }, answer))
    }

    /// What the session is called.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// When it is over.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether it is the session of this name, opened for this user, and not over: a session is worth nothing where it was
    /// not put.
    pub fn is_for(&self, user_name: &UserName, session_id: &SessionId, now: Timestamp) -> bool {
        self.user_name == *user_name && self.session_id == *session_id && now < self.expires_at
    }

    /// Checks that the client knows the password, and only then opens its request.
    ///
    /// # Errors
    /// [`ServerSessionError::Opaque`] if the `KE3` is malformed or wrong, [`ServerSessionError::Channel`] if the request is
    /// not sealed for this session.
    pub fn receive(&self, ke3: &Bytes, sealed_request: &Bytes) -> Result<ReceivedRequest, ServerSessionError> {
        let exchange = self.password_change.as_ref().map(|change| &change.exchange);
        let context = opaque_context(self.kind, &self.session_id, exchange);
        let login = ServerLogin::from_secret_bytes(&self.login_state).ok_or(OpaqueError::MalformedMessage)?;
        let session_key = login.finish(&ke3.0, &Parameters::of_user(&self.user_name).with_context(&context))?;
        let keys = ChannelKeys::derive(self.kind, &session_key, &self.session_id, &self.user_name);
        Ok(match self.kind {
            SessionKind::Registration => ReceivedRequest::Registration(
                keys.request.open(&sealed_request.0, &[])?,
                self.opened(keys, sealed_request),
            ),
            SessionKind::Request => {
                ReceivedRequest::Request(keys.request.open(&sealed_request.0, &[])?, self.opened(keys, sealed_request))
            }
            SessionKind::PasswordChange => {
                let change = self.password_change.as_ref().ok_or(ChannelError)?;
                ReceivedRequest::PasswordChange(
                    keys.request.open(&sealed_request.0, &[])?,
                    CredentialIdentifier(change.credential_identifier),
                    self.opened(keys, sealed_request),
                )
            }
        })
    }

    fn opened<S: Session>(&self, keys: ChannelKeys, sealed_request: &Bytes) -> ServerSession<S> {
        ServerSession {
            user: self.user,
            response_key: keys.response,
            request_hash: request_hash(&sealed_request.0),
            kind: PhantomData,
        }
    }
}

fn respond_to_password_change(
    registration_request: &Bytes,
    setup: &ServerSetup,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<StoredPasswordChange, OpaqueError> {
    let credential_identifier = CredentialIdentifier::generate(rng);
    let response = setup.respond_to_registration(&registration_request.0, credential_identifier.as_ref())?;
    let exchange = RegistrationExchange::new(registration_request, &response);
    let exchange = exchange.ok_or(OpaqueError::MalformedMessage)?;
    Ok(StoredPasswordChange { credential_identifier: credential_identifier.0, exchange })
}

/// A request of somebody who knows the password, with the session over which it came: of each kind what it allows.
pub enum ReceivedRequest {
    /// Over a registration session.
    Registration(CompleteRegistration, ServerSession<Registration>),
    /// Over a request session.
    Request(RequestOperation, ServerSession<Request>),
    /// Over a session to change the password, whose record was made under this identifier.
    PasswordChange(ChangePassword, CredentialIdentifier, ServerSession<PasswordChange>),
}

/// A session whose request was received and waits for its response.
pub struct ServerSession<S: Session> {
    user: SessionUser,
    response_key: DirectionKey,
    request_hash: [u8; 32],
    kind: PhantomData<S>,
}

impl<S: Session> ServerSession<S> {
    /// Whose session it is.
    pub fn user(&self) -> SessionUser {
        self.user
    }

    /// Seals the response to an operation of this kind of session.
    pub fn respond<O: Operation<Session = S>>(self, response: &O::Response) -> Bytes {
        self.response_key.seal(response, &self.request_hash)
    }
}
