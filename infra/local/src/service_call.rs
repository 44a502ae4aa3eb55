//! A call that a function makes to an AWS service: what it is and what IAM is asked about it.

use serde_json::Value;

mod iam_requests;
mod key_condition;

pub(crate) use self::iam_requests::{Unreadable, iam_requests};
use crate::policy::IamRequest;

/// One attempt of a function to call a service. The SDK's retries are calls of their own.
#[derive(Clone, Debug)]
pub struct ServiceCall {
    /// The name of the function.
    pub function: String,
    /// How many calls the function made before this one since the local cloud started.
    pub number: u64,
    /// The service.
    pub service: Service,
    /// The operation, such as `PutItem`.
    pub operation: String,
    /// The request's body; for [`Service::ApiGatewayManagement`] the members `ApiId`, `Stage`, `ConnectionId` and, in a
    /// post, `Data`.
    pub body: Value,
    /// What IAM was asked about it: for a transaction, one request an item.
    pub iam_requests: Vec<IamRequest>,
}

/// The services that the local cloud has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Amazon DynamoDB.
    DynamoDb,
    /// AWS Secrets Manager.
    SecretsManager,
    /// The `@connections` API of Amazon API Gateway's WebSocket APIs.
    ApiGatewayManagement,
}

impl Service {
    /// The service and operation that the header `X-Amz-Target` names.
    pub(crate) fn of_target(target: &str) -> Option<(Self, &str)> {
        let (service, operation) = target.split_once('.')?;
        match service {
            "DynamoDB_20120810" => Some((Self::DynamoDb, operation)),
            "secretsmanager" => Some((Self::SecretsManager, operation)),
            _ => None,
        }
    }
}
