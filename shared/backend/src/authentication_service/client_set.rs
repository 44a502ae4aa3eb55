//! All clients of a user, as one state that changes as a whole.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<user_name>` | `CLIENTS` | `version` N: how often the set of clients has changed since registration; 0 if there is no item |
//!
//! Whoever changes the set, or relies on it, does so in a transaction that is conditional on the version read, so that of
//! two who decide at the same time one has to look again.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Update};
use vestibule_protocol::name::{ClientId, ClientUuid, UserName};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::RequestSignature;
use vestibule_protocol::time::Timestamp;

use super::clients::{ClientRecord, ClientState, checked_signer, claimed_signer, client_unconfirmed};
use crate::dynamodb::{Item, PARTITION_KEY, SORT_KEY, corrupt_item, failed_call, number};
use crate::{Environment, StartError};

/// The sort key of the set's item. It sorts behind those of the clients.
const CLIENTS: &str = "CLIENTS";
/// How the sort keys of clients begin.
const CLIENT_PREFIX: &str = "CLIENT#";
const VERSION: &str = "version";

/// The sets of clients of the deployment's users.
pub struct ClientSets {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl ClientSets {
    /// The clients in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// All clients that `user_name` has or had: one query, for every megabyte of them. A user who does not exist has none.
    ///
    /// # Errors
    /// A [`Problem`] if the query fails.
    pub async fn read(&self, user_name: &UserName, now: Timestamp) -> Result<ClientSet, Problem> {
        let mut set = ClientSet { user_name: user_name.clone(), version: 0, clients: HashMap::new() };
        let mut start_key = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                // From the end: the version comes first. If the set changes meanwhile, it is too old and not too new.
                .scan_index_forward(false)
                .key_condition_expression(format!("{PARTITION_KEY} = :user AND begins_with({SORT_KEY}, :client)"))
                .expression_attribute_values(":user", AttributeValue::S(format!("USER#{user_name}")))
                .expression_attribute_values(":client", AttributeValue::S("CLIENT".to_owned()))
                .set_exclusive_start_key(start_key);
            let answer = request.send().await.map_err(|error| failed_call("Query", &error))?;
            for item in answer.items.unwrap_or_default() {
                set.insert(&Item::from(item), now)?;
            }
            start_key = answer.last_evaluated_key;
            if start_key.is_none() {
                return Ok(set);
            }
        }
    }
}

/// The clients that a user has or had.
pub struct ClientSet {
    user_name: UserName,
    version: u64,
    clients: HashMap<ClientUuid, ClientState>,
}

impl ClientSet {
    /// Whose clients they are.
    pub fn user_name(&self) -> &UserName {
        &self.user_name
    }

    /// What is known of a client; nothing if the user never had it.
    pub fn get(&self, uuid: &ClientUuid) -> Option<&ClientState> {
        self.clients.get(uuid)
    }

    /// The user's clients, those that are unconfirmed among them, in no order.
    pub fn live(&self) -> impl Iterator<Item = &ClientRecord> {
        self.clients.values().filter_map(ClientState::live)
    }

    /// The client that made a signature.
    ///
    /// # Errors
    /// [`ClientUnknown`](vestibule_protocol::problem::ProblemType::ClientUnknown) if the user has no such client,
    /// [`ClientUnconfirmed`](vestibule_protocol::problem::ProblemType::ClientUnconfirmed), or the problem of a signature
    /// that is not right.
    pub fn signer(&self, signature: &RequestSignature) -> Result<&ClientRecord, Problem> {
        let record = self.signer_confirmed_or_not(signature)?;
        if record.is_confirmed() { Ok(record) } else { Err(client_unconfirmed()) }
    }

    /// The same, for what an unconfirmed client may do.
    ///
    /// # Errors
    /// As above, but for `ClientUnconfirmed`.
    pub fn signer_confirmed_or_not(&self, signature: &RequestSignature) -> Result<&ClientRecord, Problem> {
        let client_id = claimed_signer(signature, &self.user_name)?;
        checked_signer(signature, self.get(&client_id.uuid))
    }

    fn insert(&mut self, item: &Item, now: Timestamp) -> Result<(), Problem> {
        let corrupt = || corrupt_item("a user's clients");
        let sort_key = item.get_string(SORT_KEY).ok_or_else(corrupt)?;
        if sort_key == CLIENTS {
            self.version = item.get_number(VERSION).ok_or_else(corrupt)?;
            return Ok(());
        }
        let uuid = sort_key.strip_prefix(CLIENT_PREFIX).and_then(|uuid| uuid.parse().ok()).ok_or_else(corrupt)?;
        let client_id = ClientId { user_name: self.user_name.clone(), uuid };
        self.clients.insert(uuid, ClientState::read(item, client_id, now)?);
        Ok(())
    }

    fn key(&self) -> Item {
        Item::keyed(format!("USER#{}", self.user_name), CLIENTS)
    }

    /// The part of a transaction that checks that the set is still as it was read.
    pub(super) fn check_unchanged(&self, table: &str) -> ConditionCheck {
        ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(self.key().into()))
            .condition_expression(self.condition())
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", number(self.version))
            .build()
            .expect("table, key and condition are given")
    }

    /// The part of a transaction that says that the set changes, if it still is as it was read.
    pub(super) fn change(&self, table: &str) -> Update {
        Update::builder()
            .table_name(table)
            .set_key(Some(self.key().into()))
            .update_expression("SET #version = :next")
            .condition_expression(self.condition())
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", number(self.version))
            .expression_attribute_values(":next", number(self.version + 1))
            .build()
            .expect("table, key and expression are given")
    }

    fn condition(&self) -> &'static str {
        // Every value of an expression has to be used in it.
        if self.version == 0 { "attribute_not_exists(#version) OR #version = :version" } else { "#version = :version" }
    }
}
