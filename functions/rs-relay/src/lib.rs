//! `$default` of the relay: takes the frames of the devices.
#![deny(missing_docs)]

use vestibule_backend::rendezvous_service::Relay;
use vestibule_backend::websocket::{Message, WebSocketFunction};
use vestibule_backend::{Clock, Environment, StartError};
use vestibule_protocol::problem::Problem;

/// The function.
pub struct RsRelay {
    clock: Clock,
    relay: Relay,
}

impl WebSocketFunction for RsRelay {
    const NAME: &'static str = "rs-relay";
    type Event = Message;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { clock: environment.clock().clone(), relay: Relay::new(environment)? })
    }

    async fn handle(&self, message: Message) -> Result<(), Problem> {
        self.relay.receive(&message.connection_id, &message.body, self.clock.now()).await
    }
}
