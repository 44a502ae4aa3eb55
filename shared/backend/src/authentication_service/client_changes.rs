//! How the set of a user's clients changes: one transaction each, conditional on the set as it was read.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Delete, Put};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::limits::CLIENT_CONFIRMATION_TIME;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use super::client_set::ClientSet;
use super::clients::{self, CLIENT_CREDENTIAL, CREATED_ON, ClientRecord, REMOVED_ON};
use super::logins::{VerifiedLogin, login_invalid};
use super::passwords::Passwords;
use super::user_records::{connection_package_key, queue_key};
use crate::dynamodb::{
    EXPIRES_AT, Item, PARTITION_KEY, TransactionPart as _, bytes, failed_call, is_condition_failed, number, transact,
    try_again,
};
use crate::{Environment, StartError};

/// Where clients are added and renewed.
pub struct ClientAdditions {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl ClientAdditions {
    /// The clients in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// Adds a client, unconfirmed, where none is or was, or where this very one lapsed: one transaction.
    ///
    /// # Errors
    /// [`ProblemType::TemporarilyUnavailable`] if the set of clients changed meanwhile, or the problem of a failed call;
    /// nothing is stored then.
    pub async fn add(&self, clients: &ClientSet, credential: &ClientCredential, now: Timestamp) -> Result<(), Problem> {
        let client_id = &credential.payload().client_id;
        let client_credential = credential.to_bytes();
        let item = clients::key(client_id)
            .bytes(CLIENT_CREDENTIAL, &client_credential)
            .time(CREATED_ON, now.start_of_day())
            .time(EXPIRES_AT, now.saturating_add(CLIENT_CONFIRMATION_TIME));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item.into()))
            .condition_expression(format!(
                "attribute_not_exists({PARTITION_KEY}) OR ({EXPIRES_AT} <= :now AND {CLIENT_CREDENTIAL} = :credential)"
            ))
            .expression_attribute_values(":now", number(now.seconds()))
            .expression_attribute_values(":credential", bytes(&client_credential.0))
            .build()
            .expect("a table and an item are given");
        let parts = vec![clients.change(&self.table).part(), put.part()];
        // Whatever came in between, the next attempt decides by.
        transact(&self.client, parts).await?.map_err(|_| try_again())
    }

    /// Puts a new credential in the place of a client's current one: one write.
    ///
    /// # Errors
    /// [`ProblemType::TemporarilyUnavailable`] if the client changed meanwhile, or the problem of a failed call; nothing is
    /// stored then.
    pub async fn renew(&self, record: &ClientRecord, credential: &ClientCredential) -> Result<(), Problem> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(clients::key(&record.client_id).into()))
            .update_expression(format!("SET {CLIENT_CREDENTIAL} = :new"))
            .condition_expression(format!("{CLIENT_CREDENTIAL} = :current"))
            .expression_attribute_values(":new", bytes(&credential.to_bytes().0))
            .expression_attribute_values(":current", bytes(&record.client_credential.0));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Err(try_again())
            }
            Err(error) => Err(failed_call("UpdateItem", &error)),
        }
    }
}

/// Where clients are removed.
pub struct ClientRemovals {
    client: aws_sdk_dynamodb::Client,
    table: String,
    queue_table: String,
    passwords: Passwords,
}

impl ClientRemovals {
    /// The clients in the table named by `AS_TABLE`, with their queues in the one named by `AS_QUEUE_TABLE`.
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

    /// Removes a client with its queue and its connection packages, by the right of a login: one transaction. Packages that
    /// it had replaced are out of reach, and expire.
    ///
    /// # Errors
    /// [`ProblemType::LoginInvalid`] if the password was changed after the login,
    /// [`ProblemType::TemporarilyUnavailable`] if the set of clients or the client changed meanwhile, or the problem of a failed call;
    /// nothing is removed then.
    pub async fn remove(
        &self,
        clients: &ClientSet,
        record: &ClientRecord,
        login: &VerifiedLogin,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let queue = Delete::builder().table_name(&self.queue_table).set_key(Some(queue_key(&record.client_id).into()));
        let packages = record.connection_packages.clone().map(|index| {
            let key = connection_package_key(&record.client_id, index);
            let package = Delete::builder().table_name(&self.table).set_key(Some(key.into()));
            package.build().expect("table and key are given").part()
        });
        let parts = [
            clients.change(&self.table).part(),
            self.passwords.check_unchanged(clients.user_name(), login.user()).part(),
            bury(&self.table, record, now).part(),
            queue.build().expect("table and key are given").part(),
        ];
        let parts = parts.into_iter().chain(packages).collect();
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(()) };
        // If the clients changed too, the next attempt may find that this one is removed.
        let password_changed = !is_condition_failed(reasons.first()) && is_condition_failed(reasons.get(1));
        Err(if password_changed { login_invalid() } else { try_again() })
    }

    /// Removes a client that is unconfirmed, which has nothing else yet: one transaction.
    ///
    /// # Errors
    /// [`ProblemType::TemporarilyUnavailable`] if the set of clients changed meanwhile, or the problem of a failed call;
    /// nothing is removed then.
    pub async fn withdraw(&self, clients: &ClientSet, record: &ClientRecord, now: Timestamp) -> Result<(), Problem> {
        let parts = vec![clients.change(&self.table).part(), bury(&self.table, record, now).part()];
        transact(&self.client, parts).await?.map_err(|_| try_again())
    }
}

/// The part of a transaction that puts a tombstone in the place of a client that is still as it was read: confirmed if it
/// was, unconfirmed if it was not, and with the connection packages that it had.
pub(super) fn bury(table: &str, record: &ClientRecord, now: Timestamp) -> Put {
    let is_as_it_was = if record.is_confirmed() { "attribute_not_exists" } else { "attribute_exists" };
    Put::builder()
        .table_name(table)
        .set_item(Some(tombstone(&record.client_id, now).into()))
        .condition_expression(format!(
            "{CLIENT_CREDENTIAL} = :credential AND {is_as_it_was}({EXPIRES_AT}) AND {}",
            record.packages_condition()
        ))
        .expression_attribute_values(":credential", bytes(&record.client_credential.0))
        .expression_attribute_values(":tail", number(record.next_connection_package()))
        .build()
        .expect("a table and an item are given")
}

fn tombstone(client_id: &ClientId, now: Timestamp) -> Item {
    clients::key(client_id).time(REMOVED_ON, now.start_of_day())
}

/// The problem of a client id that is used already.
pub fn client_id_taken() -> Problem {
    Problem::new(ProblemType::ClientIdTaken, "make a fresh version 4 UUID for the client")
}
