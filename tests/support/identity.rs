//! A client as a member of its user's identity, request by request.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_identity::{ClientKeys, Follower, Identity, PreparedCommit, PrivateIdentityKeyPackage};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::endpoint::{
    CommitIdentity, CommitIdentityRequest, GetIdentity, GetIdentityResponse, IdentityPath, IdentityPosition,
    ResetIdentity, ResetIdentityPath, ResetIdentityRequest,
};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::name::UserName;
use vestibule_protocol::symmetric::UserSecretsKey;
use vestibule_protocol::user_secrets::{EXPORTER_LABEL, IdentityEpoch, UserSecrets};

use crate::{Answer, Applicant, Call, TestCloud, json_body};

/// A client with its membership. Everything random follows from the seed, but for what HPKE draws.
pub struct Device {
    /// The client.
    pub client: Applicant,
    /// Its credential.
    pub client_credential: ClientCredential,
    /// Its membership, once it has one.
    pub identity: Option<Identity>,
    /// Its randomness.
    pub rng: StdRng,
}

impl Device {
    /// A client with this credential that is no member.
    pub fn new(client: Applicant, client_credential: ClientCredential, seed: u64) -> Self {
        Self { client, client_credential, identity: None, rng: StdRng::seed_from_u64(seed) }
    }

    /// The first client of a user, who has no identity yet.
    pub async fn registered(cloud: &TestCloud, user_name: &str, seed: u64) -> Self {
        let mut client = Applicant::new(cloud, user_name, seed).await;
        let client_credential = client.register_for_credential(cloud).await;
        Self::new(client, client_credential, seed)
    }

    /// The first client of a user, who has just started the identity.
    pub async fn first(cloud: &TestCloud, user_name: &str, seed: u64) -> Self {
        let mut device = Self::registered(cloud, user_name, seed).await;
        let (identity, request) = device.start(1, None);
        device.accepted(cloud, &request, identity).await;
        device
    }

    /// A new client of the same user that was added at the authentication service, and not to the identity.
    pub async fn added(&self, cloud: &TestCloud, seed: u64) -> Self {
        let client = self.client.another(cloud, seed).await;
        let client_credential = self.client.add(cloud, &client).await;
        Self::new(client, client_credential, seed)
    }

    /// A new client of the same user, all the way.
    pub async fn link(&mut self, cloud: &TestCloud, seed: u64) -> Self {
        let mut new = self.welcome(cloud, seed).await;
        new.confirm(cloud).await;
        self.catch_up(cloud).await;
        new
    }

    /// A new client of the same user that has joined the identity, and has only to confirm itself.
    pub async fn welcome(&mut self, cloud: &TestCloud, seed: u64) -> Self {
        let mut new = self.added(cloud, seed).await;
        let (key_package, private) = new.make_key_package();
        let prepared = self.prepare_add(&key_package);
        let welcome = prepared.welcome.clone().expect("a client is added");
        self.commit(cloud, prepared).await;
        let follower = self.identity().follower().clone();
        new.identity = Some(Identity::join(private, &welcome.0, follower).expect("the Welcome is right"));
        new
    }

    /// Makes the KeyPackage that it is added by.
    pub fn make_key_package(&mut self) -> (Bytes, PrivateIdentityKeyPackage) {
        let keys = keys_of(&self.client, &self.client_credential);
        Identity::make_key_package(&keys, &mut self.rng).expect("it is made")
    }

    /// Confirms itself, or updates its leaf.
    pub async fn confirm(&mut self, cloud: &TestCloud) {
        let prepared = self.prepare_update();
        self.commit(cloud, prepared).await;
    }

    /// What the client signs with.
    pub fn keys(&self) -> ClientKeys<'_> {
        keys_of(&self.client, &self.client_credential)
    }

    /// Its membership.
    pub fn identity(&self) -> &Identity {
        self.identity.as_ref().expect("it is a member")
    }

    /// Where the identity is, as far as the client knows.
    pub fn position(&self) -> IdentityPosition {
        let follower = self.identity().follower();
        IdentityPosition { generation: follower.generation(), epoch: follower.epoch() }
    }

    /// Starts a generation: the membership and the GroupInfo.
    pub fn start_generation(&mut self, generation: u64, previous: Option<&Follower>) -> (Identity, Bytes) {
        let keys = keys_of(&self.client, &self.client_credential);
        let user_name = &self.client.client_id.user_name;
        Identity::start(user_name, generation, previous, &keys, &mut self.rng).expect("a generation starts")
    }

    /// Starts an identity: the membership and the request.
    pub fn start(&mut self, generation: u64, previous: Option<&Follower>) -> (Identity, CommitIdentityRequest) {
        let (identity, group_info) = self.start_generation(generation, previous);
        let encrypted_user_secrets = None;
        (identity, CommitIdentityRequest { generation, epoch: 0, commit: None, group_info, encrypted_user_secrets })
    }

    /// Prepares to add the client of a KeyPackage.
    pub fn prepare_add(&mut self, key_package: &Bytes) -> PreparedCommit {
        self.prepare(|identity, keys, rng| identity.prepare_add(keys, &key_package.0, rng))
    }

    /// Prepares to remove a client.
    pub fn prepare_remove(&mut self, other: &Applicant) -> PreparedCommit {
        self.prepare(|identity, keys, rng| identity.prepare_remove(keys, &[other.client_id.uuid], rng))
    }

    /// Prepares an update of its own leaf.
    pub fn prepare_update(&mut self) -> PreparedCommit {
        self.prepare(|identity, keys, rng| identity.prepare_update(keys, rng))
    }

    fn prepare<E: std::fmt::Debug>(
        &mut self,
        prepare: impl FnOnce(&Identity, &ClientKeys<'_>, &mut StdRng) -> Result<PreparedCommit, E>,
    ) -> PreparedCommit {
        let keys = keys_of(&self.client, &self.client_credential);
        let identity = self.identity.as_ref().expect("it is a member");
        prepare(identity, &keys, &mut self.rng).expect("it is prepared")
    }

    /// The request that sends a change of where the client is.
    pub fn request(&self, prepared: &PreparedCommit) -> CommitIdentityRequest {
        let IdentityPosition { generation, epoch } = self.position();
        let (commit, group_info) = (Some(prepared.commit.clone()), prepared.group_info.clone());
        let encrypted_user_secrets = Some(no_user_secrets(&prepared.next));
        CommitIdentityRequest { generation, epoch, commit, group_info, encrypted_user_secrets }
    }

    /// The call that sends a request.
    pub fn committing_call(&self, cloud: &TestCloud, request: &CommitIdentityRequest) -> Call {
        self.client.sign(cloud, &Call::new::<CommitIdentity>(&self.client.user_path(), json_body(request)))
    }

    /// The call that sends a prepared change.
    pub fn call(&self, cloud: &TestCloud, prepared: &PreparedCommit) -> Call {
        self.committing_call(cloud, &self.request(prepared))
    }

    /// Makes a prepared change.
    pub async fn commit(&mut self, cloud: &TestCloud, prepared: PreparedCommit) {
        let request = self.request(&prepared);
        self.accepted(cloud, &request, prepared.next).await;
    }

    /// Sends a request that is right, and takes up what it leads to.
    pub async fn accepted(&mut self, cloud: &TestCloud, request: &CommitIdentityRequest, next: Identity) {
        let answer = cloud.send(&self.committing_call(cloud, request)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.identity = Some(next);
    }

    /// Takes up what the user's other clients have committed in this generation.
    pub async fn catch_up(&mut self, cloud: &TestCloud) {
        loop {
            let from = self.position();
            let history = cloud.identity(self.client.user_name(), from).await;
            let identity = self.identity.as_mut().expect("it is a member");
            for commit in &history.commits {
                identity.process(&commit.0).expect("the commit can be followed");
            }
            if self.position().epoch == history.last_epoch {
                return;
            }
        }
    }

    /// The call that starts the next generation.
    pub fn resetting_call(&self, cloud: &TestCloud, generation: u64, group_info: &Bytes, login: LoginProof) -> Call {
        let path = ResetIdentityPath { user_name: self.client.user_name().clone(), generation };
        let request = ResetIdentityRequest { login, group_info: group_info.clone() };
        self.client.sign(cloud, &Call::new::<ResetIdentity>(&path, json_body(&request)))
    }

    /// Logs in to start a generation.
    pub async fn log_in_to_reset(&mut self, cloud: &TestCloud, generation: u64) -> LoginProof {
        self.client.log_in(cloud, LoginOperation::ResetIdentity { generation }).await
    }

    /// Starts the next generation after the one that `previous` follows.
    pub async fn reset(&mut self, cloud: &TestCloud, previous: &Follower) -> Answer {
        let generation = previous.generation() + 1;
        let (identity, group_info) = self.start_generation(generation, Some(previous));
        let login = self.log_in_to_reset(cloud, generation).await;
        let answer = cloud.send(&self.resetting_call(cloud, generation, &group_info, login)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.identity = Some(identity);
        answer
    }

    /// Prepares to enter the generation that `follower` follows.
    pub async fn prepare_entry(&mut self, cloud: &TestCloud, follower: &Follower) -> PreparedCommit {
        let from = IdentityPosition { generation: follower.generation(), epoch: follower.epoch() };
        let group_info = cloud.identity(self.client.user_name(), from).await.group_info;
        let keys = keys_of(&self.client, &self.client_credential);
        Identity::prepare_entry(follower, &group_info.0, &keys, &mut self.rng).expect("it is prepared")
    }
}

fn keys_of<'a>(client: &'a Applicant, client_credential: &'a ClientCredential) -> ClientKeys<'a> {
    ClientKeys { client_credential, key: &client.client_key, encrypted_device_label: None }
}

/// The request that sends a change made in the epoch that `follower` follows.
pub fn request_after(follower: &Follower, prepared: &PreparedCommit) -> CommitIdentityRequest {
    CommitIdentityRequest {
        generation: follower.generation(),
        epoch: follower.epoch(),
        commit: Some(prepared.commit.clone()),
        group_info: prepared.group_info.clone(),
        encrypted_user_secrets: Some(no_user_secrets(&prepared.next)),
    }
}

/// What a client that has no secrets in common with the others tells them in an epoch.
pub fn no_user_secrets(next: &Identity) -> Bytes {
    seal_user_secrets(None, next)
}

/// What a client tells the others in an epoch.
pub fn seal_user_secrets(secrets: Option<&UserSecrets>, next: &Identity) -> Bytes {
    UserSecrets::seal(
        secrets,
        &epoch_of(next),
        &user_secrets_key(next),
        &mut StdRng::seed_from_u64(next.follower().epoch()),
    )
}

/// The epoch that a membership is in.
pub fn epoch_of(identity: &Identity) -> IdentityEpoch {
    let follower = identity.follower();
    IdentityEpoch {
        user_name: follower.user_name().clone(),
        generation: follower.generation(),
        epoch: follower.epoch(),
    }
}

/// Under what the members of its epoch tell each other their secrets.
pub fn user_secrets_key(identity: &Identity) -> UserSecretsKey {
    let key = identity.export_secret(EXPORTER_LABEL, b"", 32).expect("it is a member");
    UserSecretsKey::from_secret_bytes(&key).expect("it has 32 bytes")
}

/// The call that asks for an identity.
pub fn identity_call(user_name: &UserName, from: IdentityPosition) -> Call {
    Call::new::<GetIdentity>(&IdentityPath { user_name: user_name.clone(), from }, Vec::new())
}

impl TestCloud {
    /// A part of an identity's history.
    pub async fn identity(&self, user_name: &UserName, from: IdentityPosition) -> GetIdentityResponse {
        self.send(&identity_call(user_name, from)).await.success()
    }

    /// Follows a generation to its end, page by page.
    pub async fn follow(&self, user_name: &UserName, generation: u64, previous: Option<&Follower>) -> Follower {
        let first = self.identity(user_name, IdentityPosition { generation, epoch: 0 }).await;
        let start = first.start.clone().expect("the history begins with the start");
        let mut follower = Follower::start(user_name, generation, &start.0, previous).expect("a beginning");
        let mut page = first;
        loop {
            for commit in &page.commits {
                let checked = follower.check(&commit.0).expect("the service has checked it");
                follower.merge(checked);
            }
            if follower.epoch() == page.last_epoch {
                return follower;
            }
            assert!(!page.commits.is_empty(), "every page has something");
            page = self.identity(user_name, IdentityPosition { generation, epoch: follower.epoch() }).await;
        }
    }
}
