//! The endpoints for the records of the queuing service: users and clients once they are created.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, NoBody, Path, QsClientPath};
use crate::encoding::Bytes;
use crate::limits::MAX_QS_RECORD_REQUEST_LENGTH;
use crate::problem::{Problem, ProblemType};
use crate::queue::QueueKeys;
use crate::queuing::{QsClientId, QsUserId};

/// A path that names a user of the queuing service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QsUserPath {
    /// The user, `{qs_user_id}`.
    pub qs_user_id: QsUserId,
}

impl Path for QsUserPath {
    fn expand(&self, template: &str) -> String {
        template.replace("{qs_user_id}", &self.qs_user_id.to_string())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let text = parameter("qs_user_id").unwrap_or_default();
        let qs_user_id = text.parse().map_err(|error| Problem::new(ProblemType::InvalidQsUserId, error))?;
        Ok(Self { qs_user_id })
    }
}

/// `POST /v1/qs/users/{qs_user_id}/clients`: another client of a user, with a queue (`new-device-sequence.md`, row 13).
/// The same request again gets the same answer.
pub struct CreateQsClient;

impl Endpoint for CreateQsClient {
    const DESCRIPTION: Description = Description {
        function: "qs-create-client",
        method: Method::Post,
        path: "/v1/qs/users/{qs_user_id}/clients",
        summary: "Creates another client of a user, and its queue.",
        authentication: Authentication::QsUserRecordKeyAndToken,
        max_request_length: MAX_QS_RECORD_REQUEST_LENGTH,
        status: 201,
        max_age: 0,
        problems: &[
            ProblemType::InvalidQsUserId,
            ProblemType::QsUserUnknown,
            ProblemType::QsRecordInvalid,
            ProblemType::QueueKeyInvalid,
            ProblemType::QsRecordTaken,
            ProblemType::QsClientLimitReached,
        ],
    };
    type Path = QsUserPath;
    type Request = CreateQsClientRequest;
    type Response = CreateQsClientResponse;
}

/// What a client is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateQsClientRequest {
    /// The client's `QsClientRecord`, for the user in the path.
    pub client_record: Bytes,
    /// The keys of the client's queue.
    pub queue: QueueKeys,
}

/// Under what the queuing service knows the client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateQsClientResponse {
    /// The client's id.
    pub qs_client_id: QsClientId,
}

/// `GET /v1/qs/users/{qs_user_id}`: a user's own record.
pub struct GetQsUser;

impl Endpoint for GetQsUser {
    const DESCRIPTION: Description = Description {
        function: "qs-get-user",
        method: Method::Get,
        path: "/v1/qs/users/{qs_user_id}",
        summary: "A user's record: its clients and the hash of its friendship token.",
        authentication: Authentication::QsUserRecordKey,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::InvalidQsUserId, ProblemType::QsUserUnknown],
    };
    type Path = QsUserPath;
    type Request = NoBody;
    type Response = GetQsUserResponse;
}

/// A user's record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetQsUserResponse {
    /// The user's clients, in the order of their ids.
    pub qs_client_ids: Vec<QsClientId>,
    /// The hash (32 bytes) of the friendship token with which the user's KeyPackages are claimed.
    pub friendship_token_hash: Bytes,
}

/// `PUT /v1/qs/users/{qs_user_id}`: gives a user's record another key, and the user another friendship token. The ones
/// before are of no use from then on, to anybody. The same request again, signed by the same key, gets the same answer.
pub struct UpdateQsUser;

impl Endpoint for UpdateQsUser {
    const DESCRIPTION: Description = Description {
        function: "qs-update-user",
        method: Method::Put,
        path: "/v1/qs/users/{qs_user_id}",
        summary: "Rotates the key of a user's record and the user's friendship token.",
        authentication: Authentication::QsUserRecordKey,
        max_request_length: MAX_QS_RECORD_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidQsUserId,
            ProblemType::QsUserUnknown,
            ProblemType::QsRecordInvalid,
            ProblemType::FriendshipTokenTaken,
        ],
    };
    type Path = QsUserPath;
    type Request = UpdateQsUserRequest;
    type Response = NoBody;
}

/// What a user's record is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateQsUserRequest {
    /// A `QsUserRekey` for the user in the path, with the key that the record is to have; the key that it has stays if
    /// it is that one. This request is signed by the key before.
    pub rekey: Bytes,
    /// The hash (32 bytes) of the friendship token that the user is to have. One that was anybody's before is refused,
    /// but for the user's own current one, which then stays.
    pub friendship_token_hash: Bytes,
}

/// `DELETE /v1/qs/users/{qs_user_id}`: deletes a user with all clients and their queues. None of the ids is ever used
/// again.
pub struct DeleteQsUser;

impl Endpoint for DeleteQsUser {
    const DESCRIPTION: Description = Description {
        function: "qs-delete-user",
        method: Method::Delete,
        path: "/v1/qs/users/{qs_user_id}",
        summary: "Deletes a user with all clients and their queues.",
        authentication: Authentication::QsUserRecordKey,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::InvalidQsUserId, ProblemType::QsUserUnknown],
    };
    type Path = QsUserPath;
    type Request = NoBody;
    type Response = NoBody;
}

/// `PUT /v1/qs/clients/{qs_client_id}`: gives a client's record another key, and sets its push token. The same request
/// again, signed by the same key, gets the same answer.
pub struct UpdateQsClient;

impl Endpoint for UpdateQsClient {
    const DESCRIPTION: Description = Description {
        function: "qs-update-client",
        method: Method::Put,
        path: "/v1/qs/clients/{qs_client_id}",
        summary: "Rotates the key of a client's record and sets the client's push token.",
        authentication: Authentication::QsClientRecordKey,
        max_request_length: MAX_QS_RECORD_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidQsClientId,
            ProblemType::QsClientUnknown,
            ProblemType::QsRecordInvalid,
            ProblemType::PushTokenInvalid,
            ProblemType::RecordUpdateOutdated,
            ProblemType::QueueUnknown,
        ],
    };
    type Path = QsClientPath;
    type Request = UpdateQsClientRequest;
    type Response = NoBody;
}

/// What a client's record is to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateQsClientRequest {
    /// The update's number: above that of every update before, from 1 on.
    pub version: u64,
    /// A `QsClientRekey` for the client in the path, with the key that the record is to have; the key that it has stays if
    /// it is that one. This request is signed by the key before.
    pub rekey: Bytes,
    /// The client's push token under its push-token key: 552 bytes; `null` if it is not to be woken up.
    pub encrypted_push_token: Option<Bytes>,
}

/// `DELETE /v1/qs/clients/{qs_client_id}`: deletes a client with its queue, and the user with the last client. The ids
/// are never used again.
pub struct DeleteQsClient;

impl Endpoint for DeleteQsClient {
    const DESCRIPTION: Description = Description {
        function: "qs-delete-client",
        method: Method::Delete,
        path: "/v1/qs/clients/{qs_client_id}",
        summary: "Deletes a client with its queue, and the user with the last client.",
        authentication: Authentication::QsUserRecordKey,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::InvalidQsClientId, ProblemType::QsClientUnknown],
    };
    type Path = QsClientPath;
    type Request = NoBody;
    type Response = NoBody;
}
