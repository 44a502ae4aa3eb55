//! Changes that a member makes.

use openmls::prelude::{CommitBuilder, CommitMessageBundle, Initial, LeafNodeParameters, MlsGroup};
use openmls_traits::OpenMlsProvider as _;
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use tls_codec::Serialize as _;
use vestibule_mls::{MlsSigner, Provider};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::name::ClientUuid;

use crate::joining::read_key_package;
use crate::leaf::capabilities;
use crate::private_group::PrivateGroup;
use crate::{ClientKeys, Follower, Identity, IdentityError};

/// A change that is ready to be sent, with what it leads to: to be kept until the authentication service has accepted it, or
/// another before it. Its JSON is for files that are private.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

impl Identity {
    /// Prepares to add the client of a KeyPackage (an `MLSMessage`).
    ///
    /// Like every change it also brings the client's own leaf up to date: `keys` may have a renewed credential, and another
    /// label; without a label, the leaf keeps what it has.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn prepare_add(
        &self,
        keys: &ClientKeys<'_>,
        key_package: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        let key_package = read_key_package(key_package)?;
        self.prepare(keys, rng, |builder| builder.propose_adds([key_package]))
    }

    /// Prepares to remove clients.
    ///
    /// # Errors
    /// [`IdentityError`]: [`NotAMember`](IdentityError::NotAMember) if one of them is none.
    pub fn prepare_remove(
        &self,
        keys: &ClientKeys<'_>,
        clients: &[ClientUuid],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        let index = |client: &ClientUuid| self.follower.index_of(*client).ok_or(IdentityError::NotAMember);
        let indices: Vec<_> = clients.iter().map(index).collect::<Result<_, _>>()?;
        self.prepare(keys, rng, |builder| builder.propose_removals(indices))
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
        self.prepare(keys, rng, |builder| builder)
    }

    fn prepare<R: RngCore + CryptoRng>(
        &self,
        keys: &ClientKeys<'_>,
        rng: &mut R,
        propose: impl FnOnce(CommitBuilder<'_, Initial>) -> CommitBuilder<'_, Initial>,
    ) -> Result<PreparedCommit, IdentityError> {
        self.check_keys(keys)?;
        let provider = Provider::new(rng, self.private.storage()?);
        let mut group = PrivateGroup::load(&provider, self.group_id())?;
        let bundle = commit(&mut group, &provider, keys, propose)?;
        group.merge_pending_commit(&provider).map_err(|_| IdentityError::Failed)?;
        let private = PrivateGroup::of(&provider, self.group_id())?;
        PreparedCommit::checked(&self.follower, self.client, bundle, private)
    }

    fn check_keys(&self, keys: &ClientKeys<'_>) -> Result<(), IdentityError> {
        if !self.is_member() {
            return Err(IdentityError::Removed);
        }
        let own = self.follower.member(self.client).ok_or(IdentityError::Removed)?;
        let are_own = own.client_id == *keys.client_id() && own.verifying_key == keys.key.verifying_key();
        if are_own { Ok(()) } else { Err(IdentityError::AnotherClientsKeys) }
    }
}

fn commit<R: RngCore + CryptoRng>(
    group: &mut MlsGroup,
    provider: &Provider<vestibule_mls::GivenRandomness<'_, R>>,
    keys: &ClientKeys<'_>,
    propose: impl FnOnce(CommitBuilder<'_, Initial>) -> CommitBuilder<'_, Initial>,
) -> Result<CommitMessageBundle, IdentityError> {
    let failed = |_| IdentityError::Failed;
    let mut leaf = LeafNodeParameters::builder()
        .with_credential_with_key(keys.credential_with_key())
        .with_capabilities(capabilities());
    if keys.encrypted_device_label.is_some() {
        leaf = leaf.with_extensions(keys.leaf_extensions()?);
    }
    propose(group.commit_builder().force_self_update(true).leaf_node_parameters(leaf.build()))
        .load_psks(provider.storage())
        .map_err(failed)?
        .use_ratchet_tree_extension(true)
        .build(provider.rand(), provider.crypto(), &MlsSigner::from(keys.key), |_| true)
        .map_err(failed)?
        .stage_commit(provider)
        .map_err(|_| IdentityError::Failed)
}

impl PreparedCommit {
    /// What openmls has made, checked as everybody else will check it.
    pub(crate) fn checked(
        follower: &Follower,
        client: ClientUuid,
        bundle: CommitMessageBundle,
        private: PrivateGroup,
    ) -> Result<Self, IdentityError> {
        let (commit, welcome, group_info) = bundle.into_messages();
        let written = |message: openmls::prelude::MlsMessageOut| {
            message.tls_serialize_detached().map(Bytes).map_err(|_| IdentityError::Failed)
        };
        let commit = written(commit)?;
        let group_info = written(group_info.ok_or(IdentityError::Failed)?)?;
        let welcome = welcome.map(written).transpose()?;
        let checked = follower.check(&commit.0)?;
        checked.check_group_info(&group_info.0)?;
        let (_, next) = checked.into_parts();
        Ok(Self { commit, group_info, welcome, next: Identity { follower: next, client, private } })
    }
}
