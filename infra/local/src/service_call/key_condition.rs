//! Which partition key a query reads.

use serde_json::Value;

use super::Unreadable;

/// The value that the key condition of a `Query` demands of the partition key.
///
/// DynamoDB takes nothing but `key = :value`, alone or joined by `AND` with a condition on the sort key. So it is
/// enough to find the one place where the partition key is compared; whatever else is wrong, DynamoDB refuses.
pub(super) fn partition_key_value(query: &Value, partition_key: &str) -> Result<String, Unreadable> {
    let expression = query.get("KeyConditionExpression").and_then(Value::as_str);
    let expression = expression.ok_or_else(|| Unreadable("a query without a KeyConditionExpression".to_owned()))?;
    let unreadable = || Unreadable(format!("the key condition {expression:?} is not understood"));
    let tokens = tokens(expression);
    let mut comparisons = (0..tokens.len()).filter(|&at| attribute_name(query, tokens[at]) == Some(partition_key));
    let at = comparisons.next().ok_or_else(unreadable)?;
    let placeholder = match (tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(&"="), Some(placeholder)) if comparisons.next().is_none() => placeholder,
        _ => return Err(unreadable()),
    };
    let value = query.get("ExpressionAttributeValues").and_then(|values| values.get(placeholder)?.get("S"));
    Ok(value.and_then(Value::as_str).ok_or_else(unreadable)?.to_owned())
}

/// The attribute that a token names, directly or through `ExpressionAttributeNames`.
fn attribute_name<'a>(query: &'a Value, token: &'a str) -> Option<&'a str> {
    if token.starts_with('#') { query.get("ExpressionAttributeNames")?.get(token)?.as_str() } else { Some(token) }
}

/// Words and single symbols.
fn tokens(expression: &str) -> Vec<&str> {
    let is_word = |symbol: char| symbol.is_alphanumeric() || "_-.#:".contains(symbol);
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, after) = rest.split_at(end);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(expression: &str) -> Result<String, Unreadable> {
        let query = json!({
            "KeyConditionExpression": expression,
            "ExpressionAttributeNames": {"#key": "pk", "#sort": "sk"},
            "ExpressionAttributeValues": {":key": {"S": "CLIENT#1"}, ":from": {"S": "a"}, ":number": {"N": "1"}},
        });
        partition_key_value(&query, "pk")
    }

    #[test]
    fn the_partition_key_is_found_in_every_form_of_condition() {
        for expression in [
            "pk = :key",
            "pk=:key",
            "#key = :key",
            "(pk = :key)",
            "pk = :key AND sk > :from",
            "#key = :key and begins_with(#sort, :from)",
            "(#key=:key) AND (#sort BETWEEN :from AND :from)",
            "sk < :from AND pk = :key",
        ] {
            assert_eq!(read(expression).as_deref(), Ok("CLIENT#1"), "{expression}");
        }
    }

    #[test]
    fn other_conditions_are_not_understood() {
        for expression in [
            "",
            "sk = :from",
            "pk > :key",
            "pk",
            "pk = :key OR pk = :from",
            "pk = :unknown",
            "pk = :number",
            ":key = pk",
        ] {
            assert!(read(expression).is_err(), "{expression}");
        }
        assert!(partition_key_value(&json!({"KeyConditions": {}}), "pk").is_err());
    }
}
