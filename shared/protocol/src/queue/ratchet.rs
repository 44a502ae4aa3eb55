//! The service's end of a queue.

use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::key_schedule::FRESH_SECRET_LENGTH;
use super::message::{MessageKind, QueueContext, QueueMessage};
use super::{QueueId, RatchetKey};
use crate::keys::HpkePublicKey;
use crate::limits::MAX_QUEUE_MESSAGE_LENGTH;

/// A message has more than [`MAX_QUEUE_MESSAGE_LENGTH`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message may have {MAX_QUEUE_MESSAGE_LENGTH} bytes")]
pub struct MessageTooLarge;

/// What the service knows of a queue's keys. Enqueueing makes another one of it: whoever stores the messages stores that
/// in its place, both or neither.
#[derive(Clone, Debug)]
pub struct QueueRatchet {
    queue_id: QueueId,
    encryption_key: HpkePublicKey,
    ratchet_key: RatchetKey,
    next_sequence: u64,
}

/// What enqueueing a message leads to.
#[derive(Debug)]
pub struct Enqueued {
    /// What to store, in order: the message, and before it a key update if it is time for one.
    pub messages: Vec<QueueMessage>,
    /// The ratchet afterwards.
    pub ratchet: QueueRatchet,
}

impl QueueRatchet {
    /// The ratchet of a queue in which `next_sequence` messages were ever stored; a new one has `next_sequence` 0 and the
    /// ratchet key that its owner sent.
    pub fn new(queue_id: QueueId, encryption_key: HpkePublicKey, ratchet_key: RatchetKey, next_sequence: u64) -> Self {
        Self { queue_id, encryption_key, ratchet_key, next_sequence }
    }

    /// The number of the next message.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The ratchet key, to be stored in the place of the one before.
    pub fn ratchet_key(&self) -> &RatchetKey {
        &self.ratchet_key
    }

    /// Encrypts a message.
    ///
    /// # Errors
    /// [`MessageTooLarge`].
    pub fn enqueue(&self, message: &[u8], rng: &mut (impl RngCore + CryptoRng)) -> Result<Enqueued, MessageTooLarge> {
        if message.len() > MAX_QUEUE_MESSAGE_LENGTH {
            return Err(MessageTooLarge);
        }
        let mut ratchet = self.clone();
        let mut messages = Vec::with_capacity(2);
        if ratchet.context().kind() == MessageKind::KeyUpdate {
            messages.push(ratchet.update_key(rng));
        }
        messages.push(ratchet.step(message));
        Ok(Enqueued { messages, ratchet })
    }

    fn update_key(&mut self, rng: &mut (impl RngCore + CryptoRng)) -> QueueMessage {
        let mut fresh_secret = Zeroizing::new([0; FRESH_SECRET_LENGTH]);
        rng.fill_bytes(&mut *fresh_secret);
        let sealed = self.context().seal_fresh_secret(&self.encryption_key, &fresh_secret, rng);
        let next_key = self.ratchet_key.next_with(&fresh_secret);
        let update = self.step(&sealed);
        self.ratchet_key = next_key;
        update
    }

    fn step(&mut self, content: &[u8]) -> QueueMessage {
        let message = self.context().seal(&self.ratchet_key.message_key(), content);
        self.ratchet_key = self.ratchet_key.next();
        self.next_sequence += 1;
        message
    }

    fn context(&self) -> QueueContext {
        QueueContext { queue_id: self.queue_id, sequence: self.next_sequence }
    }
}
