//! The endpoints: path, method, request and response of each. Client, functions, OpenAPI and tests use these types.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::name::UserName;
use crate::problem::{Problem, ProblemType};
use crate::queuing::QsClientId;

mod authentication;
mod clients;
mod connection_packages;
mod identity;
mod key_server;
mod queues;
mod queuing;
mod queuing_records;
mod rendezvous;
mod tokens;

pub use authentication::{
    FinishRegistration, FinishRegistrationRequest, FinishRegistrationResponse, GetCredentials, GetCredentialsResponse,
    InitiateRegistration, InitiateRegistrationRequest, InitiateRegistrationResponse,
};
pub use clients::{
    AddClient, AddClientRequest, AddClientResponse, ClientPath, DeleteUser, DeleteUserRequest, InitiateLogin,
    InitiateLoginRequest, InitiateLoginResponse, RemoveClient, RemoveClientRequest,
};
pub use connection_packages::{PublishConnectionPackages, PublishConnectionPackagesRequest};
pub use identity::{
    CommitIdentity, CommitIdentityRequest, CommitIdentityResponse, GetIdentity, GetIdentityResponse, IdentityPath,
    IdentityPosition, ResetIdentity, ResetIdentityPath, ResetIdentityRequest,
};
pub use key_server::{
    OpenSession, OpenSessionRequest, OpenSessionResponse, SessionPath, UseSession, UseSessionRequest,
    UseSessionResponse,
};
pub use queues::{
    ClaimConnectionPackages, ClaimConnectionPackagesResponse, ClaimedConnectionPackage, ClientQueuePath,
    DequeueMessages, DequeueQsMessages, DequeueResponse, EnqueueMessage, EnqueueMessageRequest, EnqueueQsMessage,
    EnqueueQsMessageRequest, QsQueuePath,
};
pub use queuing::{
    ClaimKeyPackages, ClaimKeyPackagesRequest, ClaimKeyPackagesResponse, CreateQsUser, CreateQsUserRequest,
    CreateQsUserResponse, GetKeyPackages, GetKeyPackagesResponse, GetQsKeys, GetQsKeysResponse, PublishKeyPackages,
    PublishKeyPackagesRequest, PublishKeyPackagesResponse,
};
pub use queuing_records::{
    CreateQsClient, CreateQsClientRequest, CreateQsClientResponse, DeleteQsClient, DeleteQsUser, GetQsUser,
    GetQsUserResponse, QsUserPath, UpdateQsClient, UpdateQsClientRequest, UpdateQsUser, UpdateQsUserRequest,
};
pub use rendezvous::{
    CreateRendezvous, CreateRendezvousRequest, CreateRendezvousResponse, JoinRendezvous, JoinRendezvousRequest,
    JoinRendezvousResponse, RendezvousPath,
};
pub use tokens::{IssueTokens, IssueTokensRequest, IssueTokensResponse};

/// Every endpoint, service by service; the queues of both services stand together.
pub const ENDPOINTS: &[&Description] = &[
    &GetCredentials::DESCRIPTION,
    &InitiateRegistration::DESCRIPTION,
    &FinishRegistration::DESCRIPTION,
    &AddClient::DESCRIPTION,
    &RemoveClient::DESCRIPTION,
    &InitiateLogin::DESCRIPTION,
    &DeleteUser::DESCRIPTION,
    &GetIdentity::DESCRIPTION,
    &CommitIdentity::DESCRIPTION,
    &ResetIdentity::DESCRIPTION,
    &IssueTokens::DESCRIPTION,
    &OpenSession::DESCRIPTION,
    &UseSession::DESCRIPTION,
    &GetQsKeys::DESCRIPTION,
    &CreateQsUser::DESCRIPTION,
    &PublishKeyPackages::DESCRIPTION,
    &GetKeyPackages::DESCRIPTION,
    &ClaimKeyPackages::DESCRIPTION,
    &CreateQsClient::DESCRIPTION,
    &GetQsUser::DESCRIPTION,
    &UpdateQsUser::DESCRIPTION,
    &DeleteQsUser::DESCRIPTION,
    &UpdateQsClient::DESCRIPTION,
    &DeleteQsClient::DESCRIPTION,
    &EnqueueQsMessage::DESCRIPTION,
    &DequeueQsMessages::DESCRIPTION,
    &PublishConnectionPackages::DESCRIPTION,
    &ClaimConnectionPackages::DESCRIPTION,
    &EnqueueMessage::DESCRIPTION,
    &DequeueMessages::DESCRIPTION,
    &CreateRendezvous::DESCRIPTION,
    &JoinRendezvous::DESCRIPTION,
];

/// An HTTP method that an endpoint has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

impl Method {
    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What an endpoint asks of whoever calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Authentication {
    /// Nothing.
    None,
    /// A request signature by the key of the provisional credential in the body.
    ProvisionalCredential,
    /// A request signature by the credential key of the live client that the body names.
    ClientCredentialKey,
    /// A request signature by the credential key of a live client of the user in the path.
    ClientOfUser,
    /// The same, and a proof in the body that the user's password is known.
    ClientOfUserAndPassword,
    /// A request signature by the user record key in the body, or by that of the user in the path, or of the client's.
    QsUserRecordKey,
    /// The same, and a token in `Authorization`.
    QsUserRecordKeyAndToken,
    /// A request signature by the key of the client record in the path.
    QsClientRecordKey,
    /// A friendship token in the body, and a token in `Authorization`.
    FriendshipTokenAndToken,
    /// A queue config in the body, and a token in `Authorization`.
    QueueConfigAndToken,
    /// Nothing, or a request signature by the key of a client of the user in the body, which has an allowance of its own.
    ClientIfSigned,
    /// A proof in the body that the user's password is known.
    Password,
}

impl Authentication {
    /// Whether the request carries a signature (RFC 9421), or may.
    pub const fn is_signature(self) -> bool {
        match self {
            Self::None | Self::FriendshipTokenAndToken | Self::QueueConfigAndToken | Self::Password => false,
            Self::ProvisionalCredential
            | Self::ClientCredentialKey
            | Self::ClientIfSigned
            | Self::ClientOfUser
            | Self::ClientOfUserAndPassword
            | Self::QsUserRecordKey
            | Self::QsUserRecordKeyAndToken
            | Self::QsClientRecordKey => true,
        }
    }

    /// Whether the request is paid for with a token (RFC 9577).
    pub const fn takes_token(self) -> bool {
        matches!(self, Self::QsUserRecordKeyAndToken | Self::FriendshipTokenAndToken | Self::QueueConfigAndToken)
    }
}

/// An endpoint, as documents and routers see it.
#[derive(Debug)]
pub struct Description {
    /// The function that serves it.
    pub function: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Who may call it.
    pub authentication: Authentication,
    /// The largest body it takes, in bytes; 0 if it takes none.
    pub max_request_length: usize,
    /// The status of its answer when all is well.
    pub status: u16,
    /// For how many seconds its answer may be cached; 0 if not at all.
    pub max_age: u32,
    /// The problems of its own, beside those that any endpoint can have.
    pub problems: &'static [ProblemType],
}

impl Description {
    /// The problems that every endpoint can have.
    pub const COMMON_PROBLEMS: &'static [ProblemType] =
        &[ProblemType::TemporarilyUnavailable, ProblemType::InternalError];

    /// The problems that every endpoint with a body can have.
    pub const BODY_PROBLEMS: &'static [ProblemType] = &[
        ProblemType::MalformedJson,
        ProblemType::InvalidField,
        ProblemType::MalformedBase64,
        ProblemType::BodyTooLarge,
        ProblemType::UnsupportedMediaType,
    ];

    /// The problems that every endpoint with a request signature can have.
    pub const SIGNATURE_PROBLEMS: &'static [ProblemType] = &[
        ProblemType::SignatureMissing,
        ProblemType::SignatureMalformed,
        ProblemType::SignatureCoverageInsufficient,
        ProblemType::SignatureStale,
        ProblemType::SignatureForAnotherService,
        ProblemType::SignatureInvalid,
        ProblemType::ContentDigestMismatch,
    ];

    /// The problems that every endpoint with a token can have.
    pub const TOKEN_PROBLEMS: &'static [ProblemType] = &[
        ProblemType::TokenMissing,
        ProblemType::TokenMalformed,
        ProblemType::TokenForAnotherService,
        ProblemType::TokenKeyUnknown,
        ProblemType::TokenInvalid,
        ProblemType::TokenSpent,
    ];

    /// Every problem that it can answer with.
    pub fn all_problems(&self) -> impl Iterator<Item = ProblemType> {
        let body: &[ProblemType] = if self.max_request_length > 0 { Self::BODY_PROBLEMS } else { &[] };
        let signature: &[ProblemType] = if self.authentication.is_signature() { Self::SIGNATURE_PROBLEMS } else { &[] };
        let token: &[ProblemType] = if self.authentication.takes_token() { Self::TOKEN_PROBLEMS } else { &[] };
        [body, signature, token, self.problems, Self::COMMON_PROBLEMS].into_iter().flatten().copied()
    }
}

/// What can be a request or response body.
#[cfg(not(feature = "schema"))]
pub trait Body: Serialize + DeserializeOwned + Send {}
#[cfg(not(feature = "schema"))]
impl<T: Serialize + DeserializeOwned + Send> Body for T {}

/// What can be a request or response body.
#[cfg(feature = "schema")]
pub trait Body: Serialize + DeserializeOwned + Send + schemars::JsonSchema {}
#[cfg(feature = "schema")]
impl<T: Serialize + DeserializeOwned + Send + schemars::JsonSchema> Body for T {}

/// An endpoint.
pub trait Endpoint: Send + Sync + 'static {
    /// What it is.
    const DESCRIPTION: Description;
    /// What its path names.
    type Path: Path;
    /// What its body says. [`NoBody`] where it takes none.
    type Request: Body;
    /// What it answers when all is well.
    type Response: Body;
}

/// The parameters of an endpoint's path and, where it has some, of its query.
pub trait Path: Sized + Send {
    /// The names of the query's parameters. They are numbers.
    const QUERY_PARAMETERS: &'static [&'static str] = &[];

    /// The path with these parameters, for a path template such as `/v1/as/users/{user_name}`.
    fn expand(&self, template: &str) -> String;

    /// The query with these parameters, without the question mark; empty where there is none.
    fn query(&self) -> String {
        String::new()
    }

    /// Reads the parameters by their names, which differ between path and query.
    ///
    /// # Errors
    /// A [`Problem`] that names the parameter.
    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem>;
}

/// A path without parameters.
impl Path for () {
    fn expand(&self, template: &str) -> String {
        template.to_owned()
    }

    fn read<'a>(_: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        Ok(())
    }
}

/// A path that names a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserPath {
    /// The user, `{user_name}`.
    pub user_name: UserName,
}

impl Path for UserPath {
    fn expand(&self, template: &str) -> String {
        template.replace("{user_name}", self.user_name.as_str())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let text = parameter("user_name").unwrap_or_default();
        let user_name = text.parse().map_err(|error| Problem::new(ProblemType::InvalidUserName, error))?;
        Ok(Self { user_name })
    }
}

/// A path that names a client of the queuing service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QsClientPath {
    /// The client, `{qs_client_id}`.
    pub qs_client_id: QsClientId,
}

impl Path for QsClientPath {
    fn expand(&self, template: &str) -> String {
        template.replace("{qs_client_id}", &self.qs_client_id.to_string())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let text = parameter("qs_client_id").unwrap_or_default();
        let qs_client_id = text.parse().map_err(|error| Problem::new(ProblemType::InvalidQsClientId, error))?;
        Ok(Self { qs_client_id })
    }
}

/// The body of a request that has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NoBody {}
