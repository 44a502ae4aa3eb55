//! The endpoint by which clients replace their connection packages.

use serde::{Deserialize, Serialize};

use super::{Authentication, ClientPath, Description, Endpoint, Method, NoBody};
use crate::encoding::Bytes;
use crate::limits::MAX_PUBLISH_CONNECTION_PACKAGES_LENGTH;
use crate::problem::ProblemType;
use crate::queue::QueueKeys;

/// `PUT /v1/as/users/{user_name}/clients/{client_uuid}/connection-packages`: puts new connection packages of a client in
/// the place of those that it has. A client that never had any gets its direct queue with the first. The same request
/// again gets the same answer, as long as it was the last that the client published with.
///
/// For the direct queue this counts as if its owner had fetched something.
pub struct PublishConnectionPackages;

impl Endpoint for PublishConnectionPackages {
    const DESCRIPTION: Description = Description {
        function: "as-publish-connection-packages",
        method: Method::Put,
        path: "/v1/as/users/{user_name}/clients/{client_uuid}/connection-packages",
        summary: "Replaces a client's connection packages. With its first it gets its direct queue.",
        authentication: Authentication::ClientOfUser,
        max_request_length: MAX_PUBLISH_CONNECTION_PACKAGES_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::InvalidClientUuid,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::ConnectionPackageCount,
            ProblemType::ConnectionPackageInvalid,
            ProblemType::ConnectionPackageDuplicate,
            ProblemType::ConnectionPackagesOutdated,
            ProblemType::QueueMisplaced,
            ProblemType::QueueKeyInvalid,
            ProblemType::QueueUnknown,
        ],
    };
    type Path = ClientPath;
    type Request = PublishConnectionPackagesRequest;
    type Response = NoBody;
}

/// What is to be published.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishConnectionPackagesRequest {
    /// The index of the first of the packages: the one behind the last that the client ever published, those of its
    /// registration among them; 0 if it never did.
    pub first_index: u64,
    /// `ConnectionPackage`s of the client: 1 to 50, each with a key of its own.
    pub connection_packages: Vec<Bytes>,
    /// The keys of the client's queue at the authentication service, if `first_index` is 0; else `null`.
    pub queue: Option<QueueKeys>,
}
