//! Items between the SDK's types and DynamoDB JSON.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

/// Something that is no attribute value.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no attribute value")]
pub(crate) struct Malformed(String);

pub(crate) fn item_to_json(item: &HashMap<String, AttributeValue>) -> Result<Value, Malformed> {
    let members = item.iter().map(|(name, value)| Ok((name.clone(), to_json(value)?)));
    Ok(Value::Object(members.collect::<Result<Map<_, _>, _>>()?))
}

pub(crate) fn item_from_json(item: &Value) -> Result<HashMap<String, AttributeValue>, Malformed> {
    let members = item.as_object().ok_or_else(|| malformed(item))?;
    members.iter().map(|(name, value)| Ok((name.clone(), from_json(value)?))).collect()
}

fn to_json(value: &AttributeValue) -> Result<Value, Malformed> {
    Ok(match value {
        AttributeValue::B(bytes) => json!({"B": BASE64_STANDARD.encode(bytes)}),
        AttributeValue::Bool(boolean) => json!({"BOOL": boolean}),
        AttributeValue::Bs(elements) => {
            json!({"BS": elements.iter().map(|bytes| BASE64_STANDARD.encode(bytes)).collect::<Vec<_>>()})
        }
        AttributeValue::L(elements) => json!({"L": elements.iter().map(to_json).collect::<Result<Vec<_>, _>>()?}),
        AttributeValue::M(members) => json!({"M": item_to_json(members)?}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Ns(numbers) => json!({"NS": numbers}),
        AttributeValue::Null(is_null) => json!({"NULL": is_null}),
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::Ss(texts) => json!({"SS": texts}),
        other => return Err(Malformed(format!("{other:?}"))),
    })
}

fn from_json(value: &Value) -> Result<AttributeValue, Malformed> {
    let members = value.as_object().filter(|members| members.len() == 1);
    let (kind, content) = members.and_then(|members| members.iter().next()).ok_or_else(|| malformed(value))?;
    let text = || content.as_str().map(str::to_owned).ok_or_else(|| malformed(value));
    let boolean = || content.as_bool().ok_or_else(|| malformed(value));
    let elements = || content.as_array().ok_or_else(|| malformed(value));
    let texts = || -> Result<Vec<String>, Malformed> {
        elements()?.iter().map(|element| element.as_str().map(str::to_owned).ok_or_else(|| malformed(value))).collect()
    };
    let blob = |text: &str| BASE64_STANDARD.decode(text).map(Blob::new).map_err(|_| malformed(value));
    Ok(match kind.as_str() {
        "B" => AttributeValue::B(blob(&text()?)?),
        "BOOL" => AttributeValue::Bool(boolean()?),
        "BS" => AttributeValue::Bs(texts()?.iter().map(|text| blob(text)).collect::<Result<_, _>>()?),
        "L" => AttributeValue::L(elements()?.iter().map(from_json).collect::<Result<_, _>>()?),
        "M" => AttributeValue::M(item_from_json(content)?),
        "N" => AttributeValue::N(text()?),
        "NS" => AttributeValue::Ns(texts()?),
        "NULL" => AttributeValue::Null(boolean()?),
        "S" => AttributeValue::S(text()?),
        "SS" => AttributeValue::Ss(texts()?),
        _ => return Err(malformed(value)),
    })
}

fn malformed(value: &Value) -> Malformed {
    Malformed(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_survives_the_way_there_and_back() {
        let item = json!({
            "b": {"B": "AQI="}, "bool": {"BOOL": true}, "bs": {"BS": ["AQ==", "Ag=="]},
            "l": {"L": [{"S": "a"}, {"L": []}]}, "m": {"M": {"inner": {"N": "1"}}}, "n": {"N": "3.14"},
            "ns": {"NS": ["1", "2"]}, "null": {"NULL": true}, "s": {"S": "text"}, "ss": {"SS": ["a", "b"]},
        });
        assert_eq!(item_to_json(&item_from_json(&item).unwrap()).unwrap(), item);
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for item in [
            json!(1),
            json!({"a": "text"}),
            json!({"a": {"S": 1}}),
            json!({"a": {"X": "1"}}),
            json!({"a": {"B": "?"}}),
            json!({"a": {"S": "a", "N": "1"}}),
        ] {
            assert!(item_from_json(&item).is_err(), "{item}");
        }
    }
}
