//! The deployment's public credentials: one item of `AsTable`, written by the operator.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `CREDENTIALS` | `CREDENTIALS` | `as_credentials`, `as_intermediate_credentials`, `revoked_fingerprints`: lists of B |

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::problem::{Problem, ProblemType};

use crate::dynamodb::{Item, corrupt_item, failed_call};
use crate::{Environment, StartError};

const KEY: &str = "CREDENTIALS";
const AS_CREDENTIALS: &str = "as_credentials";
const AS_INTERMEDIATE_CREDENTIALS: &str = "as_intermediate_credentials";
const REVOKED_FINGERPRINTS: &str = "revoked_fingerprints";

/// The item that publishes `credentials`.
pub fn item(credentials: &GetCredentialsResponse) -> Item {
    Item::keyed(KEY, KEY)
        .bytes_list(AS_CREDENTIALS, &credentials.as_credentials)
        .bytes_list(AS_INTERMEDIATE_CREDENTIALS, &credentials.as_intermediate_credentials)
        .bytes_list(REVOKED_FINGERPRINTS, &credentials.revoked_fingerprints)
}

/// The item's key.
pub fn key() -> Item {
    Item::keyed(KEY, KEY)
}

/// What the item publishes, unless it is another one.
pub fn read_item(item: &Item) -> Option<GetCredentialsResponse> {
    let list = |name| {
        let values = item.get_bytes_list(name)?;
        Some(values.into_iter().map(|value| Bytes(value.to_vec())).collect())
    };
    Some(GetCredentialsResponse {
        as_credentials: list(AS_CREDENTIALS)?,
        as_intermediate_credentials: list(AS_INTERMEDIATE_CREDENTIALS)?,
        revoked_fingerprints: list(REVOKED_FINGERPRINTS)?,
    })
}

/// Reads the public credentials.
pub struct PublicCredentials {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl PublicCredentials {
    /// The credentials in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// What is published now: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails or nothing was ever published.
    pub async fn read(&self) -> Result<GetCredentialsResponse, Problem> {
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key().into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        let item = Item::from(answer.item.ok_or_else(unpublished)?);
        read_item(&item).ok_or_else(|| corrupt_item("public credentials"))
    }
}

/// The problem of a deployment whose operator has not published its credentials yet.
fn unpublished() -> Problem {
    tracing::error!("the credentials' item is not in the table: the operator has to put it there");
    Problem::new(ProblemType::InternalError, "the deployment has not published its credentials yet")
}
