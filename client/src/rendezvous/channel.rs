//! What the application of a rendezvous sends and receives.

use vestibule_protocol::rendezvous::{ChannelMessage, Event, Progress, SendError};
use zeroize::Zeroizing;

use super::Rendezvous;
use crate::error::Error;

/// What comes over a [`SecuredChannel`].
#[derive(Debug)]
pub enum Incoming {
    /// The other device's next message.
    Message(ChannelMessage),
    /// The other device sends nothing more.
    PeerClosed,
    /// Both devices have closed, and the relay has all that this one sent. The rendezvous is over.
    Finished,
}

/// A channel to the other device: encrypted, in order, each message once. [`Rendezvous::secured`] gives it.
///
/// A message counts as received, on disk too, when [`receive`](Self::receive) is called the next time. What
/// [`send`](Self::send), [`close`](Self::close) and [`remember`](Self::remember) were told until then is kept in the same
/// step, and sent only after that. So whoever remembers, before waiting for the next message, what follows from the last
/// one, and starts from there after a crash, has seen each message exactly once.
#[derive(Debug)]
pub struct SecuredChannel<'a, 'c> {
    rendezvous: &'a mut Rendezvous<'c>,
}

impl<'a, 'c> SecuredChannel<'a, 'c> {
    pub(super) fn new(rendezvous: &'a mut Rendezvous<'c>) -> Self {
        Self { rendezvous }
    }

    /// Encrypts a message of at most 1 MiB and puts it in line. It goes out while [`receive`](Self::receive) waits.
    ///
    /// # Errors
    /// [`SendError`]; nothing has changed then.
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let mut session = self.rendezvous.session.secured().ok_or(SendError::Closed)?;
        session.send(message)?;
        self.rendezvous.is_unsaved = true;
        Ok(())
    }

    /// Says that this device sends nothing more. Goes out as [`send`](Self::send) does. The rendezvous is finished when the
    /// other device has said so too.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn close(&mut self) -> Result<(), SendError> {
        let mut session = self.rendezvous.session.secured().ok_or(SendError::Closed)?;
        session.close()?;
        self.rendezvous.is_unsaved = true;
        Ok(())
    }

    /// What the application [remembered](Self::remember) last, in this process or an earlier one; empty at first.
    pub fn remembered(&self) -> &[u8] {
        &self.rendezvous.application_state.0
    }

    /// Keeps what the application needs to go on after a crash, in place of what it kept before.
    pub fn remember(&mut self, state: &[u8]) {
        self.rendezvous.application_state.0 = Zeroizing::new(state.to_vec());
        self.rendezvous.is_unsaved = true;
    }

    /// Sends what is in line and waits for what comes. That may take until the time is up: a device that has nothing more to
    /// say must [close](Self::close), and a device that wants to know of the other's end must be here.
    ///
    /// # Errors
    /// As [`Rendezvous::secured`].
    pub async fn receive(&mut self) -> Result<Incoming, Error> {
        let rendezvous = &mut *self.rendezvous;
        loop {
            match rendezvous.happened.pop_front() {
                Some(Event::Message(message)) => return Ok(Incoming::Message(message)),
                Some(Event::PeerClosed) => return Ok(Incoming::PeerClosed),
                // Who comes and goes has no part in what is said.
                Some(_) => {}
                None => match rendezvous.session.progress() {
                    Progress::Finished => {
                        rendezvous.conclude().await?;
                        return Ok(Incoming::Finished);
                    }
                    Progress::Ended(_) => return Err(rendezvous.end().await),
                    Progress::Handshaking | Progress::Secured => rendezvous.step().await?,
                },
            }
        }
    }
}
