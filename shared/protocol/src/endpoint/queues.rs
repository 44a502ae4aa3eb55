//! The endpoints of queues: the authentication service's direct ones, for requests of contact, and the queuing service's
//! fan-out ones.

use serde::{Deserialize, Serialize};

use super::{Authentication, ClientPath, Description, Endpoint, Method, NoBody, Path, QsClientPath, UserPath};
use crate::encoding::Bytes;
use crate::limits::MAX_ENQUEUE_LENGTH;
use crate::name::{ClientId, ClientUuid};
use crate::problem::{Problem, ProblemType};
use crate::queue::QueueMessage;
use crate::queuing::QsClientId;

/// A path that names a place in a client's queue at the authentication service: `?from=N`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientQueuePath {
    /// Whose queue, `{user_name}` and `{client_uuid}`.
    pub client_id: ClientId,
    /// The first message that is wanted. All before it are acknowledged thereby.
    pub from: u64,
}

impl Path for ClientQueuePath {
    const QUERY_PARAMETERS: &'static [&'static str] = &["from"];

    fn expand(&self, template: &str) -> String {
        let ClientId { user_name, uuid } = self.client_id.clone();
        ClientPath { user_name, client_uuid: uuid }.expand(template)
    }

    fn query(&self) -> String {
        format!("from={}", self.from)
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        Ok(Self { client_id: ClientPath::read(&parameter)?.client_id(), from: read_sequence(&parameter)? })
    }
}

/// A path that names a place in a client's queue at the queuing service: `?from=N`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QsQueuePath {
    /// Whose queue, `{qs_client_id}`.
    pub qs_client_id: QsClientId,
    /// The first message that is wanted. All before it are acknowledged thereby.
    pub from: u64,
}

impl Path for QsQueuePath {
    const QUERY_PARAMETERS: &'static [&'static str] = &["from"];

    fn expand(&self, template: &str) -> String {
        QsClientPath { qs_client_id: self.qs_client_id }.expand(template)
    }

    fn query(&self) -> String {
        format!("from={}", self.from)
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let QsClientPath { qs_client_id } = QsClientPath::read(&parameter)?;
        Ok(Self { qs_client_id, from: read_sequence(&parameter)? })
    }
}

fn read_sequence<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<u64, Problem> {
    let number = parameter("from").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok());
    number.ok_or_else(|| Problem::new(ProblemType::InvalidSequence, "from is a decimal number"))
}

/// `POST /v1/as/users/{user_name}/connection-packages/claim`: connection packages of a user, for whoever wants to make
/// contact. The same request again takes other packages, until only the last of a client is left, which stays.
pub struct ClaimConnectionPackages;

impl Endpoint for ClaimConnectionPackages {
    const DESCRIPTION: Description = Description {
        function: "as-claim-connection-package",
        method: Method::Post,
        path: "/v1/as/users/{user_name}/connection-packages/claim",
        summary: "Hands out one connection package of each of a user's clients that has some.",
        authentication: Authentication::None,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[ProblemType::InvalidUserName, ProblemType::NoConnectionPackages, ProblemType::RateLimited],
    };
    type Path = UserPath;
    type Request = NoBody;
    type Response = ClaimConnectionPackagesResponse;
}

/// Connection packages of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimConnectionPackagesResponse {
    /// One of each client that has one that is valid.
    pub connection_packages: Vec<ClaimedConnectionPackage>,
}

/// A connection package, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimedConnectionPackage {
    /// The current `ClientCredential` of the client that made it.
    pub client_credential: Bytes,
    /// A `ConnectionPackage`, signed by that credential's key.
    pub connection_package: Bytes,
}

/// `POST /v1/as/users/{user_name}/messages`: puts a message into the direct queue of a user's client. The same request
/// again puts it there no second time.
pub struct EnqueueMessage;

impl Endpoint for EnqueueMessage {
    const DESCRIPTION: Description = Description {
        function: "as-enqueue",
        method: Method::Post,
        path: "/v1/as/users/{user_name}/messages",
        summary: "Puts a message into the direct queue of a user's client.",
        authentication: Authentication::None,
        max_request_length: MAX_ENQUEUE_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::QueueUnknown,
            ProblemType::QueueFull,
            ProblemType::MessageTooLarge,
            ProblemType::RateLimited,
        ],
    };
    type Path = UserPath;
    type Request = EnqueueMessageRequest;
    type Response = NoBody;
}

/// A message for a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnqueueMessageRequest {
    /// Which of the user's clients it is for: the one whose connection package it is encrypted to.
    pub client_uuid: ClientUuid,
    /// The message, which is ciphertext already: at most 60 KiB.
    pub message: Bytes,
}

/// `GET /v1/as/users/{user_name}/clients/{client_uuid}/messages?from=N`: the messages of a client's direct queue from a
/// number on. All before it are acknowledged, and deleted.
pub struct DequeueMessages;

impl Endpoint for DequeueMessages {
    const DESCRIPTION: Description = Description {
        function: "as-dequeue",
        method: Method::Get,
        path: "/v1/as/users/{user_name}/clients/{client_uuid}/messages",
        summary: "The messages of a client's direct queue from a number on. Those before it are deleted.",
        authentication: Authentication::ClientOfUser,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidUserName,
            ProblemType::InvalidClientUuid,
            ProblemType::InvalidSequence,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::QueueUnknown,
            ProblemType::QueueSequenceAhead,
        ],
    };
    type Path = ClientQueuePath;
    type Request = NoBody;
    type Response = DequeueResponse;
}

/// A page of a queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DequeueResponse {
    /// The messages from the number asked for on, in order and without gaps: at most 500, and about 1 MiB.
    pub messages: Vec<QueueMessage>,
    /// The number that the queue's next message will have. There are more than these if theirs do not reach it.
    pub next_sequence: u64,
}

/// `POST /v1/qs/messages`: puts a message into the queue that a queue config leads to. The same request again puts it
/// there no second time.
pub struct EnqueueQsMessage;

impl Endpoint for EnqueueQsMessage {
    const DESCRIPTION: Description = Description {
        function: "qs-enqueue",
        method: Method::Post,
        path: "/v1/qs/messages",
        summary: "Puts a message into the queue that a queue config leads to.",
        authentication: Authentication::QueueConfigAndToken,
        max_request_length: MAX_ENQUEUE_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::QueueConfigInvalid,
            ProblemType::QueueUnknown,
            ProblemType::QueueFull,
            ProblemType::MessageTooLarge,
        ],
    };
    type Path = ();
    type Request = EnqueueQsMessageRequest;
    type Response = NoBody;
}

/// A message for the owner of a leaf.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnqueueQsMessageRequest {
    /// The queue config of the leaf: 185 bytes.
    pub queue_config: Bytes,
    /// The message, which is ciphertext already: at most 60 KiB.
    pub message: Bytes,
}

/// `GET /v1/qs/clients/{qs_client_id}/messages?from=N`: the messages of a client's queue from a number on. All before it
/// are acknowledged, and deleted.
pub struct DequeueQsMessages;

impl Endpoint for DequeueQsMessages {
    const DESCRIPTION: Description = Description {
        function: "qs-dequeue",
        method: Method::Get,
        path: "/v1/qs/clients/{qs_client_id}/messages",
        summary: "The messages of a client's queue from a number on. Those before it are deleted.",
        authentication: Authentication::QsClientRecordKey,
        max_request_length: 0,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidQsClientId,
            ProblemType::InvalidSequence,
            ProblemType::QueueUnknown,
            ProblemType::QueueSequenceAhead,
        ],
    };
    type Path = QsQueuePath;
    type Request = NoBody;
    type Response = DequeueResponse;
}
