//! A mailbox of the relay.

use std::collections::BTreeMap;

use tokio::sync::mpsc::UnboundedSender;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::rendezvous::frame::{AuthenticatedFrame, DeviceFrame, MailboxOutcome, RelayFrame};
use vestibule_protocol::rendezvous::{MailboxId, RendezvousCode, RendezvousTicketHash};
use vestibule_protocol::time::Timestamp;

/// A frame for a side.
pub(crate) type Addressed = (usize, RelayFrame);

/// A mailbox. Side 0 is the new device's, side 1 the existing one's.
pub(crate) struct FakeMailbox {
    pub(crate) code: RendezvousCode,
    pub(crate) id: MailboxId,
    pub(crate) expires_at: Timestamp,
    pub(crate) sides: [Side; 2],
    pub(crate) outcome: Option<MailboxOutcome>,
}

#[derive(Default)]
pub(crate) struct Side {
    pub(crate) ticket: Option<RendezvousTicketHash>,
    pub(crate) connection: Option<(u64, UnboundedSender<String>)>,
    has_resumed: bool,
    has_finished: bool,
    /// Every message that the side ever sent.
    pub(crate) messages: BTreeMap<u32, Bytes>,
}

impl Side {
    pub(crate) fn is_connected(&self, connection: u64) -> bool {
        self.connection.as_ref().is_some_and(|(id, _)| *id == connection)
    }

    pub(crate) fn post(&self, frame: &RelayFrame) {
        if let Some((_, connection)) = &self.connection {
            // A device that is just going does not listen.
            let _ = connection.send(frame.to_json());
        }
    }
}

impl FakeMailbox {
    pub(crate) fn new(
        code: RendezvousCode,
        id: MailboxId,
        ticket: RendezvousTicketHash,
        expires_at: Timestamp,
    ) -> Self {
        let mut sides = [Side::default(), Side::default()];
        sides[0].ticket = Some(ticket);
        Self { code, id, expires_at, sides, outcome: None }
    }

    pub(crate) fn number(frame: &AuthenticatedFrame) -> Option<u32> {
        match frame.frame {
            DeviceFrame::Message { number, .. } => Some(number),
            _ => None,
        }
    }

    pub(crate) fn receive(&mut self, side: usize, frame: AuthenticatedFrame) -> Vec<Addressed> {
        assert_eq!((frame.mailbox_id, Some(frame.ticket.hash())), (self.id, self.sides[side].ticket));
        if let Some(outcome) = self.outcome {
            return vec![(side, RelayFrame::Ended { outcome })];
        }
        match frame.frame {
            DeviceFrame::Resume { received } => self.resume(side, received),
            DeviceFrame::Message { number, payload } => self.store(side, number, payload),
            DeviceFrame::Acknowledge { received } => {
                assert!(received <= self.stored(1 - side), "a device acknowledged what was never sent");
                Vec::new()
            }
            DeviceFrame::Finish {} => {
                self.sides[side].has_finished = true;
                if self.sides.iter().all(|side| side.has_finished) {
                    self.end(MailboxOutcome::Linked)
                } else {
                    Vec::new()
                }
            }
            DeviceFrame::Abort {} => self.end(MailboxOutcome::Aborted),
        }
    }

    /// Whether a device ever sent something.
    pub(crate) fn has_messages(&self) -> bool {
        self.sides.iter().any(|side| !side.messages.is_empty())
    }

    fn resume(&mut self, side: usize, received: u32) -> Vec<Addressed> {
        self.sides[side].has_resumed = true;
        let (expires_at, peer_connected) = (self.expires_at, self.sides[1 - side].has_resumed);
        let mut frames = vec![(side, RelayFrame::Resumed { stored: self.stored(side), peer_connected, expires_at })];
        for (number, payload) in self.sides[1 - side].messages.range(received..) {
            frames.push((side, RelayFrame::Message { number: *number, payload: payload.clone() }));
        }
        if peer_connected {
            frames.push((1 - side, RelayFrame::PeerArrived { expires_at }));
        }
        frames
    }

    fn store(&mut self, side: usize, number: u32, payload: Bytes) -> Vec<Addressed> {
        let kept = self.sides[side].messages.entry(number).or_insert_with(|| payload.clone());
        assert_eq!(*kept, payload, "a device sent two messages under one number");
        vec![(side, RelayFrame::Stored { number }), (1 - side, RelayFrame::Message { number, payload })]
    }

    /// How many messages of a side there are without a gap.
    fn stored(&self, side: usize) -> u32 {
        (0..).find(|number| !self.sides[side].messages.contains_key(number)).unwrap_or(u32::MAX)
    }

    pub(crate) fn end(&mut self, outcome: MailboxOutcome) -> Vec<Addressed> {
        self.outcome = Some(outcome);
        [0, 1].map(|side| (side, RelayFrame::Ended { outcome })).into()
    }

    pub(crate) fn disconnect(&mut self, side: usize, connection: u64) -> Vec<Addressed> {
        if !self.sides[side].is_connected(connection) {
            return Vec::new();
        }
        self.sides[side].connection = None;
        let had_resumed = std::mem::take(&mut self.sides[side].has_resumed);
        if had_resumed { vec![(1 - side, RelayFrame::PeerLeft {})] } else { Vec::new() }
    }
}
