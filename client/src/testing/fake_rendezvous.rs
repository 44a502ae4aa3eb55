//! The rendezvous service and its relay, in this process: what `docs/protocol.md`, sections 19 and 20, say, and
//! connections that break where a test wants them to. Everything else goes to the [`FakeService`].

use std::sync::{Arc, Mutex, MutexGuard};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use vestibule_protocol::clock::Clock;
use vestibule_protocol::endpoint::{
    CreateRendezvousRequest, CreateRendezvousResponse, JoinRendezvousRequest, JoinRendezvousResponse,
};
use vestibule_protocol::limits::RENDEZVOUS_LIFETIME;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::frame::{AuthenticatedFrame, MailboxOutcome, RelayFrame};
use vestibule_protocol::rendezvous::{MailboxId, RendezvousCode, RendezvousTicket, RendezvousTicketHash};
use vestibule_protocol::request_signature::Service;

use super::FakeService;
use super::fake_mailbox::{Addressed, FakeMailbox};
use crate::relay::{RelayConnection, RelayError, RelayTransport, RelayUrl, Relaying, WebSocketOffer};
use crate::transport::{Request, Response, Sending, Transport, TransportError};

/// What happens to a frame of a device, or to one for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mishap {
    /// The connection breaks before the relay has the frame.
    BreakBefore,
    /// The connection breaks, and only the relay knows that it has the frame.
    BreakAfter,
    /// The connection breaks in place of a frame that the device should receive.
    BreakOnReceipt,
    /// The relay never has the frame, and the connection stands.
    Lose,
    /// The relay has the frame, but nothing of what it then says to the device arrives, and the connection stands.
    LoseAnswers,
    /// The relay does not take the frame.
    Refuse(ProblemType),
}

/// A mishap, and where: the frame of this number, from 0 on, that a side sends or is to receive in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) side: usize,
    pub(crate) frame: usize,
    pub(crate) mishap: Mishap,
}

pub(crate) struct FakeRendezvous {
    service: Arc<FakeService>,
    clock: Clock,
    relay: Arc<Mutex<FakeRelay>>,
}

pub(crate) struct FakeRelay {
    /// What the service says where the relay is.
    pub(crate) url: String,
    pub(crate) planned: Option<Planned>,
    /// How many attempts to connect come to nothing.
    pub(crate) failing_connects: usize,
    /// With what status attempts to connect are refused.
    pub(crate) refusal: Option<u16>,
    /// The beginning of the paths under which the other services are not reached.
    pub(crate) unreachable: Option<&'static str>,
    pub(crate) mailboxes: Vec<FakeMailbox>,
    /// The requests of the rendezvous service.
    pub(crate) requests: Vec<Request>,
    /// Every frame that a device sent, and its side.
    pub(crate) frames: Vec<(usize, String)>,
    connections: u64,
    received: [usize; 2],
    rng: StdRng,
}

impl FakeRendezvous {
    pub(crate) fn new(service: Arc<FakeService>, clock: Clock) -> Arc<Self> {
        let relay = FakeRelay {
            url: "wss://relay.example.org/v1".to_owned(),
            planned: None,
            failing_connects: 0,
            refusal: None,
            unreachable: None,
            mailboxes: Vec::new(),
            requests: Vec::new(),
            frames: Vec::new(),
            connections: 0,
            received: [0; 2],
            rng: StdRng::seed_from_u64(1),
        };
        Arc::new(Self { service, clock, relay: Arc::new(Mutex::new(relay)) })
    }

    pub(crate) fn relay(&self) -> MutexGuard<'_, FakeRelay> {
        self.relay.lock().unwrap()
    }

    /// How the newest mailbox ended.
    pub(crate) fn outcome(&self) -> Option<MailboxOutcome> {
        self.relay().mailboxes.last().and_then(|mailbox| mailbox.outcome)
    }

    fn answer(&self, request: &Request) -> Result<(u16, Value), Problem> {
        assert_eq!((request.service, request.method.as_str()), (Service::Rendezvous, "POST"));
        let relay = &mut *self.relay();
        relay.requests.push(request.clone());
        let path = request.path.strip_prefix("/v1/rendezvous").unwrap();
        match path.strip_prefix('/').and_then(|path| path.strip_suffix("/join")) {
            None => {
                let body: CreateRendezvousRequest = serde_json::from_slice(&request.body).unwrap();
                Ok((201, relay.create(body.ticket.hash(), &self.clock)))
            }
            Some(code) => {
                let body: JoinRendezvousRequest = serde_json::from_slice(&request.body).unwrap();
                assert!(request.headers.iter().any(|(name, _)| *name == "signature"));
                Ok((200, relay.join(code.parse().unwrap(), body.ticket.hash(), &self.clock)?))
            }
        }
    }
}

impl Transport for FakeRendezvous {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        if self.relay().unreachable.is_some_and(|path| request.path.starts_with(path)) {
            return Box::pin(async { Err(TransportError("unplugged".to_owned())) });
        }
        if !request.path.starts_with("/v1/rendezvous") {
            return self.service.send(request);
        }
        let (status, body) = match self.answer(request) {
            Ok(answer) => answer,
            Err(problem) => {
                let document = problem.document();
                (document.status, serde_json::to_value(document).unwrap())
            }
        };
        Box::pin(async move { Ok(Response { status, headers: Vec::new(), body: serde_json::to_vec(&body).unwrap() }) })
    }
}

impl FakeRelay {
    fn create(&mut self, ticket: RendezvousTicketHash, clock: &Clock) -> Value {
        if !self.mailboxes.iter().any(|mailbox| mailbox.sides[0].ticket == Some(ticket)) {
            let code = RendezvousCode::from_number(27182 + u32::try_from(self.mailboxes.len()).unwrap());
            let expires_at = clock.now().saturating_add(RENDEZVOUS_LIFETIME);
            self.mailboxes.push(FakeMailbox::new(code, MailboxId::generate(&mut self.rng), ticket, expires_at));
        }
        let mailbox = self.mailboxes.iter().find(|mailbox| mailbox.sides[0].ticket == Some(ticket)).unwrap();
        let FakeMailbox { code, id: mailbox_id, expires_at, .. } = *mailbox;
        json!(CreateRendezvousResponse { code, mailbox_id, relay_url: self.url.clone(), expires_at })
    }

    fn join(&mut self, code: RendezvousCode, ticket: RendezvousTicketHash, clock: &Clock) -> Result<Value, Problem> {
        let mailbox = self.mailboxes.iter_mut().find(|mailbox| mailbox.code == code);
        let mailbox = mailbox.ok_or_else(|| Problem::new(ProblemType::RendezvousCodeUnknown, "nobody waits there"))?;
        match mailbox.sides[1].ticket {
            Some(joined) if joined == ticket => {}
            Some(_) => return Err(Problem::new(ProblemType::RendezvousCodeJoined, "the code has been used")),
            None if clock.now() >= mailbox.expires_at => {
                return Err(Problem::new(ProblemType::RendezvousCodeExpired, "the code has expired"));
            }
            None => {
                mailbox.sides[1].ticket = Some(ticket);
                mailbox.expires_at = clock.now().saturating_add(RENDEZVOUS_LIFETIME);
            }
        }
        let (mailbox_id, expires_at) = (mailbox.id, mailbox.expires_at);
        Ok(json!(JoinRendezvousResponse { mailbox_id, relay_url: self.url.clone(), expires_at }))
    }

    /// Whether there was a frame that something was planned for.
    pub(crate) fn has_happened(&self) -> bool {
        let planned = self.planned.expect("something is planned");
        let sent = self.frames.iter().filter(|(side, _)| *side == planned.side).count();
        let is_receipt = planned.mishap == Mishap::BreakOnReceipt;
        planned.frame < if is_receipt { self.received[planned.side] } else { sent }
    }

    /// Says something to a device that the relay would not.
    pub(crate) fn say(&self, side: usize, text: &str) {
        let (_, connection) = self.mailboxes.last().unwrap().sides[side].connection.as_ref().unwrap();
        connection.send(text.to_owned()).unwrap();
    }

    /// What is planned for this frame.
    fn mishap(&self, side: usize, frame: usize, is_receipt: bool) -> Option<Mishap> {
        let planned = self.planned.filter(|planned| planned.side == side && planned.frame == frame)?;
        ((planned.mishap == Mishap::BreakOnReceipt) == is_receipt).then_some(planned.mishap)
    }

    fn send(&mut self, mailbox: usize, frames: Vec<Addressed>) {
        for (side, frame) in frames {
            self.mailboxes[mailbox].sides[side].post(&frame);
        }
    }

    fn hang_up(&mut self, mailbox: usize, side: usize, connection: u64) {
        let frames = self.mailboxes[mailbox].disconnect(side, connection);
        self.send(mailbox, frames);
    }
}

impl RelayTransport for FakeRendezvous {
    fn connect<'a>(&'a self, url: &'a RelayUrl, offer: &'a WebSocketOffer) -> Relaying<'a, Box<dyn RelayConnection>> {
        let Some(ticket) = RendezvousTicket::from_subprotocols(offer.header()) else {
            return self.service.connect(url, offer);
        };
        Box::pin(async move {
            let relay = &mut *self.relay();
            assert_eq!(url.to_string(), relay.url);
            if relay.failing_connects > 0 {
                relay.failing_connects -= 1;
                return Err(RelayError::Broken("unplugged".to_owned()));
            }
            let hash = Some(ticket.hash());
            let mut places = (0..relay.mailboxes.len()).flat_map(|mailbox| [(mailbox, 0), (mailbox, 1)]);
            let place = places.find(|(mailbox, side)| relay.mailboxes[*mailbox].sides[*side].ticket == hash);
            let (Some((mailbox, side)), None) = (place, relay.refusal) else {
                return Err(RelayError::Refused(relay.refusal.unwrap_or(403)));
            };
            relay.connections += 1;
            let id = relay.connections;
            let (outgoing, incoming) = mpsc::unbounded_channel();
            relay.mailboxes[mailbox].sides[side].connection = Some((id, outgoing));
            let connection: Box<dyn RelayConnection> =
                Box::new(FakeConnection { relay: self.relay.clone(), mailbox, side, id, incoming });
            Ok(connection)
        })
    }
}

struct FakeConnection {
    relay: Arc<Mutex<FakeRelay>>,
    mailbox: usize,
    side: usize,
    id: u64,
    incoming: mpsc::UnboundedReceiver<String>,
}

impl FakeConnection {
    fn take(&self, text: &str) -> Result<(), RelayError> {
        let relay = &mut *self.relay.lock().unwrap();
        let (mailbox, side) = (self.mailbox, self.side);
        let broken = || RelayError::Broken("the connection broke".to_owned());
        if !relay.mailboxes[mailbox].sides[side].is_connected(self.id) {
            return Err(broken());
        }
        let number = relay.frames.iter().filter(|(sender, _)| *sender == side).count();
        relay.frames.push((side, text.to_owned()));
        let mishap = relay.mishap(side, number, false);
        if mishap == Some(Mishap::BreakBefore) {
            relay.hang_up(mailbox, side, self.id);
            return Err(broken());
        }
        if mishap == Some(Mishap::Lose) {
            return Ok(());
        }
        let frame = AuthenticatedFrame::from_json(text).unwrap();
        let frames = match mishap {
            Some(Mishap::Refuse(problem_type)) => {
                let problem = Problem::new(problem_type, "refused by a test").document();
                vec![(side, RelayFrame::Refused { number: FakeMailbox::number(&frame), problem })]
            }
            _ => relay.mailboxes[mailbox].receive(side, frame),
        };
        if mishap == Some(Mishap::LoseAnswers) {
            let for_others = frames.into_iter().filter(|(addressee, _)| *addressee != side).collect();
            relay.send(mailbox, for_others);
            return Ok(());
        }
        relay.send(mailbox, frames);
        if mishap == Some(Mishap::BreakAfter) {
            relay.hang_up(mailbox, side, self.id);
            return Err(broken());
        }
        Ok(())
    }
}

impl RelayConnection for FakeConnection {
    fn send<'a>(&'a mut self, text: &'a str) -> Relaying<'a, ()> {
        Box::pin(async { self.take(text) })
    }

    fn receive(&mut self) -> Relaying<'_, Option<String>> {
        Box::pin(async {
            let Some(text) = self.incoming.recv().await else { return Ok(None) };
            let relay = &mut *self.relay.lock().unwrap();
            let number = relay.received[self.side];
            relay.received[self.side] += 1;
            if relay.mishap(self.side, number, true).is_some() {
                relay.hang_up(self.mailbox, self.side, self.id);
                return Err(RelayError::Broken("the connection broke".to_owned()));
            }
            Ok(Some(text))
        })
    }

    fn close(&mut self) -> Relaying<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        if let Ok(mut relay) = self.relay.lock() {
            relay.hang_up(self.mailbox, self.side, self.id);
        }
    }
}
