//! `Outputs`: what a stack says of itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::TemplateError;
use super::document::below;
use super::intrinsics::Intrinsics;
use super::resource::{object, refuse_other_keys};

/// The value of each output.
pub(super) fn outputs(
    section: &Map<String, Value>,
    intrinsics: &Intrinsics,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let mut outputs = BTreeMap::new();
    for (name, output) in section {
        let location = below("Outputs", name);
        let output = object(output, &location)?;
        refuse_other_keys(output, &["Description", "Value"], &location)?;
        let location = below(&location, "Value");
        let value = intrinsics.resolve(output.get("Value").unwrap_or(&Value::Null), &location)?;
        let value = value.as_str().ok_or_else(|| TemplateError::new(location, "it must be a string"))?;
        outputs.insert(name.clone(), value.to_owned());
    }
    Ok(outputs)
}
