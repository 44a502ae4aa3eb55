//! What a client does about the account as a whole.

use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::Password;

use super::Client;
use crate::deletion::{DeletedAccount, delete_account};
use crate::error::Error;
use crate::password::{PasswordError, PasswordUse};

impl Client {
    /// Deletes the user of this device for good: the pseudonym with all devices' KeyPackages and queues, the storage key, and
    /// the user with all clients. The name is not given away again. Then this home has no account any more; the user's
    /// other devices are refused everywhere.
    ///
    /// `password` is called once at most, when it is needed. From the moment that it was found to be right there is no way
    /// back. If the deletion is interrupted, the same call completes it, and nothing else can be done until then
    /// ([`Error::DeletionUnderWay`]).
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::Password`], [`Error::DeviceRemoved`], [`Error::NotRegistered`],
    /// [`Error::RegistrationUnderWay`], [`Error::LinkingUnderWay`], [`Error::Api`], [`Error::SessionRefused`],
    /// [`Error::Home`].
    pub async fn delete_account(
        &mut self,
        mut password: impl FnMut(PasswordUse) -> Result<Password, PasswordError> + Send,
    ) -> Result<DeletedAccount, Error> {
        self.account_to_delete()?;
        let mut session = self.session_even_of_deleted()?;
        // On the heap: there is much of it, and it lasts.
        Box::pin(delete_account(&mut session, &mut password)).await
    }

    /// Whose account [`Client::delete_account`] would delete, or complete the deletion of.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::LinkingUnderWay`], [`Error::Home`].
    pub fn account_to_delete(&self) -> Result<UserName, Error> {
        let session = self.session_even_of_deleted()?;
        let account = session.account();
        if account.is_registered() { Ok(account.user_name.clone()) } else { Err(account.incomplete()) }
    }
}
