//! Devices that meet, frame by frame.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use vestibule_protocol::endpoint::{
    CreateRendezvous, CreateRendezvousRequest, CreateRendezvousResponse, JoinRendezvous, JoinRendezvousRequest,
    JoinRendezvousResponse, RendezvousPath,
};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::rendezvous::frame::{AuthenticatedFrame, DeviceFrame, MailboxOutcome, RelayFrame};
use vestibule_protocol::rendezvous::{
    MailboxId, Pairing, RELAY_SUBPROTOCOL, RandomString, Rendezvous, RendezvousCode, RendezvousTicket,
};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Verified;
use vestibule_protocol::time::Timestamp;

use crate::pseudonym::intermediate_key;
use crate::{Applicant, Call, TestCloud, json_body};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A device's side of a mailbox.
#[derive(Clone)]
pub struct Seat {
    /// The code.
    pub code: RendezvousCode,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// What opens this side.
    pub ticket: RendezvousTicket,
    /// Until when it lasts, as the answer said.
    pub expires_at: Timestamp,
}

/// A ticket that follows from a seed.
pub fn ticket(seed: u64) -> RendezvousTicket {
    RendezvousTicket::generate(&mut StdRng::seed_from_u64(seed))
}

/// The call that creates a rendezvous.
pub fn creating_call(ticket: &RendezvousTicket) -> Call {
    Call::new::<CreateRendezvous>(&(), json_body(&CreateRendezvousRequest { ticket: ticket.clone() }))
}

impl Applicant {
    /// A client of a user that is registered as far as other services can tell: its record is put where registering would
    /// have put it, which is faster.
    pub async fn enrolled(cloud: &TestCloud, user_name: &str, seed: u64) -> Self {
        let applicant = Self::new(cloud, user_name, seed).await;
        let credential = Verified::sign(applicant.requested.clone(), &intermediate_key(cloud));
        let item = json!({
            "pk": {"S": format!("USER#{user_name}")},
            "sk": {"S": format!("CLIENT#{}", applicant.client_id.uuid)},
            "client_credential": {"B": STANDARD.encode(credential.to_bytes().0)},
        });
        cloud.cloud.put_item("AsTable", item).await.expect("an item");
        applicant
    }

    /// The call with which this client joins, signed.
    pub fn joining_call(&self, cloud: &TestCloud, code: RendezvousCode, ticket: &RendezvousTicket) -> Call {
        self.sign_for_rendezvous(cloud, &self.unsigned_joining_call(code, ticket))
    }

    /// The call with which this client joins, not signed yet.
    pub fn unsigned_joining_call(&self, code: RendezvousCode, ticket: &RendezvousTicket) -> Call {
        let request = JoinRendezvousRequest { client_id: self.client_id.clone(), ticket: ticket.clone() };
        Call::new::<JoinRendezvous>(&RendezvousPath { code }, json_body(&request))
    }

    /// The same call under a fresh signature for the rendezvous service.
    pub fn sign_for_rendezvous(&self, cloud: &TestCloud, call: &Call) -> Call {
        let tag = Service::Rendezvous.tag(&cloud.domain());
        call.signed(&self.client_key, &self.client_id.to_string(), &tag, cloud.now())
    }

    /// Joins the device that waits under the code.
    pub async fn join(&self, cloud: &TestCloud, code: RendezvousCode, ticket: RendezvousTicket) -> Seat {
        let answer = cloud.send(&self.joining_call(cloud, code, &ticket)).await;
        let JoinRendezvousResponse { mailbox_id, expires_at, .. } = answer.success();
        Seat { code, mailbox_id, ticket, expires_at }
    }
}

impl TestCloud {
    /// A new device that waits under a code.
    pub async fn new_device(&self, seed: u64) -> Seat {
        let ticket = ticket(seed);
        let answer = self.send(&creating_call(&ticket)).await;
        let CreateRendezvousResponse { code, mailbox_id, expires_at, .. } = answer.success();
        Seat { code, mailbox_id, ticket, expires_at }
    }

    /// A new device, and one of `client`'s that has joined it.
    pub async fn pair(&self, client: &Applicant, seed: u64) -> [Seat; 2] {
        let new = self.new_device(2 * seed).await;
        let existing = client.join(self, new.code, ticket(2 * seed + 1)).await;
        [new, existing]
    }

    /// Has the relay handle a frame as if it had come over this connection, and comes back when it has: the status.
    pub async fn relay(&self, connection: &str, body: &str) -> u16 {
        let answer = self.cloud.invoke("rs-relay", websocket_event("$default", connection, Some(body))).await;
        status(&answer.expect("the relay answers"))
    }

    /// Has the service learn that a connection has ended: the status.
    pub async fn disconnected(&self, connection: &str) -> u16 {
        let event = websocket_event("$disconnect", connection, None);
        status(&self.cloud.invoke("rs-disconnect", event).await.expect("the function answers"))
    }

    /// The item of a mailbox.
    pub async fn mailbox(&self, id: &MailboxId) -> Value {
        let key = format!("MAILBOX#{id}");
        let items = self.cloud.items("RsTable").await.expect("the table can be read");
        items
            .into_iter()
            .find(|item| item["pk"]["S"] == key && item["sk"]["S"] == "MAILBOX")
            .expect("the mailbox is there")
    }

    /// The numbers of the messages whose bytes are kept, of both devices.
    pub async fn messages(&self) -> Vec<String> {
        let items = self.cloud.items("RsTable").await.expect("the table can be read");
        let keys = items.iter().filter_map(|item| item["sk"]["S"].as_str()?.strip_prefix("MESSAGE#"));
        keys.map(str::to_owned).collect()
    }
}

/// An event of a WebSocket API.
pub(crate) fn websocket_event(route: &str, connection: &str, body: Option<&str>) -> Value {
    let context = json!({
        "routeKey": route, "connectionId": connection, "identity": {}, "connectedAt": 0, "requestTimeEpoch": 0,
    });
    json!({"requestContext": context, "body": body, "isBase64Encoded": false})
}

/// The status that a function of a WebSocket API has answered.
pub(crate) fn status(answer: &Value) -> u16 {
    answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status")
}

impl Seat {
    /// The text of a frame of this device.
    pub fn frame(&self, frame: DeviceFrame) -> String {
        let frame = AuthenticatedFrame { mailbox_id: self.mailbox_id, ticket: self.ticket.clone(), frame };
        frame.to_json().to_string()
    }

    /// What a session begins with. The random string follows from the code.
    pub fn rendezvous(&self, cloud: &TestCloud) -> Rendezvous {
        let rng = &mut StdRng::seed_from_u64(self.code.number().into());
        Rendezvous {
            pairing: Pairing { code: self.code, random_string: RandomString::generate(rng) },
            domain: cloud.domain(),
            mailbox_id: self.mailbox_id,
            ticket: self.ticket.clone(),
            expires_at: self.expires_at,
        }
    }

    /// Connects and resumes, and gives what is answered first.
    pub async fn resume(&self, cloud: &TestCloud, received: u32) -> (Link, RelayFrame) {
        let mut link = self.connect(cloud).await;
        link.send(DeviceFrame::Resume { received }).await;
        let resumed = link.frame().await;
        (link, resumed)
    }

    /// Connects.
    pub async fn connect(&self, cloud: &TestCloud) -> Link {
        self.try_connect(cloud).await.expect("the ticket is right")
    }

    /// Connects, or gives the status with which that is refused.
    pub async fn try_connect(&self, cloud: &TestCloud) -> Result<Link, u16> {
        let socket = connect(cloud, &self.ticket.to_subprotocols()).await?;
        Ok(Link { socket, seat: self.clone(), is_closed: false })
    }

    /// The id of this device's connection, as the mailbox has it. `prefix` is `new` or `existing`.
    pub async fn connection(&self, cloud: &TestCloud, prefix: &str) -> String {
        let mailbox = cloud.mailbox(&self.mailbox_id).await;
        mailbox[format!("{prefix}_connection")]["S"].as_str().expect("it is connected").to_owned()
    }
}

/// Connects with this header, or gives the status with which that is refused.
pub async fn connect(cloud: &TestCloud, subprotocols: &str) -> Result<WebSocketStream<TcpStream>, u16> {
    open_web_socket(cloud, "RsWebSocketApi", subprotocols, RELAY_SUBPROTOCOL).await
}

/// Opens a WebSocket of the API of this logical id with this header, or gives the status with which that is refused.
pub(crate) async fn open_web_socket(
    cloud: &TestCloud,
    api: &str,
    subprotocols: &str,
    agreed: &str,
) -> Result<WebSocketStream<TcpStream>, u16> {
    let url = cloud.cloud.websocket_url(api).expect("the API");
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", subprotocols.parse().expect("a header"));
    let authority = cloud.cloud.url().strip_prefix("http://").expect("a URL");
    let stream = TcpStream::connect(authority).await.expect("the local cloud listens");
    match client_async(request, stream).await {
        Ok((socket, response)) => {
            assert_eq!(response.headers()["sec-websocket-protocol"], agreed);
            Ok(socket)
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// A connection to the relay.
pub struct Link {
    socket: WebSocketStream<TcpStream>,
    seat: Seat,
    is_closed: bool,
}

/// What a device sees.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// A text.
    Text(String),
    /// The end of the connection.
    Closed,
}

impl Link {
    /// Whether its end was seen.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Sends a frame of the device.
    pub async fn send(&mut self, frame: DeviceFrame) {
        let frame = self.seat.frame(frame);
        self.send_text(&frame).await;
    }

    /// Sends a text. A connection that has ended shows when it is read.
    pub async fn send_text(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// What comes next.
    pub async fn next(&mut self) -> Seen {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Seen::Text(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.is_closed = true;
                    return Seen::Closed;
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame of the relay.
    #[track_caller]
    pub fn frame(&mut self) -> impl Future<Output = RelayFrame> {
        let caller = std::panic::Location::caller();
        async move {
            match tokio::time::timeout(PATIENCE, self.next()).await {
                Ok(Seen::Text(text)) => RelayFrame::from_json(&text).expect("a frame"),
                Ok(Seen::Closed) => panic!("the connection has ended instead of a frame at {caller}"),
                Err(_) => panic!("no frame comes at {caller}"),
            }
        }
    }

    /// Sends a frame and gives the next of the relay's.
    pub async fn ask(&mut self, frame: DeviceFrame) -> RelayFrame {
        self.send(frame).await;
        self.frame().await
    }

    /// The problem with which a frame is refused, and the number it names.
    pub async fn refusal(&mut self, frame: DeviceFrame) -> (ProblemType, Option<u32>) {
        match self.ask(frame).await {
            RelayFrame::Refused { number, problem } => {
                (ProblemType::from_urn(&problem.problem_type).expect("a type"), number)
            }
            other => panic!("{other:?} instead of a refusal"),
        }
    }

    /// How the mailbox has ended, as the next frame says.
    pub async fn ended(&mut self) -> MailboxOutcome {
        match self.frame().await {
            RelayFrame::Ended { outcome } => outcome,
            other => panic!("{other:?} instead of the end"),
        }
    }

    /// Waits for the end of the connection.
    pub async fn closed(&mut self) {
        let end = async { while self.next().await != Seen::Closed {} };
        tokio::time::timeout(PATIENCE, end).await.expect("the connection ends");
    }
}

/// A message frame.
pub fn message(number: u32, payload: &[u8]) -> DeviceFrame {
    DeviceFrame::Message { number, payload: vestibule_protocol::encoding::Bytes(payload.to_vec()) }
}

/// The same message as the relay passes it on.
pub fn passed_on(number: u32, payload: &[u8]) -> RelayFrame {
    RelayFrame::Message { number, payload: vestibule_protocol::encoding::Bytes(payload.to_vec()) }
}

/// Random bytes.
pub fn payload(rng: &mut StdRng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.r#gen()).collect()
}
