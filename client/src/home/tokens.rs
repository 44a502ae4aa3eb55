//! The client's tokens: a file of their own, because they change with every payment and the state does not.

use std::path::PathBuf;

use super::json::to_secret_json;
use super::sealing::Kind;
use super::{Home, HomeError, files};
use crate::tokens::Wallet;

impl Home {
    /// Reads the wallet, or gives `None` if there never was one.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn load_wallet(&self) -> Result<Option<Wallet>, HomeError> {
        let path = self.wallet_path();
        let Some(sealed) = files::read(&path)? else { return Ok(None) };
        let json = self.keys.open(Kind::Tokens, &sealed, &path)?;
        let wallet: Wallet = serde_json::from_slice(&json).map_err(|_| HomeError::Damaged(path.clone()))?;
        if wallet.is_of_known_version() { Ok(Some(wallet)) } else { Err(HomeError::NewerVersion(path)) }
    }

    /// Replaces the wallet: a crash leaves the old or the new one, whole.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn store_wallet(&self, wallet: &Wallet) -> Result<(), HomeError> {
        self.replace(Kind::Tokens, &self.wallet_path(), to_secret_json(wallet))
    }

    /// Removes the wallet, if there is one.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(super) fn remove_wallet(&self) -> Result<(), HomeError> {
        files::remove(&self.wallet_path())?;
        Ok(self.fuse.reach("after the wallet was removed")?)
    }

    fn wallet_path(&self) -> PathBuf {
        self.directory.join("tokens")
    }
}
