//! A cloud of one function, which does what its event says.

use std::sync::Arc;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vestibule_backend::{Environment, StartError};

use crate::{FunctionEntry, LocalCloud, LocalCloudBuilder, Starting};

pub(crate) const PUPPET_TEMPLATE: &str = r#"
Parameters:
  Greeting: {Type: String, Default: hello}
Resources:
  Api: {Type: AWS::Serverless::HttpApi, Properties: {StageName: $default}}
  Puppet:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: puppet}}
    Properties:
      Timeout: 5
      MemorySize: 256
      Environment: {Variables: {GREETING: !Ref Greeting, KEY: !Ref Key, HIDDEN: !Ref Hidden}}
      Policies:
        - Statement:
            - Effect: Allow
              Action: [dynamodb:GetItem, dynamodb:PutItem]
              Resource: !GetAtt People.Arn
              Condition: {ForAllValues:StringLike: {dynamodb:LeadingKeys: ["USER#*"]}}
            - Effect: Allow
              Action: secretsmanager:GetSecretValue
              Resource: !Ref Key
      Events:
        Act: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: /act}}
        Named: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: "/people/{name}"}}
        Me: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: /people/me}}
  People:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
  Key: {Type: AWS::SecretsManager::Secret}
  Hidden: {Type: AWS::SecretsManager::Secret}
"#;

pub(crate) const PUPPET: FunctionEntry = FunctionEntry { name: "puppet", start: start_puppet };

pub(crate) fn puppet_cloud() -> LocalCloudBuilder {
    LocalCloud::builder().template(PUPPET_TEMPLATE).functions([PUPPET])
}

/// An event that makes the puppet do something.
pub(crate) fn command(act: &str, pk: &str) -> Value {
    json!({"act": act, "pk": pk})
}

/// Puts an HTTP request on a connection of its own and gives back all that comes.
pub(crate) async fn http(cloud: &LocalCloud, request: &str) -> String {
    let mut stream = TcpStream::connect(cloud.url().strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    String::from_utf8(response).unwrap()
}

/// A POST of a command to a path.
pub(crate) async fn post(cloud: &LocalCloud, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    let headers = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}");
    http(cloud, &format!("POST {path} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n{body}")).await
}

fn start_puppet(environment: Environment) -> Starting {
    Box::pin(async move {
        environment.variable("GREETING")?;
        let environment = Arc::new(environment);
        let handler = move |event: Value| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
            let environment = Arc::clone(&environment);
            Box::pin(async move { act(&environment, event).await })
        };
        Ok::<vestibule_backend::EventHandler, StartError>(Arc::new(handler))
    })
}

async fn act(environment: &Environment, event: Value) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let command = match event["body"].as_str() {
        Some(body) => serde_json::from_str(body)?,
        None => event.clone(),
    };
    let people = environment.dynamodb();
    let pk = command["pk"].as_str().unwrap_or_default();
    let outcome = match command["act"].as_str().unwrap_or_default() {
        "echo" => return Ok(json!({"statusCode": 200, "body": event.to_string()})),
        "greet" => environment.variable("GREETING")?.to_owned(),
        "tell time" => environment.clock().now().seconds().to_string(),
        "get" => {
            let get = people.get_item().table_name("People").key("pk", text(pk)).key("sk", text("-")).send().await;
            get.map(|got| if got.item.is_some() { "found" } else { "nothing" }.to_owned()).unwrap_or_else(error_code)
        }
        "put" => {
            outcome(people.put_item().table_name("People").item("pk", text(pk)).item("sk", text("-")).send().await)
        }
        "put twice" => {
            let items = ["1", "2"].map(|sk| {
                let put = Put::builder().table_name("People").item("pk", text(pk)).item("sk", text(sk)).build();
                put.map(|put| TransactWriteItem::builder().put(put).build())
            });
            let items = items.into_iter().collect::<Result<_, _>>()?;
            outcome(people.transact_write_items().set_transact_items(Some(items)).send().await)
        }
        "delete" => {
            outcome(people.delete_item().table_name("People").key("pk", text(pk)).key("sk", text("-")).send().await)
        }
        "read key" => read_secret(environment, "KEY").await?,
        "read hidden" => read_secret(environment, "HIDDEN").await?,
        "fail" => return Err("the puppet was told to fail".into()),
        "panic" => panic!("the puppet was told to panic"),
        "hang" => std::future::pending().await,
        "challenge" => return Ok(json!({"statusCode": 401, "headers": {"www-authenticate": "PrivateToken"}})),
        "answer nonsense" => return Ok(json!({"statusCode": "nonsense"})),
        "answer at length" => "x".repeat(2_000),
        unknown => return Err(format!("unknown act {unknown}").into()),
    };
    Ok(json!({"statusCode": 200, "body": outcome}))
}

async fn read_secret(environment: &Environment, variable: &str) -> Result<String, StartError> {
    let arn = environment.variable(variable)?;
    let read = environment.secrets_manager().get_secret_value().secret_id(arn).send().await;
    Ok(read.map(|secret| secret.secret_string.unwrap_or_default()).unwrap_or_else(error_code))
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn outcome<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    result.map(|_| "done".to_owned()).unwrap_or_else(error_code)
}

fn error_code<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> String {
    let kind = match &error {
        SdkError::DispatchFailure(_) => "dispatch failure",
        _ => "another failure",
    };
    error.code().unwrap_or(kind).to_owned()
}
