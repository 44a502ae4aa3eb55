//! A cloud of one function, which does what its event says.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule_backend::{Environment, EventHandler, StartError};

use crate::aws::dynamodb;
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
      Timeout: 30
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
    http_to(cloud.url().strip_prefix("http://").unwrap(), request).await
}

/// The same to another port.
pub(crate) async fn http_to(authority: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(authority).await.unwrap();
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

/// The URL of a DynamoDB that is not part of any cloud, for as long as the test runs.
pub(crate) async fn dynamodb_endpoint() -> String {
    let database = dynoxide::Database::memory().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let database = database.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let database = database.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let operation = parts.headers["x-amz-target"].to_str().unwrap().split_once('.').unwrap().1;
                    let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
                    let answer = dynamodb::answer(database, operation.to_owned(), body).await;
                    let response = http::Response::builder().status(answer.status);
                    response.body(Full::new(Bytes::from(answer.body)))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

/// Starts the puppet in whichever process.
pub(crate) fn start_puppet(environment: Environment) -> Starting {
    Box::pin(async move {
        environment.variable("GREETING")?;
        // One client for all events, as in every function.
        let puppet = Arc::new(Puppet { people: environment.dynamodb(), environment });
        let handler: EventHandler = Arc::new(move |event| {
            let puppet = Arc::clone(&puppet);
            Box::pin(async move { puppet.act(event).await })
        });
        Ok(handler)
    })
}

struct Puppet {
    environment: Environment,
    people: Client,
}

impl Puppet {
    async fn act(&self, event: Value) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let command = match event["body"].as_str() {
            Some(body) => serde_json::from_str(body)?,
            None => event.clone(),
        };
        let Self { environment, people } = self;
        let pk = command["pk"].as_str().unwrap_or_default();
        let outcome = match command["act"].as_str().unwrap_or_default() {
            "echo" => return Ok(json!({"statusCode": 200, "body": event.to_string()})),
            "greet" => environment.variable("GREETING")?.to_owned(),
            "tell time" => environment.clock().now().seconds().to_string(),
            "get" => {
                let get = people.get_item().table_name("People").key("pk", text(pk)).key("sk", text("-")).send().await;
                get.map(|got| if got.item.is_some() { "found" } else { "nothing" }.to_owned())
                    .unwrap_or_else(error_code)
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
            "tell process" => std::process::id().to_string(),
            "exit" => std::process::exit(3),
            "fail" => return Err("the puppet was told to fail".into()),
            "panic" => panic!("the puppet was told to panic"),
            "hang" => std::future::pending().await,
            "put and hang" => {
                let put = people.put_item().table_name("People").item("pk", text(pk)).item("sk", text("-"));
                put.send().await?;
                std::future::pending().await
            }
            "challenge" => return Ok(json!({"statusCode": 401, "headers": {"www-authenticate": "PrivateToken"}})),
            "answer nonsense" => return Ok(json!({"statusCode": "nonsense"})),
            "answer at length" => "x".repeat(2_000),
            unknown => return Err(format!("unknown act {unknown}").into()),
        };
        Ok(json!({"statusCode": 200, "body": outcome}))
    }
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
