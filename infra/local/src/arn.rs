//! The account and region that the local cloud says it is.

/// The account of everything in the local cloud.
pub(crate) const ACCOUNT_ID: &str = "000000000000";
/// The region of everything in the local cloud.
pub(crate) const REGION: &str = "us-east-1";

pub(crate) fn function_arn(logical_id: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{logical_id}")
}

pub(crate) fn secret_arn(logical_id: &str) -> String {
    format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{logical_id}")
}

pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}")
}
