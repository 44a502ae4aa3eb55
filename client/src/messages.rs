//! Test messages, sent to the devices of friends and received from them (`docs/protocol.md`, section 27).
//!
//! What is sent is on disk before it is sent, device by device, so that each device gets it once however often the client
//! dies. What is received is kept in one step with the state of the queue it was read from, before the service is told that
//! it may forget it; and it is given to the application until that has acknowledged it.

mod inbox;
mod opening;
mod outbox;
mod receiving;
mod sending;

use std::fmt;

use vestibule_protocol::name::{ClientId, UserName};
use vestibule_test_messages::MessageText;

pub(crate) use inbox::Inbox;
pub(crate) use outbox::Outbox;
pub(crate) use receiving::{acknowledge, receive};
pub(crate) use sending::send;

/// A message that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// To whom.
    pub to: UserName,
    /// How many of the user's devices get it.
    pub devices: usize,
    /// How many do not, because their queues are full or gone.
    pub unreachable: usize,
}

/// A message that was received: opened, and its sender verified up to the root that this device trusts.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its number in this device's queue, by which it is known again. Numbers grow, with gaps.
    pub sequence: u64,
    /// The client that sent it, and with it the user.
    pub from: ClientId,
    /// What it says. It may have control characters.
    pub text: MessageText,
}

impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReceivedMessage({}, {}, {:?})", self.sequence, self.from, self.text)
    }
}

/// What has come and was not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// The messages, oldest first.
    pub messages: Vec<ReceivedMessage>,
    /// How many others there were between them that cannot be opened, or whose sender is not to be trusted.
    pub unreadable: usize,
    /// The number to acknowledge all this by; none if there is nothing.
    pub last_sequence: Option<u64>,
    /// Whether more may wait at the service. It is fetched once some of this is acknowledged.
    pub has_more: bool,
}

#[cfg(test)]
mod tests;
