//! Sessions: what they are called, and what for.

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use tls_codec::{DeserializeBytes, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::client::RegistrationUnderWay;
use super::operations::{ChangePassword, CompleteRegistration, RequestOperation};
use crate::encoding::Bytes;
use crate::name::UserName;
use crate::opaque::{FinishedRegistration, REGISTRATION_REQUEST_LENGTH, REGISTRATION_RESPONSE_LENGTH};
use crate::signed::labelled;
use crate::text_form::bytes_text_form;

/// The kinds of session.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum SessionKind {
    /// To store the storage key, once.
    Registration = 1,
    /// To retrieve or delete it, or to read the audit log.
    Request = 2,
    /// To change the password.
    PasswordChange = 3,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Registration {}
    impl Sealed for super::Request {}
    impl Sealed for super::PasswordChange {}
}

/// A kind of session, as a type. There are three: [`Registration`], [`Request`] and [`PasswordChange`].
pub trait Session: sealed::Sealed {
    /// The same as a value.
    const KIND: SessionKind;
    /// What is asked for over it.
    type Request: tls_codec::Serialize + DeserializeBytes;
    /// The client's registration of a new password while the session is being opened, if the session is for one.
    type RegistrationUnderWay;
    /// The same when the session is open.
    type NewRegistration;
}

/// A session to store the storage key, once.
#[derive(Debug)]
pub struct Registration;

impl Session for Registration {
    const KIND: SessionKind = SessionKind::Registration;
    type Request = CompleteRegistration;
    type RegistrationUnderWay = ();
    type NewRegistration = ();
}

/// A session to retrieve or delete the storage key, or to read the audit log.
#[derive(Debug)]
pub struct Request;

impl Session for Request {
    const KIND: SessionKind = SessionKind::Request;
    type Request = RequestOperation;
    type RegistrationUnderWay = ();
    type NewRegistration = ();
}

/// A session to change the password.
#[derive(Debug)]
pub struct PasswordChange;

impl Session for PasswordChange {
    const KIND: SessionKind = SessionKind::PasswordChange;
    type Request = ChangePassword;
    type RegistrationUnderWay = RegistrationUnderWay;
    type NewRegistration = FinishedRegistration;
}

/// Length of a [`SessionId`] in bytes.
const SESSION_ID_LENGTH: usize = 16;

/// Names a session: 16 random bytes of the server's; 22 characters of base64url in text and JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SessionId([u8; SESSION_ID_LENGTH]);

impl SessionId {
    /// A fresh one.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut id = [0; SESSION_ID_LENGTH];
        rng.fill_bytes(&mut id);
        Self(id)
    }
}

/// The text is not a session id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a session id is 16 bytes in base64url without padding")]
pub struct SessionIdError;

bytes_text_form!(SessionId, SessionIdError);

/// The OPAQUE registration inside the opening of a session that changes the password.
#[derive(Clone, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct RegistrationExchange {
    pub(super) request: [u8; REGISTRATION_REQUEST_LENGTH],
    pub(super) response: [u8; REGISTRATION_RESPONSE_LENGTH],
}

impl RegistrationExchange {
    /// `None` if one of the messages has another length than it should.
    pub(super) fn new(request: &Bytes, response: &Bytes) -> Option<Self> {
        let request = request.0.as_slice().try_into().ok()?;
        let response = response.0.as_slice().try_into().ok()?;
        Some(Self { request, response })
    }
}

/// The `context` of a session's login (RFC 9807, section 6.1): what the client and the server said in clear when the
/// session was opened. If anything of it was altered on the way, the login fails.
///
/// ```text
/// struct {
///     opaque label<V> = "Vestibule 1.0 KeyServerSession";
///     opaque content<V>;      // SessionContext
/// }
///
/// struct {
///     SessionKind kind;
///     opaque session_id[16];
///     optional<RegistrationExchange> registration_exchange;
/// } SessionContext;
/// ```
pub(super) fn opaque_context(
    kind: SessionKind,
    session_id: &SessionId,
    registration_exchange: Option<&RegistrationExchange>,
) -> Vec<u8> {
    let mut content = Vec::new();
    let written = (|| {
        kind.tls_serialize(&mut content)?;
        session_id.tls_serialize(&mut content)?;
        registration_exchange.cloned().tls_serialize(&mut content)
    })();
    written.expect("a Vec takes whatever is written");
    labelled("KeyServerSession", &content)
}

/// The `info` of a channel's keys: which session, whose, of which kind.
pub(super) fn channel_info(kind: SessionKind, session_id: &SessionId, user_name: &UserName) -> Vec<u8> {
    let mut content = Vec::new();
    let written = (|| {
        kind.tls_serialize(&mut content)?;
        session_id.tls_serialize(&mut content)?;
        user_name.tls_serialize(&mut content)
    })();
    written.expect("a Vec takes whatever is written");
    content
}
