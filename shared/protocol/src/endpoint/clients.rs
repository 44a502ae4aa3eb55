//! The endpoints of the authentication service for a user's clients, and for what takes the user's password.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, NoBody, Path, UserPath};
use crate::encoding::Bytes;
use crate::limits::MAX_CLIENT_REQUEST_LENGTH;
use crate::login::{LoginOperation, LoginProof};
use crate::name::{ClientId, ClientUuid, UserName};
use crate::problem::{Problem, ProblemType};

/// A path that names a client of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientPath {
    /// The user, `{user_name}`.
    pub user_name: UserName,
    /// Which of the user's clients, `{client_uuid}`.
    pub client_uuid: ClientUuid,
}

impl ClientPath {
    /// The client.
    pub fn client_id(&self) -> ClientId {
        ClientId { user_name: self.user_name.clone(), uuid: self.client_uuid }
    }
}

impl Path for ClientPath {
    fn expand(&self, template: &str) -> String {
        let template = template.replace("{user_name}", self.user_name.as_str());
        template.replace("{client_uuid}", &self.client_uuid.to_string())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let UserPath { user_name } = UserPath::read(&parameter)?;
        let text = parameter("client_uuid").unwrap_or_default();
        let client_uuid = text.parse().map_err(|error| Problem::new(ProblemType::InvalidClientUuid, error))?;
        Ok(Self { user_name, client_uuid })
    }
}

/// `PUT /v1/as/users/{user_name}/clients/{client_uuid}`: a client of the user has the signing request of a new one
/// signed (`new-device-sequence.md`, between rows 7 and 8), or renews its own credential. The same request again gets the
/// same answer.
///
/// A client that was added is *unconfirmed*: all that it can do is to confirm itself in the user's identity
/// ([`CommitIdentity`](super::CommitIdentity)). If it does not within an hour, it is as if it had never been added.
pub struct AddClient;

impl Endpoint for AddClient {
    const DESCRIPTION: Description = Description {
        function: "as-add-client",
        method: Method::Put,
        path: "/v1/as/users/{user_name}/clients/{client_uuid}",
        summary: "Signs the credential of a new client, or renews that of the client that asks.",
        authentication: Authentication::ClientOfUser,
        max_request_length: MAX_CLIENT_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::InvalidClientUuid,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::MalformedCsr,
            ProblemType::CsrSignatureInvalid,
            ProblemType::CsrForAnotherUser,
            ProblemType::CsrForAnotherClient,
            ProblemType::CsrForAnotherKey,
            ProblemType::CsrValidityRefused,
            ProblemType::UnknownSigner,
            ProblemType::ClientIdTaken,
            ProblemType::ClientLimitReached,
        ],
    };
    type Path = ClientPath;
    type Request = AddClientRequest;
    type Response = AddClientResponse;
}

/// What is to be signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddClientRequest {
    /// A `ClientCredentialCsr` of the client in the path.
    pub client_credential_csr: Bytes,
}

/// What was signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddClientResponse {
    /// The client's `ClientCredential`.
    pub client_credential: Bytes,
}

/// `DELETE /v1/as/users/{user_name}/clients/{client_uuid}`: removes a client of the user. It is refused everywhere from
/// then on, and its id is never used again.
///
/// That takes the password. A client that is unconfirmed is withdrawn without: by any client of the user, itself among
/// them.
pub struct RemoveClient;

impl Endpoint for RemoveClient {
    const DESCRIPTION: Description = Description {
        function: "as-remove-client",
        method: Method::Delete,
        path: "/v1/as/users/{user_name}/clients/{client_uuid}",
        summary: "Removes a client of the user, or withdraws one that is unconfirmed.",
        authentication: Authentication::ClientOfUserAndPassword,
        max_request_length: MAX_CLIENT_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::InvalidClientUuid,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::ClientNotFound,
            ProblemType::ClientRemovesItself,
            ProblemType::LoginMissing,
            ProblemType::LoginInvalid,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::PasswordRefused,
        ],
    };
    type Path = ClientPath;
    type Request = RemoveClientRequest;
    type Response = NoBody;
}

/// By what right a client is removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RemoveClientRequest {
    /// The login for this removal; `null` if the client is unconfirmed.
    pub login: Option<LoginProof>,
}

/// `POST /v1/as/logins`: the first half of an OPAQUE login at the authentication service, for one operation. It leaves
/// nothing behind on the server.
pub struct InitiateLogin;

impl Endpoint for InitiateLogin {
    const DESCRIPTION: Description = Description {
        function: "as-initiate-login",
        method: Method::Post,
        path: "/v1/as/logins",
        summary: "Answers the OPAQUE login of a client, for an operation that takes the password.",
        authentication: Authentication::ClientCredentialKey,
        max_request_length: MAX_CLIENT_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::ForeignDomain,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::RateLimited,
        ],
    };
    type Path = ();
    type Request = InitiateLoginRequest;
    type Response = InitiateLoginResponse;
}

/// What a login begins with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InitiateLoginRequest {
    /// The client that logs in, `user name/client UUID`. It signs this request.
    pub client_id: ClientId,
    /// What the login is for. It is good for nothing else.
    pub operation: LoginOperation,
    /// An OPAQUE `KE1`: 96 bytes.
    pub ke1: Bytes,
}

/// What a login goes on with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InitiateLoginResponse {
    /// An OPAQUE `KE2`: 320 bytes.
    pub ke2: Bytes,
    /// State that the server keeps in the client's hands, for a minute: to be sent back as it is.
    pub sealed_login: Bytes,
}

/// `DELETE /v1/as/users/{user_name}`: deletes the user with all clients. The name stays taken for ever.
pub struct DeleteUser;

impl Endpoint for DeleteUser {
    const DESCRIPTION: Description = Description {
        function: "as-delete-user",
        method: Method::Delete,
        path: "/v1/as/users/{user_name}",
        summary: "Deletes the user. The name is not given away again.",
        authentication: Authentication::ClientOfUserAndPassword,
        max_request_length: MAX_CLIENT_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::LoginInvalid,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::PasswordRefused,
        ],
    };
    type Path = UserPath;
    type Request = DeleteUserRequest;
    type Response = NoBody;
}

/// By what right a user is deleted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteUserRequest {
    /// The login for this deletion.
    pub login: LoginProof,
}
