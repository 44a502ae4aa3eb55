//! Meeting another device: a [`Session`] of the protocol, run over a WebSocket for as long as it takes.
//!
//! Connections break and processes are killed. After the one the device connects again and the session resumes; after the
//! other, [`Client::resume_rendezvous`](crate::Client::resume_rendezvous) goes on with what was on disk, or ends it. What
//! leaves this device was saved before, so that no process ever says two different things in one place
//! (`docs/decisions/0031-nothing-leaves-before-it-is-saved.md`).
//!
//! Nothing happens between the calls: the future that is waited for does the work. Each can be dropped at any point, and
//! the next goes on from there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::rendezvous::frame::RelayFrame;
use vestibule_protocol::rendezvous::{EndReason, Event, Pairing, Progress, RendezvousCode, Role, Session};
use vestibule_protocol::time::Timestamp;

use crate::api::Connection;
use crate::error::Error;
use crate::home::{ApplicationState, Home, KeptSession, RendezvousToKeep};
use crate::relay::RelayTransport;
use link::{Link, Received};

mod begin;
mod channel;
mod error;
mod link;

pub use channel::{Incoming, SecuredChannel};
pub use error::RendezvousError;

/// How often a device that is done tries to tell the relay. One that is not heard leaves the other waiting until the time is
/// up, no longer.
const FAREWELL_ATTEMPTS: u32 = 2;

/// How long it tries, and waits for the relay to confirm.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(3);

/// What a rendezvous depends on.
pub(crate) struct Surroundings<'c> {
    pub(crate) home: &'c Home,
    pub(crate) connection: Connection,
    pub(crate) transport: Arc<dyn RelayTransport>,
}

/// Whether the other device is there, as far as the relay says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerPresence {
    /// It has connected. May be said again after a reconnection.
    Arrived,
    /// Its connection is gone. It may come back.
    Left,
}

/// A rendezvous of this device with another one. It lasts until [`SecuredChannel::receive`] says that it is finished, until
/// something ends it ([`RendezvousError::Ended`]), or until it is [cancelled](Self::cancel); what was kept of it is then
/// gone. Just to drop it leaves the other device waiting, and it can be resumed.
pub struct Rendezvous<'c> {
    home: &'c Home,
    surroundings: Connection,
    role: Role,
    code: RendezvousCode,
    /// What a person carries to the other device; known to the process that chose it.
    pairing: Option<Pairing>,
    session: Session,
    application_state: ApplicationState,
    link: Link,
    /// What has not been handed on. As long as there is something, nothing is saved: it would be lost with the process.
    happened: VecDeque<Event>,
    is_unsaved: bool,
    /// How often in a row the relay asked for patience.
    postponements: u32,
    /// The relay knows that the mailbox has ended.
    is_relay_told: bool,
    is_concluded: bool,
}

impl<'c> Rendezvous<'c> {
    fn new(surroundings: Surroundings<'c>, kept: KeptSession, pairing: Option<Pairing>) -> Self {
        let Surroundings { home, connection, transport } = surroundings;
        let KeptSession { role, code, relay_url, session, application_state } = kept;
        Self {
            home,
            link: Link::new(transport, relay_url, connection.clone()),
            surroundings: connection,
            role,
            code,
            pairing,
            session,
            application_state,
            happened: VecDeque::new(),
            is_unsaved: true,
            postponements: 0,
            is_relay_told: false,
            is_concluded: false,
        }
    }

    /// Which of the two devices this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The code that the devices meet under.
    pub fn code(&self) -> RendezvousCode {
        self.code
    }

    /// What a person is to type into the other device: on a new device, until its process ends.
    pub fn pairing(&self) -> Option<&Pairing> {
        self.pairing.as_ref()
    }

    /// When it ends if it has not ended before. Moves when the other device joins.
    pub fn expires_at(&self) -> Timestamp {
        self.session.expires_at()
    }

    /// Whether nothing can come of it any more. What is left to do is to [cancel](Self::cancel) it.
    pub fn is_ended(&self) -> bool {
        match self.session.progress() {
            Progress::Ended(_) => true,
            Progress::Finished => false,
            Progress::Handshaking | Progress::Secured => self.surroundings.clock.now() >= self.session.expires_at(),
        }
    }

    /// Whether something can still come of it.
    pub(crate) fn can_go_on(&self) -> bool {
        !self.is_ended() && !matches!(self.session.progress(), Progress::Finished)
    }

    /// Whether both devices have confirmed their keys to each other, and neither has ended it.
    pub(crate) fn is_secured(&self) -> bool {
        matches!(self.session.progress(), Progress::Secured)
    }

    /// Waits until both devices have confirmed their keys to each other; `observer` is told of the other's coming and going.
    ///
    /// # Errors
    /// [`RendezvousError::Ended`], of which [`EndReason::ConnectionEnded`] is all that is ever known of an attempt with the
    /// wrong words; [`RendezvousError::RelayUnreachable`], after which it can be tried again;
    /// [`RendezvousError::RelayRefused`]; [`Error::Home`].
    pub async fn secured(
        &mut self,
        mut observer: impl FnMut(PeerPresence) + Send,
    ) -> Result<SecuredChannel<'_, 'c>, Error> {
        loop {
            match self.happened.pop_front() {
                Some(Event::PeerArrived) => observer(PeerPresence::Arrived),
                Some(Event::PeerLeft) => observer(PeerPresence::Left),
                Some(Event::Secured) => {
                    // The other device waits for what this one confirms, whatever the application does first.
                    self.flush().await?;
                    return Ok(SecuredChannel::new(self));
                }
                Some(event) => {
                    // What the other device said since the keys were confirmed: the channel hands it out.
                    self.happened.push_front(event);
                    return Ok(SecuredChannel::new(self));
                }
                None => match self.session.progress() {
                    Progress::Handshaking => self.step().await?,
                    Progress::Secured | Progress::Finished => return Ok(SecuredChannel::new(self)),
                    Progress::Ended(_) => return Err(self.end().await),
                },
            }
        }
    }

    /// Ends the rendezvous, if it has not ended, as well for the other device, and forgets it.
    ///
    /// # Errors
    /// [`Error::Home`]. That the relay is not reached is none: then the other device waits until the time is up.
    pub async fn cancel(&mut self) -> Result<(), Error> {
        // What it says is for those who did not know.
        let _ = self.session.cancel();
        self.is_unsaved = true;
        self.conclude().await
    }

    /// What happens next that is to be handed on, if anything does.
    async fn step(&mut self) -> Result<(), Error> {
        let events = self.session.tick(self.surroundings.clock.now());
        self.note(events);
        if self.is_over() {
            return Ok(());
        }
        self.save()?;
        match self.link.exchange(&mut self.session).await? {
            Received::Nothing => Ok(()),
            Received::Frame(text) => self.receive(&text).await,
            Received::Refusal(status) => {
                let _ = self.session.cancel();
                self.is_relay_told = true;
                self.conclude().await?;
                Err(RendezvousError::RelayRefused(status).into())
            }
        }
    }

    /// Sends what is in line, if there is a connection and nothing that has yet to be handed on.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.happened.is_empty() {
            self.save()?;
            self.link.flush(&mut self.session).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, text: &str) -> Result<(), Error> {
        let events = match RelayFrame::from_json(text) {
            Ok(frame) => {
                // The position in the other device's messages must reach the disk before it is acknowledged.
                self.is_unsaved |= matches!(frame, RelayFrame::Message { .. });
                self.is_relay_told |= matches!(frame, RelayFrame::Ended { .. });
                self.session.receive(frame)
            }
            Err(_) => self.session.receive_text(text),
        };
        if self.note(events) {
            self.postponements += 1;
            let Connection { retry_policy, waiting, randomness, .. } = &self.surroundings;
            waiting.wait(retry_policy.wait_without_end(self.postponements, &mut randomness.clone())).await;
        } else {
            self.postponements = 0;
        }
        Ok(())
    }

    /// Remembers what is to be handed on, and gives whether the relay asks for patience.
    fn note(&mut self, events: Vec<Event>) -> bool {
        let mut is_postponed = false;
        for event in events {
            match event {
                Event::TryLater(_) => is_postponed = true,
                // These two the session knows by itself.
                Event::Finished | Event::Ended(_) => self.is_unsaved = true,
                event => {
                    self.is_unsaved = true;
                    self.happened.push_back(event);
                }
            }
        }
        is_postponed
    }

    fn is_over(&self) -> bool {
        matches!(self.session.progress(), Progress::Finished | Progress::Ended(_))
    }

    fn save(&mut self) -> Result<(), Error> {
        if self.is_unsaved {
            let Self { home, role, code, link, application_state, .. } = self;
            let relay_url = link.relay_url();
            self.session.save(|session| {
                let (role, code) = (*role, *code);
                home.store_rendezvous(&RendezvousToKeep::Meeting { role, code, relay_url, session, application_state })
            })?;
            self.is_unsaved = false;
        }
        Ok(())
    }

    /// Concludes a session that has ended, and says why it did.
    async fn end(&mut self) -> Error {
        let reason = match self.session.progress() {
            Progress::Ended(reason) => reason.clone(),
            _ => unreachable!("it is called for a session that has ended"),
        };
        self.conclude().await.err().unwrap_or_else(|| RendezvousError::Ended(reason).into())
    }

    /// Tells the relay that this device is done, as well as it can be told, and forgets the rendezvous.
    async fn conclude(&mut self) -> Result<(), Error> {
        if self.is_concluded {
            return Ok(());
        }
        match self.save() {
            // A disk that is full must not keep the other device waiting.
            Err(error) if error.is_stopped() || matches!(self.session.progress(), Progress::Finished) => {
                return Err(error);
            }
            _ => {}
        }
        // Of the time the relay knows by itself.
        let is_expired = matches!(self.session.progress(), Progress::Ended(EndReason::Expired));
        let is_farewell_due = self.link.is_up() || !is_expired;
        let waiting = self.surroundings.waiting.clone();
        tokio::select! {
            biased;
            said = self.take_leave(is_farewell_due) => said?,
            () = waiting.wait(FAREWELL_PATIENCE) => {}
        }
        self.home.remove_rendezvous()?;
        self.is_concluded = true;
        Ok(())
    }

    async fn take_leave(&mut self, is_farewell_due: bool) -> Result<(), Error> {
        if is_farewell_due {
            self.say_farewell().await?;
        }
        self.link.close().await;
        Ok(())
    }

    async fn say_farewell(&mut self) -> Result<(), Error> {
        let clock = self.surroundings.clock.clone();
        let mut attempts = FAREWELL_ATTEMPTS;
        // By the clock too: a relay that never stops talking would never let the timer have its turn.
        let deadline = clock.now().saturating_add(FAREWELL_PATIENCE);
        while attempts > 0 && !self.is_relay_told && clock.now() <= deadline {
            match self.link.exchange(&mut self.session).await {
                Ok(Received::Frame(text)) => self.receive(&text).await?,
                Ok(Received::Nothing) => attempts -= 1,
                Ok(Received::Refusal(_)) => return Ok(()),
                Err(error) if error.is_stopped() => return Err(error),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Rendezvous<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Rendezvous({:?}, {})", self.role, self.code)
    }
}

#[cfg(test)]
mod tests;
