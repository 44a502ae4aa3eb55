//! What surrounds the two devices, and is not on their disks: the authentication service, the persons, and chance.

use std::cell::RefCell;

use rand::Rng as _;

use super::AuthenticationService;
use crate::rendezvous::simulation::BEGINNINGS;
use crate::rendezvous::simulation::dice::Dice;

/// What else than the network can go wrong in a run.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Circumstances {
    /// The person at the new device says no.
    pub(super) new_person_declines: bool,
    /// The person at the existing device says no.
    pub(super) existing_person_declines: bool,
    /// The new device was told to join another user.
    pub(super) expects_another_user: bool,
    /// The new device trusts another root.
    pub(super) expects_another_root: bool,
    /// The user has as many clients as a user can have.
    pub(super) is_full: bool,
    /// The authentication service issues a credential for a key of its own.
    pub(super) issues_for_another_key: bool,
    /// The new device sends a KeyPackage of another credential.
    pub(super) sends_wrong_key_package: bool,
    /// The existing device sends a Welcome to another KeyPackage.
    pub(super) sends_wrong_welcome: bool,
    /// Messages are said twice at times.
    pub(super) repeats_itself: bool,
    /// The existing device is removed at some time.
    pub(super) removes_approver: bool,
    /// The hour of an unconfirmed client is over at some time.
    pub(super) lapses: bool,
    /// One of the persons loses patience at some time.
    pub(super) loses_patience: bool,
    /// How many calls of the authentication service fail: the request is lost, or the answer.
    pub(super) failures: u32,
    /// The state bundles do not fit a message.
    pub(super) has_many_groups: bool,
}

impl Circumstances {
    /// Most of it goes well.
    pub(super) fn generate(rng: &mut Dice) -> Self {
        let mut happens = || rng.gen_ratio(1, 24);
        Self {
            new_person_declines: happens(),
            existing_person_declines: happens(),
            expects_another_user: happens(),
            expects_another_root: happens(),
            is_full: happens(),
            issues_for_another_key: happens(),
            sends_wrong_key_package: happens(),
            sends_wrong_welcome: happens(),
            repeats_itself: happens(),
            removes_approver: happens(),
            lapses: happens(),
            loses_patience: happens(),
            failures: if happens() { 2 } else { 0 },
            has_many_groups: happens() && happens(),
        }
    }

    /// Persons in a hurry, with a service that answers badly.
    pub(super) fn hurried(_: &mut Dice) -> Self {
        Self { loses_patience: true, failures: 3, ..Self::default() }
    }
}

/// All that surrounds the devices of one run.
pub(super) struct Surroundings {
    pub(super) circumstances: Circumstances,
    pub(super) service: AuthenticationService,
    pub(super) dice: Dice,
    /// The public keys that the true new device has made.
    pub(super) keys: Vec<[u8; 32]>,
    seed: u64,
}

impl Surroundings {
    /// Where a new device's keys come from: few for all runs, so that few signatures are computed.
    pub(super) fn key_dice(&self) -> Dice {
        let attempts = u64::try_from(self.keys.len()).expect("they are few");
        Dice::of(self.seed % BEGINNINGS + BEGINNINGS * attempts)
    }

    /// Whether something happens now that happens `1 / ratio` of the times.
    pub(super) fn happens(&mut self, is_possible: bool, ratio: u32) -> bool {
        is_possible && self.dice.gen_ratio(1, ratio)
    }
}

thread_local! {
    static SURROUNDINGS: RefCell<Option<Surroundings>> = const { RefCell::new(None) };
}

/// Begins a run.
pub(super) fn begin(seed: u64, circumstances: Circumstances) {
    let service = AuthenticationService::new(&circumstances, Dice::of(seed.rotate_left(16)));
    let surroundings = Surroundings { circumstances, service, dice: Dice::of(!seed), keys: Vec::new(), seed };
    SURROUNDINGS.set(Some(surroundings));
}

/// Does something in the surroundings of this run.
pub(super) fn around<T>(action: impl FnOnce(&mut Surroundings) -> T) -> T {
    SURROUNDINGS.with_borrow_mut(|surroundings| action(surroundings.as_mut().expect("a run has begun")))
}
