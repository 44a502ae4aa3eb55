//! What calls of DynamoDB cost: the capacity units that it says it has charged.

use std::collections::BTreeMap;

use serde_json::Value;

/// Capacity units of on-demand tables.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Read units: 4 KB read consistently, or 8 KB otherwise.
    pub read_units: f64,
    /// Write units: 1 KB written; in a transaction half of that.
    pub write_units: f64,
}

/// What each function has consumed since somebody began to ask.
pub(crate) type CapacityOfFunctions = BTreeMap<String, Capacity>;

/// The same call, asking to be told.
pub(super) fn asking(mut body: Value) -> Value {
    body["ReturnConsumedCapacity"] = "TOTAL".into();
    body
}

/// Adds what DynamoDB tells in its answer.
pub(super) fn add(consumed: &mut CapacityOfFunctions, function: &str, operation: &str, answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let told = &answer["ConsumedCapacity"];
    let units = |told: &Value| told["CapacityUnits"].as_f64().unwrap_or_default();
    let units = told.as_array().map_or_else(|| units(told), |tables| tables.iter().map(units).sum());
    let capacity = consumed.entry(function.to_owned()).or_default();
    match operation {
        "BatchGetItem" | "GetItem" | "Query" | "Scan" | "TransactGetItems" => capacity.read_units += units,
        _ => capacity.write_units += units,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_table_or_several_are_added_to_what_the_function_has_consumed() {
        let mut consumed = CapacityOfFunctions::new();
        let mut tell = |function: &str, operation: &str, answer: Value| {
            add(&mut consumed, function, operation, answer.to_string().as_bytes());
        };
        tell("a", "GetItem", json!({"ConsumedCapacity": {"TableName": "T", "CapacityUnits": 0.5}}));
        tell("a", "TransactWriteItems", json!({"ConsumedCapacity": [{"CapacityUnits": 4.0}, {"CapacityUnits": 2.0}]}));
        tell("a", "PutItem", json!({"ConsumedCapacity": {"CapacityUnits": 1.0}}));
        tell("b", "PutItem", json!({"__type": "ConditionalCheckFailedException"}));
        assert_eq!(consumed["a"], Capacity { read_units: 0.5, write_units: 7.0 });
        assert_eq!(consumed["b"], Capacity::default());
    }
}
