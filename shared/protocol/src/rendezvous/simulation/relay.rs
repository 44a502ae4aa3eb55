//! The relay as it should be: a model of the mailbox that `frame` describes.

use std::collections::BTreeMap;

use crate::encoding::Bytes;
use crate::problem::{Problem, ProblemType};
use crate::rendezvous::frame::{AuthenticatedFrame, DeviceFrame, MailboxOutcome, RelayFrame};
use crate::rendezvous::{MailboxId, RendezvousTicketHash};
use crate::time::Timestamp;

/// A frame for the device with this index.
pub(crate) type Addressed = (usize, RelayFrame);

/// A mailbox with two sides: 0 is the new device's, 1 the existing one's.
pub(crate) struct Relay {
    mailbox_id: MailboxId,
    expires_at: Timestamp,
    sides: [Side; 2],
    outcome: Option<MailboxOutcome>,
    /// Whether the devices can be blamed for what they send. Not if somebody lied to them.
    pub(crate) is_strict: bool,
}

struct Side {
    ticket_hash: RendezvousTicketHash,
    is_connected: bool,
    has_finished: bool,
    messages: BTreeMap<u32, Bytes>,
    /// All messages below this number have been received by the other side, and are gone.
    acknowledged: u32,
}

impl Relay {
    pub(crate) fn new(mailbox_id: MailboxId, tickets: [RendezvousTicketHash; 2], expires_at: Timestamp) -> Self {
        let sides = tickets.map(|ticket_hash| Side {
            ticket_hash,
            is_connected: false,
            has_finished: false,
            messages: BTreeMap::new(),
            acknowledged: 0,
        });
        Self { mailbox_id, expires_at, sides, outcome: None, is_strict: true }
    }

    pub(crate) fn outcome(&self) -> Option<MailboxOutcome> {
        self.outcome
    }

    /// Every message of a side that is still there.
    pub(crate) fn messages_of(&self, side: usize) -> Vec<(u32, Vec<u8>)> {
        self.sides[side].messages.iter().map(|(number, message)| (*number, message.0.clone())).collect()
    }

    pub(crate) fn disconnect(&mut self, side: usize) -> Vec<Addressed> {
        let was_connected = std::mem::replace(&mut self.sides[side].is_connected, false);
        let tells_peer = was_connected && self.sides[1 - side].is_connected;
        if tells_peer { vec![(1 - side, RelayFrame::PeerLeft {})] } else { Vec::new() }
    }

    pub(crate) fn receive(&mut self, side: usize, frame: AuthenticatedFrame) -> Vec<Addressed> {
        assert_eq!(frame.mailbox_id, self.mailbox_id);
        assert_eq!(frame.ticket.hash(), self.sides[side].ticket_hash);
        if let Some(outcome) = self.outcome {
            return vec![(side, RelayFrame::Ended { outcome })];
        }
        match frame.frame {
            DeviceFrame::Resume { received } => self.resume(side, received),
            DeviceFrame::Message { number, payload } => self.store(side, number, payload),
            DeviceFrame::Acknowledge { received } => {
                self.forget(1 - side, received);
                Vec::new()
            }
            DeviceFrame::Finish {} => {
                self.sides[side].has_finished = true;
                let is_linked = self.sides.iter().all(|side| side.has_finished);
                if is_linked { self.end(MailboxOutcome::Linked) } else { Vec::new() }
            }
            DeviceFrame::Abort {} => self.end(MailboxOutcome::Aborted),
        }
    }

    fn resume(&mut self, side: usize, received: u32) -> Vec<Addressed> {
        self.sides[side].is_connected = true;
        let peer = &self.sides[1 - side];
        let resumed = RelayFrame::Resumed {
            stored: self.sides[side].stored(),
            peer_connected: peer.is_connected,
            expires_at: self.expires_at,
        };
        let mut frames = vec![(side, resumed)];
        for (number, payload) in peer.messages.range(received.max(peer.acknowledged)..) {
            frames.push((side, RelayFrame::Message { number: *number, payload: payload.clone() }));
        }
        if peer.is_connected {
            frames.push((1 - side, RelayFrame::PeerArrived { expires_at: self.expires_at }));
        }
        self.forget(1 - side, received);
        frames
    }

    fn store(&mut self, side: usize, number: u32, payload: Bytes) -> Vec<Addressed> {
        let own = &mut self.sides[side];
        let is_known = number < own.acknowledged;
        if let Some(stored) = own.messages.get(&number)
            && *stored != payload
        {
            assert!(!self.is_strict, "a device sent two messages under one number");
            let problem = Problem::new(ProblemType::MessageNumberTaken, "another message").document();
            return vec![(side, RelayFrame::Refused { number: Some(number), problem })];
        }
        let mut frames = vec![(side, RelayFrame::Stored { number })];
        if !is_known {
            own.messages.insert(number, payload.clone());
            if self.sides[1 - side].is_connected {
                frames.push((1 - side, RelayFrame::Message { number, payload }));
            }
        }
        frames
    }

    fn forget(&mut self, side: usize, received: u32) {
        let side = &mut self.sides[side];
        assert!(!self.is_strict || received <= side.stored(), "a device acknowledged what was never sent");
        side.acknowledged = side.acknowledged.max(received);
        side.messages.retain(|number, _| *number >= side.acknowledged);
    }

    fn end(&mut self, outcome: MailboxOutcome) -> Vec<Addressed> {
        self.outcome = Some(outcome);
        [0, 1].map(|side| (side, RelayFrame::Ended { outcome })).into()
    }
}

impl Side {
    /// How many messages there are, or were, without a gap.
    fn stored(&self) -> u32 {
        (self.acknowledged..).find(|number| !self.messages.contains_key(number)).unwrap_or(u32::MAX)
    }
}
