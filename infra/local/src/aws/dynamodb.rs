//! DynamoDB: embedded in this process, or somewhere else behind an endpoint.

use std::fmt;
use std::path::Path;

use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Answer;

/// Where DynamoDB is.
#[derive(Clone)]
pub(crate) enum DynamoDb {
    /// In this process.
    Embedded(Database),
    /// Behind the endpoint that the SDK addresses.
    Endpoint(SharedHttpClient),
}

impl DynamoDb {
    pub(crate) fn in_memory() -> Result<Self, DynoxideError> {
        Ok(Self::Embedded(Database::memory()?))
    }

    pub(crate) fn in_file(file: &Path) -> Result<Self, DynoxideError> {
        Ok(Self::Embedded(Database::new(&file.to_string_lossy())?))
    }

    pub(crate) fn behind_endpoint() -> Self {
        let tls = Provider::Rustls(CryptoMode::Ring);
        Self::Endpoint(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
    }
}

impl fmt::Debug for DynamoDb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Embedded(_) => "Embedded",
            Self::Endpoint(_) => "Endpoint",
        })
    }
}

/// Answers a call as DynamoDB does. A write to a file waits for the disk, so this happens on a thread that may block;
/// and like a request that has reached AWS, it is carried out even if its caller gives up.
pub(crate) async fn answer(database: Database, operation: String, body: Value) -> Answer {
    let work = move || match carry_out(&database, &operation, body) {
        Ok(body) => Answer { status: 200, body },
        Err(error) => Answer { status: error.status_code(), body: error.to_json().into_bytes() },
    };
    let failed = |_| Answer::error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError", "the database failed");
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

fn carry_out(database: &Database, operation: &str, body: Value) -> Result<Vec<u8>, DynoxideError> {
    match operation {
        "BatchGetItem" => respond(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => respond(body, |request| database.batch_write_item(request)),
        "CreateTable" => respond(body, |request| database.create_table(request)),
        "DeleteItem" => respond(body, |request| database.delete_item(request)),
        "DescribeTable" => respond(body, |request| database.describe_table(request)),
        "DescribeTimeToLive" => respond(body, |request| database.describe_time_to_live(request)),
        "GetItem" => respond(body, |request| database.get_item(request)),
        "PutItem" => respond(body, |request| database.put_item(request)),
        "Query" => respond(body, |request| database.query(request)),
        "Scan" => respond(body, |request| database.scan(request)),
        "TransactGetItems" => respond(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => respond(body, |request| database.transact_write_items(request)),
        "UpdateItem" => respond(body, |request| database.update_item(request)),
        "UpdateTimeToLive" => respond(body, |request| database.update_time_to_live(request)),
        _ => Err(DynoxideError::UnsupportedCapability(operation.to_owned())),
    }
}

fn respond<Request: DeserializeOwned, Response: Serialize>(
    body: Value,
    work: impl FnOnce(Request) -> Result<Response, DynoxideError>,
) -> Result<Vec<u8>, DynoxideError> {
    let malformed = |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let response = work(serde_json::from_value(body).map_err(malformed)?)?;
    serde_json::to_vec(&response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
