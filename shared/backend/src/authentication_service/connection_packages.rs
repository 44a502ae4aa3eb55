//! Connection packages of users, in `AsTable`, for whoever wants to make contact.
//!
//! A client's record says which it has: those with the indexes from `connection_packages_head` on, below `…_tail`. Whoever
//! raises the head owns the package of the index that it had, and deletes it. The last one stays, and everybody gets it. Those
//! that a client replaces ([`super::connection_publications`]) stay too, until they expire: somebody may be about to fetch one.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValue;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::ClaimedConnectionPackage;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;

use super::clients::{self, CONNECTION_PACKAGES, ClientRecord};
use super::user_records::{CONNECTION_PACKAGE, connection_package_key};
use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call, number, without_retries};
use crate::{Environment, StartError};

/// The connection packages of the deployment's users.
pub struct ConnectionPackages {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl ConnectionPackages {
    /// The packages in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// Takes one package of a client that was just read: one that nobody else is given, or else the last one, if it has one
    /// that is valid. An update and a delete, or a read, or all three.
    ///
    /// # Errors
    /// The problem of a failed call. A package may be lost by it: what raised the head is not repeated.
    pub async fn claim(
        &self,
        record: &ClientRecord,
        now: Timestamp,
    ) -> Result<Option<ClaimedConnectionPackage>, Problem> {
        let Some(last) = record.connection_packages.end.checked_sub(1) else { return Ok(None) };
        let mut package = None;
        if record.connection_packages.start < last
            && let Some(index) = self.take_next(&record.client_id, last).await?
        {
            let taken = self.take(connection_package_key(&record.client_id, index)).await?;
            package = taken.filter(|item| item.get_time(EXPIRES_AT).is_none_or(|expires_at| now < expires_at));
        }
        if package.is_none() {
            package = self.read(connection_package_key(&record.client_id, last)).await?;
        }
        let Some(item) = package else { return Ok(None) };
        let corrupt = || corrupt_item("a connection package");
        let is_valid = now < item.get_time(EXPIRES_AT).ok_or_else(corrupt)?;
        let connection_package = Bytes(item.get_bytes(CONNECTION_PACKAGE).ok_or_else(corrupt)?.to_vec());
        let client_credential = record.client_credential.clone();
        Ok(is_valid.then_some(ClaimedConnectionPackage { client_credential, connection_package }))
    }

    /// Raises the head, if there is a package at it beside the last one, and gives the index that it had.
    async fn take_next(&self, client_id: &ClientId, last: u64) -> Result<Option<u64>, Problem> {
        let [head, tail] = CONNECTION_PACKAGES;
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(clients::key(client_id).into()))
            .update_expression(format!("ADD {head} :one"))
            .condition_expression(format!("{head} < :last AND {tail} = :tail"))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":last", number(last))
            .expression_attribute_values(":tail", number(last + 1))
            .return_values(ReturnValue::UpdatedOld)
            .customize()
            // The second attempt would count again.
            .config_override(without_retries())
            .send()
            .await;
        match result {
            Ok(answer) => {
                let taken = answer.attributes.map(Item::from).and_then(|item| item.get_number(head));
                taken.map(Some).ok_or_else(|| corrupt_item("a client"))
            }
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed_call("UpdateItem", &error)),
        }
    }

    /// Deletes a package and gives it, unless it is gone.
    async fn take(&self, key: Item) -> Result<Option<Item>, Problem> {
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(key.into()));
        let request = request.return_values(ReturnValue::AllOld).customize();
        // The second attempt would find nothing.
        let answer = request.config_override(without_retries()).send().await;
        Ok(answer.map_err(|error| failed_call("DeleteItem", &error))?.attributes.map(Item::from))
    }

    async fn read(&self, key: Item) -> Result<Option<Item>, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key.into())).send().await.map_err(|error| failed_call("GetItem", &error))?;
        Ok(answer.item.map(Item::from))
    }
}
