//! The endpoints of the authentication service for a user's identity: the MLS group of the user's clients.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, Path, UserPath};
use crate::encoding::Bytes;
use crate::limits::MAX_IDENTITY_REQUEST_LENGTH;
use crate::login::LoginProof;
use crate::name::UserName;
use crate::problem::{Problem, ProblemType};

/// A place in the history of an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IdentityPosition {
    /// The generation: 1, and one more with each reset.
    pub generation: u64,
    /// The epoch of that generation's group.
    pub epoch: u64,
}

/// A path that names a place in the history of a user's identity: `?generation=G&epoch=E`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityPath {
    /// The user, `{user_name}`.
    pub user_name: UserName,
    /// From where on the history is wanted.
    pub from: IdentityPosition,
}

impl Path for IdentityPath {
    const QUERY_PARAMETERS: &'static [&'static str] = &["generation", "epoch"];

    fn expand(&self, template: &str) -> String {
        template.replace("{user_name}", self.user_name.as_str())
    }

    fn query(&self) -> String {
        format!("generation={}&epoch={}", self.from.generation, self.from.epoch)
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let UserPath { user_name } = UserPath::read(&parameter)?;
        let number = |name| read_number(&parameter, name);
        Ok(Self { user_name, from: IdentityPosition { generation: number("generation")?, epoch: number("epoch")? } })
    }
}

fn read_number<'a>(parameter: impl Fn(&str) -> Option<&'a str>, name: &str) -> Result<u64, Problem> {
    let number = parameter(name).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Problem::new(ProblemType::InvalidIdentityPosition, format_args!("{name} is a decimal number")))
}

/// `GET /v1/as/users/{user_name}/identity?generation=G&epoch=E`: a user's identity from a place on, for whoever follows
/// it.
pub struct GetIdentity;

impl Endpoint for GetIdentity {
    const DESCRIPTION: Description = Description {
        function: "as-get-identity",
        method: Method::Get,
        path: "/v1/as/users/{user_name}/identity",
        summary: "The commits of a user's identity from a place on, and where it is now.",
        authentication: Authentication::None,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::InvalidUserName, ProblemType::InvalidIdentityPosition, ProblemType::IdentityUnknown],
    };
    type Path = IdentityPath;
    type Request = super::NoBody;
    type Response = GetIdentityResponse;
}

/// A part of an identity's history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetIdentityResponse {
    /// The generation that the identity is in.
    pub current_generation: u64,
    /// The last epoch of the generation that was asked for.
    pub last_epoch: u64,
    /// The `GroupInfo` of the generation's epoch 0, if that was asked for.
    pub start: Option<Bytes>,
    /// The commits from the epoch asked for on, in order: at most 100. There are more if they do not reach `last_epoch`.
    pub commits: Vec<Bytes>,
    /// For each of the commits, what its committer has told the other clients with it
    /// ([`user_secrets`](crate::user_secrets)); `null` with a commit of before this was told.
    pub encrypted_user_secrets: Vec<Option<Bytes>>,
    /// The `GroupInfo` of the generation's last epoch.
    pub group_info: Bytes,
}

/// `POST /v1/as/users/{user_name}/identity`: starts the user's identity, or changes it by a commit. The same request again
/// gets the same answer.
pub struct CommitIdentity;

impl Endpoint for CommitIdentity {
    const DESCRIPTION: Description = Description {
        function: "as-commit-identity",
        method: Method::Post,
        path: "/v1/as/users/{user_name}/identity",
        summary: "Starts the user's identity, or changes it by a commit.",
        authentication: Authentication::ClientOfUser,
        max_request_length: MAX_IDENTITY_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::IdentityUnknown,
            ProblemType::IdentitySuperseded,
            ProblemType::CommitRefused,
            ProblemType::GroupInfoRefused,
        ],
    };
    type Path = UserPath;
    type Request = CommitIdentityRequest;
    type Response = CommitIdentityResponse;
}

/// A change of an identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CommitIdentityRequest {
    /// The generation. 1 where the identity is started.
    pub generation: u64,
    /// The epoch in which the commit was made; 0 where the identity is started.
    pub epoch: u64,
    /// The commit: an `MLSMessage` with a `PublicMessage`. `null` where the identity is started.
    pub commit: Option<Bytes>,
    /// The `GroupInfo` (as an `MLSMessage`) of the epoch that follows, or with which the identity starts.
    pub group_info: Bytes,
    /// With a commit, what its committer tells the other clients: 241 bytes ([`user_secrets`](crate::user_secrets)). `null`
    /// where the identity is started.
    pub encrypted_user_secrets: Option<Bytes>,
}

/// Where the identity is after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommitIdentityResponse {
    /// The generation.
    pub generation: u64,
    /// The epoch.
    pub epoch: u64,
}

/// A path that names a generation of a user's identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResetIdentityPath {
    /// The user, `{user_name}`.
    pub user_name: UserName,
    /// The generation that is to begin, `{generation}`.
    pub generation: u64,
}

impl Path for ResetIdentityPath {
    fn expand(&self, template: &str) -> String {
        let template = template.replace("{user_name}", self.user_name.as_str());
        template.replace("{generation}", &self.generation.to_string())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let UserPath { user_name } = UserPath::read(&parameter)?;
        Ok(Self { user_name, generation: read_number(&parameter, "generation")? })
    }
}

/// `PUT /v1/as/users/{user_name}/identity/generations/{generation}`: starts the next generation of the user's identity,
/// with this client alone. Every other client that was a confirmed member of the last one, and still is one of the user's,
/// enters it by one external commit. The same request again gets the same answer.
pub struct ResetIdentity;

impl Endpoint for ResetIdentity {
    const DESCRIPTION: Description = Description {
        function: "as-reset-identity",
        method: Method::Put,
        path: "/v1/as/users/{user_name}/identity/generations/{generation}",
        summary: "Starts the next generation of the user's identity, for the case that the last one is stuck.",
        authentication: Authentication::ClientOfUserAndPassword,
        max_request_length: MAX_IDENTITY_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::InvalidIdentityPosition,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::IdentityUnknown,
            ProblemType::IdentitySuperseded,
            ProblemType::GroupInfoRefused,
            ProblemType::LoginInvalid,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::PasswordRefused,
        ],
    };
    type Path = ResetIdentityPath;
    type Request = ResetIdentityRequest;
    type Response = CommitIdentityResponse;
}

/// How a generation of an identity starts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResetIdentityRequest {
    /// The login for this reset.
    pub login: LoginProof,
    /// The `GroupInfo` of epoch 0 (as an `MLSMessage`), signed by the client that asks, the group's only member.
    pub group_info: Bytes,
}
