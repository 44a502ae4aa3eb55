//! The identities of the users of the authentication service in this process: followed as the real one does.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_identity::{Change, Follower};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    CommitIdentityRequest, CommitIdentityResponse, GetIdentityResponse, IdentityPosition, ResetIdentityRequest,
};
use vestibule_protocol::limits::IDENTITY_PAGE_LENGTH;
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use super::clients::{FakeClients, problem};

/// A user's identity.
#[derive(Default)]
pub(crate) struct FakeIdentity {
    /// The first is generation 1.
    pub(crate) generations: Vec<FakeGeneration>,
}

pub(crate) struct FakeGeneration {
    start: Bytes,
    pub(crate) commits: Vec<Bytes>,
    pub(crate) encrypted_user_secrets: Vec<Option<Bytes>>,
    pub(crate) group_info: Bytes,
    pub(crate) follower: Follower,
    /// The requests that led to each epoch.
    digests: Vec<[u8; 32]>,
}

impl FakeIdentity {
    fn current(&self) -> Option<&FakeGeneration> {
        self.generations.last()
    }

    /// The current epoch.
    pub(crate) fn follower(&self) -> &Follower {
        &self.current().expect("it has started").follower
    }

    pub(super) fn page(&self, from: IdentityPosition) -> Result<Value, Problem> {
        let index = usize::try_from(from.generation).unwrap().checked_sub(1);
        let generation = index.and_then(|index| self.generations.get(index));
        let generation = generation.ok_or_else(|| problem(ProblemType::IdentityUnknown))?;
        let epoch = usize::try_from(from.epoch).unwrap();
        let commits = generation.commits.iter().skip(epoch);
        let encrypted_user_secrets = generation.encrypted_user_secrets.iter().skip(epoch);
        Ok(json!(GetIdentityResponse {
            current_generation: self.generations.len() as u64,
            last_epoch: generation.follower.epoch(),
            start: (from.epoch == 0).then(|| generation.start.clone()),
            commits: commits.take(IDENTITY_PAGE_LENGTH).cloned().collect(),
            encrypted_user_secrets: encrypted_user_secrets.take(IDENTITY_PAGE_LENGTH).cloned().collect(),
            group_info: generation.group_info.clone(),
        }))
    }

    /// Whether the very same request was accepted before.
    fn has_accepted(&self, generation: u64, epoch: usize, digest: &[u8; 32]) -> bool {
        let index = usize::try_from(generation).unwrap().wrapping_sub(1);
        self.generations.get(index).is_some_and(|generation| generation.digests.get(epoch) == Some(digest))
    }

    pub(super) fn commit(
        &mut self,
        signer: &ClientId,
        body: &[u8],
        clients: &mut FakeClients,
        now: Timestamp,
    ) -> Result<Value, Problem> {
        let request: CommitIdentityRequest = serde_json::from_slice(body).unwrap();
        let CommitIdentityRequest { generation, epoch, commit, group_info, encrypted_user_secrets } = request;
        assert_eq!(commit.is_some(), encrypted_user_secrets.is_some());
        let digest = Sha256::digest(body).into();
        let next = if commit.is_some() { epoch + 1 } else { 0 };
        if self.has_accepted(generation, usize::try_from(next).unwrap(), &digest) {
            return Ok(json!(CommitIdentityResponse { generation, epoch: next }));
        }
        let Some(commit) = commit else {
            return self.start(&signer.user_name, 1, group_info, digest);
        };
        let count = self.generations.len() as u64;
        let current = self.generations.last_mut().ok_or_else(|| problem(ProblemType::IdentityUnknown))?;
        if (generation, epoch) != (count, current.follower.epoch()) {
            return Err(problem(ProblemType::IdentitySuperseded));
        }
        let refused = |error| Problem::new(ProblemType::CommitRefused, error);
        let checked = current.follower.check(&commit.0).map_err(refused)?;
        check_change(checked.change(), signer, clients, now)?;
        let fits = current.follower.check_group_info(&checked, &group_info.0);
        fits.map_err(|error| Problem::new(ProblemType::GroupInfoRefused, error))?;
        if checked.change().is_confirmation {
            clients.clients.get_mut(&signer.to_string()).unwrap().expires_at = None;
        }
        current.follower.merge(checked);
        current.commits.push(commit);
        current.encrypted_user_secrets.push(encrypted_user_secrets);
        current.digests.push(digest);
        current.group_info = group_info;
        Ok(json!(CommitIdentityResponse { generation, epoch: next }))
    }

    pub(super) fn reset(
        &mut self,
        signer: &ClientId,
        generation: u64,
        body: &[u8],
        clients: &mut FakeClients,
        now: Timestamp,
    ) -> Result<Value, Problem> {
        let digest = Sha256::digest(body).into();
        if self.has_accepted(generation, 0, &digest) {
            return Ok(json!(CommitIdentityResponse { generation, epoch: 0 }));
        }
        let ResetIdentityRequest { login, group_info } = serde_json::from_slice(body).unwrap();
        clients.check_login(signer, LoginOperation::ResetIdentity { generation }, &login, now)?;
        self.start(&signer.user_name, generation, group_info, digest)
    }

    fn start(
        &mut self,
        user_name: &UserName,
        generation: u64,
        group_info: Bytes,
        digest: [u8; 32],
    ) -> Result<Value, Problem> {
        if generation != self.generations.len() as u64 + 1 {
            return Err(problem(ProblemType::IdentitySuperseded));
        }
        let previous = self.current().map(|generation| &generation.follower);
        let follower = Follower::start(user_name, generation, &group_info.0, previous)
            .map_err(|error| Problem::new(ProblemType::GroupInfoRefused, error))?;
        self.generations.push(FakeGeneration {
            start: group_info.clone(),
            commits: Vec::new(),
            encrypted_user_secrets: Vec::new(),
            group_info,
            follower,
            digests: vec![digest],
        });
        Ok(json!(CommitIdentityResponse { generation, epoch: 0 }))
    }
}

/// What only the service can check.
fn check_change(change: &Change, signer: &ClientId, clients: &FakeClients, now: Timestamp) -> Result<(), Problem> {
    let refused = |what: &str| Problem::new(ProblemType::CommitRefused, what);
    if change.committer.client_id != *signer {
        return Err(refused("the committer is another"));
    }
    let is_unconfirmed = clients.live(signer, now).is_some_and(|client| client.expires_at.is_some());
    if is_unconfirmed != change.is_confirmation {
        return Err(problem(ProblemType::ClientUnconfirmed));
    }
    let own = clients.live(signer, now).map(|client| &client.credential);
    if change.has_new_credential() && own != Some(&change.committer.client_credential) {
        return Err(refused("the credential is not the client's"));
    }
    if let Some(added) = &change.added {
        let client = clients.live(&added.client_id, now).filter(|client| client.expires_at.is_some());
        if client.is_none_or(|client| client.credential != added.client_credential) {
            return Err(refused("no such client is to be added"));
        }
    }
    match change.removed.iter().find(|removed| clients.live(removed, now).is_some()) {
        Some(_) => Err(refused("it removes a live client")),
        None => Ok(()),
    }
}
