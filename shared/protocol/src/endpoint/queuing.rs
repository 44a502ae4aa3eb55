//! The endpoints of the queuing service. Nothing here names a user of the authentication service.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, NoBody, QsClientPath};
use crate::encoding::{Bytes, secret};
use crate::limits::{MAX_CLAIM_KEY_PACKAGES_LENGTH, MAX_CREATE_QS_USER_LENGTH, MAX_PUBLISH_KEY_PACKAGES_LENGTH};
use crate::problem::ProblemType;
use crate::queue::QueueKeys;
use crate::queuing::{QsClientId, QsUserId};
use crate::symmetric::FriendshipToken;
use crate::time::Timestamp;
use crate::token_key::PublishedTokenKey;

/// `GET /v1/qs/keys`: the queuing service's keys (`user-creation.md`, "Initiate AS registration").
pub struct GetQsKeys;

impl Endpoint for GetQsKeys {
    const DESCRIPTION: Description = Description {
        function: "qs-get-keys",
        method: Method::Get,
        path: "/v1/qs/keys",
        summary: "The keys of the queuing service, signed by the deployment's root, what tokens are issued under, and where \
                  to listen.",
        authentication: Authentication::None,
        max_request_length: 0,
        status: 200,
        max_age: 300,
        problems: &[],
    };
    type Path = ();
    type Request = NoBody;
    type Response = GetQsKeysResponse;
}

/// The queuing service's keys, and what a client must know to take tokens: asked for without saying who asks, so that nobody
/// can be given a key of their own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetQsKeysResponse {
    /// Every `QsKeys` in use, newest first.
    pub qs_keys: Vec<Bytes>,
    /// The public keys of the issuer of tokens, newest first: one or two.
    pub token_keys: Vec<PublishedTokenKey>,
    /// The `TokenChallenge` that tokens for this service answer.
    pub token_challenge: Bytes,
    /// Where a client that waits for messages listens: a `wss` URL.
    pub listen_url: String,
}

/// `POST /v1/qs/users`: a new user with a first client (`user-creation.md`, "QS registration"). The same request again
/// gets the same answer.
pub struct CreateQsUser;

impl Endpoint for CreateQsUser {
    const DESCRIPTION: Description = Description {
        function: "qs-create-user",
        method: Method::Post,
        path: "/v1/qs/users",
        summary: "Creates a pseudonymous user with a first client and its queue.",
        authentication: Authentication::QsUserRecordKeyAndToken,
        max_request_length: MAX_CREATE_QS_USER_LENGTH,
        status: 201,
        max_age: 0,
        problems: &[
            ProblemType::QsRecordInvalid,
            ProblemType::QueueKeyInvalid,
            ProblemType::QsRecordTaken,
            ProblemType::FriendshipTokenTaken,
            ProblemType::RateLimited,
        ],
    };
    type Path = ();
    type Request = CreateQsUserRequest;
    type Response = CreateQsUserResponse;
}

/// What a user and a first client are made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateQsUserRequest {
    /// The user record's public key (Ed25519, 32 bytes), which verifies this request.
    pub user_record_verifying_key: Bytes,
    /// The first client's `QsClientRecord`, for this user.
    pub client_record: Bytes,
    /// The hash (32 bytes) of the user's friendship token.
    pub friendship_token_hash: Bytes,
    /// The keys of the client's queue at the queuing service.
    pub queue: QueueKeys,
}

/// Under what the queuing service knows the user and the client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateQsUserResponse {
    /// The user's id.
    pub qs_user_id: QsUserId,
    /// The client's id.
    pub qs_client_id: QsClientId,
}

/// `PUT /v1/qs/clients/{qs_client_id}/key-packages`: a new generation of KeyPackages takes the place of the one before
/// (`user-creation.md`, "KeyPackage upload").
pub struct PublishKeyPackages;

impl Endpoint for PublishKeyPackages {
    const DESCRIPTION: Description = Description {
        function: "qs-publish-key-packages",
        method: Method::Put,
        path: "/v1/qs/clients/{qs_client_id}/key-packages",
        summary: "Publishes a generation of KeyPackages, which takes the place of the one before.",
        authentication: Authentication::QsClientRecordKey,
        max_request_length: MAX_PUBLISH_KEY_PACKAGES_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidQsClientId,
            ProblemType::QsClientUnknown,
            ProblemType::GenerationOutdated,
            ProblemType::GenerationTaken,
            ProblemType::KeyPackageCount,
            ProblemType::LastResortMissing,
            ProblemType::LastResortMisplaced,
            ProblemType::KeyPackageTooLarge,
            ProblemType::KeyPackageMalformed,
            ProblemType::KeyPackageCiphersuite,
            ProblemType::KeyPackageSignatureInvalid,
            ProblemType::KeyPackageExpired,
            ProblemType::KeyPackageLifetime,
            ProblemType::KeyPackageCapabilities,
            ProblemType::KeyPackageExtensions,
            ProblemType::LeafCredentialInvalid,
            ProblemType::QueueConfigMissing,
            ProblemType::KeyPackageDuplicate,
        ],
    };
    type Path = QsClientPath;
    type Request = PublishKeyPackagesRequest;
    type Response = PublishKeyPackagesResponse;
}

/// A generation of KeyPackages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishKeyPackagesRequest {
    /// The generation's number: above that of every generation before, from 1 on.
    pub generation: u64,
    /// `AddPackage`s to be handed out once each: at most 100.
    pub add_packages: Vec<Bytes>,
    /// The `AddPackage` with the last-resort extension, to be handed out when the others are gone. It must be there; it
    /// may be left out of the JSON only to be told so.
    pub last_resort_add_package: Option<Bytes>,
}

/// What was published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishKeyPackagesResponse {
    /// The generation that is now published.
    pub generation: u64,
}

/// `GET /v1/qs/clients/{qs_client_id}/key-packages`: a client's own supply.
pub struct GetKeyPackages;

impl Endpoint for GetKeyPackages {
    const DESCRIPTION: Description = Description {
        function: "qs-get-key-packages",
        method: Method::Get,
        path: "/v1/qs/clients/{qs_client_id}/key-packages",
        summary: "How many KeyPackages a client has left.",
        authentication: Authentication::QsClientRecordKey,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::InvalidQsClientId, ProblemType::QsClientUnknown],
    };
    type Path = QsClientPath;
    type Request = NoBody;
    type Response = GetKeyPackagesResponse;
}

/// A client's supply of KeyPackages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetKeyPackagesResponse {
    /// The generation that is published; 0 if none ever was.
    pub generation: u64,
    /// How many of its packages can still be claimed, the last-resort one apart.
    pub remaining: u64,
    /// How often its last-resort package was handed out.
    pub last_resort_uses: u64,
    /// When the first of its packages expires, and with it the generation; 0 if none was published.
    pub not_after: Timestamp,
}

/// `POST /v1/qs/key-packages/claim`: one KeyPackage of each of a user's clients, for whoever has the friendship token.
/// The same request again, with another token, takes other packages; with the same it is refused.
pub struct ClaimKeyPackages;

impl Endpoint for ClaimKeyPackages {
    const DESCRIPTION: Description = Description {
        function: "qs-claim-key-packages",
        method: Method::Post,
        path: "/v1/qs/key-packages/claim",
        summary: "Hands out one KeyPackage of each of a user's clients.",
        authentication: Authentication::FriendshipTokenAndToken,
        max_request_length: MAX_CLAIM_KEY_PACKAGES_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::FriendshipTokenUnknown, ProblemType::NoKeyPackages, ProblemType::RateLimited],
    };
    type Path = ();
    type Request = ClaimKeyPackagesRequest;
    type Response = ClaimKeyPackagesResponse;
}

/// Whose KeyPackages are claimed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimKeyPackagesRequest {
    /// The user's friendship token: 32 bytes.
    #[serde(with = "secret")]
    #[cfg_attr(feature = "schema", schemars(with = "Bytes"))]
    pub friendship_token: FriendshipToken,
    /// 16 to 32 random bytes, so that the answer is to this request and no other.
    pub nonce: Bytes,
}

/// KeyPackages, one of each of the user's clients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimKeyPackagesResponse {
    /// An `AddPackage` of each client that has one.
    pub add_packages: Vec<Bytes>,
    /// A `ClaimAnswer`: the queuing service's signature over these packages and the request.
    pub claim_answer: Bytes,
}
