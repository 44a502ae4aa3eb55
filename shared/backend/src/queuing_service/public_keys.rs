//! The queuing service's public keys: one item of `QsTable`, written by the operator.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `KEYS` | `KEYS` | `qs_keys`: list of B |

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetQsKeysResponse;
use vestibule_protocol::problem::Problem;

use crate::dynamodb::{Item, corrupt_item, failed_call};
use crate::{Environment, StartError};

const KEY: &str = "KEYS";
const QS_KEYS: &str = "qs_keys";

/// The item that publishes `keys`.
pub fn item(keys: &GetQsKeysResponse) -> Item {
    Item::keyed(KEY, KEY).bytes_list(QS_KEYS, &keys.qs_keys)
}

/// Reads the public keys.
pub struct PublicKeys {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl PublicKeys {
    /// The keys in the table named by `QS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("QS_TABLE")?.to_owned() })
    }

    /// What is published now: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails or nothing was ever published.
    pub async fn read(&self) -> Result<GetQsKeysResponse, Problem> {
        let key = Item::keyed(KEY, KEY);
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key.into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        let item = Item::from(answer.item.ok_or_else(|| corrupt_item("public keys"))?);
        let qs_keys = item.get_bytes_list(QS_KEYS).ok_or_else(|| corrupt_item("public keys"))?;
        Ok(GetQsKeysResponse { qs_keys: qs_keys.into_iter().map(|keys| Bytes(keys.to_vec())).collect() })
    }
}
