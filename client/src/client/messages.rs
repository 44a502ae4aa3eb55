//! What a client sends to friends, and receives from them.

use std::convert::Infallible;

use vestibule_protocol::friendship::FriendshipCode;
use vestibule_test_messages::MessageText;

use super::Client;
use crate::api::Connection;
use crate::error::Error;
use crate::messages::{self, Received, Sent};
use crate::queuing::Listener;

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

    /// Gives `take` everything that waits, in one or several parts, and acknowledges each that it has taken care of.
    ///
    /// # Errors
    /// What `take` gives; as [`Client::receive`].
    pub async fn receive_all<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(&Received) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let received = self.receive().await?;
            if let Some(sequence) = received.last_sequence {
                take(&received)?;
                self.acknowledge(sequence)?;
            }
            if !received.has_more {
                return Ok(());
            }
        }
    }

    /// Gives `take` everything that waits and everything that comes, as soon as it does, and acknowledges what that has taken
    /// care of. It ends with an error only; if the future is dropped, nothing is lost. That the server cannot be reached is no
    /// reason to end, if it ever could.
    ///
    /// # Errors
    /// What `take` gives; [`Error::Listening`]; as [`Client::receive`].
    pub async fn follow<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(&Received) -> Result<(), E>,
    ) -> Result<Infallible, E> {
        let mut listener = Listener::new(&self.session()?)?;
        let (mut was_up, mut failures) = (false, 0);
        loop {
            let received = match self.receive().await {
                Err(Error::Api(error)) if was_up && error.may_pass() => {
                    failures += 1;
                    self.pause(failures).await?;
                    continue;
                }
                received => received?,
            };
            (was_up, failures) = (true, 0);
            if let Some(sequence) = received.last_sequence {
                take(&received)?;
                self.acknowledge(sequence)?;
            }
            if !received.has_more {
                listener.notice().await?;
            }
        }
    }

    /// Waits after so many failures in a row.
    async fn pause(&self, failures: u32) -> Result<(), Error> {
        let Connection { retry_policy, waiting, randomness, .. } = self.session()?.connection;
        waiting.wait(retry_policy.wait_without_end(failures, &mut randomness.clone())).await;
        Ok(())
    }

    /// Forgets the messages received up to the one with this number, which the application has taken care of.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::NotAtQueuingService`], [`Error::Home`].
    pub fn acknowledge(&mut self, sequence: u64) -> Result<(), Error> {
        messages::acknowledge(&self.session()?, sequence)
    }
}
