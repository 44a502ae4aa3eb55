//! `AWS::Serverless::Function`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::resource::{Resource, read_properties};
use super::statements::policy;
use super::{Function, TemplateError};
use crate::route::Route;

/// What decides how AWS builds, runs and observes a function, but not what it does.
pub(super) const WITHOUT_LOCAL_EFFECT: [&str; 9] = [
    "Architectures",
    "CodeUri",
    "Description",
    "Handler",
    "LoggingConfig",
    "ReservedConcurrentExecutions",
    "Runtime",
    "Tags",
    "Tracing",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    #[serde(default)]
    environment: Environment,
    #[serde(default)]
    events: BTreeMap<String, Event>,
    #[serde(default = "default_memory")]
    memory_size: u32,
    #[serde(default)]
    policies: Value,
    #[serde(default = "default_timeout")]
    timeout: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Environment {
    #[serde(default)]
    variables: BTreeMap<String, Scalar>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Boolean(bool),
}

#[derive(Deserialize)]
#[serde(tag = "Type", content = "Properties", deny_unknown_fields)]
enum Event {
    #[serde(rename_all = "PascalCase")]
    HttpApi { api_id: String, method: String, path: String },
}

/// Lambda's defaults.
fn default_memory() -> u32 {
    128
}

fn default_timeout() -> u64 {
    3
}

/// Reads a function. `globals` and its `properties` are the effective ones, resolved already; `http_apis` are the APIs it may belong to.
pub(super) fn function(
    resource: &Resource<'_>,
    globals: &Value,
    properties: Value,
    http_apis: &[&str],
) -> Result<Function, TemplateError> {
    let location = resource.location();
    let properties = merged(globals, properties);
    let properties: Properties = read_properties(properties, &location)?;
    let name = resource.metadata.pointer("/BuildProperties/Binary").and_then(Value::as_str).ok_or_else(|| {
        let location = format!("Resources.{}.Metadata.BuildProperties.Binary", resource.logical_id);
        TemplateError::new(location, "a function needs the name of its binary")
    })?;
    let mut routes = Vec::new();
    for (event, Event::HttpApi { api_id, method, path }) in &properties.events {
        let location = format!("{location}.Events.{event}.Properties");
        if !http_apis.contains(&api_id.as_str()) {
            return Err(TemplateError::new(location, format!("{api_id} is not an HTTP API of this template")));
        }
        routes.push(Route::new(method, path).map_err(|problem| TemplateError::new(location, problem))?);
    }
    Ok(Function {
        logical_id: resource.logical_id.to_owned(),
        name: name.to_owned(),
        variables: properties.environment.variables.into_iter().map(|(name, value)| (name, value.into())).collect(),
        timeout: Duration::from_secs(properties.timeout),
        memory_mb: properties.memory_size,
        routes,
        policy: policy(&properties.policies, &format!("{location}.Policies"))?,
    })
}

/// A function's own properties over the global ones, as SAM merges them: mappings key by key, lists by appending.
fn merged(global: &Value, own: Value) -> Value {
    match (global, own) {
        (Value::Object(global), Value::Object(own)) => {
            let mut merged_entries: Map<String, Value> = global.clone();
            for (key, value) in own {
                let merged_value = merged(global.get(&key).unwrap_or(&Value::Null), value);
                merged_entries.insert(key, merged_value);
            }
            Value::Object(merged_entries)
        }
        (Value::Array(global), Value::Array(own)) => Value::Array(global.iter().cloned().chain(own).collect()),
        (global, Value::Null) => global.clone(),
        (_, own) => own,
    }
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Boolean(boolean) => boolean.to_string(),
        }
    }
}
