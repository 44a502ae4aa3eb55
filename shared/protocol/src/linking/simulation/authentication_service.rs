//! The authentication service as far as a linking goes: a model of `as-add-client`, `as-commit-identity`,
//! `as-get-identity` and `as-remove-client`. MLS is modelled as labelled bytes.

use std::collections::BTreeMap;

use rand::Rng as _;

use super::Circumstances;
use crate::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialPayload,
};
use crate::encoding::Bytes;
use crate::keys::{AsIntermediateCredentialKey, ClientCredentialKey, SigningKey};
use crate::name::{ClientUuid, Domain, UserName};
use crate::rendezvous::simulation::NOW;
use crate::rendezvous::simulation::dice::Dice;

/// What the service answers when it does not do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// Try again.
    Unavailable,
    /// Whoever asks is no live client.
    ClientUnknown,
    /// The user has as many clients as a user can have.
    ClientLimitReached,
    /// The request is not one that is signed; or the change is not one that is taken.
    Refused,
    /// The client is confirmed: it is removed with the password alone.
    LoginMissing,
}

/// What the service knows of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record {
    Unconfirmed {
        is_member: bool,
    },
    Confirmed,
    /// Withdrawn, or lapsed.
    Gone,
}

/// The deployment's credentials, the same in all runs.
pub(super) struct Deployment {
    pub(super) root: AsCredential,
    pub(super) intermediate: AsIntermediateCredential,
    key: SigningKey<AsIntermediateCredentialKey>,
}

impl Deployment {
    pub(super) fn of(domain: &str) -> Self {
        let rng = &mut Dice::of(1);
        let (root_key, key) = (SigningKey::generate(rng), SigningKey::generate(rng));
        let root = AsCredential::issue(domain.parse::<Domain>().unwrap(), &root_key, NOW, 100);
        let intermediate = AsIntermediateCredential::issue(key.verifying_key(), &root, &root_key, NOW, 100);
        Self { root, intermediate, key }
    }

    fn sign(&self, payload: ClientCredentialPayload) -> ClientCredential {
        ClientCredential::sign(payload, &self.key)
    }
}

thread_local! {
    pub(super) static DEPLOYMENT: Deployment = Deployment::of("example.org");
}

pub(super) fn alice() -> UserName {
    "alice@example.org".parse().unwrap()
}

/// The service, with the user alice.
pub(super) struct AuthenticationService {
    is_full: bool,
    issues_for_another_key: bool,
    failures: u32,
    dice: Dice,
    pub(super) is_approver_live: bool,
    /// Every client that was added in this run, by its id, with the credential issued.
    pub(super) clients: BTreeMap<String, (Bytes, Record)>,
    pub(super) epoch: u64,
}

impl AuthenticationService {
    pub(super) fn new(circumstances: &Circumstances, dice: Dice) -> Self {
        Self {
            is_full: circumstances.is_full,
            issues_for_another_key: circumstances.issues_for_another_key,
            failures: circumstances.failures,
            dice,
            is_approver_live: true,
            clients: BTreeMap::new(),
            epoch: 1,
        }
    }

    /// A call, of which at times the request is lost, or the answer.
    fn call<T>(&mut self, effect: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if self.failures == 0 || self.dice.gen_ratio(1, 2) {
            return effect(self);
        }
        self.failures -= 1;
        if self.dice.r#gen() {
            _ = effect(self);
        }
        Err(Refusal::Unavailable)
    }

    fn check_approver(&self) -> Result<(), Refusal> {
        if self.is_approver_live { Ok(()) } else { Err(Refusal::ClientUnknown) }
    }

    /// `as-add-client`, by the existing device.
    pub(super) fn add_client(&mut self, csr: &Bytes) -> Result<Bytes, Refusal> {
        self.call(|service| service.sign(csr))
    }

    fn sign(&mut self, csr: &Bytes) -> Result<Bytes, Refusal> {
        self.check_approver()?;
        let csr = ClientCredentialCsr::verify_self_signed(&csr.0).map_err(|_| Refusal::Refused)?;
        DEPLOYMENT.with(|deployment| csr.check(&deployment.intermediate, NOW)).map_err(|_| Refusal::Refused)?;
        let mut payload = csr.payload().0.clone();
        let uuid = payload.client_id.uuid.to_string();
        if payload.client_id.user_name != alice() {
            return Err(Refusal::Refused);
        }
        if self.issues_for_another_key {
            payload.verifying_key = SigningKey::<ClientCredentialKey>::generate(&mut Dice::of(9)).verifying_key();
        }
        let credential = DEPLOYMENT.with(|deployment| deployment.sign(payload)).to_bytes();
        match self.clients.get(&uuid) {
            Some((known, _)) if *known == credential => Ok(credential),
            Some(_) => Err(Refusal::Refused),
            None if self.is_full => Err(Refusal::ClientLimitReached),
            None => {
                self.clients.insert(uuid, (credential.clone(), Record::Unconfirmed { is_member: false }));
                Ok(credential)
            }
        }
    }

    /// `as-commit-identity`, by the existing device: adds a leaf. Gives the epoch that follows.
    pub(super) fn add_to_identity(&mut self, uuid: ClientUuid, key_package: &Bytes) -> Result<u64, Refusal> {
        self.call(|service| service.add_leaf(uuid, key_package))
    }

    fn add_leaf(&mut self, uuid: ClientUuid, key_package: &Bytes) -> Result<u64, Refusal> {
        self.check_approver()?;
        let (credential, record) = self.clients.get_mut(&uuid.to_string()).ok_or(Refusal::Refused)?;
        let Record::Unconfirmed { is_member } = record else { return Err(Refusal::Refused) };
        if *key_package != key_package_of(credential) {
            return Err(Refusal::Refused);
        }
        // A commit that is sent again changes nothing.
        self.epoch += u64::from(!*is_member);
        *is_member = true;
        Ok(self.epoch)
    }

    /// `as-commit-identity`, by the new device: its own commit.
    pub(super) fn confirm(&mut self, uuid: ClientUuid) -> Result<(), Refusal> {
        self.call(|service| service.take_confirmation(uuid))
    }

    fn take_confirmation(&mut self, uuid: ClientUuid) -> Result<(), Refusal> {
        let (_, record) = self.clients.get_mut(&uuid.to_string()).ok_or(Refusal::ClientUnknown)?;
        match record {
            Record::Unconfirmed { is_member: true } => *record = Record::Confirmed,
            Record::Confirmed => {}
            Record::Unconfirmed { is_member: false } => return Err(Refusal::Refused),
            Record::Gone => return Err(Refusal::ClientUnknown),
        }
        Ok(())
    }

    /// `as-get-identity`, by anybody: whether a client is a confirmed member.
    pub(super) fn is_confirmed(&mut self, uuid: ClientUuid) -> Result<bool, Refusal> {
        self.call(|service| {
            Ok(service.clients.get(&uuid.to_string()).is_some_and(|(_, record)| *record == Record::Confirmed))
        })
    }

    /// `as-remove-client` without a login, by the existing device.
    pub(super) fn withdraw(&mut self, uuid: ClientUuid) -> Result<(), Refusal> {
        self.call(|service| service.take_back(uuid))
    }

    fn take_back(&mut self, uuid: ClientUuid) -> Result<(), Refusal> {
        self.check_approver()?;
        match self.clients.get_mut(&uuid.to_string()) {
            Some((_, Record::Confirmed)) => Err(Refusal::LoginMissing),
            Some((_, record)) => {
                *record = Record::Gone;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The hour of every unconfirmed client is over.
    pub(super) fn lapse(&mut self) {
        for (_, record) in self.clients.values_mut() {
            if matches!(record, Record::Unconfirmed { .. }) {
                *record = Record::Gone;
            }
        }
    }
}

/// The KeyPackage of a client for the user's identity.
pub(super) fn key_package_of(client_credential: &Bytes) -> Bytes {
    Bytes([b"KeyPackage of ", client_credential.0.as_slice()].concat())
}

/// The Welcome to a KeyPackage at an epoch.
pub(super) fn welcome_to(key_package: &Bytes, epoch: u64) -> Bytes {
    Bytes([b"Welcome to ", epoch.to_be_bytes().as_slice(), &key_package.0].concat())
}
