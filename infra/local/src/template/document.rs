//! YAML to JSON. CloudFormation's short tags become their long forms, so that the rest knows only those.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

use super::TemplateError;

/// Parses a template: `!Ref X` becomes `{"Ref": "X"}`, `!GetAtt X.Arn` becomes `{"Fn::GetAtt": ["X", "Arn"]}`.
pub(super) fn parse(text: &str) -> Result<Value, TemplateError> {
    let documents = Yaml::load_from_str(text).map_err(|error| TemplateError::new("", error.to_string()))?;
    match documents.as_slice() {
        [document] => to_json(document, ""),
        documents => Err(TemplateError::new("", format!("it must be one YAML document, not {}", documents.len()))),
    }
}

fn to_json(node: &Yaml<'_>, location: &str) -> Result<Value, TemplateError> {
    match node {
        Yaml::Value(scalar) => scalar_to_json(scalar, location),
        Yaml::Sequence(elements) => {
            let elements = elements.iter().enumerate();
            elements.map(|(index, element)| to_json(element, &format!("{location}[{index}]"))).collect()
        }
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = key.as_str().ok_or_else(|| TemplateError::new(location, "a key must be a string"))?;
                object.insert(key.to_owned(), to_json(value, &below(location, key))?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(tag, node) => long_form(&tag.to_string(), to_json(node, location)?, location),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            Err(TemplateError::new(location, "this is no plain YAML value"))
        }
    }
}

fn scalar_to_json(scalar: &Scalar<'_>, location: &str) -> Result<Value, TemplateError> {
    match scalar {
        Scalar::Null => Ok(Value::Null),
        Scalar::Boolean(value) => Ok(json!(value)),
        Scalar::Integer(value) => Ok(json!(value)),
        Scalar::String(value) => Ok(json!(value)),
        Scalar::FloatingPoint(_) => Err(TemplateError::new(location, "fractions are not understood here; quote it")),
    }
}

fn long_form(tag: &str, value: Value, location: &str) -> Result<Value, TemplateError> {
    match (tag, &value) {
        ("!Ref", Value::String(_)) => Ok(json!({ "Ref": value })),
        ("!Sub", Value::String(_)) => Ok(json!({ "Fn::Sub": value })),
        ("!GetAtt", Value::String(attribute)) => match attribute.split_once('.') {
            Some((resource, attribute)) => Ok(json!({ "Fn::GetAtt": [resource, attribute] })),
            None => Err(TemplateError::new(location, "!GetAtt must be followed by Resource.Attribute")),
        },
        ("!Ref" | "!Sub" | "!GetAtt", _) => {
            Err(TemplateError::new(location, format!("{tag} in this form is not understood")))
        }
        // Where it matters here, it is refused when it is resolved.
        _ => Ok(json!({ format!("Fn::{}", tag.trim_start_matches('!')): value })),
    }
}

/// The location of `key` inside of what is at `location`.
pub(super) fn below(location: &str, key: &str) -> String {
    if location.is_empty() { key.to_owned() } else { format!("{location}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tags_become_their_long_forms() {
        let document = parse("a: !Ref X\nb: [!GetAtt X.Arn]\nc: !Sub \"${X}/y\"\nd: !If [A, 1, 2]\n").unwrap();
        let expected = json!({
            "a": { "Ref": "X" }, "b": [{ "Fn::GetAtt": ["X", "Arn"] }], "c": { "Fn::Sub": "${X}/y" },
            "d": { "Fn::If": ["A", 1, 2] }
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_tag_in_another_form_is_refused_where_it_stands() {
        let error = parse("Resources:\n  Table:\n    Name: [a, !Sub [\"\", {b: c}]]\n").unwrap_err();
        assert_eq!(error.to_string(), "template.yaml: Resources.Table.Name[1]: !Sub in this form is not understood");
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        assert!(parse("a: 1\na: 2\n").is_err());
    }

    #[test]
    fn quoted_numbers_stay_strings() {
        assert_eq!(parse("a: \"2010-09-09\"\nb: 7\nc: \"7\"\n").unwrap(), json!({"a": "2010-09-09", "b": 7, "c": "7"}));
    }
}
