//! What a client has at the key server: the storage key, the password, the audit log.

use vestibule_protocol::key_server::{AuditEntry, Chain, StorageKey};
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::Password;

use super::{Client, Options};
use crate::api::Connection;
use crate::error::Error;
use crate::home::{Account, Home, HomeError};
use crate::key_server::{AuditLog, KeyServer, Known, follow_audit_log, keep_audit_entry, read_audit_log};
use crate::password::check_not_empty;
use crate::session::Session;

impl Client {
    /// Retrieves the user's storage key: the same on every device, for as long as the user exists. Its bytes stay inside;
    /// what it is for is sealing and opening under subkeys of it.
    ///
    /// The user is the one of this device unless `user_name` names one. Name and password suffice: in an empty home this
    /// works too, and creates nothing there.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::UserNameNeeded`], [`Error::RegistrationUnderWay`], [`Error::Api`],
    /// [`Error::SessionRefused`], [`Error::Home`].
    pub async fn storage_key(&mut self, user_name: Option<&UserName>, password: Password) -> Result<StorageKey, Error> {
        let mut user = self.user(user_name)?;
        let retrieved = user.key_server().retrieve_storage_key(password).await?;
        user.follow_audit_log(&retrieved.audit_entry)?;
        Ok(retrieved.storage_key)
    }

    /// Changes the password of this device's user. The storage key stays the same; other sessions with the key server end.
    /// If the answer is lost it is asked for again, with the same bytes, while the session lasts. It costs two logins, of
    /// which the server allows so many an hour, and two entries of the audit log: the storage key is retrieved first.
    ///
    /// # Errors
    /// [`Error::WrongPassword`] if it is the old one that is wrong; [`Error::PasswordChangeUncertain`] if no good answer
    /// came: then either password may be the right one. After any other error but [`Error::Home`] the password is the old one.
    /// [`Error::Password`], [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::Api`],
    /// [`Error::SessionRefused`].
    pub async fn change_password(&mut self, old_password: Password, new_password: Password) -> Result<(), Error> {
        check_not_empty(&new_password)?;
        let mut user = self.user_of_this_device()?;
        let retrieved = user.key_server().retrieve_storage_key(old_password.clone()).await?;
        user.follow_audit_log(&retrieved.audit_entry)?;
        let (user_id, storage_key) = (retrieved.user_id, retrieved.storage_key);
        let changed = user.key_server().change_password(old_password, new_password, user_id, &storage_key).await?;
        user.follow_audit_log(&changed)
    }

    /// Reads the audit log: what was done with the user's storage key and password. The user is the one of this device
    /// unless `user_name` names one.
    ///
    /// This device remembers the newest entry that it saw, so it can tell whether the log goes on from there. A log that
    /// does not is altered, and will be as often as it is read. In an empty home nothing is known to compare it with.
    ///
    /// Every [`AUDIT_PAGE_LENGTH`](vestibule_protocol::limits::AUDIT_PAGE_LENGTH) entries cost a login, of which the server
    /// allows so many an hour, and leave an entry.
    ///
    /// # Errors
    /// As [`Client::storage_key`].
    pub async fn audit_log(&mut self, user_name: Option<&UserName>, password: Password) -> Result<AuditLog, Error> {
        let mut user = self.user(user_name)?;
        let log = read_audit_log(&user.key_server(), password, user.known(), self.options.clock.now()).await?;
        if log.chain != Chain::Altered {
            user.keep_audit_entry(log.entries.first())?;
        }
        Ok(log)
    }

    /// Deletes the storage key and the audit log of this device's user at the key server, for ever: part of the deletion of
    /// an account. What was sealed under the storage key cannot be opened any more. The home stays as it is, but only its
    /// device key opens it from then on.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::Api`],
    /// [`Error::SessionRefused`], [`Error::Home`].
    pub async fn delete_storage_key(&mut self, password: Password) -> Result<(), Error> {
        self.user_of_this_device()?.key_server().delete_storage_key(password).await
    }

    /// Opens a client whose home [`Client::open`] finds locked ([`HomeError::Locked`]), because its device key was lost: the
    /// user's password gives the storage key, which opens the home, and a new device key is made.
    ///
    /// The home cannot say who the user is nor where the server is, so `user_name` and [`Options::server`] must. A home that
    /// is not locked is opened, and the password not looked at.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::NotRegistered`] if there is no home, [`Error::Api`], [`Error::SessionRefused`],
    /// [`Error::Home`].
    pub async fn unlock(options: Options, user_name: &UserName, password: Password) -> Result<Self, Error> {
        let mut client = match Self::open(options.clone()) {
            Err(Error::Home(HomeError::Locked(_))) => Self { options, home: None },
            Ok(Self { home: None, .. }) => return Err(Error::NotRegistered),
            opened => return opened,
        };
        let retrieved = client.user(Some(user_name))?.key_server().retrieve_storage_key(password).await?;
        let Options { home, randomness, fuse, .. } = &client.options;
        client.home = Some(Home::unlock(home, &retrieved.storage_key, randomness.clone(), fuse.clone())?);
        client.user(Some(user_name))?.follow_audit_log(&retrieved.audit_entry)?;
        Ok(client)
    }

    /// Checks what can be checked before a password is asked for: that it is known whose.
    pub(crate) fn check_user_is_known(&self, user_name: Option<&UserName>) -> Result<(), Error> {
        self.user(user_name).map(|_| ())
    }

    /// The user of this device, or another one.
    fn user(&self, user_name: Option<&UserName>) -> Result<User<'_>, Error> {
        let state = self.load()?;
        let connection = self.connection(state.as_ref())?;
        let trusted_root = self.trusted_root(state.as_ref())?;
        let account = state.and_then(|state| state.account);
        let user_name = match (user_name, &account) {
            (Some(user_name), _) => user_name.clone(),
            (None, Some(account)) if account.is_registered() => account.user_name.clone(),
            (None, Some(account)) => return Err(account.incomplete()),
            (None, None) => return Err(Error::UserNameNeeded),
        };
        let account = account.filter(|account| account.user_name == user_name && account.is_registered());
        let session = match (&self.home, account) {
            (Some(home), Some(account)) => {
                let relay_transport = self.relay_transport();
                Some(Session::new(home, connection.clone(), relay_transport, trusted_root, Some(account)))
            }
            _ => None,
        };
        Ok(User { connection, user_name, session })
    }

    fn user_of_this_device(&self) -> Result<User<'_>, Error> {
        self.user(None).map_err(|error| match error {
            Error::UserNameNeeded => Error::NotRegistered,
            error => error,
        })
    }
}

/// A user of the key server.
struct User<'a> {
    connection: Connection,
    user_name: UserName,
    /// What this device has of the user, if it is one of the user's.
    session: Option<Session<'a>>,
}

impl User<'_> {
    fn key_server(&self) -> KeyServer<'_> {
        KeyServer::new(&self.connection, self.user_name.clone(), self.session.as_ref().map(Session::account))
    }

    fn known(&self) -> Option<Known> {
        let Account { user_id, key_server, .. } = self.session.as_ref()?.account();
        Some(Known { user_id: *user_id, newest_entry: key_server.map(|state| state.newest_audit_entry) })
    }

    fn follow_audit_log(&mut self, entry: &AuditEntry) -> Result<(), Error> {
        self.session.as_mut().map_or(Ok(()), |session| follow_audit_log(session, entry))
    }

    fn keep_audit_entry(&mut self, newest: Option<&AuditEntry>) -> Result<(), Error> {
        match (&mut self.session, newest) {
            (Some(session), Some(entry)) if session.account().has_storage_key() => keep_audit_entry(session, entry),
            _ => Ok(()),
        }
    }
}
