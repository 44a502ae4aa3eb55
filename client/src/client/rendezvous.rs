//! What a client does to meet another device.

use std::sync::Arc;

use vestibule_protocol::rendezvous::Pairing;

use super::Client;
use crate::error::Error;
use crate::home::Home;
use crate::relay::{RelayTransport, WebSocketTransport};
use crate::rendezvous::{Rendezvous, Surroundings};

impl Client {
    /// Lets this device be found by another one: gets a rendezvous code and chooses the random string that belongs to it.
    /// No account is needed; nothing but the rendezvous is kept, and that only until it is over.
    ///
    /// # Errors
    /// [`RendezvousError::UnderWay`](crate::RendezvousError::UnderWay) if [`Client::resume_rendezvous`] has one;
    /// [`RendezvousError::RelayUrl`](crate::RendezvousError::RelayUrl), [`Error::Api`], [`Error::Credentials`],
    /// [`Error::Home`].
    pub async fn create_rendezvous(&mut self) -> Result<Rendezvous<'_>, Error> {
        let state = self.load()?;
        let trusted_root = self.trusted_root(state.as_ref())?;
        let connection = self.connection(state.as_ref())?;
        let transport = self.relay_transport();
        let home = match &mut self.home {
            Some(home) => home,
            unopened => {
                let options = &self.options;
                let (randomness, fuse) = (options.randomness.clone(), options.fuse.clone());
                unopened.insert(Home::open_or_create(&options.home, randomness, fuse)?)
            }
        };
        Rendezvous::create(Surroundings { home, connection, transport }, trusted_root).await
    }

    /// Meets the device that waits under `pairing`, as this device's client. A code is joined once: after this, whatever
    /// comes of it, it is used up. If it is interrupted, the same call goes on with the same code.
    ///
    /// # Errors
    /// [`RendezvousError::UnderWay`](crate::RendezvousError::UnderWay) if [`Client::resume_rendezvous`] has one;
    /// [`RendezvousError::RelayUrl`](crate::RendezvousError::RelayUrl), [`Error::NotRegistered`],
    /// [`Error::RegistrationUnderWay`], [`Error::Api`], [`Error::Home`].
    pub async fn join_rendezvous(&mut self, pairing: &Pairing) -> Result<Rendezvous<'_>, Error> {
        let session = self.session()?;
        if !session.account().is_registered() {
            return Err(session.account().incomplete());
        }
        let transport = self.relay_transport();
        let surroundings = Surroundings { home: session.home, connection: session.connection.clone(), transport };
        Rendezvous::join(surroundings, session.account(), pairing).await
    }

    /// The rendezvous that an earlier process was at, if it did not come to an end: to be gone on with, or to be
    /// [cancelled](Rendezvous::cancel). One whose handshake was under way has [ended](Rendezvous::is_ended), which the
    /// other device has yet to be told.
    ///
    /// # Errors
    /// [`Error::Home`].
    pub fn resume_rendezvous(&mut self) -> Result<Option<Rendezvous<'_>>, Error> {
        let state = self.load()?;
        let connection = self.connection(state.as_ref())?;
        let Some(home) = &self.home else { return Ok(None) };
        let transport = self.relay_transport();
        Rendezvous::resume(Surroundings { home, connection, transport })
    }

    pub(super) fn relay_transport(&self) -> Arc<dyn RelayTransport> {
        self.options.relay_transport.clone().unwrap_or_else(|| Arc::new(WebSocketTransport))
    }
}
