//! `AWS::DynamoDB::Table`.

use serde::Deserialize;
use serde_json::Value;

use super::resource::{Resource, read_properties};
use super::{KeyAttribute, Table, TemplateError};

/// How DynamoDB stores and guards it.
pub(super) const WITHOUT_LOCAL_EFFECT: [&str; 5] =
    ["BillingMode", "DeletionProtectionEnabled", "PointInTimeRecoverySpecification", "SSESpecification", "Tags"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    attribute_definitions: Vec<AttributeDefinition>,
    key_schema: Vec<KeySchemaElement>,
    time_to_live_specification: Option<TimeToLive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttributeDefinition {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeySchemaElement {
    attribute_name: String,
    key_type: KeyType,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum KeyType {
    Hash,
    Range,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TimeToLive {
    attribute_name: String,
    enabled: bool,
}

/// Reads a table whose `properties` are resolved already.
pub(super) fn table(resource: &Resource<'_>, properties: Value) -> Result<Table, TemplateError> {
    let properties: Properties = read_properties(properties, &resource.location())?;
    let location = || format!("{}.KeySchema", resource.location());
    let key = |key_type: KeyType| {
        let mut names = properties.key_schema.iter().filter(|element| element.key_type == key_type);
        let name = names.next().map(|element| &element.attribute_name);
        if names.next().is_some() {
            return Err(TemplateError::new(location(), "a table has one HASH key and at most one RANGE key"));
        }
        name.map(|name| properties.key_attribute(name, &location())).transpose()
    };
    let time_to_live = properties.time_to_live_specification.as_ref().filter(|specification| specification.enabled);
    Ok(Table {
        name: resource.logical_id.to_owned(),
        partition_key: key(KeyType::Hash)?.ok_or_else(|| TemplateError::new(location(), "a table needs a HASH key"))?,
        sort_key: key(KeyType::Range)?,
        time_to_live: time_to_live.map(|specification| specification.attribute_name.clone()),
    })
}

impl Properties {
    fn key_attribute(&self, name: &str, location: &str) -> Result<KeyAttribute, TemplateError> {
        let mut definitions = self.attribute_definitions.iter();
        let definition = definitions.find(|definition| definition.attribute_name == name);
        let attribute_type = definition.map(|definition| definition.attribute_type.clone());
        let attribute_type = attribute_type.filter(|attribute_type| ["S", "N", "B"].contains(&attribute_type.as_str()));
        let attribute_type = attribute_type.ok_or_else(|| {
            TemplateError::new(location, format!("{name} is not defined as S, N or B in AttributeDefinitions"))
        })?;
        Ok(KeyAttribute { name: name.to_owned(), attribute_type })
    }
}
