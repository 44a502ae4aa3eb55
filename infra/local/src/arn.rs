//! The account and region that the local cloud says it is.

/// The account of everything in the local cloud.
pub(crate) const ACCOUNT_ID: &str = "000000000000";
/// The region of everything in the local cloud.
pub(crate) const REGION: &str = "us-east-1";

/// What `Ref` gives for an API: in the local cloud its logical id, in lower case because it is part of a host name. Those of
/// API Gateway are random.
pub(crate) fn api_id(logical_id: &str) -> String {
    logical_id.to_lowercase()
}

/// The host of an API, whether it is called by a client or by a function.
pub(crate) fn api_host(api_id: &str) -> String {
    format!("{api_id}.execute-api.{REGION}.amazonaws.com")
}

/// The ARN of a connection of a WebSocket API for one of the methods GET, POST and DELETE of the `@connections` API.
pub(crate) fn connection_arn(api_id: &str, stage: &str, method: &str, connection_id: &str) -> String {
    format!("arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{api_id}/{stage}/{method}/@connections/{connection_id}")
}

pub(crate) fn function_arn(logical_id: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{logical_id}")
}

pub(crate) fn secret_arn(logical_id: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{logical_id}")
}

pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}")
}
