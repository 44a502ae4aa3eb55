//! Reads `template.yaml`: which functions, routes, tables, secrets and permissions there are.
//!
//! The local cloud must not be more lenient than AWS, so it refuses a template that says something it does not
//! understand instead of running without it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value};

mod document;
mod error;
mod function;
mod intrinsics;
mod outputs;
mod parameters;
mod resource;
mod statements;
mod table;
mod websocket_api;

use self::document::below;
pub use self::error::TemplateError;
use self::intrinsics::Intrinsics;
use self::resource::{Resource, ResourceType, effective, object, read_properties, refuse_other_keys};
use crate::arn::secret_arn;
use crate::policy::Policy;
use crate::route::Route;

/// The template of this repository.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// What a template says, with its parameters filled in.
#[derive(Clone, Debug)]
pub struct Template {
    /// The parameters and their values.
    pub parameters: BTreeMap<String, String>,
    /// The Lambda functions.
    pub functions: Vec<Function>,
    /// The WebSocket APIs.
    pub websocket_apis: Vec<WebSocketApi>,
    /// The DynamoDB tables.
    pub tables: Vec<Table>,
    /// The Secrets Manager secrets.
    pub secrets: Vec<Secret>,
    /// What the stack says of itself.
    pub outputs: BTreeMap<String, String>,
}

/// A Lambda function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// The name of its binary, by which the rest of the local cloud knows it.
    pub name: String,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// How long it may take to answer an event.
    pub timeout: Duration,
    /// How much memory it has, in MB.
    pub memory_mb: u32,
    /// Its routes of the HTTP API.
    pub routes: Vec<Route>,
    /// What it may do.
    pub policy: Policy,
}

/// A WebSocket API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketApi {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// What `Ref` gives: the part of its host name and of its ARNs that tells it from other APIs.
    pub id: String,
    /// The name of its stage.
    pub stage: String,
    /// Its routes, each with the logical id of the function it leads to.
    pub routes: BTreeMap<RouteKey, String>,
}

/// A route of a WebSocket API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKey {
    /// `$connect`: a client wants to connect.
    Connect,
    /// `$default`: a client sent a message.
    Default,
    /// `$disconnect`: a connection has ended.
    Disconnect,
}

/// A DynamoDB table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name, which in the local cloud is its logical id.
    pub name: String,
    /// Its HASH key.
    pub partition_key: KeyAttribute,
    /// Its RANGE key.
    pub sort_key: Option<KeyAttribute>,
    /// The attribute that says when an item expires.
    pub time_to_live: Option<String>,
}

/// An attribute of a table's primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// `S`, `N` or `B`.
    pub attribute_type: String,
}

/// A secret of Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// What functions know it by.
    pub arn: String,
}

/// The template as JSON. That of this repository is read once: a process of tests starts many local clouds.
fn document(text: &str) -> Result<Cow<'static, Value>, TemplateError> {
    static OF_REPOSITORY: OnceLock<Value> = OnceLock::new();
    if text != TEMPLATE {
        return document::parse(text).map(Cow::Owned);
    }
    if let Some(document) = OF_REPOSITORY.get() {
        return Ok(Cow::Borrowed(document));
    }
    let document = document::parse(text)?;
    Ok(Cow::Borrowed(OF_REPOSITORY.get_or_init(|| document)))
}

impl Template {
    /// Reads a template. `parameters` override the defaults of its parameters.
    ///
    /// # Errors
    /// [`TemplateError`] names the first thing that is wrong or not understood.
    pub fn parse(text: &str, parameters: &[(String, String)]) -> Result<Self, TemplateError> {
        let document = document(text)?;
        let sections = object(&document, "")?;
        let understood = [
            "AWSTemplateFormatVersion",
            "Transform",
            "Description",
            "Parameters",
            "Conditions",
            "Globals",
            "Resources",
            "Outputs",
        ];
        refuse_other_keys(sections, &understood, "")?;
        let empty = Map::new();
        let section = |name: &str| match sections.get(name) {
            Some(section) => object(section, name),
            None => Ok(&empty),
        };
        let parameters = parameters::parameter_values(section("Parameters")?, parameters)?;
        let resources: Vec<Resource<'_>> = section("Resources")?
            .iter()
            .map(|(logical_id, resource)| Resource::new(logical_id, resource))
            .collect::<Result<_, _>>()?;
        let types = resources.iter().map(|resource| (resource.logical_id.to_owned(), resource.resource_type)).collect();
        let intrinsics = Intrinsics::new(&parameters, &types);
        let globals = section("Globals")?;
        refuse_other_keys(globals, &["Function"], "Globals")?;
        let global_function_properties =
            effective(globals.get("Function").unwrap_or(&Value::Null), &function::WITHOUT_LOCAL_EFFECT);
        let global_function_properties = intrinsics.resolve(&global_function_properties, "Globals.Function")?;

        let outputs = outputs::outputs(section("Outputs")?, &intrinsics)?;
        let mut template =
            Self { parameters, functions: vec![], websocket_apis: vec![], tables: vec![], secrets: vec![], outputs };
        let ids_of = |resource_type: ResourceType| -> Vec<&str> {
            let of_type = resources.iter().filter(|resource| resource.resource_type == resource_type);
            of_type.map(|resource| resource.logical_id).collect()
        };
        let (http_apis, functions) = (ids_of(ResourceType::HttpApi), ids_of(ResourceType::Function));
        for resource in &resources {
            let properties = |without_effect: &[&str]| {
                intrinsics.resolve(&effective(resource.properties, without_effect), &resource.location())
            };
            match resource.resource_type {
                ResourceType::Function => {
                    let properties = properties(&function::WITHOUT_LOCAL_EFFECT)?;
                    let function = function::function(resource, &global_function_properties, properties, &http_apis)?;
                    template.functions.push(function);
                }
                ResourceType::HttpApi => {
                    check_http_api(properties(&HTTP_API_PROPERTIES_WITHOUT_EFFECT)?, &resource.location())?;
                }
                ResourceType::WebSocketApi => {
                    let api = websocket_api::websocket_api(
                        resource,
                        properties(&websocket_api::WITHOUT_LOCAL_EFFECT)?,
                        &functions,
                    )?;
                    template.websocket_apis.push(api);
                }
                ResourceType::Table => {
                    template.tables.push(table::table(resource, properties(&table::WITHOUT_LOCAL_EFFECT)?)?)
                }
                ResourceType::Secret => {
                    template.secrets.push(secret(resource, properties(&SECRET_PROPERTIES_WITHOUT_EFFECT)?)?)
                }
                ResourceType::WithoutLocalEffect => {}
            }
        }
        template.refuse_ambiguities()?;
        Ok(template)
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    fn refuse_ambiguities(&self) -> Result<(), TemplateError> {
        for (index, function) in self.functions.iter().enumerate() {
            let location = || below("Resources", &function.logical_id);
            let earlier = &self.functions[..index];
            if earlier.iter().any(|earlier| earlier.name == function.name) {
                return Err(TemplateError::new(
                    location(),
                    format!("the binary {} has a function already", function.name),
                ));
            }
            for (index, route) in function.routes.iter().enumerate() {
                let earlier_routes =
                    earlier.iter().flat_map(|earlier| &earlier.routes).chain(&function.routes[..index]);
                if let Some(taken) = earlier_routes.into_iter().find(|earlier| earlier.is_same_as(route)) {
                    let problem = format!("{} takes the same requests as {}", route.key(), taken.key());
                    return Err(TemplateError::new(location(), problem));
                }
            }
        }
        for (index, api) in self.websocket_apis.iter().enumerate() {
            if let Some(earlier) = self.websocket_apis[..index].iter().find(|earlier| earlier.id == api.id) {
                let problem = format!("it has the same id as {}, whose name differs in case only", earlier.logical_id);
                return Err(TemplateError::new(below("Resources", &api.logical_id), problem));
            }
        }
        Ok(())
    }
}

impl RouteKey {
    /// Its name in templates and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "$connect",
            Self::Default => "$default",
            Self::Disconnect => "$disconnect",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Connect, Self::Default, Self::Disconnect].into_iter().find(|key| key.name() == name)
    }
}

/// Logs and throttles: the local cloud has its own log and no crowds.
const HTTP_API_PROPERTIES_WITHOUT_EFFECT: [&str; 5] =
    ["AccessLogSettings", "DefaultRouteSettings", "Description", "RouteSettings", "Tags"];

/// What people see of it.
const SECRET_PROPERTIES_WITHOUT_EFFECT: [&str; 4] = ["Description", "KmsKeyId", "Name", "Tags"];

fn check_http_api(properties: Value, location: &str) -> Result<(), TemplateError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Properties {
        stage_name: String,
    }

    let properties: Properties = read_properties(properties, location)?;
    if properties.stage_name != "$default" {
        return Err(TemplateError::new(below(location, "StageName"), "only the stage $default is understood"));
    }
    Ok(())
}

fn secret(resource: &Resource<'_>, properties: Value) -> Result<Secret, TemplateError> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Properties {}

    read_properties::<Properties>(properties, &resource.location())?;
    Ok(Secret { logical_id: resource.logical_id.to_owned(), arn: secret_arn(resource.logical_id) })
}

#[cfg(test)]
mod tests;
