//! Clients that wait to be told of messages.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use vestibule_protocol::keys::{QsClientRecordKey, SigningKey};
use vestibule_protocol::queuing::{LISTEN_SUBPROTOCOL, ListenNotice, ListenRequest};

use crate::rendezvous::{Seen, open_web_socket, status, websocket_event};
use crate::{Pseudonym, TestCloud};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who listens.
pub struct Ear {
    socket: WebSocketStream<TcpStream>,
}

impl Ear {
    /// Connects with this header, or gives the status with which that is refused.
    pub async fn open(cloud: &TestCloud, subprotocols: &str) -> Result<Self, u16> {
        let socket = open_web_socket(cloud, "QsWebSocketApi", subprotocols, LISTEN_SUBPROTOCOL).await?;
        Ok(Self { socket })
    }

    /// What comes next.
    pub async fn next(&mut self) -> Seen {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Seen::Text(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Seen::Closed,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Waits for a notice, which must be the next thing to come, byte for byte.
    pub async fn notice(&mut self) {
        let next = tokio::time::timeout(PATIENCE, self.next()).await.expect("a notice comes");
        assert_eq!(next, Seen::Text(ListenNotice::Messages {}.to_json()));
    }

    /// Waits for the end of the connection, which must be the next thing to come.
    pub async fn closed(&mut self) {
        assert_eq!(tokio::time::timeout(PATIENCE, self.next()).await.expect("the connection ends"), Seen::Closed);
    }

    /// Asserts that nothing has come so far. What was posted earlier would be seen before the answer to a text, to which
    /// API Gateway itself says that there is no route for it.
    pub async fn assert_nothing_came(&mut self) {
        self.socket.send(Message::text("anything")).await.expect("the connection stands");
        match tokio::time::timeout(PATIENCE, self.next()).await.expect("an answer comes") {
            Seen::Text(text) => assert!(text.contains("Forbidden"), "{text}"),
            Seen::Closed => panic!("the connection has ended"),
        }
    }
}

impl Pseudonym {
    /// The header with which the client asks to listen now.
    pub fn listen_header(&self, cloud: &TestCloud) -> String {
        self.listen_header_with(cloud, &self.client_record_key)
    }

    /// The same, signed by another key.
    pub fn listen_header_with(&self, cloud: &TestCloud, key: &SigningKey<QsClientRecordKey>) -> String {
        ListenRequest::issue(cloud.domain(), self.qs_client_id(), cloud.now(), key).to_subprotocols()
    }

    /// Listens.
    pub async fn listen(&self, cloud: &TestCloud) -> Ear {
        Ear::open(cloud, &self.listen_header(cloud)).await.expect("the client may listen")
    }

    /// The connection over which the client is told of messages, as its queue has it.
    pub async fn listener(&self, cloud: &TestCloud) -> Option<String> {
        let key = format!("CLIENT#{}", self.qs_client_id());
        let items = cloud.cloud.items("QsQueueTable").await.expect("the table can be read");
        let queue = items.into_iter().find(|item| item["pk"]["S"] == key && item["sk"]["S"] == "QUEUE");
        let listener = queue?.get("listener")?["S"].as_str().expect("a connection").to_owned();
        Some(listener)
    }
}

impl TestCloud {
    /// Has the queuing service learn that a connection has ended: the status.
    pub async fn unlistened(&self, connection: &str) -> u16 {
        let event = websocket_event("$disconnect", connection, None);
        status(&self.cloud.invoke("qs-unlisten", event).await.expect("the function answers"))
    }

    /// The items of connections at the queuing service.
    pub async fn listening_connections(&self) -> Vec<Value> {
        let items = self.cloud.items("QsQueueTable").await.expect("the table can be read");
        items.into_iter().filter(|item| item["sk"]["S"] == "CONNECTION").collect()
    }
}
