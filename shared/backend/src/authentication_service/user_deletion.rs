//! The end of a user.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<user_name>` | `USER`, once the user is deleted | `deleted_on` N, `request_hash` B |
//!
//! One transaction makes an end of all that the user could be or do; the name stays taken. What is left then is of no use
//! to anybody (connection packages, the history of the identity) and goes in batches. The hash is that of the request, by
//! which its repetition is known: there is no client left to sign anything.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, DeleteRequest, Put, WriteRequest};
use vestibule_protocol::name::UserName;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;

use super::client_changes::bury;
use super::client_set::ClientSet;
use super::identities;
use super::logins::{VerifiedLogin, login_invalid};
use super::passwords::Passwords;
use super::user_records::{DELETED_ON, connection_package_range_start, queue_key, user_key};
use crate::dynamodb::{
    Item, PARTITION_KEY, SORT_KEY, TransactionPart as _, failed_call, is_condition_failed, transact, try_again,
};
use crate::{Environment, StartError};

const REQUEST_HASH: &str = "request_hash";
/// How many items one batch may delete.
const BATCH_LENGTH: i32 = 25;

/// Where users are deleted.
pub struct UserDeletions {
    client: aws_sdk_dynamodb::Client,
    table: String,
    queue_table: String,
    passwords: Passwords,
}

impl UserDeletions {
    /// The users in the table named by `AS_TABLE`, with their queues in the one named by `AS_QUEUE_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable("AS_TABLE")?.to_owned(),
            queue_table: environment.variable("AS_QUEUE_TABLE")?.to_owned(),
            passwords: Passwords::new(environment)?,
        })
    }

    /// Whether the request of this hash deleted the user: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails.
    pub async fn is_deleted_by(&self, user_name: &UserName, request_hash: &[u8; 32]) -> Result<bool, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let request = request.set_key(Some(user_key(user_name).into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        Ok(answer.item.is_some_and(|item| Item::from(item).get_bytes(REQUEST_HASH) == Some(request_hash)))
    }

    /// Deletes a user with password, clients, queues and identity, by the right of a login: one transaction. Clients that
    /// lapsed have nothing, and go by themselves.
    ///
    /// # Errors
    /// [`ProblemType::LoginInvalid`](vestibule_protocol::problem::ProblemType::LoginInvalid) if the password was changed
    /// after the login, [`TemporarilyUnavailable`](vestibule_protocol::problem::ProblemType::TemporarilyUnavailable) if the
    /// set of clients changed meanwhile, or the problem of a failed call; nothing is deleted then.
    pub async fn delete(
        &self,
        clients: &ClientSet,
        login: &VerifiedLogin,
        request_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), Problem> {
        let user_name = clients.user_name();
        let tombstone = user_key(user_name).time(DELETED_ON, now.start_of_day()).bytes(REQUEST_HASH, request_hash);
        let user = Put::builder()
            .table_name(&self.table)
            .set_item(Some(tombstone.into()))
            .condition_expression(format!("attribute_not_exists({DELETED_ON})"))
            .build()
            .expect("a table and an item are given");
        let delete = |table: &str, key: Item| {
            let delete = Delete::builder().table_name(table).set_key(Some(key.into())).build();
            delete.expect("table and key are given").part()
        };
        let of_clients = clients.live().flat_map(|record| {
            let queue = delete(&self.queue_table, queue_key(&record.client_id));
            [bury(&self.table, record, now).part(), queue]
        });
        let parts = [
            clients.change(&self.table).part(),
            self.passwords.delete(user_name, login.user()).part(),
            user.part(),
            delete(&self.table, identities::key(user_name)),
        ];
        let parts = parts.into_iter().chain(of_clients).collect();
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(()) };
        // If the clients changed too, the next attempt may find that the user is deleted.
        let password_changed = !is_condition_failed(reasons.first()) && is_condition_failed(reasons.get(1));
        Err(if password_changed { login_invalid() } else { try_again() })
    }

    /// Deletes what is left of a deleted user: a query and a batch for every 25 items, and one query more.
    ///
    /// # Errors
    /// A [`Problem`] if a call fails; the next attempt goes on from there.
    pub async fn clean_up(&self, user_name: &UserName) -> Result<(), Problem> {
        loop {
            let items = self.leftovers(user_name).await?;
            let deletions: Vec<_> = items.iter().filter_map(deletion).collect();
            if deletions.is_empty() {
                return Ok(());
            }
            let request = self.client.batch_write_item().request_items(&self.table, deletions);
            let answer = request.send().await.map_err(|error| failed_call("BatchWriteItem", &error))?;
            if answer.unprocessed_items.is_some_and(|items| !items.is_empty()) {
                return Err(try_again());
            }
        }
    }

    /// The keys of connection packages and of the identity's history, which lie side by side.
    async fn leftovers(&self, user_name: &UserName) -> Result<Vec<Item>, Problem> {
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(BATCH_LENGTH)
            .projection_expression(format!("{PARTITION_KEY}, {SORT_KEY}"))
            .key_condition_expression(format!("{PARTITION_KEY} = :user AND {SORT_KEY} BETWEEN :first AND :last"))
            .expression_attribute_values(":user", AttributeValue::S(format!("USER#{user_name}")))
            .expression_attribute_values(":first", AttributeValue::S(connection_package_range_start()))
            .expression_attribute_values(":last", AttributeValue::S(identities::history_range_end()));
        let answer = request.send().await.map_err(|error| failed_call("Query", &error))?;
        Ok(answer.items.unwrap_or_default().into_iter().map(Item::from).collect())
    }
}

fn deletion(item: &Item) -> Option<WriteRequest> {
    let key = Item::keyed(item.get_string(PARTITION_KEY)?, item.get_string(SORT_KEY)?);
    let request = DeleteRequest::builder().set_key(Some(key.into())).build().ok()?;
    Some(WriteRequest::builder().delete_request(request).build())
}
