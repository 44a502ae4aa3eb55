use std::ops::Range;

use rand::Rng as _;

use super::authentication_service::Record;
use super::circumstances::begin;
use super::party::Side;
use super::*;
use crate::linking::{ExistingDeviceProgress, NewDeviceProgress};
use crate::rendezvous::Progress;
use crate::rendezvous::simulation::dice::Dice;
use crate::rendezvous::simulation::{Behaviour, World};

/// A network that loses, repeats and reorders, and a relay that says "try later".
const UNRELIABLE: Behaviour = Behaviour {
    disconnect: 30,
    kill: 0,
    kill_before_saving: 0,
    duplicate: 40,
    reorder: 150,
    refuse: 30,
    mischief: 0,
    steps: 70,
};

/// The same, and processes are killed.
const MORTAL: Behaviour = Behaviour { kill: 8, kill_before_saving: 30, ..UNRELIABLE };

/// Processes are killed at the worst moments, and connections end.
const HASTY: Behaviour = Behaviour { kill_before_saving: 120, mischief: 5, steps: 200, ..UNRELIABLE };

/// The same as the first, and a relay that does what it wants.
const HOSTILE: Behaviour = Behaviour { mischief: 40, ..UNRELIABLE };

/// Says which seed it was if a run panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this happened with seed {}, {:?}", self.0, around(|around| around.circumstances));
        }
    }
}

/// What came out of some runs.
#[derive(Default, Debug)]
struct Tally {
    linked: u32,
    not_linked: u32,
    /// Runs that did not link, though a credential had been issued.
    withdrawn: u32,
}

fn run(seed: u64, circumstances: Circumstances, behaviour: Behaviour, has_wrong_words: bool) -> World<Party> {
    begin(seed, circumstances);
    let (existing, first) = ExistingParty::new();
    let parties = [
        Party::new(Side::New(Box::new(NewParty::new())), None),
        Party::new(Side::Existing(Box::new(existing)), Some(first)),
    ];
    let mut world = World::new(seed, parties, behaviour, has_wrong_words);
    world.run();
    world.check_safety();
    world
}

fn run_all(seeds: Range<u64>, circumstances: fn(&mut Dice) -> Circumstances, behaviour: Behaviour) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let circumstances = circumstances(&mut Dice::of(seed.rotate_left(32)));
        let seed = Seed(seed);
        let world = run(seed.0, circumstances, behaviour, false);
        let is_linked = check(&world, circumstances);
        let issued = around(|around| !around.service.clients.is_empty());
        tally.linked += u32::from(is_linked);
        tally.not_linked += u32::from(!is_linked);
        tally.withdrawn += u32::from(!is_linked && issued);
    }
    tally
}

fn parties(world: &World<Party>) -> (&NewParty, &ExistingParty) {
    match [&world.devices[0].application.side, &world.devices[1].application.side] {
        [Side::New(new), Side::Existing(existing)] => (new, existing),
        _ => unreachable!("the new device is the first"),
    }
}

/// What must hold whatever anybody did. Whether the device was linked.
fn check(world: &World<Party>, circumstances: Circumstances) -> bool {
    let (new, existing) = parties(world);
    let is_over = matches!(new.device.progress(), NewDeviceProgress::Linked { .. } | NewDeviceProgress::Ended(_));
    assert!(is_over, "the new device hangs: {:?}", new.device.progress());
    let progress = existing.device.progress();
    let is_over = matches!(progress, ExistingDeviceProgress::Linked { .. } | ExistingDeviceProgress::Ended(_));
    assert!(is_over, "the existing device hangs: {progress:?}");

    around(|around| {
        let service = &around.service;
        let of_record = |wanted: fn(&Record) -> bool| {
            let clients = service.clients.iter().filter(move |(_, (_, record))| wanted(record));
            clients.map(|(uuid, (credential, _))| (uuid.clone(), credential.clone())).collect::<Vec<_>>()
        };
        for (credential, _) in service.clients.values() {
            let is_for_true_device = around.keys.contains(&verifying_key(credential));
            assert!(is_for_true_device || circumstances.issues_for_another_key, "issued for another device");
        }
        let confirmed = of_record(|record| *record == Record::Confirmed);
        assert!(confirmed.len() <= 1, "two devices were linked with one code");
        assert_eq!(new.linked().as_ref(), confirmed.first().map(|(_, credential)| credential));
        // What a device thinks that is not the user's any more does not matter.
        if service.is_approver_live {
            assert_eq!(existing.linked().as_ref(), confirmed.first().map(|(uuid, _)| uuid));
            let unconfirmed = of_record(|record| matches!(record, Record::Unconfirmed { .. }));
            assert!(unconfirmed.is_empty(), "a client was left unconfirmed");
        }
        if let Some(credential) = new.linked() {
            assert!(around.keys.contains(&verifying_key(&credential)), "the device's credential is not for its key");
        }
        !confirmed.is_empty()
    })
}

fn verifying_key(credential: &crate::encoding::Bytes) -> [u8; 32] {
    let credential =
        crate::signed::Unverified::<crate::credential::ClientCredentialPayload>::from_bytes(&credential.0).unwrap();
    *credential.claim().verifying_key.as_bytes()
}

fn nothing_else(rng: &mut Dice) -> Circumstances {
    Circumstances { has_many_groups: rng.gen_ratio(1, 50), ..Circumstances::default() }
}

#[test]
fn an_unreliable_network_links_every_device() {
    let tally = run_all(0..2_000, nothing_else, UNRELIABLE);
    assert_eq!(tally.linked, 2_000, "{tally:?}");
}

#[test]
fn whatever_the_persons_and_the_service_do_both_devices_are_linked_or_neither() {
    let tally = run_all(10_000..14_500, Circumstances::generate, UNRELIABLE);
    assert!(tally.linked > 1_500 && tally.withdrawn > 300, "{tally:?}");
}

#[test]
fn devices_that_are_killed_are_both_linked_or_neither_is() {
    let tally = run_all(20_000..23_500, Circumstances::generate, MORTAL);
    assert!(tally.linked > 700 && tally.withdrawn > 200, "{tally:?}");
}

#[test]
fn devices_that_are_killed_often_with_persons_in_a_hurry_and_lost_answers_are_both_linked_or_neither_is() {
    let tally = run_all(25_000..28_500, Circumstances::hurried, HASTY);
    assert!(tally.linked > 150 && tally.withdrawn > 200, "{tally:?}");
}

#[test]
fn a_hostile_relay_links_no_other_device() {
    let tally = run_all(30_000..34_500, Circumstances::generate, HOSTILE);
    assert!(tally.linked > 500 && tally.withdrawn > 60, "{tally:?}");
}

#[test]
fn a_hostile_relay_with_killed_devices_links_no_other_device() {
    let tally = run_all(40_000..42_500, nothing_else, Behaviour { kill: 8, ..HOSTILE });
    assert!(tally.linked > 500 && tally.withdrawn > 60, "{tally:?}");
}

#[test]
fn a_relay_in_the_middle_that_guessed_wrong_has_nothing_issued() {
    for seed in 50_000..51_500 {
        let seed = Seed(seed);
        let world = run(seed.0, Circumstances::default(), HOSTILE, true);
        assert!(!check(&world, Circumstances::default()));
        assert!(around(|around| around.service.clients.is_empty() && around.keys.is_empty()));
        assert!(world.devices.iter().all(|device| matches!(device.session.progress(), Progress::Ended(_))));
    }
}
