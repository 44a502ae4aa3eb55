//! A client's own membership.

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::name::{ClientUuid, UserName};
use zeroize::Zeroizing;

use crate::{Change, ClientKeys, Follower, IdentityError, ProcessError};

/// A client's own membership in its user's identity. Its JSON is for files that are private.
#[derive(Debug, Serialize, Deserialize)]
pub struct Identity {}

/// A change that is ready to be sent. Its JSON is for files that are private.
#[derive(Debug, Serialize, Deserialize)]
pub struct PreparedCommit {
    /// The commit, an `MLSMessage`.
    pub commit: Bytes,
    /// The GroupInfo of the epoch after it, an `MLSMessage`.
    pub group_info: Bytes,
    /// The Welcome for the client that it adds, an `MLSMessage`.
    pub welcome: Option<Bytes>,
    /// The membership after it.
    pub next: Identity,
}

/// What a client keeps of the KeyPackage that it is to be added by. Its JSON is for files that are private.
#[derive(Debug, Serialize, Deserialize)]
pub struct PrivateIdentityKeyPackage {}

#[expect(unused_variables, clippy::todo, reason = "the signatures come first")]
impl Identity {
    /// Starts a generation, with this client alone, and gives the GroupInfo of its epoch 0 (an `MLSMessage`). `previous` is
    /// the last epoch of the generation before: `None` for generation 1, and for no other.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn start(
        user_name: &UserName,
        generation: u64,
        previous: Option<&Follower>,
        keys: &ClientKeys<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Bytes), IdentityError> {
        todo!()
    }

    /// What everybody can see.
    pub fn follower(&self) -> &Follower {
        todo!()
    }

    /// Prepares to add a client.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn prepare_add(
        &self,
        keys: &ClientKeys<'_>,
        key_package: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        todo!()
    }

    /// Prepares to remove clients.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn prepare_remove(
        &self,
        keys: &ClientKeys<'_>,
        clients: &[ClientUuid],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        todo!()
    }

    /// Prepares an update of the client's own leaf: its confirmation, another credential, another label.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn prepare_update(
        &self,
        keys: &ClientKeys<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        todo!()
    }

    /// Takes up another client's commit. If it removes this client, this is no membership any more.
    ///
    /// # Errors
    /// [`ProcessError`]; nothing has changed then.
    pub fn process(&mut self, commit: &[u8]) -> Result<Change, ProcessError> {
        todo!()
    }

    /// Makes the KeyPackage (an `MLSMessage`) that a client is added by.
    ///
    /// # Errors
    /// [`IdentityError::Failed`].
    pub fn make_key_package(
        keys: &ClientKeys<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Bytes, PrivateIdentityKeyPackage), IdentityError> {
        todo!()
    }

    /// Checks that a KeyPackage (an `MLSMessage`) is for exactly this credential and can be added.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn check_key_package(key_package: &[u8], expected: &ClientCredential) -> Result<(), IdentityError> {
        todo!()
    }

    /// Joins by a Welcome (an `MLSMessage`). `follower` is the epoch after the commit that added this client, as the
    /// authentication service told of it.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn join(private: PrivateIdentityKeyPackage, welcome: &[u8], follower: Follower) -> Result<Self, IdentityError> {
        todo!()
    }

    /// Prepares to enter a generation that another client has started. `group_info` (an `MLSMessage`) is of the follower's
    /// epoch.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn prepare_entry(
        follower: Follower,
        group_info: &[u8],
        keys: &ClientKeys<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        todo!()
    }

    /// A secret that the members have in common in this epoch and nobody else can derive (RFC 9420, section 8.5).
    pub fn export_secret(&self, label: &str, context: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
        todo!()
    }
}
