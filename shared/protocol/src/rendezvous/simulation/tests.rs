use std::ops::Range;

use super::chat::Chat;
use super::*;
use crate::rendezvous::frame::MailboxOutcome;

/// A network that loses, repeats and reorders, and a relay that says "try later".
const UNRELIABLE: Behaviour = Behaviour {
    disconnect: 40,
    kill: 0,
    kill_before_saving: 0,
    duplicate: 60,
    reorder: 200,
    refuse: 40,
    mischief: 0,
    steps: 50,
};

/// The same, and a relay that does what it wants.
const HOSTILE: Behaviour = Behaviour { mischief: 120, ..UNRELIABLE };

/// Says which seed it was if a run panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this happened with seed {}", self.0);
        }
    }
}

/// What came out of some runs.
#[derive(Default, Debug)]
struct Tally {
    finished: u32,
    secured: u32,
    ended: u32,
}

fn run_all(seeds: Range<u64>, behaviour: Behaviour, has_wrong_words: bool, check: fn(&World<Chat>)) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let seed = Seed(seed);
        let rng = &mut Dice::of(!seed.0);
        let chats = [Chat::generate(rng), Chat::generate(rng)];
        let mut world = World::new(seed.0, chats, behaviour, has_wrong_words);
        world.run();
        world.check_safety();
        check_chat(&world);
        check(&world);
        for device in &world.devices {
            match device.session.progress() {
                Progress::Finished => tally.finished += 1,
                Progress::Ended(_) => tally.ended += 1,
                Progress::Handshaking | Progress::Secured => unreachable!("the safety check saw to it"),
            }
            tally.secured += u32::from(device.was_secured);
        }
    }
    tally
}

/// What must hold for a chat whatever anybody does.
fn check_chat(world: &World<Chat>) {
    for (device, peer) in [(0, 1), (1, 0)].map(|(one, other)| (&world.devices[one], &world.devices[other])) {
        let (heard, lines) = (&device.application.heard, &peer.application.lines);
        assert!(lines.starts_with(heard), "heard what was not said");
        if device.session.progress() == Progress::Finished {
            assert_eq!(heard, lines, "finished without having heard all");
        }
    }
}

/// What must hold besides if nobody lies and no process is killed.
fn check_all_is_well(world: &World<Chat>) {
    for (device, peer) in [(0, 1), (1, 0)].map(|(one, other)| (&world.devices[one], &world.devices[other])) {
        assert_eq!(device.session.progress(), Progress::Finished);
        assert_eq!(device.application.heard, peer.application.lines);
    }
    assert_eq!(world.relay.outcome(), Some(MailboxOutcome::Linked));
}

/// What must hold besides if nobody lies, but processes are killed.
fn check_kills(world: &World<Chat>) {
    if world.devices.iter().any(|device| matches!(device.session.progress(), Progress::Ended(_))) {
        // Somebody was killed during the handshake, so there was none.
        assert!(world.devices.iter().any(|device| device.was_killed));
        for device in &world.devices {
            assert!(!device.was_secured && matches!(device.session.progress(), Progress::Ended(_)));
        }
        assert_eq!(world.relay.outcome(), Some(MailboxOutcome::Aborted));
    } else {
        check_all_is_well(world);
    }
}

/// What must hold besides if the words are wrong.
fn check_nothing_is_secured(world: &World<Chat>) {
    for device in &world.devices {
        assert!(!device.was_secured && device.application.heard.is_empty());
    }
}

/// Runs that the hostile relay lets come to a good end, and others, must both be among them.
fn check_variety(tally: &Tally, runs: u32) {
    assert!(tally.finished > runs / 10 && tally.ended > runs / 10, "{tally:?}");
    assert!(tally.secured > tally.finished + runs / 20, "{tally:?}");
}

#[test]
fn an_unreliable_network_loses_and_doubles_nothing() {
    let tally = run_all(0..10_000, UNRELIABLE, false, check_all_is_well);
    assert_eq!(tally.finished, 20_000);
}

#[test]
fn an_unreliable_network_loses_and_doubles_nothing_with_other_seeds() {
    let tally = run_all(10_000..20_000, UNRELIABLE, false, check_all_is_well);
    assert_eq!(tally.finished, 20_000);
}

#[test]
fn a_killed_process_goes_on_or_both_devices_end() {
    let tally = run_all(0..5_000, Behaviour { kill: 15, ..UNRELIABLE }, false, check_kills);
    assert!(tally.finished > 2_500 && tally.ended > 500, "{tally:?}");
}

#[test]
fn devices_with_different_words_both_end_whatever_the_network_does() {
    let tally = run_all(0..10_000, UNRELIABLE, true, check_nothing_is_secured);
    assert_eq!(tally.ended, 20_000);
}

#[test]
fn a_hostile_relay_that_guessed_wrong_gets_nothing() {
    run_all(0..15_000, HOSTILE, true, check_nothing_is_secured);
}

#[test]
fn a_hostile_relay_can_only_end_a_session_1() {
    check_variety(&run_all(100_000..115_000, HOSTILE, false, |_| ()), 15_000);
}

#[test]
fn a_hostile_relay_can_only_end_a_session_2() {
    check_variety(&run_all(200_000..215_000, HOSTILE, false, |_| ()), 15_000);
}

#[test]
fn a_hostile_relay_can_only_end_a_session_3() {
    check_variety(&run_all(300_000..315_000, HOSTILE, false, |_| ()), 15_000);
}

#[test]
fn a_hostile_relay_on_a_reliable_network_can_only_end_a_session() {
    let behaviour = Behaviour { mischief: 60, steps: 40, ..Behaviour::default() };
    check_variety(&run_all(400_000..410_000, behaviour, false, |_| ()), 10_000);
}

#[test]
fn a_hostile_relay_and_killed_processes_can_only_end_a_session() {
    run_all(0..5_000, Behaviour { kill: 15, ..HOSTILE }, false, |_| ());
}
