//! What a client does about the user's devices.

use vestibule_protocol::opaque::Password;

use super::Client;
use crate::error::Error;
use crate::identity::{self, Device, DeviceChange, IdentityReset, KeyRotation, Removal};
use crate::linking::settle_approval;
use crate::queuing;
use crate::session::Session;

impl Client {
    /// Follows what has happened among the user's devices, and tells what has since the last time. To be called once in a
    /// while: this also renews the client's credential when less than 30 days of it are left or its signer was revoked, and
    /// clears up what an interrupted removal or linking has left. If the keys that all devices share were rotated, or the
    /// credential has another signer, it publishes KeyPackages that friends can use. An account of before there were
    /// identities gets one.
    ///
    /// # Errors
    /// [`Error::DeviceRemoved`] if this device is not one of the user's any more, [`Error::AccountDeleted`] if there is no such
    /// user any more; [`Error::Identity`]; [`Error::NotRegistered`], [`Error::RegistrationUnderWay`],
    /// [`Error::LinkingUnderWay`], [`Error::DeletionUnderWay`], [`Error::Api`], [`Error::Credentials`], [`Error::Home`].
    pub async fn catch_up(&mut self) -> Result<Vec<DeviceChange>, Error> {
        let is_linking = self.leftover()?.is_some_and(|leftover| leftover.can_go_on());
        let mut session = self.own_session()?;
        match identity::catch_up(&mut session).await {
            // Whom the others cannot believe any more does not get better by what cannot be followed.
            Err(error @ Error::Identity(_)) => return identity::renew(&mut session).await.and(Err(error)),
            outcome => outcome?,
        }
        if session.account().approval.is_some() && !is_linking {
            settle_approval(&mut session).await?;
        }
        identity::tidy(&mut session).await?;
        identity::go_on(&mut session).await?;
        identity::renew(&mut session).await?;
        identity::update_leaf(&mut session).await?;
        self.publish_if_overtaken(&mut session).await?;
        identity::find_changes(&mut session)
    }

    /// What was removed is removed, and what was rotated or renewed is, whatever the queuing service says to this: the next
    /// [`Client::catch_up`] tries it again.
    async fn publish_if_overtaken(&self, session: &mut Session<'_>) -> Result<(), Error> {
        match queuing::publish_if_overtaken(session, self.options.key_packages).await {
            Err(error) if error.is_stopped() || matches!(error, Error::Home(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// How the rotation stands of what the last device knew that this one has removed. Asks nobody.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::Home`].
    pub fn key_rotation(&self) -> Result<KeyRotation, Error> {
        Ok(identity::state_of(self.session()?.account()))
    }

    /// The device that this one was to remove and has not, because it was interrupted: [`Client::remove_device`] completes it.
    /// Asks nobody.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::Home`].
    pub fn half_removed_device(&self) -> Result<Option<Device>, Error> {
        Ok(identity::half_removed(self.session()?.account()))
    }

    /// The user's devices.
    ///
    /// # Errors
    /// As [`Client::catch_up`].
    pub async fn devices(&mut self) -> Result<Vec<Device>, Error> {
        let mut session = self.own_session()?;
        identity::catch_up(&mut session).await?;
        Ok(identity::list(session.account()))
    }

    /// Removes another device of the user's, by its name or its client id: the server refuses it from then on, and its client
    /// id is never used again. What it knew at the queuing service is rotated before, so that friends need the new
    /// [friendship code](Client::friendship_code). If it is interrupted, the same call completes it; so does one with another
    /// device, except for what only this one knows then.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], [`Error::SeveralSuchDevices`], [`Error::ThisDevice`], [`Error::WrongPassword`]; as
    /// [`Client::catch_up`].
    pub async fn remove_device(&mut self, device: &str, password: Password) -> Result<Removal, Error> {
        let mut session = self.own_session()?;
        let removal = identity::remove_device(&mut session, device, password).await?;
        self.publish_if_overtaken(&mut session).await?;
        Ok(removal)
    }

    /// Starts the user's identity over, with this device; the others join by themselves when they catch up. If a device has
    /// made a commit that cannot be followed, it is removed first. If it is interrupted, the same call completes it.
    ///
    /// # Errors
    /// [`Error::WrongPassword`]; as [`Client::catch_up`].
    pub async fn reset_identity(&mut self, password: Password) -> Result<IdentityReset, Error> {
        let mut session = self.own_session()?;
        let reset = identity::reset(&mut session, password).await?;
        self.publish_if_overtaken(&mut session).await?;
        Ok(reset)
    }

    /// What a client works with that the authentication service is known to have.
    pub(crate) fn own_session(&self) -> Result<Session<'_>, Error> {
        let session = self.session()?;
        if session.account().is_registered() { Ok(session) } else { Err(session.account().incomplete()) }
    }
}
