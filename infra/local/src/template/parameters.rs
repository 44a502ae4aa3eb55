//! A template's parameters and the values they get.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::TemplateError;
use super::document::below;
use super::resource::{object, refuse_other_keys};

/// The value of each parameter: the caller's, else the default.
pub(super) fn parameter_values(
    declarations: &Map<String, Value>,
    overrides: &[(String, String)],
) -> Result<BTreeMap<String, String>, TemplateError> {
    if let Some((name, _)) = overrides.iter().find(|(name, _)| !declarations.contains_key(name)) {
        return Err(TemplateError::new(below("Parameters", name), "a value is given, but there is no such parameter"));
    }
    let mut values = BTreeMap::new();
    for (name, declaration) in declarations {
        let location = below("Parameters", name);
        let given = overrides.iter().rev().find(|(overridden, _)| overridden == name).map(|(_, value)| value.clone());
        values.insert(name.clone(), value(object(declaration, &location)?, given, &location)?);
    }
    Ok(values)
}

/// Patterns and lists of allowed values are left to CloudFormation and to the functions, which check what they are given anyway.
fn value(declaration: &Map<String, Value>, given: Option<String>, location: &str) -> Result<String, TemplateError> {
    let understood = [
        "AllowedPattern",
        "AllowedValues",
        "ConstraintDescription",
        "Default",
        "Description",
        "MaxValue",
        "MinValue",
        "Type",
    ];
    refuse_other_keys(declaration, &understood, location)?;
    let default = || match declaration.get("Default") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let value =
        given.or_else(default).ok_or_else(|| TemplateError::new(location, "it has no default; give a value"))?;
    match declaration.get("Type").and_then(Value::as_str) {
        Some("String") => Ok(value),
        Some("Number") => {
            let number: i64 =
                value.parse().map_err(|_| TemplateError::new(location, format!("{value:?} is not a whole number")))?;
            let bound = |name: &str| declaration.get(name).and_then(Value::as_i64);
            if bound("MinValue").is_some_and(|least| number < least)
                || bound("MaxValue").is_some_and(|most| number > most)
            {
                return Err(TemplateError::new(location, format!("{value} is out of range")));
            }
            Ok(value)
        }
        _ => Err(TemplateError::new(below(location, "Type"), "only String and Number are understood")),
    }
}
