//! A cloud of three functions, which do what clients tell them to, and clients.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};
use vestibule_backend::websocket::{
    Accepted, Connect, ConnectionError, ConnectionId, Connections, Disconnect, Message, WebSocketFunction,
};
use vestibule_backend::{Environment, StartError};
use vestibule_protocol::problem::{Problem, ProblemType};

use crate::{FunctionEntry, Limits, LocalCloud, LocalCloudBuilder};

pub(super) const TEMPLATE: &str = r#"
Globals:
  Function:
    Environment:
      Variables:
        CONNECTIONS_URL: !Sub "https://${Sockets}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1"
        CLIENT_URL: !Sub "wss://${Sockets}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1"
    Timeout: 10
Resources:
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: v1
      RouteSelectionExpression: $request.body.action
      Routes:
        $connect: {FunctionArn: !GetAtt Door.Arn}
        $default: {FunctionArn: !GetAtt Relay.Arn}
        $disconnect: {FunctionArn: !GetAtt Exit.Arn}
  Door:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: door}}
    Properties:
      Policies:
        - Statement:
            Effect: Allow
            Action: execute-api:ManageConnections
            Resource: !Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/v1/POST/@connections/*"
  Relay:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: relay}}
    Properties:
      Policies:
        - Statement:
            - Effect: Allow
              Action: execute-api:ManageConnections
              Resource:
                - !Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/v1/GET/@connections/*"
                - !Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/v1/POST/@connections/*"
                - !Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/v1/DELETE/@connections/*"
            - Effect: Allow
              Action: dynamodb:PutItem
              Resource: !GetAtt Watchers.Arn
  Exit:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: exit}}
    Properties:
      Policies:
        - Statement:
            - Effect: Allow
              Action: execute-api:ManageConnections
              Resource: !Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/v1/POST/@connections/*"
            - Effect: Allow
              Action: dynamodb:GetItem
              Resource: !GetAtt Watchers.Arn
  Watchers:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
"#;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn builder() -> LocalCloudBuilder {
    let functions =
        [FunctionEntry::websocket::<Door>(), FunctionEntry::websocket::<Relay>(), FunctionEntry::websocket::<Exit>()];
    LocalCloud::builder().template(TEMPLATE).functions(functions)
}

pub(super) async fn cloud() -> LocalCloud {
    builder().start().await.unwrap()
}

pub(super) async fn limited(change: impl FnOnce(&mut Limits)) -> LocalCloud {
    let mut limits = Limits::default();
    change(&mut limits);
    builder().limits(limits).start().await.unwrap()
}

/// A client of the API.
pub(super) struct Client {
    pub(super) socket: WebSocketStream<TcpStream>,
    /// What the server chose.
    pub(super) subprotocol: Option<String>,
}

/// What a client sees.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    Pong,
    Closed(u16),
}

impl Client {
    pub(super) async fn connect(cloud: &LocalCloud) -> Self {
        Self::offer(cloud, "").await.unwrap()
    }

    /// Connects, offering subprotocols; gives the status if that is refused.
    pub(super) async fn offer(cloud: &LocalCloud, subprotocols: &str) -> Result<Self, u16> {
        let url = cloud.websocket_url("Sockets").unwrap();
        let mut request = url.into_client_request().unwrap();
        if !subprotocols.is_empty() {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocols.parse().unwrap());
        }
        match client_async(request, Self::tcp(cloud).await).await {
            Ok((socket, response)) => {
                let subprotocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
                let subprotocol = subprotocol.map(|subprotocol| subprotocol.to_str().unwrap().to_owned());
                Ok(Self { socket, subprotocol })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A connection without a handshake.
    pub(super) async fn tcp(cloud: &LocalCloud) -> TcpStream {
        TcpStream::connect(cloud.url().strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// Has the relay do something and gives the first that it says to that.
    pub(super) async fn ask(&mut self, command: impl AsRef<str>) -> String {
        self.send(command).await;
        self.text().await
    }

    pub(super) async fn send(&mut self, command: impl AsRef<str>) {
        self.send_frame(Frame::text(command.as_ref())).await;
    }

    pub(super) async fn send_frame(&mut self, frame: Frame) {
        self.socket.send(frame).await.unwrap();
    }

    pub(super) async fn close(mut self, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "bye".into() });
        self.socket.close(frame).await.unwrap();
    }

    #[track_caller]
    pub(super) fn text(&mut self) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            match self.next().await {
                Seen::Text(text) => text,
                other => panic!("{other:?} instead of a message at {caller}"),
            }
        }
    }

    pub(super) async fn next(&mut self) -> Seen {
        let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server says something");
        match frame.expect("an end that is said").unwrap() {
            Frame::Text(text) => Seen::Text(text.to_string()),
            Frame::Pong(_) => Seen::Pong,
            Frame::Close(frame) => Seen::Closed(frame.map_or(CloseCode::Status, |frame| frame.code).into()),
            other => panic!("{other:?}"),
        }
    }
}

/// `$connect`: does what the first subprotocol offered says.
struct Door {
    connections: Connections,
}

impl WebSocketFunction for Door {
    const NAME: &'static str = "door";
    type Event = Connect;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { connections: Connections::new(environment, "CONNECTIONS_URL")? })
    }

    async fn handle(&self, connect: Connect) -> Result<Accepted, Problem> {
        let refuse = |problem_type| Err(Problem::new(problem_type, "refused"));
        let offered: Vec<&str> = connect.subprotocols().collect();
        match offered.first() {
            None => Ok(Accepted::without_subprotocol()),
            Some(&"refuse-401") => refuse(ProblemType::SignatureInvalid),
            Some(&"refuse-503") => refuse(ProblemType::TemporarilyUnavailable),
            Some(&"panic") => panic!("the door was told to panic"),
            Some(&"hang") => std::future::pending().await,
            Some(&"post") => {
                Ok(Accepted::with_subprotocol(match self.connections.post(&connect.connection_id, "hi").await {
                    Err(ConnectionError::Gone) => "gone",
                    _ => "post",
                }))
            }
            Some(_) => Ok(Accepted::with_subprotocol(offered[offered.len() - 1])),
        }
    }
}

/// `$default`: does what the message says.
struct Relay {
    environment: Environment,
    connections: Connections,
    released: Notify,
}

impl WebSocketFunction for Relay {
    const NAME: &'static str = "relay";
    type Event = Message;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let connections = Connections::new(environment, "CONNECTIONS_URL")?;
        Ok(Self { environment: environment.clone(), connections, released: Notify::new() })
    }

    async fn handle(&self, message: Message) -> Result<(), Problem> {
        let Self { connections, .. } = self;
        let me = &message.connection_id;
        let mut words = message.body.splitn(3, ' ');
        let (command, first, second) = (words.next(), words.next(), words.next());
        let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
        let peer = ConnectionId::from(first.to_owned());
        let outcome = match command.unwrap_or_default() {
            "id" => me.to_string(),
            "where" => self.environment.variable("CLIENT_URL").unwrap().to_owned(),
            "echo" => first.to_owned(),
            "length" => message.body.len().to_string(),
            "repeat" => "x".repeat(first.parse().unwrap()),
            "post" => said(connections.post(&peer, second).await),
            "flood" => {
                let message = "x".repeat(100_000);
                // What waits in the sockets is up to the system.
                for _ in 0..2_000 {
                    if let Err(error) = connections.post(&peer, &message).await {
                        return answer(connections.post(me, &error.to_string()).await);
                    }
                }
                "no end".to_owned()
            }
            "close" => said(connections.close(&peer).await),
            "get" => match connections.get(&peer).await {
                Ok(state) => {
                    format!("{} {}", state.connected_at.seconds(), state.last_active_at.seconds())
                }
                Err(error) => error.to_string(),
            },
            "watch" => {
                let item = self.environment.dynamodb().put_item().table_name("Watchers");
                let item = item.item("pk", text("watcher")).item("id", text(me.as_str()));
                item.send().await.unwrap();
                "watching".to_owned()
            }
            "wait" => {
                self.released.notified().await;
                "released".to_owned()
            }
            "release" => {
                self.released.notify_one();
                return Ok(());
            }
            "panic" => panic!("the relay was told to panic"),
            "hang" => std::future::pending().await,
            unknown => format!("{unknown}?"),
        };
        answer(connections.post(me, &outcome).await)
    }
}

/// `$disconnect`: tells the watcher.
struct Exit {
    environment: Environment,
    connections: Connections,
}

impl WebSocketFunction for Exit {
    const NAME: &'static str = "exit";
    type Event = Disconnect;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let connections = Connections::new(environment, "CONNECTIONS_URL")?;
        Ok(Self { environment: environment.clone(), connections })
    }

    async fn handle(&self, disconnect: Disconnect) -> Result<(), Problem> {
        let watcher = self.environment.dynamodb().get_item().table_name("Watchers").key("pk", text("watcher"));
        if let Some(watcher) = watcher.send().await.unwrap().item {
            let watcher = ConnectionId::from(watcher["id"].as_s().unwrap().clone());
            let said = format!("left {} {}", disconnect.connection_id, disconnect.code.unwrap());
            // The watcher may be the one that left.
            let _ = self.connections.post(&watcher, &said).await;
        }
        Ok(())
    }
}

fn answer(outcome: Result<(), ConnectionError>) -> Result<(), Problem> {
    outcome.map_err(|error| match error {
        ConnectionError::Gone => Problem::new(ProblemType::TemporarilyUnavailable, "gone"),
        ConnectionError::Failed(problem) => problem,
    })
}

fn said(outcome: Result<(), ConnectionError>) -> String {
    outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
