//! The handshake (`new-device-sequence.md`, rows 2 to 5): four messages after which each device knows that the other
//! has the same key. Its states are types, and only the last gives a [`Channel`]: no application byte can be sent
//! before both confirmations.
//!
//! | number | new device → existing device | existing device → new device |
//! |---|---|---|
//! | 0 | SPAKE2 message, 33 bytes | SPAKE2 message, 33 bytes, after the new device's |
//! | 1 | confirmation, 32 bytes | confirmation, 32 bytes, after the new device's |
//!
//! A failure consumes the state: there is no second try. It does not say what failed, so that nobody can show or log
//! whether the words matched.

use std::fmt;

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::key_schedule::{Confirmation, Keys, Transcript};
use super::spake2::Message;
use super::{MailboxId, Pairing, RendezvousCode, Role};
use crate::encoding::secret;
use crate::name::Domain;
use crate::symmetric::RendezvousRecordKey;

#[cfg(test)]
use super::remembered_exchange::Exchange;
#[cfg(not(test))]
use super::spake2::Exchange;

/// The handshake failed. Whatever the reason, it reads the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the connection ended")]
pub(super) struct HandshakeFailed;

/// The new device's side of a handshake.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NewDevice<State>(State);

/// The existing device's side of a handshake.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExistingDevice<State>(State);

/// The state of a side that waits for the peer's SPAKE2 message. It cannot be written to disk: a device that comes back
/// without it has to give up, so that there is never more than one run, and one guess, under a code.
pub(super) struct AwaitsKeyExchange {
    exchange: Exchange,
    code: RendezvousCode,
    domain: Domain,
    mailbox_id: MailboxId,
}

impl AwaitsKeyExchange {
    fn start(
        role: Role,
        pairing: &Pairing,
        domain: &Domain,
        mailbox_id: MailboxId,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Self {
        let exchange = Exchange::start(role, pairing, domain, rng);
        Self { exchange, code: pairing.code, domain: domain.clone(), mailbox_id }
    }

    fn finish(self, role: Role, peer_message: &[u8]) -> Result<(Keys, Message), HandshakeFailed> {
        let peer_message: &Message = peer_message.try_into().map_err(|_| HandshakeFailed)?;
        let message = *self.exchange.message();
        let shared_key = self.exchange.finish(peer_message).map_err(|_| HandshakeFailed)?;
        let (new_device_message, existing_device_message) = match role {
            Role::NewDevice => (&message, peer_message),
            Role::ExistingDevice => (peer_message, &message),
        };
        let transcript = Transcript {
            code: self.code,
            domain: &self.domain,
            mailbox_id: self.mailbox_id,
            new_device_message,
            existing_device_message,
        };
        Ok((Keys::derive(role, &shared_key, &transcript), message))
    }
}

impl fmt::Debug for AwaitsKeyExchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AwaitsKeyExchange")
    }
}

/// The state of a side that has keys and waits for the peer's confirmation of them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AwaitsConfirmation {
    mailbox_id: MailboxId,
    #[serde(with = "secret")]
    peer_confirmation: Confirmation,
    #[serde(with = "secret")]
    sending: RendezvousRecordKey,
    #[serde(with = "secret")]
    receiving: RendezvousRecordKey,
}

impl AwaitsConfirmation {
    fn with(keys: Keys, mailbox_id: MailboxId) -> (Self, Confirmation) {
        let Keys { confirmation, peer_confirmation, sending, receiving } = keys;
        (Self { mailbox_id, peer_confirmation, sending, receiving }, confirmation)
    }

    fn finish(self, role: Role, peer_confirmation: &[u8]) -> Result<Channel, HandshakeFailed> {
        if !self.peer_confirmation.matches(peer_confirmation) {
            return Err(HandshakeFailed);
        }
        Ok(Channel::new(role, self.mailbox_id, self.sending, self.receiving))
    }
}

impl NewDevice<AwaitsKeyExchange> {
    /// Begins a handshake, and gives message 0.
    pub(super) fn start(
        pairing: &Pairing,
        domain: &Domain,
        mailbox_id: MailboxId,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (Self, Vec<u8>) {
        let state = AwaitsKeyExchange::start(Role::NewDevice, pairing, domain, mailbox_id, rng);
        let message = state.exchange.message().to_vec();
        (Self(state), message)
    }

    /// Takes the existing device's SPAKE2 message, and gives message 1: the confirmation.
    ///
    /// # Errors
    /// [`HandshakeFailed`].
    pub(super) fn receive(self, message: &[u8]) -> Result<(NewDevice<AwaitsConfirmation>, Vec<u8>), HandshakeFailed> {
        let mailbox_id = self.0.mailbox_id;
        let (keys, _) = self.0.finish(Role::NewDevice, message)?;
        let (state, confirmation) = AwaitsConfirmation::with(keys, mailbox_id);
        Ok((NewDevice(state), confirmation.to_message()))
    }
}

impl NewDevice<AwaitsConfirmation> {
    /// Takes the existing device's confirmation.
    ///
    /// # Errors
    /// [`HandshakeFailed`].
    pub(super) fn receive(self, message: &[u8]) -> Result<Channel, HandshakeFailed> {
        self.0.finish(Role::NewDevice, message)
    }
}

/// The state of an existing device that has keys, and the confirmation to send once it has the peer's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OwesConfirmation {
    state: AwaitsConfirmation,
    #[serde(with = "secret")]
    confirmation: Confirmation,
}

impl ExistingDevice<AwaitsKeyExchange> {
    /// Begins a handshake. There is nothing to send yet.
    pub(super) fn start(
        pairing: &Pairing,
        domain: &Domain,
        mailbox_id: MailboxId,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Self {
        Self(AwaitsKeyExchange::start(Role::ExistingDevice, pairing, domain, mailbox_id, rng))
    }

    /// Takes the new device's SPAKE2 message, and gives message 0.
    ///
    /// # Errors
    /// [`HandshakeFailed`].
    pub(super) fn receive(
        self,
        message: &[u8],
    ) -> Result<(ExistingDevice<OwesConfirmation>, Vec<u8>), HandshakeFailed> {
        let mailbox_id = self.0.mailbox_id;
        let (keys, own_message) = self.0.finish(Role::ExistingDevice, message)?;
        let (state, confirmation) = AwaitsConfirmation::with(keys, mailbox_id);
        Ok((ExistingDevice(OwesConfirmation { state, confirmation }), own_message.to_vec()))
    }
}

impl ExistingDevice<OwesConfirmation> {
    /// Takes the new device's confirmation, and gives message 1: the confirmation, which goes out before anything that
    /// the channel gives.
    ///
    /// # Errors
    /// [`HandshakeFailed`]. The confirmation is not given then: whoever guessed wrong learns nothing from it.
    pub(super) fn receive(self, message: &[u8]) -> Result<(Channel, Vec<u8>), HandshakeFailed> {
        let OwesConfirmation { state, confirmation } = self.0;
        Ok((state.finish(Role::ExistingDevice, message)?, confirmation.to_message()))
    }
}

/// The keys, for tests that compare two ends: the new device's, then the existing one's.
#[cfg(test)]
impl NewDevice<AwaitsConfirmation> {
    pub(super) fn keys(&self) -> [[u8; 32]; 2] {
        [*self.0.sending.as_bytes(), *self.0.receiving.as_bytes()]
    }
}

#[cfg(test)]
impl ExistingDevice<OwesConfirmation> {
    pub(super) fn keys(&self) -> [[u8; 32]; 2] {
        [*self.0.state.receiving.as_bytes(), *self.0.state.sending.as_bytes()]
    }
}

#[cfg(test)]
mod tests;
