//! Makes the template's tables.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveSpecification,
};

use crate::cloud::LocalCloudError;
use crate::template::{KeyAttribute, Table};

/// Makes a table if there is none, and sees to its time to live.
///
/// # Errors
/// [`LocalCloudError::DynamoDb`] if that fails or there is a table of that name with other keys.
pub(crate) async fn provide_table(client: &Client, table: &Table) -> Result<(), LocalCloudError> {
    let failed = |reason: String| LocalCloudError::DynamoDb { table: table.name.clone(), reason };
    match describe(client, table).await.map_err(failed)? {
        Some(description) if key_schema(&description) != wanted_key_schema(table) => {
            return Err(failed("the table has other keys than template.yaml says".to_owned()));
        }
        Some(_) => {}
        None => create(client, table).await.map_err(failed)?,
    }
    set_time_to_live(client, table).await.map_err(failed)
}

async fn describe(client: &Client, table: &Table) -> Result<Option<TableDescription>, String> {
    match client.describe_table().table_name(&table.name).send().await {
        Ok(output) => Ok(output.table),
        Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => Ok(None),
        Err(error) => Err(DisplayErrorContext(error).to_string()),
    }
}

async fn create(client: &Client, table: &Table) -> Result<(), String> {
    let build_error = |error: aws_sdk_dynamodb::error::BuildError| error.to_string();
    let mut request = client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    for (key, key_type) in keys(table) {
        let attribute_type = ScalarAttributeType::from(key.attribute_type.as_str());
        let definition =
            AttributeDefinition::builder().attribute_name(&key.name).attribute_type(attribute_type).build();
        let element = KeySchemaElement::builder().attribute_name(&key.name).key_type(key_type).build();
        request =
            request.attribute_definitions(definition.map_err(build_error)?).key_schema(element.map_err(build_error)?);
    }
    request.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
    while describe(client, table).await?.is_none_or(|table| table.table_status != Some(TableStatus::Active)) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn set_time_to_live(client: &Client, table: &Table) -> Result<(), String> {
    let Some(attribute) = &table.time_to_live else { return Ok(()) };
    let described = client.describe_time_to_live().table_name(&table.name).send().await;
    let described = described.map_err(|error| DisplayErrorContext(error).to_string())?;
    let current = described.time_to_live_description.and_then(|description| description.attribute_name);
    if current.as_ref() == Some(attribute) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build();
    let specification = specification.map_err(|error| error.to_string())?;
    let update = client.update_time_to_live().table_name(&table.name).time_to_live_specification(specification).send();
    update.await.map_err(|error| DisplayErrorContext(error).to_string())?;
    Ok(())
}

fn keys(table: &Table) -> impl Iterator<Item = (&KeyAttribute, KeyType)> {
    let sort_key = table.sort_key.iter().map(|key| (key, KeyType::Range));
    std::iter::once((&table.partition_key, KeyType::Hash)).chain(sort_key)
}

fn wanted_key_schema(table: &Table) -> Vec<(&str, KeyType)> {
    keys(table).map(|(key, key_type)| (key.name.as_str(), key_type)).collect()
}

fn key_schema(description: &TableDescription) -> Vec<(&str, KeyType)> {
    description.key_schema().iter().map(|key| (key.attribute_name(), key.key_type().clone())).collect()
}
