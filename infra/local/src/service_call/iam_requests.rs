//! What IAM is asked about a call. A transaction or batch is decided on by what it does to each table.

use serde_json::Value;

use super::Service;
use super::key_condition::partition_key_value;
use crate::arn::{connection_arn, table_arn};
use crate::aws::connections;
use crate::policy::IamRequest;
use crate::template::Table;

/// A call of which the local cloud cannot tell what it touches. It is not let through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

/// The IAM requests of a call.
pub(crate) fn iam_requests(
    service: Service,
    operation: &str,
    body: &Value,
    tables: &[Table],
) -> Result<Vec<IamRequest>, Unreadable> {
    match service {
        Service::DynamoDb => Tables(tables).iam_requests(operation, body),
        Service::SecretsManager => {
            let resource = text(body, "SecretId")?.to_owned();
            Ok(vec![IamRequest { action: format!("secretsmanager:{operation}"), resource, leading_keys: vec![] }])
        }
        Service::ApiGatewayManagement => {
            let method = connections::method_of(operation)
                .ok_or_else(|| Unreadable(format!("execute-api:{operation} is not understood")))?;
            let (api_id, stage) = (text(body, "ApiId")?, text(body, "Stage")?);
            let resource = connection_arn(api_id, stage, method, text(body, "ConnectionId")?);
            Ok(vec![IamRequest { action: "execute-api:ManageConnections".to_owned(), resource, leading_keys: vec![] }])
        }
    }
}

struct Tables<'a>(&'a [Table]);

impl Tables<'_> {
    fn iam_requests(&self, operation: &str, body: &Value) -> Result<Vec<IamRequest>, Unreadable> {
        match operation {
            "DeleteItem" | "GetItem" | "UpdateItem" => Ok(vec![self.on_item(operation, body, "Key")?]),
            "PutItem" => Ok(vec![self.on_item(operation, body, "Item")?]),
            "Query" => Ok(vec![self.query(body)?]),
            "Scan" => {
                refuse_index(body)?;
                Ok(vec![request(operation, text(body, "TableName")?, vec![])])
            }
            "TransactGetItems" => elements(body, "TransactItems")?.map(|item| self.transaction_item(item)).collect(),
            "TransactWriteItems" => elements(body, "TransactItems")?.map(|item| self.transaction_item(item)).collect(),
            "BatchGetItem" | "BatchWriteItem" => self.batch(operation, body),
            _ => Err(Unreadable(format!("dynamodb:{operation} is not understood"))),
        }
    }

    fn on_item(&self, operation: &str, body: &Value, key_member: &str) -> Result<IamRequest, Unreadable> {
        let table = text(body, "TableName")?;
        let leading_keys = self.leading_key(table, member(body, key_member)?)?.into_iter().collect();
        Ok(request(operation, table, leading_keys))
    }

    fn query(&self, body: &Value) -> Result<IamRequest, Unreadable> {
        refuse_index(body)?;
        let table = text(body, "TableName")?;
        let leading_keys = match self.partition_key(table) {
            Some(partition_key) => vec![partition_key_value(body, partition_key)?],
            None => vec![],
        };
        Ok(request("Query", table, leading_keys))
    }

    fn transaction_item(&self, item: &Value) -> Result<IamRequest, Unreadable> {
        let (kind, body) = item
            .as_object()
            .filter(|item| item.len() == 1)
            .and_then(|item| item.iter().next())
            .ok_or_else(|| Unreadable("an item of a transaction must be one action".to_owned()))?;
        match kind.as_str() {
            "ConditionCheck" => self.on_item("ConditionCheckItem", body, "Key"),
            "Delete" => self.on_item("DeleteItem", body, "Key"),
            "Get" => self.on_item("GetItem", body, "Key"),
            "Put" => self.on_item("PutItem", body, "Item"),
            "Update" => self.on_item("UpdateItem", body, "Key"),
            kind => Err(Unreadable(format!("{kind} in a transaction is not understood"))),
        }
    }

    fn batch(&self, operation: &str, body: &Value) -> Result<Vec<IamRequest>, Unreadable> {
        let tables = member(body, "RequestItems")?.as_object().ok_or_else(|| missing("RequestItems"))?;
        let mut requests = Vec::new();
        for (table, wanted) in tables {
            let keys: Vec<&Value> = match operation {
                "BatchGetItem" => elements(wanted, "Keys")?.collect(),
                _ => wanted
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|write| {
                        let key = write.pointer("/PutRequest/Item").or_else(|| write.pointer("/DeleteRequest/Key"));
                        key.ok_or_else(|| Unreadable("a batch may put and delete".to_owned()))
                    })
                    .collect::<Result<_, _>>()?,
            };
            let leading_keys = keys.into_iter().map(|key| self.leading_key(table, key));
            let leading_keys: Vec<Option<String>> = leading_keys.collect::<Result<_, _>>()?;
            requests.push(request(operation, table, leading_keys.into_iter().flatten().collect()));
        }
        Ok(requests)
    }

    /// The value of the partition key in an item or a key; none if the template has no such table, for then no
    /// statement can be about it.
    fn leading_key(&self, table: &str, attributes: &Value) -> Result<Option<String>, Unreadable> {
        let Some(partition_key) = self.partition_key(table) else { return Ok(None) };
        let value = attributes.get(partition_key).ok_or_else(|| missing(partition_key))?;
        Ok(Some(text(value, "S")?.to_owned()))
    }

    fn partition_key(&self, table: &str) -> Option<&str> {
        let table = self.0.iter().find(|candidate| candidate.name == table)?;
        Some(&table.partition_key.name)
    }
}

fn request(operation: &str, table: &str, leading_keys: Vec<String>) -> IamRequest {
    IamRequest { action: format!("dynamodb:{operation}"), resource: table_arn(table), leading_keys }
}

fn refuse_index(body: &Value) -> Result<(), Unreadable> {
    match body.get("IndexName") {
        Some(_) => Err(Unreadable("indexes are not understood".to_owned())),
        None => Ok(()),
    }
}

fn elements<'a>(body: &'a Value, name: &str) -> Result<impl Iterator<Item = &'a Value> + use<'a>, Unreadable> {
    Ok(member(body, name)?.as_array().ok_or_else(|| missing(name))?.iter())
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Unreadable> {
    member(body, name)?.as_str().ok_or_else(|| missing(name))
}

fn member<'a>(body: &'a Value, name: &str) -> Result<&'a Value, Unreadable> {
    body.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Unreadable {
    Unreadable(format!("{name} is missing or of another type than expected"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::template::KeyAttribute;

    fn asked(operation: &str, body: Value) -> Result<Vec<(String, String, Vec<String>)>, Unreadable> {
        let key = |name: &str| KeyAttribute { name: name.to_owned(), attribute_type: "S".to_owned() };
        let table = |name: &str, partition_key: &str| Table {
            name: name.to_owned(),
            partition_key: key(partition_key),
            sort_key: Some(key("sk")),
            time_to_live: None,
        };
        let requests =
            iam_requests(Service::DynamoDb, operation, &body, &[table("Users", "pk"), table("Queues", "queue")])?;
        let short = |resource: &str| resource.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(requests.into_iter().map(|r| (r.action, short(&r.resource), r.leading_keys)).collect())
    }

    fn one(action: &str, table: &str, leading_keys: &[&str]) -> (String, String, Vec<String>) {
        (action.to_owned(), table.to_owned(), leading_keys.iter().map(|&key| key.to_owned()).collect())
    }

    #[test]
    fn an_item_operation_is_its_own_action_on_the_items_partition_key() {
        let key = json!({"pk": {"S": "USER#alice"}, "sk": {"S": "-"}});
        for operation in ["GetItem", "UpdateItem", "DeleteItem"] {
            let requests = asked(operation, json!({"TableName": "Users", "Key": key})).unwrap();
            assert_eq!(requests, [one(&format!("dynamodb:{operation}"), "Users", &["USER#alice"])]);
        }
        let put = asked("PutItem", json!({"TableName": "Queues", "Item": {"queue": {"S": "q"}, "pk": {"S": "no"}}}));
        assert_eq!(put.unwrap(), [one("dynamodb:PutItem", "Queues", &["q"])]);
    }

    #[test]
    fn a_transaction_is_the_actions_of_its_items() {
        let on = |table: &str, name: &str, key: &str| {
            let key_name = if table == "Users" { "pk" } else { "queue" };
            json!({"TableName": table, name: {key_name: {"S": key}}})
        };
        let write = json!({"TransactItems": [
            {"Put": on("Users", "Item", "a")},
            {"Update": on("Users", "Key", "b")},
            {"Delete": on("Queues", "Key", "c")},
            {"ConditionCheck": on("Queues", "Key", "d")},
        ]});
        let expected = [
            one("dynamodb:PutItem", "Users", &["a"]),
            one("dynamodb:UpdateItem", "Users", &["b"]),
            one("dynamodb:DeleteItem", "Queues", &["c"]),
            one("dynamodb:ConditionCheckItem", "Queues", &["d"]),
        ];
        assert_eq!(asked("TransactWriteItems", write).unwrap(), expected);
        let get = json!({"TransactItems": [{"Get": on("Users", "Key", "a")}]});
        assert_eq!(asked("TransactGetItems", get).unwrap(), [one("dynamodb:GetItem", "Users", &["a"])]);
    }

    #[test]
    fn a_batch_is_one_request_a_table_with_all_its_keys() {
        let write = json!({"RequestItems": {
            "Queues": [{"PutRequest": {"Item": {"queue": {"S": "q"}}}}],
            "Users": [{"PutRequest": {"Item": {"pk": {"S": "a"}}}}, {"DeleteRequest": {"Key": {"pk": {"S": "b"}}}}],
        }});
        let expected =
            [one("dynamodb:BatchWriteItem", "Queues", &["q"]), one("dynamodb:BatchWriteItem", "Users", &["a", "b"])];
        assert_eq!(asked("BatchWriteItem", write).unwrap(), expected);
        let get = json!({"RequestItems": {"Users": {"Keys": [{"pk": {"S": "a"}}]}}});
        assert_eq!(asked("BatchGetItem", get).unwrap(), [one("dynamodb:BatchGetItem", "Users", &["a"])]);
    }

    #[test]
    fn a_scan_names_no_keys() {
        assert_eq!(asked("Scan", json!({"TableName": "Users"})).unwrap(), [one("dynamodb:Scan", "Users", &[])]);
    }

    #[test]
    fn a_table_that_the_template_lacks_is_asked_about_by_its_name() {
        let requests = asked("GetItem", json!({"TableName": "Other", "Key": {"id": {"S": "a"}}})).unwrap();
        assert_eq!(requests, [one("dynamodb:GetItem", "Other", &[])]);
    }

    #[test]
    fn a_secret_is_asked_about_by_the_id_given() {
        let requests =
            iam_requests(Service::SecretsManager, "GetSecretValue", &json!({"SecretId": "arn"}), &[]).unwrap();
        assert_eq!(
            (requests[0].action.as_str(), requests[0].resource.as_str()),
            ("secretsmanager:GetSecretValue", "arn")
        );
    }

    #[test]
    fn a_connection_is_asked_about_by_the_method_and_its_arn() {
        let call = json!({"ApiId": "sockets", "Stage": "v1", "ConnectionId": "abc=", "Data": "hello"});
        for (operation, method) in
            [("PostToConnection", "POST"), ("GetConnection", "GET"), ("DeleteConnection", "DELETE")]
        {
            let requests = iam_requests(Service::ApiGatewayManagement, operation, &call, &[]).unwrap();
            let arn = format!("arn:aws:execute-api:us-east-1:000000000000:sockets/v1/{method}/@connections/abc=");
            assert_eq!(requests.len(), 1);
            assert_eq!((requests[0].action.as_str(), &requests[0].resource), ("execute-api:ManageConnections", &arn));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        for (operation, body) in [
            ("ExecuteStatement", json!({"Statement": "SELECT * FROM Users"})),
            ("GetItem", json!({"Key": {"pk": {"S": "a"}}})),
            ("GetItem", json!({"TableName": "Users", "Key": {"sk": {"S": "a"}}})),
            ("GetItem", json!({"TableName": "Users", "Key": {"pk": {"N": "1"}}})),
            ("Query", json!({"TableName": "Users", "IndexName": "by-name"})),
            ("Scan", json!({"TableName": "Users", "IndexName": "by-name"})),
            ("TransactWriteItems", json!({"TransactItems": [{}]})),
            ("BatchWriteItem", json!({"RequestItems": {"Users": [{}]}})),
        ] {
            assert!(asked(operation, body.clone()).is_err(), "{operation} {body}");
        }
    }
}
