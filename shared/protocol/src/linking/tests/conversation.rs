//! A linking between two machines that comes as far as a test wants it.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::credential::{AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialCsr};
use crate::encoding::{Bytes, SecretBytes as _};
use crate::keys::{AsCredentialKey, AsIntermediateCredentialKey, SigningKey};
use crate::linking::*;
use crate::name::ClientUuid;
use crate::queuing::QsUserId;
use crate::time::Timestamp;

pub(in crate::linking) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A deployment's credentials and keys.
pub(in crate::linking) struct Deployment {
    pub(in crate::linking) root: AsCredential,
    pub(in crate::linking) root_key: SigningKey<AsCredentialKey>,
    pub(in crate::linking) intermediate: AsIntermediateCredential,
    pub(in crate::linking) key: SigningKey<AsIntermediateCredentialKey>,
}

impl Deployment {
    pub(in crate::linking) fn new(seed: u64) -> Self {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (root_key, key) = (SigningKey::generate(rng), SigningKey::generate(rng));
        let root = AsCredential::issue("example.org".parse().unwrap(), &root_key, NOW, 3000);
        let intermediate = AsIntermediateCredential::issue(key.verifying_key(), &root, &root_key, NOW, 100);
        Self { root, root_key, intermediate, key }
    }

    /// What the authentication service makes of a signing request.
    pub(in crate::linking) fn sign(&self, csr: &Bytes) -> Bytes {
        let csr = ClientCredentialCsr::verify_self_signed(&csr.0).unwrap();
        ClientCredential::sign(csr.payload().0.clone(), &self.key).to_bytes()
    }
}

/// What the existing device knows.
pub(in crate::linking) fn standing(deployment: &Deployment) -> Standing {
    Standing {
        user_name: "alice@example.org".parse().unwrap(),
        as_credential: deployment.root.clone(),
        as_intermediate_credentials: vec![deployment.intermediate.clone()],
        client_uuids: vec![ClientUuid::generate(&mut StdRng::seed_from_u64(77))],
    }
}

pub(in crate::linking) fn handover() -> Handover {
    let bytes = |byte| [byte; 32];
    let qs_user_record_key = SigningKey::from_secret_bytes(&bytes(6)).unwrap();
    Handover {
        user_id: "7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap(),
        identity_generation: 1,
        identity_epoch: 5,
        welcome: Bytes(b"Welcome".to_vec()),
        rotation: 7,
        device_label_key: crate::symmetric::DeviceLabelKey::from_bytes(bytes(2)),
        friendship_token: crate::symmetric::FriendshipToken::from_bytes(bytes(3)),
        friendship_encryption_key: crate::symmetric::FriendshipEncryptionKey::from_bytes(bytes(4)),
        welcome_attribution_info_key: crate::symmetric::WelcomeAttributionInfoKey::from_bytes(bytes(5)),
        qs_user_id: QsUserId::of(&qs_user_record_key.verifying_key()),
        qs_user_record_key,
    }
}

pub(in crate::linking) fn state_bundle(length: usize) -> StateBundle {
    StateBundle {
        group_id: Bytes(b"group".to_vec()),
        member_ear_secrets: MemberEarSecrets::new(Zeroizing::new(vec![7; 32])),
        public_group_state: Bytes(vec![8; length]),
    }
}

/// How far a conversation has come: what was done last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::linking) enum Step {
    Started,
    UserNamed,
    Agreed,
    Requested,
    Approved,
    Issued,
    Certified,
    KeyPackageMade,
    KeyPackageReceived,
    Added,
    HandoverBegun,
    HandedOver,
    Joined,
    Confirmed,
    ConfirmationReceived,
    Settled,
}

impl Step {
    pub(in crate::linking) const ALL: [Self; 16] = [
        Self::Started,
        Self::UserNamed,
        Self::Agreed,
        Self::Requested,
        Self::Approved,
        Self::Issued,
        Self::Certified,
        Self::KeyPackageMade,
        Self::KeyPackageReceived,
        Self::Added,
        Self::HandoverBegun,
        Self::HandedOver,
        Self::Joined,
        Self::Confirmed,
        Self::ConfirmationReceived,
        Self::Settled,
    ];
}

/// Two devices that are linking.
pub(in crate::linking) struct Conversation {
    pub(in crate::linking) deployment: Deployment,
    pub(in crate::linking) new: NewDevice,
    pub(in crate::linking) existing: ExistingDevice,
    /// What was said and has not arrived.
    pub(in crate::linking) under_way: Vec<OutgoingMessage>,
    step: Step,
}

impl Conversation {
    pub(in crate::linking) fn start() -> Self {
        let deployment = Deployment::new(1);
        let (existing, first) = ExistingDevice::start(&standing(&deployment));
        let expectation =
            Expectation { domain: "example.org".parse().unwrap(), user_name: None, as_credential_fingerprint: None };
        let new = NewDevice::start("alice's laptop".parse().unwrap(), expectation);
        Self { deployment, new, existing, under_way: vec![first], step: Step::Started }
    }

    pub(in crate::linking) fn at(step: Step) -> Self {
        let mut conversation = Self::start();
        conversation.go_on_to(step);
        conversation
    }

    pub(in crate::linking) fn go_on_to(&mut self, last: Step) {
        for step in Step::ALL.into_iter().filter(|step| *step <= last) {
            if step > self.step {
                self.take(step);
            }
        }
    }

    fn take(&mut self, step: Step) {
        let rng = &mut StdRng::seed_from_u64(4);
        match step {
            Step::Started => {}
            Step::UserNamed | Step::Certified | Step::HandoverBegun => self.deliver_to_new(),
            Step::Requested | Step::KeyPackageReceived | Step::ConfirmationReceived => self.deliver_to_existing(),
            Step::Agreed => {
                let Deployment { root, intermediate, .. } = &self.deployment;
                self.under_way.push(self.new.agree(root, intermediate, NOW, rng).unwrap());
            }
            Step::Approved => self.existing.approve().unwrap(),
            Step::Issued => {
                let credential = self.deployment.sign(self.csr());
                self.under_way.push(self.existing.credential_issued(credential, NOW).unwrap());
            }
            Step::KeyPackageMade => {
                self.under_way.push(self.new.key_package_made(Bytes(b"KeyPackage".to_vec())).unwrap());
            }
            Step::Added => self.under_way.extend(self.existing.added(handover(), vec![state_bundle(40)]).unwrap()),
            Step::HandedOver => self.deliver_to_new(),
            Step::Joined => self.new.joined().unwrap(),
            Step::Confirmed => self.under_way.push(self.new.confirmed().unwrap()),
            Step::Settled => self.existing.settle(Fate::Linked).unwrap(),
        }
        self.step = step;
    }

    fn deliver_to_new(&mut self) {
        let message = self.under_way.remove(0);
        self.new.receive(message.as_bytes(), NOW).unwrap();
    }

    fn deliver_to_existing(&mut self) {
        let message = self.under_way.remove(0);
        self.existing.receive(message.as_bytes(), NOW).unwrap();
    }

    /// The signing request that waits for the authentication service.
    pub(in crate::linking) fn csr(&self) -> &Bytes {
        match self.existing.progress() {
            ExistingDeviceProgress::CredentialWanted { client_credential_csr, .. } => client_credential_csr,
            progress => panic!("no credential is wanted: {progress:?}"),
        }
    }

    /// Both machines as they are on disk.
    pub(in crate::linking) fn written(&self) -> [String; 2] {
        [serde_json::to_string(&self.new).unwrap(), serde_json::to_string(&self.existing).unwrap()]
    }

    /// Both devices begin again from their disks.
    pub(in crate::linking) fn restart(&mut self) {
        let [new, existing] = self.written();
        self.new = serde_json::from_str(&new).unwrap();
        self.existing = serde_json::from_str(&existing).unwrap();
    }

    pub(in crate::linking) fn new_ending(&self) -> Option<Ending> {
        match self.new.progress() {
            NewDeviceProgress::Ended(ending) => Some(*ending),
            _ => None,
        }
    }

    /// How the existing device sees the end, settled or not.
    pub(in crate::linking) fn existing_ending(&self) -> Option<Ending> {
        match self.existing.progress() {
            ExistingDeviceProgress::Ended(ending) => Some(*ending),
            ExistingDeviceProgress::SettlementWanted { because: Settlement::Ended(ending), .. } => Some(ending),
            _ => None,
        }
    }
}
