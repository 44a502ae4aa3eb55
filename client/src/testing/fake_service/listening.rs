//! Where clients listen for messages, in this process.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use vestibule_protocol::queuing::{ListenNotice, ListenRequest};

use super::{Deployment, FakeService};
use crate::relay::{RelayConnection, RelayError, RelayTransport, RelayUrl, Relaying, WebSocketOffer};

pub(crate) struct FakeListening {
    /// What the service says where to listen.
    pub(crate) url: String,
    /// How many attempts to connect come to nothing.
    pub(crate) failing_connects: usize,
    /// With what status attempts to connect are refused.
    pub(crate) refusal: Option<u16>,
    /// How many connections there were.
    pub(crate) connections: usize,
    /// Who listens, by the ids of their clients.
    listeners: BTreeMap<String, mpsc::UnboundedSender<String>>,
}

impl FakeListening {
    pub(super) fn new() -> Self {
        Self {
            url: "wss://listen.example.org/v1".to_owned(),
            failing_connects: 0,
            refusal: None,
            connections: 0,
            listeners: BTreeMap::new(),
        }
    }

    /// Tells a client that there is something in its queue, if it listens.
    pub(crate) fn notify(&self, qs_client_id: &str) {
        self.say(qs_client_id, &ListenNotice::Messages {}.to_json());
    }

    /// Says something to a client, if it listens.
    pub(crate) fn say(&self, qs_client_id: &str, text: &str) {
        if let Some(listener) = self.listeners.get(qs_client_id) {
            // A client that is just going does not listen.
            let _ = listener.send(text.to_owned());
        }
    }

    /// Ends all connections.
    pub(crate) fn hang_up(&mut self) {
        self.listeners.clear();
    }
}

impl Deployment {
    fn listen(&mut self, offer: &WebSocketOffer, now: vestibule_protocol::time::Timestamp) -> Result<Listening, u16> {
        let request = ListenRequest::from_subprotocols(offer.header()).expect("a request to listen");
        assert_eq!(request.claim().check(&self.domain, now), Ok(()));
        let id = request.claim().qs_client_id.to_string();
        let client = self.queuing.clients.get(&id).ok_or(404_u16)?;
        request.verify(client.verifying_key()).map_err(|_| 401_u16)?;
        let listening = &mut self.queuing.listening;
        listening.connections += 1;
        let (listener, notices) = mpsc::unbounded_channel();
        // The one before is closed.
        listening.listeners.insert(id, listener);
        Ok(Listening(notices))
    }
}

impl RelayTransport for FakeService {
    fn connect<'a>(&'a self, url: &'a RelayUrl, offer: &'a WebSocketOffer) -> Relaying<'a, Box<dyn RelayConnection>> {
        Box::pin(async move {
            let deployment = &mut *self.deployment();
            let listening = &mut deployment.queuing.listening;
            assert_eq!(url.to_string(), listening.url);
            if listening.failing_connects > 0 {
                listening.failing_connects -= 1;
                return Err(RelayError::Broken("unplugged".to_owned()));
            }
            if let Some(status) = listening.refusal {
                return Err(RelayError::Refused(status));
            }
            let connection: Box<dyn RelayConnection> =
                Box::new(deployment.listen(offer, self.clock.now()).map_err(RelayError::Refused)?);
            Ok(connection)
        })
    }
}

/// A connection over which a client listens.
struct Listening(mpsc::UnboundedReceiver<String>);

impl RelayConnection for Listening {
    fn send<'a>(&'a mut self, text: &'a str) -> Relaying<'a, ()> {
        panic!("a client that listens says nothing, and not {text}")
    }

    fn receive(&mut self) -> Relaying<'_, Option<String>> {
        Box::pin(async { Ok(self.0.recv().await) })
    }

    fn close(&mut self) -> Relaying<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
