//! `AWS::Serverless::WebSocketApi`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::resource::{Resource, read_properties};
use super::{RouteKey, TemplateError, WebSocketApi};
use crate::arn::{api_id, function_arn};

/// Logs, names and throttles: the local cloud has its own log and no crowds.
pub(super) const WITHOUT_LOCAL_EFFECT: [&str; 9] = [
    "AccessLogSettings",
    "DefaultRouteSettings",
    "Description",
    "DisableSchemaValidation",
    "IpAddressType",
    "Name",
    "PropagateTags",
    "RouteSettings",
    "Tags",
];

/// What SAM takes if the template names no stage.
const DEFAULT_STAGE: &str = "default";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    routes: BTreeMap<String, Route>,
    route_selection_expression: String,
    #[serde(default = "default_stage")]
    stage_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Route {
    function_arn: String,
}

fn default_stage() -> String {
    DEFAULT_STAGE.to_owned()
}

/// Reads an API whose `properties` are resolved already. `functions` are the logical ids of the functions that its
/// routes may lead to.
pub(super) fn websocket_api(
    resource: &Resource<'_>,
    properties: Value,
    functions: &[&str],
) -> Result<WebSocketApi, TemplateError> {
    let location = resource.location();
    let properties: Properties = read_properties(properties, &location)?;
    let refuse = |property: &str, problem: &str| Err(TemplateError::new(format!("{location}.{property}"), problem));
    // SAM refuses $default, and what API Gateway refuses would not make a URL.
    if !is_stage_name(&properties.stage_name) {
        return refuse("StageName", "a stage is named by letters, digits, - and _");
    }
    // All messages take the route $default as long as there are no routes of other names, whatever it selects by.
    if !properties.route_selection_expression.starts_with("$request.body.") {
        return refuse("RouteSelectionExpression", "only expressions like $request.body.action are understood");
    }
    if properties.routes.is_empty() {
        return refuse("Routes", "a WebSocket API needs a route");
    }
    let mut routes = BTreeMap::new();
    for (key, route) in &properties.routes {
        let location = format!("Routes.{key}");
        let Some(route_key) = RouteKey::from_name(key) else {
            return refuse(&location, "only the routes $connect, $default and $disconnect are understood");
        };
        let Some(function) = functions.iter().find(|id| function_arn(id) == route.function_arn) else {
            return refuse(&format!("{location}.FunctionArn"), "this is not the ARN of a function of this template");
        };
        routes.insert(route_key, (*function).to_owned());
    }
    let logical_id = resource.logical_id.to_owned();
    Ok(WebSocketApi { id: api_id(&logical_id), logical_id, stage: properties.stage_name, routes })
}

fn is_stage_name(name: &str) -> bool {
    let is_understood = |symbol: char| symbol.is_ascii_alphanumeric() || "-_".contains(symbol);
    (1..=128).contains(&name.len()) && name.chars().all(is_understood)
}
