//! The types of resources, and what refers to them.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::TemplateError;
use super::document::below;
use crate::arn::{api_id, function_arn, secret_arn, table_arn};

/// The types of resources that a template may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceType {
    Function,
    HttpApi,
    WebSocketApi,
    Table,
    Secret,
    /// Matters on AWS only: whatever its properties say, the local cloud behaves the same.
    WithoutLocalEffect,
}

impl ResourceType {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "AWS::Serverless::Function" => Self::Function,
            "AWS::Serverless::HttpApi" => Self::HttpApi,
            "AWS::Serverless::WebSocketApi" => Self::WebSocketApi,
            "AWS::DynamoDB::Table" => Self::Table,
            "AWS::SecretsManager::Secret" => Self::Secret,
            "AWS::CloudWatch::Alarm"
            | "AWS::CloudWatch::Dashboard"
            | "AWS::Logs::LogGroup"
            | "AWS::SNS::Subscription"
            | "AWS::SNS::Topic" => Self::WithoutLocalEffect,
            _ => return None,
        })
    }

    /// What `Ref` gives.
    pub(super) fn reference(self, logical_id: &str) -> String {
        match self {
            Self::Secret => secret_arn(logical_id),
            Self::WebSocketApi => api_id(logical_id),
            Self::Function | Self::HttpApi | Self::Table | Self::WithoutLocalEffect => logical_id.to_owned(),
        }
    }

    /// What `Fn::GetAtt` gives for `Arn`.
    pub(super) fn arn(self, logical_id: &str) -> Option<String> {
        match self {
            Self::Function => Some(function_arn(logical_id)),
            Self::Table => Some(table_arn(logical_id)),
            Self::HttpApi | Self::WebSocketApi | Self::Secret | Self::WithoutLocalEffect => None,
        }
    }
}

/// A resource as it stands in the template.
#[derive(Debug)]
pub(super) struct Resource<'a> {
    pub(super) logical_id: &'a str,
    pub(super) resource_type: ResourceType,
    pub(super) properties: &'a Value,
    pub(super) metadata: &'a Value,
}

impl<'a> Resource<'a> {
    pub(super) fn new(logical_id: &'a str, resource: &'a Value) -> Result<Self, TemplateError> {
        let location = below("Resources", logical_id);
        let attributes = object(resource, &location)?;
        let understood =
            ["Type", "Properties", "Metadata", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "DependsOn"];
        refuse_other_keys(attributes, &understood, &location)?;
        let type_name = attributes.get("Type").and_then(Value::as_str).unwrap_or_default();
        let resource_type = ResourceType::from_name(type_name).ok_or_else(|| {
            TemplateError::new(below(&location, "Type"), format!("resources of type {type_name:?} are not understood"))
        })?;
        // The local cloud has all or nothing.
        if resource_type != ResourceType::WithoutLocalEffect && attributes.contains_key("Condition") {
            return Err(TemplateError::new(below(&location, "Condition"), "this is not understood"));
        }
        let attribute = |name: &str| attributes.get(name).unwrap_or(&Value::Null);
        Ok(Self { logical_id, resource_type, properties: attribute("Properties"), metadata: attribute("Metadata") })
    }

    /// Where its properties stand.
    pub(super) fn location(&self) -> String {
        format!("Resources.{}.Properties", self.logical_id)
    }
}

/// Properties except for those that have no effect in the local cloud, whatever they say.
pub(super) fn effective(properties: &Value, without_effect: &[&str]) -> Value {
    match properties {
        Value::Object(properties) => {
            let effective = properties.iter().filter(|(name, _)| !without_effect.contains(&name.as_str()));
            effective.map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        Value::Null => Value::Object(Map::new()),
        other => other.clone(),
    }
}

/// Reads properties into their type.
pub(super) fn read_properties<T: DeserializeOwned>(properties: Value, location: &str) -> Result<T, TemplateError> {
    serde_path_to_error::deserialize(properties).map_err(|error| {
        let path = error.path().to_string();
        let location = if path == "." { location.to_owned() } else { below(location, &path) };
        TemplateError::new(location, error.into_inner().to_string())
    })
}

pub(super) fn object<'a>(value: &'a Value, location: &str) -> Result<&'a Map<String, Value>, TemplateError> {
    value.as_object().ok_or_else(|| TemplateError::new(location, "it must be a mapping"))
}

pub(super) fn refuse_other_keys(
    object: &Map<String, Value>,
    understood: &[&str],
    location: &str,
) -> Result<(), TemplateError> {
    match object.keys().find(|key| !understood.contains(&key.as_str())) {
        Some(key) => Err(TemplateError::new(below(location, key), "this is not understood")),
        None => Ok(()),
    }
}
