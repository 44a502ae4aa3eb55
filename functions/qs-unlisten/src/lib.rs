//! `$disconnect` of the queuing service: a client waits for messages no more. Nothing depends on it: it may never come.
#![deny(missing_docs)]

use vestibule_backend::queues::Listeners;
use vestibule_backend::websocket::{Disconnect, WebSocketFunction};
use vestibule_backend::{Clock, Environment, StartError};
use vestibule_protocol::problem::Problem;

/// The function.
pub struct QsUnlisten {
    clock: Clock,
    listeners: Listeners,
}

impl WebSocketFunction for QsUnlisten {
    const NAME: &'static str = "qs-unlisten";
    type Event = Disconnect;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { clock: environment.clock().clone(), listeners: Listeners::new(environment)? })
    }

    async fn handle(&self, disconnect: Disconnect) -> Result<(), Problem> {
        self.listeners.disconnect(&disconnect.connection_id, self.clock.now()).await
    }
}
