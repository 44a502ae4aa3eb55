//! The endpoints of the key server.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, Path};
use crate::encoding::Bytes;
use crate::key_server::{SessionId, SessionKind};
use crate::limits::{MAX_OPEN_SESSION_LENGTH, MAX_USE_SESSION_LENGTH};
use crate::name::UserName;
use crate::problem::{Problem, ProblemType};

/// `POST /v1/ks/sessions`: opens a session (`key-server-registration.md`, "Opens a registration session").
pub struct OpenSession;

impl Endpoint for OpenSession {
    const DESCRIPTION: Description = Description {
        function: "ks-open-session",
        method: Method::Post,
        path: "/v1/ks/sessions",
        summary: "Opens a session with the key server: the first half of an OPAQUE login.",
        authentication: Authentication::ClientIfSigned,
        max_request_length: MAX_OPEN_SESSION_LENGTH,
        status: 201,
        max_age: 0,
        problems: &[
            ProblemType::ForeignDomain,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::ClientUnknown,
            ProblemType::RateLimited,
        ],
    };
    type Path = ();
    type Request = OpenSessionRequest;
    type Response = OpenSessionResponse;
}

/// What a session is opened with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenSessionRequest {
    /// What the session is for.
    pub kind: SessionKind,
    /// The user whose password opens it.
    pub user_name: UserName,
    /// An OPAQUE `KE1`: 96 bytes.
    pub ke1: Bytes,
    /// An OPAQUE `RegistrationRequest` of the new password, 32 bytes: for a session to change the password, and for no
    /// other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque_registration_request: Option<Bytes>,
}

/// What an opened session is used with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenSessionResponse {
    /// The session, which lasts for 60 seconds.
    pub session_id: SessionId,
    /// An OPAQUE `KE2`: 320 bytes.
    pub ke2: Bytes,
    /// An OPAQUE `RegistrationResponse`, 64 bytes, if a `RegistrationRequest` was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque_registration_response: Option<Bytes>,
}

/// `POST /v1/ks/sessions/{session_id}`: uses a session, once (`key-server-registration.md`, step 1.6 and the server's
/// steps). The same request again gets the same answer for as long as the session lasts.
pub struct UseSession;

impl Endpoint for UseSession {
    const DESCRIPTION: Description = Description {
        function: "ks-use-session",
        method: Method::Post,
        path: "/v1/ks/sessions/{session_id}",
        summary: "Uses a session: completes the OPAQUE login and does what the one sealed request asks for.",
        authentication: Authentication::Password,
        max_request_length: MAX_USE_SESSION_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidSessionId,
            ProblemType::SessionUnknown,
            ProblemType::SessionUsed,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::PasswordRefused,
            ProblemType::SessionRequestInvalid,
            ProblemType::SessionSuperseded,
            ProblemType::UserIdMismatch,
            ProblemType::EncryptedStorageKeyInvalid,
            ProblemType::StorageKeyExists,
            ProblemType::StorageKeyMissing,
            ProblemType::StorageKeyDeleted,
        ],
    };
    type Path = SessionPath;
    type Request = UseSessionRequest;
    type Response = UseSessionResponse;
}

/// What a session is used with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UseSessionRequest {
    /// The user for whom it was opened.
    pub user_name: UserName,
    /// An OPAQUE `KE3`: 64 bytes.
    pub ke3: Bytes,
    /// The request, sealed under the session's key.
    pub sealed_request: Bytes,
}

/// What the use of a session is answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UseSessionResponse {
    /// The response, sealed under the session's key.
    pub sealed_response: Bytes,
}

/// A path that names a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionPath {
    /// The session, `{session_id}`.
    pub session_id: SessionId,
}

impl Path for SessionPath {
    fn expand(&self, template: &str) -> String {
        template.replace("{session_id}", &self.session_id.to_string())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let text = parameter("session_id").unwrap_or_default();
        let session_id = text.parse().map_err(|error| Problem::new(ProblemType::InvalidSessionId, error))?;
        Ok(Self { session_id })
    }
}
