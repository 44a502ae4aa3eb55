//! The endpoints of the authentication service.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, NoBody, UserPath};
use crate::encoding::Bytes;
use crate::limits::{MAX_FINISH_REGISTRATION_LENGTH, MAX_INITIATE_REGISTRATION_LENGTH};
use crate::name::{UserId, UserName};
use crate::problem::ProblemType;
use crate::queue::QueueKeys;

/// `GET /v1/as/credentials`: the deployment's credentials (`user-creation.md`, "Initiate AS registration").
pub struct GetCredentials;

impl Endpoint for GetCredentials {
    const DESCRIPTION: Description = Description {
        function: "as-get-credentials",
        method: Method::Get,
        path: "/v1/as/credentials",
        summary: "The credentials of the authentication service, and which of them are revoked.",
        authentication: Authentication::None,
        max_request_length: 0,
        status: 200,
        max_age: 300,
        problems: &[],
    };
    type Path = ();
    type Request = NoBody;
    type Response = GetCredentialsResponse;
}

/// The deployment's public credentials.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetCredentialsResponse {
    /// Every `AsCredential` that is or was the root, newest first.
    pub as_credentials: Vec<Bytes>,
    /// Every `AsIntermediateCredential` that signs, will sign or has signed, newest first: each says when it is valid.
    pub as_intermediate_credentials: Vec<Bytes>,
    /// The fingerprints (32 bytes each) of credentials that are not to be accepted any more.
    pub revoked_fingerprints: Vec<Bytes>,
}

/// `POST /v1/as/registrations`: the first half of a registration. It leaves nothing behind on the server.
pub struct InitiateRegistration;

impl Endpoint for InitiateRegistration {
    const DESCRIPTION: Description = Description {
        function: "as-initiate-registration",
        method: Method::Post,
        path: "/v1/as/registrations",
        summary: "Initiates the registration of a user: answers the OPAQUE request and signs a provisional credential.",
        authentication: Authentication::None,
        max_request_length: MAX_INITIATE_REGISTRATION_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::ForeignDomain,
            ProblemType::MalformedCsr,
            ProblemType::CsrSignatureInvalid,
            ProblemType::CsrForAnotherUser,
            ProblemType::CsrValidityRefused,
            ProblemType::UnknownSigner,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::UserNameTaken,
            ProblemType::RateLimited,
        ],
    };
    type Path = ();
    type Request = InitiateRegistrationRequest;
    type Response = InitiateRegistrationResponse;
}

/// What a registration begins with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InitiateRegistrationRequest {
    /// The name wanted.
    pub user_name: UserName,
    /// A `ClientCredentialCsr` for the user's first client.
    pub client_credential_csr: Bytes,
    /// An OPAQUE `RegistrationRequest`: 32 bytes.
    pub opaque_registration_request: Bytes,
}

/// What a registration goes on with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InitiateRegistrationResponse {
    /// A `ProvisionalCredential`, valid for 15 minutes.
    pub provisional_credential: Bytes,
    /// An OPAQUE `RegistrationResponse`: 64 bytes.
    pub opaque_registration_response: Bytes,
    /// State that the server keeps in the client's hands: to be sent back as it is.
    pub sealed_registration: Bytes,
}

/// `PUT /v1/as/users/{user_name}`: the second half of a registration. The first to finish has the name; the same
/// request again gets the same answer.
pub struct FinishRegistration;

impl Endpoint for FinishRegistration {
    const DESCRIPTION: Description = Description {
        function: "as-finish-registration",
        method: Method::Put,
        path: "/v1/as/users/{user_name}",
        summary: "Creates a user with a first client, an OPAQUE record, connection packages and a queue.",
        authentication: Authentication::ProvisionalCredential,
        max_request_length: MAX_FINISH_REGISTRATION_LENGTH,
        status: 201,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::ProvisionalCredentialInvalid,
            ProblemType::SealedRegistrationInvalid,
            ProblemType::RegistrationExpired,
            ProblemType::InvalidOpaqueMessage,
            ProblemType::ConnectionPackageCount,
            ProblemType::ConnectionPackageInvalid,
            ProblemType::ConnectionPackageDuplicate,
            ProblemType::QueueKeyInvalid,
            ProblemType::UserNameTaken,
            ProblemType::UserIdTaken,
        ],
    };
    type Path = UserPath;
    type Request = FinishRegistrationRequest;
    type Response = FinishRegistrationResponse;
}

/// What a registration ends with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FinishRegistrationRequest {
    /// The `ProvisionalCredential` that initiating it gave; its key signs this request.
    pub provisional_credential: Bytes,
    /// The sealed registration that initiating it gave, unchanged.
    pub sealed_registration: Bytes,
    /// An OPAQUE `RegistrationRecord`: 192 bytes.
    pub opaque_registration_record: Bytes,
    /// The user's id: a fresh version 4 UUID.
    pub user_id: UserId,
    /// `ConnectionPackage`s of the client: 1 to 50, each with a key of its own. They have the indexes from 0 on.
    pub connection_packages: Vec<Bytes>,
    /// The keys of the client's queue at the authentication service.
    pub queue: QueueKeys,
}

/// What the new user's client gets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FinishRegistrationResponse {
    /// The client's `ClientCredential`.
    pub client_credential: Bytes,
}
