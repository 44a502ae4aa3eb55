//! What a client sends to friends, and receives from them.

use vestibule_protocol::friendship::FriendshipCode;
use vestibule_test_messages::MessageText;

use super::Client;
use crate::error::Error;
use crate::messages::{self, Received, Sent};

impl Client {
    /// Sends a text, end-to-end encrypted, to all devices of the user in a friend's `code`. Each of them costs a token, and the
    /// claim of their KeyPackages another.
    ///
    /// `told` is called when the devices' queues have the message. If it is interrupted before that has come back, the same
    /// call within a day goes on where it was: each device gets the message once. A call for another message first completes the one
    /// that was interrupted, and says nothing of it.
    ///
    /// # Errors
    /// [`Error::Undeliverable`] if no device can be written to; [`Error::ClaimRefused`], [`Error::Tokens`],
    /// [`Error::Sealing`], [`Error::OwnCredentialUnusable`], [`Error::NotRegistered`], [`Error::RegistrationUnderWay`],
    /// [`Error::NotAtQueuingService`], [`Error::Api`], [`Error::Credentials`], [`Error::QsKeys`], [`Error::Home`].
    pub async fn send_message(
        &mut self,
        code: &FriendshipCode,
        text: MessageText,
        told: impl FnOnce(&Sent),
    ) -> Result<(), Error> {
        messages::send(&self.session()?, code, text, told).await
    }

    /// Fetches what waits in this device's queue, and gives it together with all that was received before and not
    /// [acknowledged](Client::acknowledge).
    ///
    /// # Errors
    /// [`Error::Queue`], [`Error::InboxMissing`] if the queue cannot be read any more; [`Error::NotRegistered`],
    /// [`Error::RegistrationUnderWay`], [`Error::NotAtQueuingService`], [`Error::Api`], [`Error::Credentials`],
    /// [`Error::Home`].
    pub async fn receive(&mut self) -> Result<Received, Error> {
        messages::receive(&mut self.session()?).await
    }

    /// Forgets the messages received up to the one with this number, which the application has taken care of.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::NotAtQueuingService`], [`Error::Home`].
    pub fn acknowledge(&mut self, sequence: u64) -> Result<(), Error> {
        messages::acknowledge(&self.session()?, sequence)
    }
}
