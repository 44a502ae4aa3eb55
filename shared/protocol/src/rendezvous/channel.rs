//! The channel: what a handshake gives. Messages of any content go in, messages for the relay come out.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::record::{MAX_CONTENT_LENGTH, RecordContext, RecordKind, ciphertext_length};
use super::{MailboxId, Role};
use crate::encoding::{SecretBytes, secret};
use crate::limits::{MAX_CHANNEL_MESSAGE_LENGTH, MAX_MAILBOX_LENGTH, MAX_MAILBOX_MESSAGES};
use crate::symmetric::RendezvousRecordKey;

/// How many messages of each device the handshake takes.
pub(super) const HANDSHAKE_MESSAGES: u32 = 2;

/// How many records a device may send before the one that closes.
const MAX_RECORDS: u32 = MAX_MAILBOX_MESSAGES - HANDSHAKE_MESSAGES - 1;

/// How many bytes they may have together: what the mailbox takes, less the longer side of a handshake and the record that
/// closes.
const MAX_RECORDS_LENGTH: usize = MAX_MAILBOX_LENGTH - 33 - 32 - 256;

/// Why a message cannot be sent. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// It is longer than [`MAX_CHANNEL_MESSAGE_LENGTH`].
    #[error("the message is longer than {MAX_CHANNEL_MESSAGE_LENGTH} bytes")]
    TooLong,
    /// The mailbox takes no more of this device.
    #[error("the mailbox takes no more messages")]
    MailboxFull,
    /// This device has closed its direction.
    #[error("this device has closed the channel")]
    Closed,
}

/// Something came that the peer did not send, or not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what was received is not what the other device sent")]
pub(super) struct Tampered;

/// A message of the other device, decrypted. Zeroized on drop, not printable.
pub struct ChannelMessage(Zeroizing<Vec<u8>>);

impl ChannelMessage {
    /// The message's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ChannelMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChannelMessage of {} bytes", self.0.len())
    }
}

/// What a message from the relay turned out to be.
#[derive(Debug)]
pub(super) enum Received {
    /// A part of a longer message.
    Part,
    /// A message, whole.
    Message(ChannelMessage),
    /// The peer sends nothing more.
    Close,
}

/// A channel whose both ends know that the other has the keys. Each message is encrypted once, under a counter that is
/// never used again; whoever sends keeps the ciphertext for the case that it must be sent again, and writes the channel
/// to disk *before* sending, or does not resume from disk. [`Session`](super::Session) does both.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Channel {
    role: Role,
    mailbox_id: MailboxId,
    #[serde(with = "secret")]
    sending: RendezvousRecordKey,
    #[serde(with = "secret")]
    receiving: RendezvousRecordKey,
    sent: u32,
    sent_length: usize,
    received: u32,
    #[serde(with = "secret")]
    parts: Parts,
    is_closed: bool,
    is_closed_by_peer: bool,
}

impl Channel {
    pub(super) fn new(
        role: Role,
        mailbox_id: MailboxId,
        sending: RendezvousRecordKey,
        receiving: RendezvousRecordKey,
    ) -> Self {
        Self {
            role,
            mailbox_id,
            sending,
            receiving,
            sent: 0,
            sent_length: 0,
            received: 0,
            parts: Parts::default(),
            is_closed: false,
            is_closed_by_peer: false,
        }
    }

    /// Encrypts a message of at most [`MAX_CHANNEL_MESSAGE_LENGTH`] bytes: one message for the relay, or as many as it
    /// takes, in this order.
    ///
    /// # Errors
    /// [`SendError`].
    pub(super) fn send(&mut self, message: &[u8]) -> Result<Vec<Vec<u8>>, SendError> {
        if self.is_closed {
            return Err(SendError::Closed);
        }
        if message.len() > MAX_CHANNEL_MESSAGE_LENGTH {
            return Err(SendError::TooLong);
        }
        // An empty message is one empty record.
        let mut contents: Vec<_> = message.chunks(MAX_CONTENT_LENGTH).collect();
        let last = contents.pop().unwrap_or_default();
        let length: usize =
            contents.iter().chain([&last]).map(|content: &&[u8]| ciphertext_length(content.len())).sum();
        let records = u32::try_from(contents.len()).unwrap_or(u32::MAX).saturating_add(1);
        if self.sent.saturating_add(records) > MAX_RECORDS || self.sent_length + length > MAX_RECORDS_LENGTH {
            return Err(SendError::MailboxFull);
        }
        self.sent_length += length;
        let mut ciphertexts: Vec<_> =
            contents.into_iter().map(|content| self.seal(RecordKind::Part, content)).collect();
        ciphertexts.push(self.seal(RecordKind::Last, last));
        Ok(ciphertexts)
    }

    /// Encrypts the word that this device sends nothing more. Without it the peer cannot tell the end from an
    /// interruption.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub(super) fn close(&mut self) -> Result<Vec<u8>, SendError> {
        if self.is_closed {
            return Err(SendError::Closed);
        }
        self.is_closed = true;
        Ok(self.seal(RecordKind::Close, &[]))
    }

    fn seal(&mut self, kind: RecordKind, content: &[u8]) -> Vec<u8> {
        let context = self.context(self.role, self.sent);
        self.sent += 1;
        context.seal(&self.sending, kind, content)
    }

    /// Decrypts the peer's next message from the relay.
    ///
    /// # Errors
    /// [`Tampered`], and then the channel is gone.
    pub(super) fn receive(mut self, message: &[u8]) -> Result<(Self, Received), Tampered> {
        if self.is_closed_by_peer {
            return Err(Tampered);
        }
        let context = self.context(self.role.peer(), self.received);
        let (kind, content) = context.open(&self.receiving, message).ok_or(Tampered)?;
        self.received = self.received.checked_add(1).ok_or(Tampered)?;
        if self.parts.length() + content.len() > MAX_CHANNEL_MESSAGE_LENGTH {
            return Err(Tampered);
        }
        let received = match kind {
            RecordKind::Part if content.len() == MAX_CONTENT_LENGTH => {
                self.parts.0.push(content);
                Received::Part
            }
            RecordKind::Last => {
                self.parts.0.push(content);
                Received::Message(ChannelMessage(std::mem::take(&mut self.parts).join()))
            }
            RecordKind::Close if self.parts.0.is_empty() => {
                self.is_closed_by_peer = true;
                Received::Close
            }
            RecordKind::Part | RecordKind::Close => return Err(Tampered),
        };
        Ok((self, received))
    }

    /// Whether both devices have said that they send nothing more.
    pub(super) fn is_closed_by_both(&self) -> bool {
        self.is_closed && self.is_closed_by_peer
    }

    fn context(&self, sender: Role, counter: u32) -> RecordContext {
        RecordContext { sender, mailbox_id: self.mailbox_id, counter: u64::from(counter) }
    }

    /// The keys, for tests that compare two ends: the new device's, then the existing one's.
    #[cfg(test)]
    pub(super) fn keys(&self) -> [[u8; 32]; 2] {
        let (own, peer) = (*self.sending.as_bytes(), *self.receiving.as_bytes());
        match self.role {
            Role::NewDevice => [own, peer],
            Role::ExistingDevice => [peer, own],
        }
    }
}

/// The parts of a message of which more must come. Kept apart until the last one is there: a buffer that grows leaves
/// copies of its content behind.
#[derive(Default)]
struct Parts(Vec<Zeroizing<Vec<u8>>>);

impl Parts {
    fn length(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    fn join(&self) -> Zeroizing<Vec<u8>> {
        let mut joined = Zeroizing::new(Vec::with_capacity(self.length()));
        for part in &self.0 {
            joined.extend_from_slice(part);
        }
        joined
    }
}

impl SecretBytes for Parts {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.join()
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(if bytes.is_empty() { Vec::new() } else { vec![Zeroizing::new(bytes.to_vec())] }))
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.length())
    }
}

#[cfg(test)]
mod tests;
