//! What can go wrong with a call to a service.

use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::json;

use crate::aws::answer::Answer;
use crate::aws::connections;
use crate::service_call::{Service, ServiceCall};

/// A fault to inject into one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service answers 500 and has done nothing.
    BeforeEffect,
    /// The service does what it is asked, then the connection breaks and the answer is lost.
    AfterEffect,
    /// The service answers that the caller asks too much and has done nothing.
    Throttled,
    /// DynamoDB answers that another transaction holds an item, and has done nothing. A call that cannot conflict (a
    /// plain read, a batch, another service) goes through.
    TransactionConflict,
    /// DynamoDB takes a batch and does nothing of it. A call that is no batch goes through.
    Unprocessed,
    /// API Gateway answers that the connection is gone, which it may not be. Other services are called as usual.
    Gone,
}

/// Says of each call whether a fault happens to it.
pub(crate) type FaultPlan = dyn Fn(&ServiceCall) -> Option<Fault> + Send + Sync;

impl Fault {
    /// The answer that takes the place of the service's own, if the service is not to be asked.
    pub(crate) fn answer_instead(self, call: &ServiceCall) -> Option<Answer> {
        match (self, call.service) {
            (Self::AfterEffect, _) => None,
            (Self::BeforeEffect, Service::DynamoDb) => {
                Some(Answer::error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError", INTERNAL_ERROR))
            }
            (Self::BeforeEffect, Service::SecretsManager) => {
                Some(Answer::error(500, "InternalServiceError", INTERNAL_ERROR))
            }
            (Self::BeforeEffect, Service::ApiGatewayManagement) => {
                Some(Answer::error(500, "InternalServerError", INTERNAL_ERROR))
            }
            // An on-demand table throttles with this exception, not with ProvisionedThroughputExceededException.
            (Self::Throttled, Service::DynamoDb) => {
                Some(Answer::error(400, "com.amazon.coral.availability#ThrottlingException", THROUGHPUT_EXCEEDED))
            }
            (Self::Throttled, Service::SecretsManager) => {
                Some(Answer::error(400, "ThrottlingException", "Rate exceeded"))
            }
            (Self::Throttled, Service::ApiGatewayManagement) => Some(connections::limit_exceeded()),
            (Self::TransactionConflict, Service::DynamoDb) => transaction_conflict(call),
            (Self::TransactionConflict, Service::SecretsManager | Service::ApiGatewayManagement) => None,
            (Self::Unprocessed, Service::DynamoDb) => unprocessed(call),
            (Self::Unprocessed, Service::SecretsManager | Service::ApiGatewayManagement) => None,
            (Self::Gone, Service::ApiGatewayManagement) => Some(connections::gone()),
            (Self::Gone, Service::DynamoDb | Service::SecretsManager) => None,
        }
    }

    /// What the caller sees instead of the service's answer, after the effect.
    pub(crate) fn error_afterwards(self) -> Option<ConnectorError> {
        let lost = || ConnectorError::io("the connection was reset before the answer came (injected)".into());
        (self == Self::AfterEffect).then(lost)
    }
}

const INTERNAL_ERROR: &str = "The request processing has failed because of an unknown error, exception or failure.";
const THROUGHPUT_EXCEEDED: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is \
                                   automatically scaling your table or index so please try again shortly.";
const CONFLICT: &str = "Transaction is ongoing for the item";

fn transaction_conflict(call: &ServiceCall) -> Option<Answer> {
    match call.operation.as_str() {
        "TransactWriteItems" | "TransactGetItems" => Some(transaction_canceled(call.iam_requests.len())),
        "DeleteItem" | "PutItem" | "UpdateItem" => {
            Some(Answer::error(400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException", CONFLICT))
        }
        _ => None,
    }
}

/// DynamoDB says what of a batch it left undone in the form in which it was asked for.
fn unprocessed(call: &ServiceCall) -> Option<Answer> {
    let items = &call.body["RequestItems"];
    match call.operation.as_str() {
        "BatchGetItem" => Some(Answer::ok(&json!({ "Responses": {}, "UnprocessedKeys": items }))),
        "BatchWriteItem" => Some(Answer::ok(&json!({ "UnprocessedItems": items }))),
        _ => None,
    }
}

/// The first item is the one in conflict; DynamoDB gives a reason for each.
fn transaction_canceled(items: usize) -> Answer {
    let conflict = json!({"Code": "TransactionConflict", "Message": CONFLICT});
    let none = json!({"Code": "None"});
    let reasons: Vec<_> = std::iter::once(conflict).chain(std::iter::repeat_n(none, items.saturating_sub(1))).collect();
    let codes: Vec<_> = reasons.iter().map(|reason| reason["Code"].as_str().unwrap_or_default()).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": message,
        "CancellationReasons": reasons,
    });
    Answer { status: 400, body: body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::policy::IamRequest;

    #[test]
    fn a_cancelled_transaction_has_a_reason_for_each_item() {
        let put = IamRequest { action: "dynamodb:PutItem".to_owned(), resource: String::new(), leading_keys: vec![] };
        let call = ServiceCall {
            function: "puppet".to_owned(),
            number: 0,
            service: Service::DynamoDb,
            operation: "TransactWriteItems".to_owned(),
            body: Value::Null,
            iam_requests: vec![put; 3],
        };
        let answer = Fault::TransactionConflict.answer_instead(&call).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let codes: Vec<_> = body["CancellationReasons"].as_array().unwrap().iter().map(|r| r["Code"].clone()).collect();
        assert_eq!(codes, ["TransactionConflict", "None", "None"]);
        assert!(body["Message"].as_str().unwrap().ends_with("[TransactionConflict, None, None]"));
    }
}
