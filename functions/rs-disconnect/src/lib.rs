//! `$disconnect` of the relay: a device's connection has ended. Nothing depends on it: it may never come.
#![deny(missing_docs)]

use vestibule_backend::rendezvous_service::Admission;
use vestibule_backend::websocket::{Disconnect, WebSocketFunction};
use vestibule_backend::{Clock, Environment, StartError};
use vestibule_protocol::problem::Problem;

/// The function.
pub struct RsDisconnect {
    clock: Clock,
    admission: Admission,
}

impl WebSocketFunction for RsDisconnect {
    const NAME: &'static str = "rs-disconnect";
    type Event = Disconnect;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { clock: environment.clock().clone(), admission: Admission::new(environment)? })
    }

    async fn handle(&self, disconnect: Disconnect) -> Result<(), Problem> {
        self.admission.disconnect(&disconnect.connection_id, self.clock.now()).await
    }
}
