//! What a client does about the user's devices.

use vestibule_protocol::opaque::Password;

use super::Client;
use crate::error::Error;
use crate::identity::{self, Device, DeviceChange, IdentityReset};
use crate::linking::settle_approval;
use crate::session::Session;

impl Client {
    /// Follows what has happened among the user's devices, and tells what has since the last time. To be called once in a
    /// while: this also renews the client's credential when less than 30 days of it are left, and clears up what an
    /// interrupted removal or linking has left. An account of before there were identities gets one.
    ///
    /// # Errors
    /// [`Error::DeviceRemoved`] if this device is not one of the user's any more, [`Error::AccountDeleted`] if there is no such
    /// user any more; [`Error::Identity`]; [`Error::NotRegistered`], [`Error::RegistrationUnderWay`],
    /// [`Error::LinkingUnderWay`], [`Error::DeletionUnderWay`], [`Error::Api`], [`Error::Credentials`], [`Error::Home`].
    pub async fn catch_up(&mut self) -> Result<Vec<DeviceChange>, Error> {
        let is_linking = self.leftover()?.is_some_and(|leftover| leftover.can_go_on());
        let mut session = self.own_session()?;
        identity::catch_up(&mut session).await?;
        if session.account().approval.is_some() && !is_linking {
            settle_approval(&mut session).await?;
        }
        identity::tidy(&mut session).await?;
        identity::renew(&mut session).await?;
        identity::find_changes(&mut session)
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
    /// id is never used again. If it is interrupted, the same call completes it, with this device or another one.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], [`Error::SeveralSuchDevices`], [`Error::ThisDevice`], [`Error::WrongPassword`]; as
    /// [`Client::catch_up`].
    pub async fn remove_device(&mut self, device: &str, password: Password) -> Result<Device, Error> {
        identity::remove_device(&mut self.own_session()?, device, password).await
    }

    /// Starts the user's identity over, with this device; the others join by themselves when they catch up. If a device has
    /// made a commit that cannot be followed, it is removed first. If it is interrupted, the same call completes it.
    ///
    /// # Errors
    /// [`Error::WrongPassword`]; as [`Client::catch_up`].
    pub async fn reset_identity(&mut self, password: Password) -> Result<IdentityReset, Error> {
        identity::reset(&mut self.own_session()?, password).await
    }

    /// What a client works with that the authentication service is known to have.
    pub(crate) fn own_session(&self) -> Result<Session<'_>, Error> {
        let session = self.session()?;
        if session.account().is_registered() { Ok(session) } else { Err(session.account().incomplete()) }
    }
}
