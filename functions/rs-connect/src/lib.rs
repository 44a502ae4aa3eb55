//! `$connect` of the relay: lets in whoever brings the ticket of a mailbox's side.
#![deny(missing_docs)]

use vestibule_backend::rendezvous_service::Admission;
use vestibule_backend::websocket::{Accepted, Connect, WebSocketFunction};
use vestibule_backend::{Clock, Environment, StartError};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::{RELAY_SUBPROTOCOL, RendezvousTicket};

/// The function.
pub struct RsConnect {
    clock: Clock,
    admission: Admission,
}

impl WebSocketFunction for RsConnect {
    const NAME: &'static str = "rs-connect";
    type Event = Connect;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { clock: environment.clock().clone(), admission: Admission::new(environment)? })
    }

    async fn handle(&self, connect: Connect) -> Result<Accepted, Problem> {
        let subprotocols = connect.subprotocols().collect::<Vec<_>>().join(",");
        let ticket = RendezvousTicket::from_subprotocols(&subprotocols).ok_or_else(|| {
            let detail = format!("Sec-WebSocket-Protocol must ask for {RELAY_SUBPROTOCOL} and bring a ticket");
            Problem::new(ProblemType::MalformedFrame, detail)
        })?;
        self.admission.connect(&ticket, &connect.connection_id, self.clock.now()).await?;
        Ok(Accepted::with_subprotocol(RELAY_SUBPROTOCOL))
    }
}
