//! The owner's end of a queue.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::message::{MessageKind, QueueContext, QueueMessage};
use super::{QueueId, RatchetKey};
use crate::encoding::secret;
use crate::keys::HpkePrivateKey;

/// Why messages cannot be read. The reader is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadingError {
    /// A message is missing. It may be in another page; if the service does not have it any more, it is lost, and with it
    /// the queue.
    #[error("message {expected} of the queue is missing before message {found}")]
    Gap {
        /// Its number.
        expected: u64,
        /// The number of the first one after it.
        found: u64,
    },
    /// A message is not what the service made for this place in this queue.
    #[error("message {sequence} of the queue cannot be read")]
    Unreadable {
        /// Its number.
        sequence: u64,
    },
}

/// What the owner of a queue knows. Its JSON form holds the queue's secrets: it is for files that nobody else reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueReader {
    #[serde(with = "secret")]
    decryption_key: HpkePrivateKey,
    #[serde(with = "secret")]
    ratchet_key: RatchetKey,
    next_sequence: u64,
}

/// What a page has brought. Whoever keeps the messages keeps the reader with them, both or neither; only then are they
/// acknowledged, by asking for those from the reader's next number on.
#[derive(Debug)]
pub struct Reading {
    /// The messages that were not read before, in order.
    pub messages: Vec<ReadMessage>,
    /// The reader afterwards, which cannot open them any more.
    pub reader: QueueReader,
}

/// A message that was opened.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadMessage {
    /// Its number.
    pub sequence: u64,
    /// What its sender gave the service.
    pub content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ReadMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReadMessage({}, {} bytes)", self.sequence, self.content.len())
    }
}

impl QueueReader {
    /// The reader of a new queue.
    pub fn new(decryption_key: HpkePrivateKey, ratchet_key: RatchetKey) -> Self {
        Self { decryption_key, ratchet_key, next_sequence: 0 }
    }

    /// The number of the first message that was not read: what to ask the service for. All before it are acknowledged
    /// thereby.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Reads a page of messages. Those that were read before are passed over, whatever they are by now.
    ///
    /// # Errors
    /// [`ReadingError`]: then nothing of the page is read.
    pub fn read(&self, queue_id: QueueId, page: &[QueueMessage]) -> Result<Reading, ReadingError> {
        let mut page: Vec<_> = page.iter().filter(|message| message.sequence >= self.next_sequence).collect();
        page.sort_by_key(|message| message.sequence);
        let mut reading = Reading { messages: Vec::with_capacity(page.len()), reader: self.clone() };
        for message in page {
            let expected = reading.reader.next_sequence;
            if message.sequence > expected {
                return Err(ReadingError::Gap { expected, found: message.sequence });
            }
            if message.sequence == expected {
                reading.messages.extend(reading.reader.step(queue_id, message)?);
            }
        }
        Ok(reading)
    }

    /// Reads the message whose turn it is; none if it is a key update.
    fn step(&mut self, queue_id: QueueId, message: &QueueMessage) -> Result<Option<ReadMessage>, ReadingError> {
        let QueueMessage { sequence, ciphertext } = message;
        let unreadable = || ReadingError::Unreadable { sequence: *sequence };
        let context = QueueContext { queue_id, sequence: *sequence };
        let content = context.open(&self.ratchet_key.message_key(), &ciphertext.0).ok_or_else(unreadable)?;
        let read = match context.kind() {
            MessageKind::Message => {
                self.ratchet_key = self.ratchet_key.next();
                Some(ReadMessage { sequence: *sequence, content })
            }
            MessageKind::KeyUpdate => {
                let fresh_secret = context.open_fresh_secret(&self.decryption_key, &content).ok_or_else(unreadable)?;
                self.ratchet_key = self.ratchet_key.next_with(&fresh_secret);
                None
            }
        };
        self.next_sequence += 1;
        Ok(read)
    }
}
