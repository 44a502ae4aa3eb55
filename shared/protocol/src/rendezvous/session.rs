//! A session: everything that one device does at a rendezvous, from the first frame to the last. No I/O: frames and
//! times go in, frames and events come out. Client, tests and simulator use the same.

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};

use super::channel::{Channel, SendError};
use super::delivery::{Delivery, DeliveryError};
use super::frame::{AuthenticatedFrame, MailboxOutcome, RelayFrame};
use super::handshake::{ExistingDevice, NewDevice};
use super::{MailboxId, Pairing};
use crate::encoding::secret;
use crate::limits::RENDEZVOUS_LIFETIME;
use crate::name::Domain;
use crate::problem::ProblemDocument;
use crate::symmetric::RendezvousTicket;
use crate::time::Timestamp;

mod event;
mod stage;

pub use event::{EndReason, Event, Progress};
use stage::{Stage, Step};

/// What a session begins with: what `rs-create` or `rs-join` answered, and what a person read or typed.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    /// Code and random string.
    pub pairing: Pairing,
    /// The deployment.
    pub domain: Domain,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// What opens this device's side of it.
    pub ticket: RendezvousTicket,
    /// Until when it lasts, as the answer says.
    pub expires_at: Timestamp,
}

/// One device's session. [`frames`](Self::frames) gives what to send, [`receive`](Self::receive) takes what comes,
/// [`tick`](Self::tick) the time; [`save`](Self::save) writes it down, without which nothing is sent.
///
/// Serialised, it holds the ticket and the keys: it belongs into a file that is sealed. To resume a session, deserialise
/// what was written *last*, in one process only: an older state would encrypt two messages under one counter. A session
/// that had no keys yet resumes as ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    mailbox_id: MailboxId,
    #[serde(with = "secret")]
    ticket: RendezvousTicket,
    expires_at: Timestamp,
    latest_expiry: Timestamp,
    delivery: Delivery,
    stage: Stage,
    /// Whether the last frame, `finish` or `abort`, went out on this connection.
    #[serde(skip)]
    said_farewell: bool,
    /// Whether the stage changed to finished since the session was saved.
    #[serde(skip)]
    is_finish_unsaved: bool,
    #[serde(skip)]
    is_connected: bool,
}

impl Session {
    /// The session of a new device, whose first message waits to be sent.
    pub fn new_device(rendezvous: Rendezvous, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let Rendezvous { pairing, domain, mailbox_id, .. } = &rendezvous;
        let (device, message) = NewDevice::start(pairing, domain, *mailbox_id, rng);
        let mut session = Self::begin(rendezvous, Stage::NewDeviceAwaitsKeyExchange(device));
        session.delivery.queue(message).expect("an empty mailbox has room");
        session
    }

    /// The session of an existing device.
    pub fn existing_device(rendezvous: Rendezvous, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let Rendezvous { pairing, domain, mailbox_id, .. } = &rendezvous;
        let device = ExistingDevice::start(pairing, domain, *mailbox_id, rng);
        Self::begin(rendezvous, Stage::ExistingDeviceAwaitsKeyExchange(device))
    }

    fn begin(rendezvous: Rendezvous, stage: Stage) -> Self {
        let Rendezvous { mailbox_id, ticket, expires_at, .. } = rendezvous;
        Self {
            mailbox_id,
            ticket,
            expires_at,
            latest_expiry: expires_at.saturating_add(RENDEZVOUS_LIFETIME),
            delivery: Delivery::default(),
            stage,
            said_farewell: false,
            is_finish_unsaved: false,
            is_connected: false,
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress<'_> {
        self.stage.progress()
    }

    /// What opens this device's side of the mailbox, for connecting.
    pub fn ticket(&self) -> &RendezvousTicket {
        &self.ticket
    }

    /// When the session ends if it has not ended before.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// There is a new connection to the relay.
    pub fn connected(&mut self) {
        self.delivery.connected();
        self.said_farewell = false;
        self.is_connected = true;
    }

    /// There is no connection any more.
    pub fn disconnected(&mut self) {
        self.delivery.disconnected();
        self.is_connected = false;
    }

    /// Writes the session down with `write`, together with whatever the application keeps of the messages it was given.
    /// What has been said since the last time goes out only after this. `|_| Ok(())` does for a process that will never
    /// resume.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn save<E>(&mut self, write: impl FnOnce(&Self) -> Result<(), E>) -> Result<(), E> {
        write(self)?;
        self.delivery.saved();
        self.is_finish_unsaved = false;
        Ok(())
    }

    /// What must be sent on this connection, each frame once.
    pub fn frames(&mut self) -> Vec<AuthenticatedFrame> {
        if !self.is_connected {
            return Vec::new();
        }
        let mut frames = Vec::new();
        if !self.stage.is_ended() {
            frames = self.delivery.frames();
        }
        if !self.said_farewell && !self.is_finish_unsaved {
            let farewell = self.stage.farewell();
            self.said_farewell = farewell.is_some();
            frames.extend(farewell);
        }
        let authenticated =
            |frame| AuthenticatedFrame { mailbox_id: self.mailbox_id, ticket: self.ticket.clone(), frame };
        frames.into_iter().map(authenticated).collect()
    }

    /// Whether something was sent on this connection that the relay has yet to answer. A relay that stays silent for long
    /// then has lost it, or its answer: what helps is another connection.
    pub fn awaits_answer(&self) -> bool {
        !self.stage.is_ended() && self.delivery.awaits_answer()
    }

    /// Takes a text frame from the relay.
    pub fn receive_text(&mut self, text: &str) -> Vec<Event> {
        match RelayFrame::from_json(text) {
            Ok(frame) => self.receive(frame),
            Err(_) => self.fail(EndReason::RelayMisbehaved),
        }
    }

    /// Takes a frame from the relay.
    pub fn receive(&mut self, frame: RelayFrame) -> Vec<Event> {
        if self.stage.is_ended() {
            return self.receive_when_ended(frame);
        }
        let result = match frame {
            RelayFrame::Resumed { stored, peer_connected, expires_at } => {
                self.extend(expires_at);
                let arrived = if peer_connected { vec![Event::PeerArrived] } else { Vec::new() };
                self.delivery.resumed(stored).map(|()| arrived)
            }
            RelayFrame::Stored { number } => self.delivery.stored(number).map(|()| Vec::new()),
            RelayFrame::Message { number, payload } => return self.receive_messages(number, payload.0),
            RelayFrame::PeerArrived { expires_at } => {
                self.extend(expires_at);
                return vec![Event::PeerArrived];
            }
            RelayFrame::PeerLeft {} => return vec![Event::PeerLeft],
            RelayFrame::Ended { outcome } => return self.mailbox_ended(outcome),
            RelayFrame::Refused { number, problem } => return self.refused(number, problem),
            RelayFrame::Unknown => return Vec::new(),
        };
        match result {
            Ok(mut events) => {
                events.extend(self.finish_if_done());
                events
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes the time.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Event> {
        if now < self.expires_at { Vec::new() } else { self.fail(EndReason::Expired) }
    }

    /// Gives up. The relay is told at the next occasion.
    pub fn cancel(&mut self) -> Vec<Event> {
        self.fail(EndReason::Cancelled)
    }

    /// What sends, if the handshake is done and the session is not over.
    pub fn secured(&mut self) -> Option<SecuredSession<'_>> {
        match &mut self.stage {
            Stage::Secured(channel) => Some(SecuredSession { channel, delivery: &mut self.delivery }),
            _ => None,
        }
    }

    /// Nothing matters any more but that the relay hears of it.
    fn receive_when_ended(&mut self, frame: RelayFrame) -> Vec<Event> {
        match frame {
            RelayFrame::Refused { problem, .. } if is_for_now(&problem) => {
                self.said_farewell = false;
                vec![Event::TryLater(problem)]
            }
            _ => Vec::new(),
        }
    }

    fn receive_messages(&mut self, number: u32, message: Vec<u8>) -> Vec<Event> {
        let messages = match self.delivery.receive(number, message) {
            Ok(messages) => messages,
            Err(error) => return self.fail(error.into()),
        };
        let mut events = Vec::new();
        for message in messages {
            // Whatever fails in between leaves the session ended.
            let stage = std::mem::replace(&mut self.stage, Stage::Ended(EndReason::ConnectionEnded));
            match stage.receive(&message) {
                Ok(Step { stage, own_message, event }) => {
                    self.stage = stage;
                    if let Some(own_message) = own_message {
                        self.delivery.queue(own_message).expect("the handshake is the first in the mailbox");
                    }
                    events.extend(event);
                }
                Err(reason) => {
                    events.extend(self.end(reason));
                    return events;
                }
            }
        }
        events.extend(self.finish_if_done());
        events
    }

    fn finish_if_done(&mut self) -> Option<Event> {
        let is_done = matches!(&self.stage, Stage::Secured(channel) if channel.is_closed_by_both());
        if !is_done || !self.delivery.is_all_stored() {
            return None;
        }
        self.stage = Stage::Finished;
        self.is_finish_unsaved = true;
        Some(Event::Finished)
    }

    fn mailbox_ended(&mut self, outcome: MailboxOutcome) -> Vec<Event> {
        let is_secured = matches!(self.stage, Stage::Secured(_));
        let reason = match outcome {
            MailboxOutcome::Lonely | MailboxOutcome::Expired => EndReason::Expired,
            MailboxOutcome::Aborted if is_secured => EndReason::PeerCancelled,
            MailboxOutcome::Aborted => EndReason::ConnectionEnded,
            // This device has not finished, so the devices cannot both have.
            MailboxOutcome::Linked => EndReason::RelayMisbehaved,
        };
        self.fail(reason)
    }

    fn refused(&mut self, number: Option<u32>, problem: ProblemDocument) -> Vec<Event> {
        if !is_for_now(&problem) {
            return self.fail(EndReason::Refused(problem));
        }
        match number {
            Some(number) => self.delivery.refused_for_now(number),
            // All of the connection is begun again, if it is still there.
            None if self.is_connected => self.connected(),
            None => {}
        }
        vec![Event::TryLater(problem)]
    }

    /// Joining moves the end, but no relay may keep a device waiting for longer than that.
    fn extend(&mut self, expires_at: Timestamp) {
        self.expires_at = self.expires_at.max(expires_at.min(self.latest_expiry));
    }

    /// Ends the session for this reason, unless it is over: what it came to, it stays.
    fn fail(&mut self, reason: EndReason) -> Vec<Event> {
        if self.stage.is_ended() || self.stage.is_finished() { Vec::new() } else { self.end(reason) }
    }

    fn end(&mut self, reason: EndReason) -> Vec<Event> {
        self.stage = Stage::Ended(reason.clone());
        self.said_farewell = false;
        vec![Event::Ended(reason)]
    }

    /// The keys that follow from the handshake, confirmed or not, for tests that compare two ends.
    #[cfg(test)]
    pub(super) fn keys(&self) -> Option<[[u8; 32]; 2]> {
        self.stage.keys()
    }
}

/// Whether what was refused is to be sent again.
fn is_for_now(problem: &ProblemDocument) -> bool {
    matches!(problem.status, 429 | 503)
}

/// A session whose both devices have confirmed their keys: the only thing that sends application messages.
#[derive(Debug)]
pub struct SecuredSession<'a> {
    channel: &'a mut Channel,
    delivery: &'a mut Delivery,
}

impl SecuredSession<'_> {
    /// Encrypts a message and puts it in line. It goes out after the next [`Session::save`].
    ///
    /// # Errors
    /// [`SendError`]; nothing has changed then.
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        for ciphertext in self.channel.send(message)? {
            self.delivery.queue(ciphertext).expect("the channel keeps to the mailbox's limits");
        }
        Ok(())
    }

    /// Says that this device sends nothing more. The session finishes when the other device has said so too.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn close(&mut self) -> Result<(), SendError> {
        let ciphertext = self.channel.close()?;
        self.delivery.queue(ciphertext).expect("the channel leaves room for its end");
        Ok(())
    }
}

impl From<DeliveryError> for EndReason {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::LimitExceeded => Self::RelayMisbehaved,
            DeliveryError::StateLost => Self::StateLost,
        }
    }
}

#[cfg(test)]
mod tests;
