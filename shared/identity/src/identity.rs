//! A client's own membership.

use openmls::prelude::{
    GroupId, MlsGroup, MlsGroupJoinConfig, MlsMessageBodyIn, PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProcessedMessageContent,
};
use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::OpenMlsProvider as _;
use rand::{CryptoRng, RngCore};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tls_codec::Serialize as _;
use vestibule_mls::{CIPHERSUITE, MlsSigner, Provider};
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::name::{ClientUuid, UserName};
use zeroize::Zeroizing;

use crate::commit::CheckedCommit;
use crate::follower::{decode, group_id};
use crate::leaf::{capabilities, lifetime};
use crate::private_group::PrivateGroup;
use crate::{Change, ClientKeys, Follower, IdentityError, ProcessError};

/// A client's own membership in its user's identity. Its JSON is for files that are private.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) follower: Follower,
    pub(crate) client: ClientUuid,
    pub(crate) private: PrivateGroup,
}

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
        let provider = Provider::new(rng, MemoryStorage::default());
        let signer = MlsSigner::from(keys.key);
        let group_id = group_id(user_name, generation);
        let group = MlsGroup::builder()
            .with_group_id(group_id.clone())
            .ciphersuite(CIPHERSUITE)
            .lifetime(lifetime())
            .with_capabilities(capabilities())
            .with_leaf_node_extensions(keys.leaf_extensions()?)
            .map_err(|_| IdentityError::Failed)?
            .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .max_past_epochs(0)
            .use_ratchet_tree_extension(true)
            .build(&provider, &signer, keys.credential_with_key())
            .map_err(|_| IdentityError::Failed)?;
        let group_info =
            group.export_group_info(provider.crypto(), &signer, true).map_err(|_| IdentityError::Failed)?;
        let group_info = Bytes(group_info.tls_serialize_detached().map_err(|_| IdentityError::Failed)?);
        let follower = Follower::start(user_name, generation, &group_info.0, previous)?;
        let private = PrivateGroup::of(&provider, &group_id)?;
        Ok((Self { follower, client: keys.client_id().uuid, private }, group_info))
    }

    /// What everybody can see.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Whether the client is still a member.
    pub fn is_member(&self) -> bool {
        !self.private.is_empty()
    }

    /// Takes up another client's commit. If it removes this client, this is no membership any more.
    ///
    /// # Errors
    /// [`ProcessError`]; nothing has changed then.
    pub fn process(&mut self, commit: &[u8]) -> Result<Change, ProcessError> {
        if !self.is_member() {
            return Err(IdentityError::Removed.into());
        }
        let checked = self.follower.check(commit)?;
        if checked.committer().uuid == self.client {
            return Err(ProcessError::Own);
        }
        let is_removed = checked.change().removed.iter().any(|removed| removed.uuid == self.client);
        self.private = if is_removed { PrivateGroup::empty() } else { self.take_up(commit, &checked)? };
        let (change, next) = checked.into_parts();
        self.follower = next;
        Ok(change)
    }

    /// The private part after a commit that everybody else can follow.
    fn take_up(&self, commit: &[u8], checked: &CheckedCommit) -> Result<PrivateGroup, ProcessError> {
        let unfollowable = || ProcessError::Unfollowable { by: checked.committer().clone() };
        let provider = Provider::deterministic(self.private.storage()?);
        let mut group = PrivateGroup::load(&provider, self.group_id())?;
        let MlsMessageBodyIn::PublicMessage(message) = decode(commit)?.extract() else {
            return Err(IdentityError::NotACommit.into());
        };
        let processed = group.process_message(&provider, message).map_err(|_| unfollowable())?;
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
            return Err(unfollowable());
        };
        group.merge_staged_commit(&provider, *staged).map_err(|_| unfollowable())?;
        if group.public_group().group_context() != checked.next().group.group_context() {
            return Err(IdentityError::Failed.into());
        }
        Ok(PrivateGroup::of(&provider, self.group_id())?)
    }

    /// A secret of `length` bytes that the members have in common in this epoch and nobody else can derive (RFC 9420,
    /// section 8.5).
    ///
    /// # Errors
    /// [`IdentityError::Removed`], or [`IdentityError::Failed`] if `length` is more than 8160.
    pub fn export_secret(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        if !self.is_member() {
            return Err(IdentityError::Removed);
        }
        let provider = Provider::deterministic(self.private.storage()?);
        let group = PrivateGroup::load(&provider, self.group_id())?;
        let exported = group.export_secret(&RustCrypto::default(), label, context, length);
        exported.map(Zeroizing::new).map_err(|_| IdentityError::Failed)
    }

    pub(crate) fn group_id(&self) -> &GroupId {
        self.follower.group.group_id()
    }
}

/// How a group is kept that others have created: without anything of past epochs.
pub(crate) fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(true)
        .build()
}

/// An identity in JSON.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    follower: Bytes,
    client: ClientUuid,
    #[serde(with = "secret")]
    private: PrivateGroup,
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { follower, client, private } = self;
        let follower = Bytes(follower.to_bytes());
        StoredIdentity { follower, client: *client, private: private.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredIdentity { follower, client, private } = StoredIdentity::deserialize(deserializer)?;
        let follower = Follower::from_bytes(&follower.0).ok_or_else(|| D::Error::custom("not an identity's epoch"))?;
        Ok(Self { follower, client, private })
    }
}
