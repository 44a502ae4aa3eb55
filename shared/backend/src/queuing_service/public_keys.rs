//! The keys that the queuing service publishes: two items of `QsTable`, written by the operator.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `KEYS` | `KEYS` | `qs_keys`: list of B |
//! | | `TOKEN_KEYS` | `token_keys`: list of B, each `public key[32] ‖ uint64 not_before ‖ uint64 not_after` |
//!
//! The keys of the issuer of tokens have an item of their own, because they are replaced more often and by other hands:
//! nothing here takes the root's key.

use aws_sdk_dynamodb::types::AttributeValue;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetQsKeysResponse;
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::{ExpirationData, Timestamp};
use vestibule_protocol::token_key::PublishedTokenKey;
use vestibule_tokens::TokenChallenge;

use crate::dynamodb::{Item, PARTITION_KEY, SORT_KEY, corrupt_item, failed_call};
use crate::{Environment, StartError};

const KEY: &str = "KEYS";
const QS_KEYS: &str = "qs_keys";
const TOKEN_KEYS_KEY: &str = "TOKEN_KEYS";
const TOKEN_KEYS: &str = "token_keys";

/// The item that publishes the queuing service's own keys.
pub fn item(qs_keys: &[Bytes]) -> Item {
    Item::keyed(KEY, KEY).bytes_list(QS_KEYS, qs_keys)
}

/// The item that publishes the keys of the issuer of tokens.
pub fn token_keys_item(token_keys: &[PublishedTokenKey]) -> Item {
    let token_keys: Vec<Vec<u8>> = token_keys.iter().map(token_key_bytes).collect();
    Item::keyed(KEY, TOKEN_KEYS_KEY).bytes_list(TOKEN_KEYS, &token_keys)
}

/// The key of the item that publishes the queuing service's own keys.
pub fn key() -> Item {
    Item::keyed(KEY, KEY)
}

/// The key of the item that publishes the keys of the issuer of tokens.
pub fn token_keys_key() -> Item {
    Item::keyed(KEY, TOKEN_KEYS_KEY)
}

/// The queuing service's own keys in their item.
pub fn read_item(item: &Item) -> Option<Vec<Bytes>> {
    let keys = item.get_bytes_list(QS_KEYS)?;
    Some(keys.into_iter().map(|keys| Bytes(keys.to_vec())).collect())
}

/// The keys of the issuer of tokens in their item.
pub fn read_token_keys_item(item: &Item) -> Option<Vec<PublishedTokenKey>> {
    item.get_bytes_list(TOKEN_KEYS)?.into_iter().map(read_token_key).collect()
}

/// Reads the public keys.
pub struct PublicKeys {
    client: aws_sdk_dynamodb::Client,
    table: String,
    domain: Domain,
    listen_url: String,
}

impl PublicKeys {
    /// The keys in the table named by `QS_TABLE`; clients listen at `LISTEN_URL`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        let table = environment.variable("QS_TABLE")?.to_owned();
        let listen_url = environment.variable("LISTEN_URL")?.to_owned();
        Ok(Self { client: environment.dynamodb(), table, domain: environment.domain()?, listen_url })
    }

    /// What is published now: one query.
    ///
    /// # Errors
    /// A [`Problem`] if the query fails or the service's own keys were never published.
    pub async fn read(&self) -> Result<GetQsKeysResponse, Problem> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression(format!("{PARTITION_KEY} = :keys"))
            .expression_attribute_values(":keys", AttributeValue::S(KEY.to_owned()));
        let answer = query.send().await.map_err(|error| failed_call("Query", &error))?;
        let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item::from).collect();
        let find = |sort: &str| items.iter().find(|item| item.get_string(SORT_KEY) == Some(sort));
        let qs_keys = find(KEY).and_then(read_item).ok_or_else(|| corrupt_item("public keys"))?;
        // A deployment that was made before there were tokens goes on without.
        let token_keys = find(TOKEN_KEYS_KEY).map_or(Some(Vec::new()), read_token_keys_item);
        Ok(GetQsKeysResponse {
            qs_keys,
            token_keys: token_keys.ok_or_else(|| corrupt_item("token keys"))?,
            token_challenge: Bytes(TokenChallenge::of(Service::Queuing, &self.domain).as_bytes().to_vec()),
            listen_url: self.listen_url.clone(),
        })
    }
}

fn token_key_bytes(key: &PublishedTokenKey) -> Vec<u8> {
    let ExpirationData { not_before, not_after } = key.validity;
    let times = [not_before, not_after].map(|time| time.seconds().to_be_bytes());
    [&key.public_key.0[..], &times[0], &times[1]].concat()
}

fn read_token_key(bytes: &[u8]) -> Option<PublishedTokenKey> {
    let (public_key, rest) = bytes.split_at_checked(32)?;
    let (not_before, not_after) = rest.split_at_checked(8)?;
    let time = |bytes: &[u8]| bytes.try_into().ok().map(|bytes| Timestamp::from_seconds(u64::from_be_bytes(bytes)));
    let validity = ExpirationData { not_before: time(not_before)?, not_after: time(not_after)? };
    Some(PublishedTokenKey { public_key: Bytes(public_key.to_vec()), validity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_key_is_the_same_after_it_was_stored() {
        let validity = ExpirationData { not_before: Timestamp::from_seconds(1), not_after: Timestamp::from_seconds(2) };
        let key = PublishedTokenKey { public_key: Bytes(vec![7; 32]), validity };
        let bytes = token_key_bytes(&key);
        assert_eq!(read_token_key(&bytes), Some(key));
        assert_eq!(read_token_key(&bytes[..47]), None);
        assert_eq!(read_token_key(&[&bytes[..], &[0]].concat()), None);
    }
}
