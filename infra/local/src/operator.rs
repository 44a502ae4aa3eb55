//! What the person who runs the local cloud may do: everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use serde_json::{Value, json};
use vestibule_backend::{Clock, Environment};

use crate::attribute_value::{item_from_json, item_to_json};
use crate::aws::secrets::Secrets;
use crate::cloud::LocalCloudError;
use crate::template::Template;

/// The operator of a local cloud, whom no policy confines and no fault hits. Its calls are not recorded.
#[derive(Clone, Debug)]
pub struct Operator {
    pub(crate) template: Arc<Template>,
    pub(crate) environment: Environment,
    pub(crate) dynamodb: Client,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) state_directory: Option<PathBuf>,
    pub(crate) clock: Clock,
}

impl Operator {
    /// The clock of the local cloud.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where the local cloud keeps its state, unless in memory.
    pub fn state_directory(&self) -> Option<&Path> {
        self.state_directory.as_deref()
    }

    /// What the operator's own tools are given: clients for the services, without limits.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The stack as `aws cloudformation describe-stacks` would print it.
    pub fn described_stack(&self) -> Value {
        let output = |(key, value): (&String, &String)| json!({"OutputKey": key, "OutputValue": value});
        let outputs: Vec<Value> = self.template.outputs.iter().map(output).collect();
        let parameter = |(key, value): (&String, &String)| json!({"ParameterKey": key, "ParameterValue": value});
        let parameters: Vec<Value> = self.template.parameters.iter().map(parameter).collect();
        json!({"Stacks": [{"StackName": "vestibule-local", "Parameters": parameters, "Outputs": outputs}]})
    }

    /// The value of a parameter of the template.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.template.parameters.get(name).map(String::as_str)
    }

    /// The secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Whether the secret of this logical id has a document.
    pub fn has_secret(&self, logical_id: &str) -> bool {
        self.secrets.has(logical_id)
    }

    /// Puts a document under the secret of this logical id.
    ///
    /// # Errors
    /// [`LocalCloudError::State`] if there is no such secret or it cannot be written to disk.
    pub fn put_secret(&self, logical_id: &str, document: &str) -> Result<(), LocalCloudError> {
        self.secrets
            .put(logical_id, document)
            .map_err(|source| LocalCloudError::State { what: format!("the secret {logical_id}"), source })
    }

    /// Puts an item, given as DynamoDB JSON (`{"pk": {"S": "…"}}`), into a table.
    ///
    /// # Errors
    /// [`LocalCloudError::DynamoDb`] if it is no item or DynamoDB refuses it.
    pub async fn put_item(&self, table: &str, item: Value) -> Result<(), LocalCloudError> {
        let item = item_from_json(&item).map_err(|malformed| dynamodb_error(table, malformed))?;
        let put = self.dynamodb.put_item().table_name(table).set_item(Some(item)).send();
        put.await.map_err(|error| dynamodb_error(table, DisplayErrorContext(error)))?;
        Ok(())
    }

    /// All items of a table as DynamoDB JSON, sorted by their keys.
    ///
    /// # Errors
    /// [`LocalCloudError::DynamoDb`] if there is no such table or it cannot be read.
    pub async fn items(&self, table: &str) -> Result<Vec<Value>, LocalCloudError> {
        let mut items = Vec::new();
        let mut pages = self.dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| dynamodb_error(table, DisplayErrorContext(error)))?;
            items.push(item_to_json(&item).map_err(|malformed| dynamodb_error(table, malformed))?);
        }
        if let Some(table) = self.template.table(table) {
            let sort_key = table.sort_key.as_ref().map(|key| &key.name);
            let key_of = |item: &Value| {
                let attribute = |name: &String| item[name.as_str()].to_string();
                (attribute(&table.partition_key.name), sort_key.map(attribute))
            };
            items.sort_by_cached_key(key_of);
        }
        Ok(items)
    }
}

fn dynamodb_error(table: &str, reason: impl std::fmt::Display) -> LocalCloudError {
    LocalCloudError::DynamoDb { table: table.to_owned(), reason: reason.to_string() }
}
