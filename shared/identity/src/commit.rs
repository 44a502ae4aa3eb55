//! Commits, and the rules that they keep.

use std::fmt;

use openmls::framing::ContentType;
use openmls::prelude::{
    LeafNodeIndex, MlsMessageBodyIn, Node, ProcessedMessageContent, Proposal, ProposalOrRefType, PublicGroup,
    PublicMessageIn, QueuedProposal, Sender, StagedCommit,
};
use openmls_rust_crypto::RustCrypto;
use tls_codec::{DeserializeBytes as _, Serialize as _, Size as _, VLBytes};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::HpkePublicKey;
use vestibule_protocol::name::ClientId;

use crate::follower::{State, decode};
use crate::public_storage::PublicStorage;
use crate::{Follower, IdentityError, Member};

/// What a commit does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The client that was added, unconfirmed.
    pub added: Option<Member>,
    /// The clients that were removed.
    pub removed: Vec<ClientId>,
    /// The committer, as its leaf is after the commit.
    pub committer: Member,
    /// The committer's credential before the commit, mostly the same; `None` for an entry.
    pub previous_credential: Option<Bytes>,
    /// Whether the committer has confirmed itself with it.
    pub is_confirmation: bool,
    /// Whether the committer has entered the generation with it.
    pub is_entry: bool,
}

impl Change {
    /// Whether the committer has put another credential in its leaf, or a first one.
    pub fn has_new_credential(&self) -> bool {
        self.previous_credential.as_ref() != Some(&self.committer.client_credential)
    }
}

/// A commit that keeps the rules, with the epoch that it leads to.
pub struct CheckedCommit {
    change: Change,
    committer_index: LeafNodeIndex,
    /// The fingerprint of the epoch that the commit was made in.
    base: [u8; 32],
    next: Follower,
}

/// The proposals of a commit.
#[derive(Default)]
struct Proposals {
    added: Option<Member>,
    removed: Vec<ClientId>,
    count: usize,
    /// How many bytes they take in the commit.
    length: usize,
}

impl CheckedCommit {
    /// The client that made the commit.
    pub fn committer(&self) -> &ClientId {
        &self.change.committer.client_id
    }

    /// What it does.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The epoch that it leads to.
    pub fn next(&self) -> &Follower {
        &self.next
    }

    pub(crate) fn check_group_info(&self, group_info: &[u8]) -> Result<(), IdentityError> {
        self.next.check_own_group_info(group_info, self.committer_index)
    }

    pub(crate) fn into_parts(self) -> (Change, Follower) {
        (self.change, self.next)
    }

    pub(crate) fn into_next_after(self, base: [u8; 32]) -> Follower {
        assert!(self.base == base, "the commit was not checked in this epoch");
        self.next
    }

    pub(crate) fn check(follower: &Follower, commit: &[u8]) -> Result<Self, IdentityError> {
        let message = decode_commit(follower, commit)?;
        let sender = message.sender().clone();
        let committer_before = match sender {
            Sender::Member(index) => Some(follower.member_at(index).ok_or(IdentityError::NotAMember)?),
            _ => None,
        };
        let staged = stage(follower, message)?;
        let committer_index = match sender {
            Sender::Member(index) => index,
            _ => follower.group.ext_commit_sender_index(&staged).map_err(|_| IdentityError::InvalidCommit)?,
        };
        if staged.update_path_leaf_node().is_none() {
            return Err(IdentityError::NoPath);
        }
        let proposals = Proposals::read(follower, &staged, committer_before.is_none())?;
        if proposals_length(commit) != Some(proposals.length) {
            return Err(IdentityError::ProposalNotAllowed);
        }

        let group_id = follower.group.group_id().clone();
        let storage = PublicStorage::new(follower.stored.clone());
        let mut group = PublicGroup::load(&storage, &group_id).ok().flatten().ok_or(IdentityError::Failed)?;
        group.merge_commit(&storage, staged).map_err(|_| IdentityError::Failed)?;
        check_tree_keys(&group)?;

        let leaf = group.leaf(committer_index).ok_or(IdentityError::InvalidCommit)?;
        let committer = Member::of_leaf(leaf, follower.user_name(), true)?;
        match &committer_before {
            Some(before) => check_continuity(before, &committer, &proposals)?,
            None => check_entry(follower, &committer)?,
        }
        let change = Change {
            is_confirmation: committer_before.as_ref().is_some_and(|before| !before.is_confirmed),
            is_entry: committer_before.is_none(),
            previous_credential: committer_before.map(|before| before.client_credential),
            added: proposals.added,
            removed: proposals.removed,
            committer,
        };
        let next = Follower { state: follower.state.after(&change), stored: storage.into_stored(), group };
        Ok(Self { change, committer_index, base: follower.fingerprint(), next })
    }
}

/// Decodes a commit and checks that it belongs here.
fn decode_commit(follower: &Follower, commit: &[u8]) -> Result<PublicMessageIn, IdentityError> {
    let message = match decode(commit)?.extract() {
        MlsMessageBodyIn::PublicMessage(message) => message,
        _ => return Err(IdentityError::NotACommit),
    };
    if message.group_id() != follower.group.group_id() {
        return Err(IdentityError::AnotherGroup);
    }
    if message.epoch() != follower.group.group_context().epoch() {
        return Err(IdentityError::AnotherEpoch);
    }
    let is_commit = message.content_type() == ContentType::Commit
        && matches!(message.sender(), Sender::Member(_) | Sender::NewMemberCommit);
    if is_commit { Ok(message) } else { Err(IdentityError::NotACommit) }
}

/// Checks a commit by the rules of MLS.
fn stage(follower: &Follower, message: PublicMessageIn) -> Result<StagedCommit, IdentityError> {
    let processed =
        follower.group.process_message(&RustCrypto::default(), message).map_err(|_| IdentityError::InvalidCommit)?;
    if !processed.aad().is_empty() {
        return Err(IdentityError::AuthenticatedData);
    }
    match processed.into_content() {
        ProcessedMessageContent::StagedCommitMessage(staged) => Ok(*staged),
        _ => Err(IdentityError::NotACommit),
    }
}

/// How many bytes the proposals of a commit that decodes take in it (RFC 9420, sections 6 and 12.4). openmls hands out a
/// proposal once that is there twice.
fn proposals_length(commit: &[u8]) -> Option<usize> {
    let opaque = |bytes| VLBytes::tls_deserialize_bytes(bytes).ok();
    let (_group_id, rest) = opaque(commit.get(4..)?)?;
    let sender = rest.get(8..)?;
    let is_member = sender.first() == Some(&1);
    let (_authenticated_data, rest) = opaque(sender.get(if is_member { 5 } else { 1 }..)?)?;
    let (proposals, _) = opaque(rest.get(1..)?)?;
    Some(proposals.as_slice().len())
}

impl Proposals {
    fn read(follower: &Follower, staged: &StagedCommit, is_entry: bool) -> Result<Self, IdentityError> {
        let mut proposals = Self::default();
        for queued in staged.queued_proposals() {
            proposals.count += 1;
            // By value: a byte that says so, and the proposal.
            proposals.length += 1 + queued.proposal().tls_serialized_len();
            proposals.read_one(follower, queued, is_entry)?;
        }
        if is_entry && proposals.count != 1 { Err(IdentityError::ProposalNotAllowed) } else { Ok(proposals) }
    }

    fn read_one(&mut self, follower: &Follower, queued: &QueuedProposal, is_entry: bool) -> Result<(), IdentityError> {
        if queued.proposal_or_ref_type() != ProposalOrRefType::Proposal {
            return Err(IdentityError::ProposalNotAllowed);
        }
        match queued.proposal() {
            Proposal::ExternalInit(_) if is_entry => {}
            Proposal::Add(add) if !is_entry => {
                let member = Member::of_key_package(add.key_package(), follower.user_name())?;
                if follower.member(member.client_id.uuid).is_some() {
                    return Err(IdentityError::MemberTwice);
                }
                if self.added.replace(member).is_some() {
                    return Err(IdentityError::TwoAdds);
                }
            }
            Proposal::Remove(remove) if !is_entry => {
                let member = follower.member_at(remove.removed()).ok_or(IdentityError::InvalidCommit)?;
                self.removed.push(member.client_id);
            }
            _ => return Err(IdentityError::ProposalNotAllowed),
        }
        Ok(())
    }
}

/// That every key of the tree is one that can be encrypted to: openmls takes any bytes, and none of the others could
/// commit any more.
fn check_tree_keys(group: &PublicGroup) -> Result<(), IdentityError> {
    for node in group.export_ratchet_tree().nodes() {
        // The leaves that came in are checked as such.
        let Node::ParentNode(parent) = node else { continue };
        let bytes = parent.tls_serialize_detached().map_err(|_| IdentityError::Failed)?;
        HpkePublicKey::tls_deserialize_bytes(&bytes).map_err(|_| IdentityError::Leaf)?;
    }
    Ok(())
}

/// That a member is still the same client with the same key, and does nothing but confirm itself if it has not.
fn check_continuity(before: &Member, after: &Member, proposals: &Proposals) -> Result<(), IdentityError> {
    if !after.is_same_client(before) {
        Err(IdentityError::AnotherClient)
    } else if !before.is_confirmed && proposals.count > 0 {
        Err(IdentityError::Unconfirmed)
    } else {
        Ok(())
    }
}

/// That a client that comes in by itself is entitled to, and is not in.
fn check_entry(follower: &Follower, committer: &Member) -> Result<(), IdentityError> {
    let is_in = follower
        .members()
        .iter()
        .any(|member| member.client_id == committer.client_id || member.verifying_key == committer.verifying_key);
    if is_in {
        return Err(IdentityError::MemberTwice);
    }
    let mut entitled = follower.state.may_enter.iter();
    let may_enter =
        entitled.any(|entitled| entitled.is_of(committer) && entitled.verifying_key == committer.verifying_key);
    if may_enter { Ok(()) } else { Err(IdentityError::EntryRefused) }
}

impl State {
    /// What is known of the members after a change.
    fn after(&self, change: &Change) -> Self {
        let mut after = self.clone();
        let added = change.added.as_ref();
        after.unconfirmed.retain(|uuid| {
            *uuid != change.committer.client_id.uuid && !change.removed.iter().any(|removed| removed.uuid == *uuid)
        });
        after.unconfirmed.extend(added.map(|member| member.client_id.uuid));
        // Whoever has come in, in either way, does not come in by itself again.
        after.may_enter.retain(|entitled| {
            !entitled.is_of(&change.committer) && !added.is_some_and(|member| entitled.is_of(member))
        });
        after
    }
}

impl fmt::Debug for CheckedCommit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "commit of {} to {:?}", self.committer(), self.next)
    }
}
