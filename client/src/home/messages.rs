//! The client's inbox and outbox: files of their own, because they change with every message and the state does not.

use std::path::PathBuf;

use super::json::to_secret_json;
use super::sealing::Kind;
use super::{Home, HomeError, files};
use crate::messages::{Inbox, Outbox};

impl Home {
    /// Reads the inbox, or gives `None` if there never was one.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn load_inbox(&self) -> Result<Option<Inbox>, HomeError> {
        let path = self.inbox_path();
        let Some(sealed) = files::read(&path)? else { return Ok(None) };
        let json = self.keys.open(Kind::Inbox, &sealed, &path)?;
        let inbox: Inbox = serde_json::from_slice(&json).map_err(|_| HomeError::Damaged(path.clone()))?;
        if inbox.is_of_known_version() { Ok(Some(inbox)) } else { Err(HomeError::NewerVersion(path)) }
    }

    /// Replaces the inbox: a crash leaves the old or the new one, whole.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn store_inbox(&self, inbox: &Inbox) -> Result<(), HomeError> {
        self.replace(Kind::Inbox, &self.inbox_path(), to_secret_json(inbox))
    }

    /// Reads the outbox, or gives `None` if nothing is being sent.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn load_outbox(&self) -> Result<Option<Outbox>, HomeError> {
        let path = self.outbox_path();
        let Some(sealed) = files::read(&path)? else { return Ok(None) };
        let json = self.keys.open(Kind::Outbox, &sealed, &path)?;
        let outbox: Outbox = serde_json::from_slice(&json).map_err(|_| HomeError::Damaged(path.clone()))?;
        if outbox.is_of_known_version() { Ok(Some(outbox)) } else { Err(HomeError::NewerVersion(path)) }
    }

    /// Replaces the outbox.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn store_outbox(&self, outbox: &Outbox) -> Result<(), HomeError> {
        self.replace(Kind::Outbox, &self.outbox_path(), to_secret_json(outbox))
    }

    /// Forgets what is being sent.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn remove_outbox(&self) -> Result<(), HomeError> {
        self.fuse.reach("before the outbox is removed")?;
        files::remove(&self.outbox_path())?;
        Ok(self.fuse.reach("after the outbox was removed")?)
    }

    /// Removes the inbox, whoever's it is, and the outbox.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(super) fn remove_messages(&self) -> Result<(), HomeError> {
        files::remove(&self.inbox_path())?;
        self.remove_outbox()
    }

    fn inbox_path(&self) -> PathBuf {
        self.directory.join("inbox")
    }

    fn outbox_path(&self) -> PathBuf {
        self.directory.join("outbox")
    }
}
