//! The public history of an identity, followed without secrets.

use std::fmt;

use openmls::prelude::{GroupId, LeafNode, LeafNodeIndex, MlsMessageBodyIn, MlsMessageIn, ProposalStore, PublicGroup};
use openmls::treesync::LeafNodeSource;
use openmls_rust_crypto::RustCrypto;
use sha2::{Digest as _, Sha256};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};
use vestibule_mls::CIPHERSUITE;
use vestibule_protocol::keys::{ClientCredentialKey, VerifyingKey};
use vestibule_protocol::limits::MAX_IDENTITY_MESSAGE_LENGTH;
use vestibule_protocol::name::{ClientUuid, UserName};
use vestibule_protocol::signed::labelled;

use crate::commit::CheckedCommit;
use crate::group_info::ExpectedGroupInfo;
use crate::public_storage::{PublicStorage, StoredGroup};
use crate::{IdentityError, Member};

/// The first generation's number.
const FIRST_GENERATION: u64 = 1;
/// The version of [`Follower::to_bytes`]. It also stands for the openmls whose tree is inside.
const VERSION: u8 = 1;
/// Length of the hash behind [`Follower::to_bytes`].
const HASH_LENGTH: usize = 32;

/// An epoch of one generation of a user's identity, reached by following its public history: by the authentication service
/// and by every client.
pub struct Follower {
    pub(crate) state: State,
    /// The group as it is stored: openmls writes it when it changes, and at no other time.
    pub(crate) stored: StoredGroup,
    pub(crate) group: PublicGroup,
}

/// What openmls does not know.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct State {
    pub(crate) user_name: UserName,
    pub(crate) generation: u64,
    /// The fingerprint of the last epoch of the generation before, or zeros in the first.
    pub(crate) previous: [u8; 32],
    pub(crate) unconfirmed: Vec<ClientUuid>,
    pub(crate) may_enter: Vec<Entitlement>,
}

/// A client that may enter the generation by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Entitlement {
    pub(crate) client: ClientUuid,
    pub(crate) verifying_key: VerifyingKey<ClientCredentialKey>,
}

impl Follower {
    /// Begins with the GroupInfo (an `MLSMessage`) of a generation's epoch 0. `previous` is the last epoch of the
    /// generation before it: `None` for generation 1, and for no other.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn start(
        user_name: &UserName,
        generation: u64,
        group_info: &[u8],
        previous: Option<&Self>,
    ) -> Result<Self, IdentityError> {
        let state = State::at_start(user_name, generation, previous)?;
        let message = decode(group_info)?;
        let MlsMessageBodyIn::GroupInfo(claim) = message.extract() else { return Err(IdentityError::Malformed) };
        if *claim.group_id() != group_id(user_name, generation) {
            return Err(IdentityError::AnotherGroup);
        }
        if claim.ciphersuite() != CIPHERSUITE {
            return Err(IdentityError::Malformed);
        }
        let ratchet_tree = claim.extensions().ratchet_tree().ok_or(IdentityError::GroupInfoExtensions)?;
        let ratchet_tree = ratchet_tree.ratchet_tree().clone();
        let storage = PublicStorage::default();
        let crypto = RustCrypto::default();
        let (group, _) = PublicGroup::from_external(&crypto, &storage, ratchet_tree, claim, ProposalStore::new())
            .map_err(|_| IdentityError::NotABeginning)?;
        let mut follower = Self { state, stored: storage.into_stored(), group };
        let creator = follower.check_start()?;
        follower.check_own_group_info(group_info, LeafNodeIndex::new(0))?;
        follower.state.may_enter.retain(|entitlement| !entitlement.is_of(&creator));
        Ok(follower)
    }

    /// That the group has just been created by its only member, which is given back.
    fn check_start(&self) -> Result<Member, IdentityError> {
        let context = self.group.group_context();
        let is_beginning = context.epoch().as_u64() == 0
            && context.confirmed_transcript_hash().is_empty()
            && context.extensions().iter().next().is_none();
        let mut leaves = self.group.treesync().full_leaves();
        let (Some((index, leaf)), None) = (leaves.next(), leaves.next()) else {
            return Err(IdentityError::NotABeginning);
        };
        let is_creators = index.u32() == 0 && matches!(leaf.leaf_node_source(), LeafNodeSource::KeyPackage(_));
        if !is_beginning || !is_creators || self.group.treesync().full_parents().next().is_some() {
            return Err(IdentityError::NotABeginning);
        }
        Member::of_leaf(leaf, &self.state.user_name, true)
    }

    /// That a GroupInfo is exactly one of this epoch, signed by the member at `signer`.
    pub(crate) fn check_own_group_info(&self, group_info: &[u8], signer: LeafNodeIndex) -> Result<(), IdentityError> {
        if group_info.len() > MAX_IDENTITY_MESSAGE_LENGTH {
            return Err(IdentityError::TooLong);
        }
        let written = |result: Result<Vec<u8>, tls_codec::Error>| result.map_err(|_| IdentityError::Failed);
        let leaf = self.group.leaf(signer).ok_or(IdentityError::GroupInfoSignature)?;
        let expected = ExpectedGroupInfo {
            context: &written(self.group.group_context().tls_serialize_detached())?,
            ratchet_tree: &written(self.group.export_ratchet_tree().tls_serialize_detached())?,
            confirmation_tag: &written(self.group.confirmation_tag().tls_serialize_detached())?,
            signer: signer.u32(),
            signature_key: leaf.signature_key().as_slice(),
        };
        expected.check(group_info)
    }

    /// That a GroupInfo is exactly one of this epoch, signed by a member.
    pub(crate) fn check_group_info_of_a_member(&self, group_info: &[u8]) -> Result<(), IdentityError> {
        let mut result = Err(IdentityError::NotAMember);
        for (index, _) in self.group.treesync().full_leaves() {
            result = self.check_own_group_info(group_info, index);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// The generation: 1, and one more with each reset.
    pub fn generation(&self) -> u64 {
        self.state.generation
    }

    /// The epoch: how many commits the generation has had.
    pub fn epoch(&self) -> u64 {
        self.group.group_context().epoch().as_u64()
    }

    /// The user.
    pub fn user_name(&self) -> &UserName {
        &self.state.user_name
    }

    /// The members, in the order of the leaves.
    pub fn members(&self) -> Vec<Member> {
        self.group.treesync().full_leaves().map(|(_, leaf)| self.member_of(leaf)).collect()
    }

    /// The member that is this client.
    pub fn member(&self, client: ClientUuid) -> Option<Member> {
        self.members().into_iter().find(|member| member.client_id.uuid == client)
    }

    /// The clients that may enter this generation by an external commit and have not done so: of the confirmed members of
    /// the last epoch of the generation before, those that are not in. Who had not entered that one in time has to start a
    /// generation itself, or to be added.
    pub fn may_enter(&self) -> Vec<ClientUuid> {
        self.state.may_enter.iter().map(|entitlement| entitlement.client).collect()
    }

    /// The SHA-256 hash of the GroupContext and, by way of it, of everything before: equal in the same epoch of the same
    /// history, and nowhere else.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut content = self.state.previous.to_vec();
        self.group.group_context().tls_serialize(&mut content).expect("a context that was read or made can be written");
        Sha256::digest(labelled("IdentityEpoch", &content)).into()
    }

    /// Checks a commit (an `MLSMessage`) by all rules that need no secrets, and no knowledge of what the authentication
    /// service has issued.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn check(&self, commit: &[u8]) -> Result<CheckedCommit, IdentityError> {
        CheckedCommit::check(self, commit)
    }

    /// Checks the GroupInfo (an `MLSMessage`) that comes with a commit.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn check_group_info(&self, commit: &CheckedCommit, group_info: &[u8]) -> Result<(), IdentityError> {
        commit.check_group_info(group_info)
    }

    /// Goes on to the epoch that a commit leads to.
    ///
    /// # Panics
    /// If the commit was checked by another follower, or before another commit was merged: the caller has mixed something
    /// up.
    pub fn merge(&mut self, commit: CheckedCommit) {
        *self = commit.into_next_after(self.fingerprint());
    }

    /// The follower as bytes, a few hundred for each member.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        self.state.tls_serialize(&mut bytes).expect("its parts are short");
        self.stored.tls_serialize(&mut bytes).expect("its parts are short");
        let hash = Sha256::digest(&bytes);
        bytes.extend(hash);
        bytes
    }

    /// The follower that was written as these bytes; `None` if they are not exactly what [`Follower::to_bytes`] gave, in
    /// this version. It can then be had again from the history.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bytes, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_LENGTH)?)?;
        if Sha256::digest(bytes).as_slice() != hash {
            return None;
        }
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (state, rest) = State::tls_deserialize_bytes(rest).ok()?;
        Self::from_parts(state, StoredGroup::tls_deserialize_exact_bytes(rest).ok()?)
    }

    fn from_parts(state: State, stored: StoredGroup) -> Option<Self> {
        let group_id = group_id(&state.user_name, state.generation);
        let storage = PublicStorage::new(stored);
        let group = PublicGroup::load(&storage, &group_id).ok()??;
        (*group.group_id() == group_id).then(|| Self { state, stored: storage.into_stored(), group })
    }

    fn member_of(&self, leaf: &LeafNode) -> Member {
        let mut member =
            Member::of_leaf(leaf, &self.state.user_name, true).expect("every leaf was checked when it came in");
        member.is_confirmed = !self.state.unconfirmed.contains(&member.client_id.uuid);
        member
    }

    /// The member at a leaf.
    pub(crate) fn member_at(&self, index: LeafNodeIndex) -> Option<Member> {
        self.group.leaf(index).map(|leaf| self.member_of(leaf))
    }

    /// Where a client's leaf is.
    pub(crate) fn index_of(&self, client: ClientUuid) -> Option<LeafNodeIndex> {
        let mut leaves = self.group.treesync().full_leaves();
        leaves.find(|(_, leaf)| self.member_of(leaf).client_id.uuid == client).map(|(index, _)| index)
    }
}

impl State {
    fn at_start(user_name: &UserName, generation: u64, previous: Option<&Follower>) -> Result<Self, IdentityError> {
        let (fingerprint, may_enter) = match previous {
            None if generation == FIRST_GENERATION => ([0; 32], Vec::new()),
            Some(previous)
                if previous.user_name() == user_name && previous.generation().checked_add(1) == Some(generation) =>
            {
                let confirmed = previous.members().into_iter().filter(|member| member.is_confirmed);
                (previous.fingerprint(), confirmed.map(|member| Entitlement::of(&member)).collect())
            }
            _ => return Err(IdentityError::PreviousGeneration),
        };
        let user_name = user_name.clone();
        Ok(Self { user_name, generation, previous: fingerprint, unconfirmed: Vec::new(), may_enter })
    }
}

impl Entitlement {
    pub(crate) fn of(member: &Member) -> Self {
        Self { client: member.client_id.uuid, verifying_key: member.verifying_key }
    }

    pub(crate) fn is_of(&self, member: &Member) -> bool {
        self.client == member.client_id.uuid
    }
}

impl Clone for Follower {
    fn clone(&self) -> Self {
        Self::from_parts(self.state.clone(), self.stored.clone()).expect("it was loaded or stored before")
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { user_name, generation, .. } = &self.state;
        write!(formatter, "identity of {user_name}, generation {generation}, epoch {}", self.epoch())
    }
}

/// The name of a generation's group: the TLS encoding of user and generation, under a label.
pub(crate) fn group_id(user_name: &UserName, generation: u64) -> GroupId {
    let mut content = user_name.tls_serialize_detached().expect("a user name is short");
    content.extend(generation.to_be_bytes());
    GroupId::from_slice(&labelled("Identity", &content))
}

/// Decodes an `MLSMessage` of an identity: nothing may follow it, and it must be what MLS would have written.
pub(crate) fn decode(bytes: &[u8]) -> Result<MlsMessageIn, IdentityError> {
    if bytes.len() > MAX_IDENTITY_MESSAGE_LENGTH {
        return Err(IdentityError::TooLong);
    }
    let malformed = |_| IdentityError::Malformed;
    let message = <MlsMessageIn as tls_codec::Deserialize>::tls_deserialize_exact(bytes).map_err(malformed)?;
    if message.tls_serialize_detached().map_err(malformed)? == bytes {
        Ok(message)
    } else {
        Err(IdentityError::Malformed)
    }
}
