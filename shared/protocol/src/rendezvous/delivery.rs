//! Delivery: the peer's messages in order, each exactly once, whatever happens to connections, and this device's own
//! messages sent as often as it takes. It knows nothing of what the messages mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::DeviceFrame;
use crate::encoding::Bytes;
use crate::limits::{MAX_MAILBOX_LENGTH, MAX_MAILBOX_MESSAGES, MAX_RELAY_MESSAGE_LENGTH};

/// Why delivery cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    /// More was put into or came out of the mailbox than it takes, or the relay speaks of messages that were never sent.
    #[error("the limits of a mailbox were exceeded")]
    LimitExceeded,
    /// The relay has messages of this device that it does not know itself: it was set back to an earlier state.
    #[error("this device has lost what it knew")]
    StateLost,
}

/// One device's end of a mailbox.
///
/// Nothing leaves, neither messages nor acknowledgements, before [`saved`](Self::saved) says that the state that it
/// follows from is safe. So a process that is killed and begins again with the state it saved last has sent nothing that
/// it does not know of, and has acknowledged nothing that it does not have.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// This device's messages that the relay does not have, as far as this device knows.
    outgoing: BTreeMap<u32, Bytes>,
    /// The number of this device's next message.
    next: u32,
    /// How many bytes this device's messages have together.
    sent_length: usize,
    /// How many of the peer's messages have been handed on.
    received: u32,
    /// How many bytes they have together.
    received_length: usize,
    /// The peer's messages that came early. The relay still has them, so they need not be kept.
    #[serde(skip)]
    early: BTreeMap<u32, Vec<u8>>,
    /// How many of the newest of this device's messages are not saved.
    #[serde(skip)]
    unsaved_outgoing: u32,
    /// How many of the newest of the peer's messages are not saved.
    #[serde(skip)]
    unsaved_received: u32,
    /// What this connection has been used for, if there is one.
    #[serde(skip)]
    connection: Option<Connection>,
}

#[derive(Debug, Default)]
struct Connection {
    /// How many of the peer's messages the relay was told to have been received.
    acknowledged: Option<u32>,
    /// All messages of this device below this number have been sent on this connection, if they had to be.
    transmitted: u32,
    /// Whether the relay has said what it has.
    is_resumed: bool,
}

impl Delivery {
    /// Puts a message for the peer in line, and gives its number.
    ///
    /// # Errors
    /// [`DeliveryError::LimitExceeded`].
    pub(super) fn queue(&mut self, message: Vec<u8>) -> Result<u32, DeliveryError> {
        let length = self.sent_length + message.len();
        let is_too_much = self.next >= MAX_MAILBOX_MESSAGES || length > MAX_MAILBOX_LENGTH;
        if is_too_much || message.len() > MAX_RELAY_MESSAGE_LENGTH {
            return Err(DeliveryError::LimitExceeded);
        }
        let number = self.next;
        self.outgoing.insert(number, Bytes(message));
        self.sent_length = length;
        self.next += 1;
        self.unsaved_outgoing += 1;
        Ok(number)
    }

    /// What has happened so far is written to disk, or will never be resumed.
    pub(super) fn saved(&mut self) {
        self.unsaved_outgoing = 0;
        self.unsaved_received = 0;
    }

    /// There is a new connection to the relay. Nothing has been sent on it.
    pub(super) fn connected(&mut self) {
        self.connection = Some(Connection::default());
    }

    /// There is no connection any more.
    pub(super) fn disconnected(&mut self) {
        self.connection = None;
    }

    /// What must be sent on this connection, each frame once: first where to resume, then messages that the relay does
    /// not have, then an acknowledgement if there is something new to acknowledge.
    pub(super) fn frames(&mut self) -> Vec<DeviceFrame> {
        let saved = self.next_unsaved();
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let received = self.received - self.unsaved_received;
        let mut frames = Vec::new();
        if connection.acknowledged.is_none() {
            connection.acknowledged = Some(received);
            frames.push(DeviceFrame::Resume { received });
        }
        if connection.transmitted < saved {
            for (number, payload) in self.outgoing.range(connection.transmitted..saved) {
                frames.push(DeviceFrame::Message { number: *number, payload: payload.clone() });
            }
            connection.transmitted = saved;
        }
        if connection.acknowledged < Some(received) {
            connection.acknowledged = Some(received);
            frames.push(DeviceFrame::Acknowledge { received });
        }
        frames
    }

    /// The relay has this message of this device.
    ///
    /// # Errors
    /// [`DeliveryError::LimitExceeded`] if it was never sent.
    pub(super) fn stored(&mut self, number: u32) -> Result<(), DeliveryError> {
        if number >= self.next_unsaved() {
            return Err(DeliveryError::LimitExceeded);
        }
        self.outgoing.remove(&number);
        Ok(())
    }

    /// The relay has all messages of this device below this number.
    ///
    /// # Errors
    /// [`DeliveryError::StateLost`] if there are not so many.
    pub(super) fn resumed(&mut self, stored: u32) -> Result<(), DeliveryError> {
        if stored > self.next_unsaved() {
            return Err(DeliveryError::StateLost);
        }
        self.outgoing.retain(|number, _| *number >= stored);
        if let Some(connection) = &mut self.connection {
            connection.is_resumed = true;
        }
        Ok(())
    }

    /// The relay could not take this message: it is sent again.
    pub(super) fn refused_for_now(&mut self, number: u32) {
        if let Some(connection) = &mut self.connection {
            connection.transmitted = connection.transmitted.min(number);
        }
    }

    /// Takes a message of the peer from the relay, and gives all that can now be handed on, in order.
    ///
    /// # Errors
    /// [`DeliveryError::LimitExceeded`].
    pub(super) fn receive(&mut self, number: u32, message: Vec<u8>) -> Result<Vec<Vec<u8>>, DeliveryError> {
        if number >= MAX_MAILBOX_MESSAGES || message.len() > MAX_RELAY_MESSAGE_LENGTH {
            return Err(DeliveryError::LimitExceeded);
        }
        if number < self.received {
            return Ok(Vec::new());
        }
        self.early.entry(number).or_insert(message);
        let early_length: usize = self.early.values().map(Vec::len).sum();
        if self.received_length + early_length > MAX_MAILBOX_LENGTH {
            return Err(DeliveryError::LimitExceeded);
        }
        let mut in_order = Vec::new();
        while let Some(message) = self.early.remove(&self.received) {
            self.received += 1;
            self.unsaved_received += 1;
            self.received_length += message.len();
            in_order.push(message);
        }
        Ok(in_order)
    }

    /// The number of the first of this device's messages that must not leave yet.
    fn next_unsaved(&self) -> u32 {
        self.next - self.unsaved_outgoing
    }

    /// Whether something was sent on this connection that the relay has yet to answer.
    pub(super) fn awaits_answer(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let awaits_resumed = connection.acknowledged.is_some() && !connection.is_resumed;
        awaits_resumed || self.outgoing.range(..connection.transmitted).next().is_some()
    }

    /// Whether the relay has all of this device's messages.
    pub(super) fn is_all_stored(&self) -> bool {
        self.outgoing.is_empty()
    }
}

#[cfg(test)]
mod tests;
