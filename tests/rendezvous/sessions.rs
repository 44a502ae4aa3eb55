//! Real sessions over the relay, through a network that repeats, delays, reorders and loses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vestibule_local::{Disturbance, Fault, Service, ServiceCall, Transfer};
use vestibule_protocol::rendezvous::frame::{DeviceFrame, RelayFrame};
use vestibule_protocol::rendezvous::{EndReason, Pairing, RandomString, Session};
use vestibule_tests::rendezvous::Seat;
use vestibule_tests::session::{Ended, run};
use vestibule_tests::{Applicant, TestCloud};

/// How many sessions go through each kind of trouble.
const RUNS: u64 = 40;

/// How long a device waits that loses nothing, and one that does.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

async fn cloud_with_alice() -> (Arc<TestCloud>, Applicant) {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    (Arc::new(cloud), alice)
}

fn lines(seat: &Seat, side: usize) -> Vec<Vec<u8>> {
    (0..2).map(|number| format!("{number} of side {side} in {}", seat.mailbox_id).into_bytes()).collect()
}

/// Both sessions of a pair, at once.
async fn converse(cloud: &TestCloud, seats: &[Seat; 2], seed: u64, patience: Duration) -> [Ended; 2] {
    let rng = &mut StdRng::seed_from_u64(seed);
    let [new, existing] = [0, 1].map(|side| seats[side].rendezvous(cloud));
    let sessions = (Session::new_device(new, rng), Session::existing_device(existing, rng));
    let said = [0, 1].map(|side| lines(&seats[side], side));
    let (new, existing) = tokio::join!(
        run(cloud, &seats[0], sessions.0, &said[0], patience),
        run(cloud, &seats[1], sessions.1, &said[1], patience)
    );
    [new, existing]
}

fn all_said(seats: &[Seat; 2]) -> [Ended; 2] {
    [1, 0].map(|side| Ended { received: lines(&seats[side], side), reason: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_pairs_at_once_all_succeed_and_hear_only_each_other() {
    let (cloud, alice) = cloud_with_alice().await;
    let mut pairs = JoinSet::new();
    for seed in 0..64 {
        let seats = cloud.pair(&alice, seed).await;
        let cloud = Arc::clone(&cloud);
        pairs.spawn(async move {
            assert_eq!(converse(&cloud, &seats, seed, LONG).await, all_said(&seats), "pair {seed}");
        });
    }
    pairs.join_all().await;
}

/// Something for about one in sixteen.
fn trouble(rng: &mut StdRng) -> Option<Disturbance> {
    match rng.gen_range(0..64) {
        0 => Some(Disturbance::Lost),
        1 => Some(Disturbance::Twice),
        2 => Some(Disturbance::AfterNext),
        3 => Some(Disturbance::Delayed(Duration::from_millis(rng.gen_range(1..20)))),
        _ => None,
    }
}

/// A failure for about one call in thirty-two.
fn failure(call: &ServiceCall, rng: &mut StdRng) -> Option<Fault> {
    // What the HTTP API is asked is not what this is about.
    if !["rs-connect", "rs-relay", "rs-disconnect"].contains(&call.function.as_str()) {
        return None;
    }
    let fault = match rng.gen_range(0..128) {
        0 => Fault::BeforeEffect,
        1 => Fault::AfterEffect,
        2 => Fault::Throttled,
        3 if call.service == Service::ApiGatewayManagement => Fault::Gone,
        3 => Fault::TransactionConflict,
        _ => return None,
    };
    Some(fault)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_network_does_both_devices_hear_everything_once() {
    let (cloud, alice) = cloud_with_alice().await;
    let (transfers, calls) = [1, 2].map(|seed| Mutex::new(StdRng::seed_from_u64(seed))).into();
    cloud.cloud.disturb(move |_: &Transfer| trouble(&mut transfers.lock().unwrap()));
    cloud.cloud.inject(move |call| failure(call, &mut calls.lock().unwrap()));
    let places = Arc::new(Semaphore::new(16));
    let mut pairs = JoinSet::new();
    for seed in 0..RUNS {
        let seats = cloud.pair(&alice, seed).await;
        let (cloud, places) = (Arc::clone(&cloud), Arc::clone(&places));
        pairs.spawn(async move {
            let _place = places.acquire().await;
            assert_eq!(converse(&cloud, &seats, seed, SHORT).await, all_said(&seats), "pair {seed}");
        });
    }
    pairs.join_all().await;
}

#[tokio::test]
async fn wrong_words_end_it_for_both_and_the_code_is_used_up() {
    let (cloud, alice) = cloud_with_alice().await;
    let seats = cloud.pair(&alice, 1).await;
    let rng = &mut StdRng::seed_from_u64(1);
    let new = seats[0].rendezvous(&cloud);
    let mut existing = seats[1].rendezvous(&cloud);
    existing.pairing = Pairing { code: seats[1].code, random_string: RandomString::generate(rng) };
    let sessions = (Session::new_device(new, rng), Session::existing_device(existing, rng));
    let (new, existing) =
        tokio::join!(run(&cloud, &seats[0], sessions.0, &[], LONG), run(&cloud, &seats[1], sessions.1, &[], LONG));
    for ended in [new, existing] {
        assert_eq!(ended, Ended { received: Vec::new(), reason: Some(EndReason::ConnectionEnded) });
    }
    let guess = alice.joining_call(&cloud, seats[0].code, &vestibule_tests::rendezvous::ticket(99));
    assert_eq!(cloud.send(&guess).await.problem(), vestibule_protocol::problem::ProblemType::RendezvousCodeJoined);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_alters_a_message_ends_the_session_and_no_more() {
    let (cloud, alice) = cloud_with_alice().await;
    let seats = cloud.pair(&alice, 1).await;
    let rng = &mut StdRng::seed_from_u64(1);
    let mut new = Session::new_device(seats[0].rendezvous(&cloud), rng);
    let existing = Session::existing_device(seats[1].rendezvous(&cloud), rng);
    let mut link = seats[0].connect(&cloud).await;
    new.connected();
    new.save(|_| Ok::<_, ()>(())).unwrap();
    for frame in new.frames() {
        link.send_text(&frame.to_json()).await;
    }
    loop {
        let frame = link.frame().await;
        let is_stored = frame == RelayFrame::Stored { number: 0 };
        new.receive(frame);
        if is_stored {
            break;
        }
    }

    // Another message of the same form, as whoever has the tables could put there to try words of its own.
    let other = Session::new_device(seats[0].rendezvous(&cloud), rng);
    let altered = first_message(other);
    let items = cloud.cloud.items("RsTable").await.unwrap();
    let mut item = items.into_iter().find(|item| item["sk"]["S"].as_str().unwrap().starts_with("MESSAGE#")).unwrap();
    assert_ne!(item["payload"]["B"], altered);
    item["payload"]["B"] = altered.into();
    cloud.cloud.put_item("RsTable", item).await.unwrap();
    drop(link);
    new.disconnected();
    let (new, existing) =
        tokio::join!(run(&cloud, &seats[0], new, &[], LONG), run(&cloud, &seats[1], existing, &[], LONG));
    let ended = Ended { received: Vec::new(), reason: Some(EndReason::ConnectionEnded) };
    assert_eq!([&new, &existing], [&ended; 2]);
}

/// What a device says first, as DynamoDB has it.
fn first_message(mut session: Session) -> String {
    session.connected();
    session.save(|_| Ok::<_, ()>(())).unwrap();
    let payload = session.frames().into_iter().find_map(|frame| match frame.frame {
        DeviceFrame::Message { payload, .. } => Some(payload),
        _ => None,
    });
    STANDARD.encode(payload.unwrap().0)
}
