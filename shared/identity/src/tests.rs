use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialPayload,
};
use vestibule_protocol::device_label::ENCRYPTED_DEVICE_LABEL_LENGTH;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::{AsIntermediateCredentialKey, ClientCredentialKey, SigningKey};
use vestibule_protocol::name::{ClientId, ClientUuid, UserName};
use vestibule_protocol::signed::Verified;
use vestibule_protocol::time::Timestamp;

use super::*;

mod altered;
mod forging;
mod generations;
mod group_infos;
mod joining;
mod keeping;
mod rules;
mod simulation;
mod wedging;

fn alice() -> UserName {
    "alice@localhost".parse().unwrap()
}

/// What signs client credentials.
struct Issuer {
    intermediate: AsIntermediateCredential,
    key: SigningKey<AsIntermediateCredentialKey>,
}

impl Issuer {
    fn new() -> Self {
        let rng = &mut StdRng::seed_from_u64(0);
        let (root_key, key) = (SigningKey::generate(rng), SigningKey::generate(rng));
        let root = AsCredential::issue("localhost".parse().unwrap(), &root_key, Self::now(), 3652);
        let intermediate = AsIntermediateCredential::issue(key.verifying_key(), &root, &root_key, Self::now(), 365);
        Self { intermediate, key }
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn issue(&self, client_id: ClientId, key: &SigningKey<ClientCredentialKey>, days_later: u64) -> ClientCredential {
        let now = Self::now().saturating_add(vestibule_protocol::time::DAY * u32::try_from(days_later).unwrap());
        let payload = ClientCredentialPayload::requesting(client_id, key.verifying_key(), &self.intermediate, now);
        Verified::sign(payload, &self.key)
    }
}

/// A device of a user.
struct Device {
    credential: ClientCredential,
    key: SigningKey<ClientCredentialKey>,
    label: Option<Bytes>,
    rng: StdRng,
}

impl Device {
    fn new(user_name: &UserName, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let key = SigningKey::generate(&mut rng);
        let client_id = ClientId { user_name: user_name.clone(), uuid: ClientUuid::generate(&mut rng) };
        let credential = Issuer::new().issue(client_id, &key, 0);
        let label = Some(Bytes(vec![seed as u8; ENCRYPTED_DEVICE_LABEL_LENGTH]));
        Self { credential, key, label, rng }
    }

    fn keys(&self) -> ClientKeys<'_> {
        let Self { credential, key, label, .. } = self;
        ClientKeys { client_credential: credential, key, encrypted_device_label: label.clone() }
    }

    fn client_id(&self) -> &ClientId {
        &self.credential.payload().client_id
    }

    fn uuid(&self) -> ClientUuid {
        self.client_id().uuid
    }

    /// The randomness of one operation.
    fn fresh(&mut self) -> StdRng {
        StdRng::from_rng(&mut self.rng).unwrap()
    }

    fn start(&mut self, generation: u64, previous: Option<&Follower>) -> (Identity, Service) {
        let mut rng = self.fresh();
        let user_name = self.client_id().user_name.clone();
        let (identity, group_info) = Identity::start(&user_name, generation, previous, &self.keys(), &mut rng).unwrap();
        let service = Service::start(&user_name, generation, group_info, previous);
        (identity, service)
    }

    fn key_package(&mut self) -> (Bytes, PrivateIdentityKeyPackage) {
        let mut rng = self.fresh();
        Identity::make_key_package(&self.keys(), &mut rng).unwrap()
    }

    fn add(&mut self, identity: &Identity, key_package: &Bytes) -> PreparedCommit {
        let mut rng = self.fresh();
        identity.prepare_add(&self.keys(), &key_package.0, &mut rng).unwrap()
    }

    fn remove(&mut self, identity: &Identity, clients: &[ClientUuid]) -> PreparedCommit {
        let mut rng = self.fresh();
        identity.prepare_remove(&self.keys(), clients, &mut rng).unwrap()
    }

    fn update(&mut self, identity: &Identity) -> PreparedCommit {
        let mut rng = self.fresh();
        identity.prepare_update(&self.keys(), &mut rng).unwrap()
    }

    fn entry(&mut self, service: &Service) -> Result<PreparedCommit, IdentityError> {
        let mut rng = self.fresh();
        Identity::prepare_entry(&service.follower, &service.group_info.0, &self.keys(), &mut rng)
    }
}

/// The authentication service as far as one generation of an identity goes.
struct Service {
    follower: Follower,
    start: Bytes,
    commits: Vec<Bytes>,
    group_info: Bytes,
}

impl Service {
    fn start(user_name: &UserName, generation: u64, group_info: Bytes, previous: Option<&Follower>) -> Self {
        let follower = Follower::start(user_name, generation, &group_info.0, previous).unwrap();
        Self { follower, start: group_info.clone(), commits: Vec::new(), group_info }
    }

    fn accept(&mut self, commit: &Bytes, group_info: &Bytes) -> Result<Change, IdentityError> {
        let checked = self.follower.check(&commit.0)?;
        self.follower.check_group_info(&checked, &group_info.0)?;
        let change = checked.change().clone();
        self.follower.merge(checked);
        self.commits.push(commit.clone());
        self.group_info = group_info.clone();
        Ok(change)
    }

    fn accept_prepared(&mut self, prepared: &PreparedCommit) -> Result<Change, IdentityError> {
        self.accept(&prepared.commit, &prepared.group_info)
    }

    /// The last epoch, followed from the beginning.
    fn replay(&self, previous: Option<&Follower>) -> Follower {
        let (user_name, generation) = (self.follower.user_name(), self.follower.generation());
        let mut follower = Follower::start(user_name, generation, &self.start.0, previous).unwrap();
        for commit in &self.commits {
            let checked = follower.check(&commit.0).unwrap();
            follower.merge(checked);
        }
        follower
    }
}

/// Devices with their memberships, all confirmed and in the same epoch, and the service.
struct Household {
    devices: Vec<Device>,
    identities: Vec<Identity>,
    service: Service,
}

impl Household {
    fn new(size: u64) -> Self {
        let mut first = Device::new(&alice(), 1);
        let (identity, service) = first.start(1, None);
        let mut household = Self { devices: vec![first], identities: vec![identity], service };
        for seed in 2..=size {
            household.link(Device::new(&alice(), seed));
        }
        household
    }

    /// Lets the first device add another, which confirms itself.
    fn link(&mut self, device: Device) {
        self.add(device);
        let last = self.devices.len() - 1;
        let prepared = self.devices[last].update(&self.identities[last]);
        self.commit(last, prepared);
    }

    /// Lets the first device add another, which does not confirm itself.
    fn add(&mut self, mut device: Device) {
        let (key_package, private) = device.key_package();
        Identity::check_key_package(&key_package.0, &device.credential).unwrap();
        let prepared = self.devices[0].add(&self.identities[0], &key_package);
        let welcome = prepared.welcome.clone().unwrap();
        self.commit(0, prepared);
        self.identities.push(Identity::join(private, &welcome.0, self.service.follower.clone()).unwrap());
        self.devices.push(device);
    }

    /// Sends a member's change; all others follow.
    fn commit(&mut self, committer: usize, prepared: PreparedCommit) -> Change {
        let change = self.service.accept_prepared(&prepared).unwrap();
        for (index, identity) in self.identities.iter_mut().enumerate() {
            if index != committer && identity.is_member() {
                assert_eq!(identity.process(&prepared.commit.0).unwrap(), change);
            }
        }
        self.identities[committer] = prepared.next;
        change
    }

    /// Whether all members agree with each other and with whoever only follows.
    fn agrees(&self) -> bool {
        let replayed = self.service.replay(None);
        let members: Vec<_> = self.identities.iter().filter(|identity| identity.is_member()).collect();
        let secret = |identity: &Identity| identity.export_secret("test", b"", 32).unwrap().to_vec();
        members.iter().all(|identity| {
            identity.follower().fingerprint() == replayed.fingerprint()
                && identity.follower().members() == replayed.members()
                && secret(identity) == secret(members[0])
        }) && members.len() == replayed.members().len()
    }
}

#[test]
fn devices_are_added_confirm_themselves_and_are_removed() {
    let mut household = Household::new(3);
    assert!(household.agrees());
    let members = household.service.follower.members();
    for (member, device) in members.iter().zip(&household.devices) {
        assert_eq!(member.client_id, *device.client_id());
        assert_eq!(member.client_credential, device.credential.to_bytes());
        assert_eq!(member.verifying_key, device.key.verifying_key());
        assert_eq!(member.encrypted_device_label, device.label);
        assert!(member.is_confirmed);
    }
    let prepared = household.devices[2].remove(&household.identities[2], &[members[0].client_id.uuid]);
    let change = household.commit(2, prepared);
    assert_eq!(change.removed, [members[0].client_id.clone()]);
    assert_eq!(change.committer, household.service.follower.members()[1]);
    assert!(!household.identities[0].is_member());
    assert!(household.agrees());
}

#[test]
fn an_added_device_is_unconfirmed_until_its_own_update() {
    let mut household = Household::new(1);
    household.add(Device::new(&alice(), 2));
    let device = household.devices[1].uuid();
    assert!(!household.service.follower.member(device).unwrap().is_confirmed);
    let prepared = household.devices[1].update(&household.identities[1]);
    let change = household.commit(1, prepared);
    assert!(change.is_confirmation && !change.is_entry && !change.has_new_credential());
    assert!(household.service.follower.member(device).unwrap().is_confirmed);
    let prepared = household.devices[1].update(&household.identities[1]);
    assert!(!household.commit(1, prepared).is_confirmation);
}

#[test]
fn an_update_renews_credential_and_label() {
    let mut household = Household::new(2);
    let device = &mut household.devices[1];
    let old = device.credential.to_bytes();
    device.credential = Issuer::new().issue(device.client_id().clone(), &device.key, 30);
    device.label = Some(Bytes(vec![9; ENCRYPTED_DEVICE_LABEL_LENGTH]));
    let prepared = household.devices[1].update(&household.identities[1]);
    let change = household.commit(1, prepared);
    assert!(change.has_new_credential());
    assert_eq!(change.previous_credential, Some(old));
    assert_eq!(change.committer.client_credential, household.devices[1].credential.to_bytes());
    assert_eq!(change.committer.encrypted_device_label, household.devices[1].label);

    household.devices[1].label = None;
    let prepared = household.devices[1].update(&household.identities[1]);
    let kept = household.commit(1, prepared).committer.encrypted_device_label;
    assert_eq!(kept, Some(Bytes(vec![9; ENCRYPTED_DEVICE_LABEL_LENGTH])));
    assert!(household.agrees());
}

#[test]
fn of_two_changes_at_once_one_wins_and_the_other_is_prepared_anew() {
    let mut household = Household::new(3);
    let first = household.devices[1].update(&household.identities[1]);
    let removed = household.devices[1].uuid();
    let second = household.devices[2].remove(&household.identities[2], &[removed]);
    household.commit(1, first);
    assert_eq!(household.service.accept_prepared(&second), Err(IdentityError::AnotherEpoch));
    let second = household.devices[2].remove(&household.identities[2], &[removed]);
    household.commit(2, second);
    assert!(household.agrees());
}
