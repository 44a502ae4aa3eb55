//! The inline policy statements of a function.

use serde_json::{Map, Value};

use super::TemplateError;
use super::document::below;
use super::resource::{object, refuse_other_keys};
use crate::policy::{Effect, KeyOperator, LeadingKeysCondition, Policy, Statement};

const LEADING_KEYS: &str = "dynamodb:LeadingKeys";

/// The DynamoDB actions whose requests name the keys they touch. A condition on leading keys holds of every other
/// action, so it would confine nothing.
const ACTIONS_WITH_LEADING_KEYS: [&str; 8] = [
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
];

/// Reads `Policies`, whose references are resolved.
pub(super) fn policy(policies: &Value, location: &str) -> Result<Policy, TemplateError> {
    let mut statements = Vec::new();
    for (index, policy) in one_or_many(policies).iter().enumerate() {
        let location = format!("{location}[{index}]");
        let Value::Object(policy) = policy else {
            return Err(TemplateError::new(location, "only inline statements are understood"));
        };
        refuse_other_keys(policy, &["Statement", "Version"], &location)?;
        let location = below(&location, "Statement");
        for (index, statement) in one_or_many(policy.get("Statement").unwrap_or(&Value::Null)).iter().enumerate() {
            let location = format!("{location}[{index}]");
            statements.push(read_statement(object(statement, &location)?, &location)?);
        }
    }
    Ok(Policy { statements })
}

fn read_statement(statement: &Map<String, Value>, location: &str) -> Result<Statement, TemplateError> {
    refuse_other_keys(statement, &["Sid", "Effect", "Action", "Resource", "Condition"], location)?;
    let effect = match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(TemplateError::new(below(location, "Effect"), "it must be Allow or Deny")),
    };
    let actions = strings(statement.get("Action"), &below(location, "Action"))?;
    if let Some(action) = actions.iter().find(|action| !is_exact_action(action)) {
        let problem = format!("{action:?} is not one exact action, and others are not understood");
        return Err(TemplateError::new(below(location, "Action"), problem));
    }
    let resources = strings(statement.get("Resource"), &below(location, "Resource"))?;
    if let Some(resource) = resources.iter().find(|resource| has_wildcard(resource.trim_end_matches('*'))) {
        let problem = format!("{resource:?} has a wildcard that is not its end, which is not understood");
        return Err(TemplateError::new(below(location, "Resource"), problem));
    }
    let conditions = match statement.get("Condition") {
        Some(conditions) => read_conditions(conditions, &actions, &below(location, "Condition"))?,
        None => Vec::new(),
    };
    Ok(Statement { effect, actions, resources, conditions })
}

fn read_conditions(
    conditions: &Value,
    actions: &[String],
    location: &str,
) -> Result<Vec<LeadingKeysCondition>, TemplateError> {
    if let Some(action) = actions.iter().find(|action| !ACTIONS_WITH_LEADING_KEYS.contains(&action.as_str())) {
        return Err(TemplateError::new(location, format!("a condition on leading keys does not confine {action}")));
    }
    let mut read = Vec::new();
    for (operator, keys) in object(conditions, location)? {
        let location = below(location, operator);
        let operator = match operator.as_str() {
            "ForAllValues:StringEquals" => KeyOperator::StringEquals,
            "ForAllValues:StringLike" => KeyOperator::StringLike,
            _ => return Err(TemplateError::new(location, "this operator is not understood")),
        };
        let keys = object(keys, &location)?;
        refuse_other_keys(keys, &[LEADING_KEYS], &location)?;
        let location = below(&location, LEADING_KEYS);
        let patterns = strings(keys.get(LEADING_KEYS), &location)?;
        if patterns.iter().any(|pattern| pattern.contains("${")) {
            return Err(TemplateError::new(location, "policy variables are not understood"));
        }
        read.push(LeadingKeysCondition { operator, patterns });
    }
    Ok(read)
}

fn strings(value: Option<&Value>, location: &str) -> Result<Vec<String>, TemplateError> {
    let strings: Option<Vec<String>> =
        value.map_or(&[][..], one_or_many).iter().map(|element| element.as_str().map(str::to_owned)).collect();
    strings
        .filter(|strings| !strings.is_empty())
        .ok_or_else(|| TemplateError::new(location, "it must be a string or a list of strings"))
}

/// IAM takes a single element for a list of one.
fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(elements) => elements,
        element => std::slice::from_ref(element),
    }
}

fn is_exact_action(action: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|symbol| symbol.is_ascii_alphanumeric());
    action.split_once(':').is_some_and(|(service, name)| is_name(&service.replace('-', "")) && is_name(name))
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}
