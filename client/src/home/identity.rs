//! What the state holds of the user's identity, the group of the user's clients, and of what this client does there.

use serde::{Deserialize, Serialize};
use vestibule_identity::{Identity, PreparedCommit};
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::endpoint::{CommitIdentityRequest, ResetIdentityRequest};
use vestibule_protocol::login::LoginProof;
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::symmetric::DeviceLabelKey;
use vestibule_protocol::time::Timestamp;

use super::{KeptRequest, Sharing};

/// The identity, as this client has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityState {
    /// The client's membership; none before the server has the first generation.
    pub(crate) member: Option<Identity>,
    pub(crate) pending: Option<PendingChange>,
    /// Under what the devices' names are encrypted.
    #[serde(with = "secret")]
    pub(crate) device_label_key: DeviceLabelKey,
    /// When this device was added.
    pub(crate) added_at: Timestamp,
    /// The other devices, as this one's user was last told of them.
    pub(crate) seen: Vec<SeenDevice>,
    /// Clients that this device has removed, or tried to, and whose leaves may still be there.
    pub(crate) leaving: Vec<ClientUuid>,
    /// Clients of the generation before that are not expected to enter this one.
    pub(crate) excluded: Vec<ClientUuid>,
    /// What is under way about the secrets that the user's clients share.
    #[serde(default)]
    pub(crate) sharing: Sharing,
}

impl IdentityState {
    /// The client's membership.
    pub(crate) fn member(&self) -> &Identity {
        self.member.as_ref().expect("nothing is done with an identity before it has started")
    }
}

/// A device that the user was told of.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenDevice {
    pub(crate) client_uuid: ClientUuid,
    pub(crate) name: Option<DeviceName>,
    pub(crate) is_confirmed: bool,
}

/// A change that the server may or may not have accepted: its answer to the request tells.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PendingChange {
    pub(crate) kind: ChangeKind,
    /// The body of the request.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
    /// What the membership is when the change is accepted.
    pub(crate) next: Identity,
    /// What the client that it adds is told.
    pub(crate) welcome: Option<Bytes>,
    /// As which rotation it makes the secrets of the rotation under way those of the user's clients, if it does.
    pub(crate) rotates_to: Option<u64>,
}

/// What a change is asked of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangeKind {
    /// To start the first generation, or to commit.
    Commit,
    /// To start another generation.
    Reset,
}

impl PendingChange {
    /// The start of the first generation.
    pub(crate) fn start(identity: Identity, group_info: Bytes) -> Self {
        let generation = identity.follower().generation();
        let request =
            CommitIdentityRequest { generation, epoch: 0, commit: None, group_info, encrypted_user_secrets: None };
        let request = KeptRequest::new(&request);
        Self { kind: ChangeKind::Commit, request, next: identity, welcome: None, rotates_to: None }
    }

    /// The start of another generation.
    pub(crate) fn reset(identity: Identity, group_info: Bytes, login: LoginProof, rotates_to: Option<u64>) -> Self {
        let request = KeptRequest::new(&ResetIdentityRequest { login, group_info });
        Self { kind: ChangeKind::Reset, request, next: identity, welcome: None, rotates_to }
    }

    /// A commit, with what the other clients are told.
    pub(crate) fn commit(prepared: PreparedCommit, encrypted_user_secrets: Bytes, rotates_to: Option<u64>) -> Self {
        let PreparedCommit { commit, group_info, welcome, next } = prepared;
        let (generation, epoch) = (next.follower().generation(), next.follower().epoch());
        let epoch = epoch.checked_sub(1).expect("a commit leads to another epoch");
        let (commit, encrypted_user_secrets) = (Some(commit), Some(encrypted_user_secrets));
        let request = CommitIdentityRequest { generation, epoch, commit, group_info, encrypted_user_secrets };
        Self { kind: ChangeKind::Commit, request: KeptRequest::new(&request), next, welcome, rotates_to }
    }
}
