//! How an existing device joins: once, as a live client, and not too often.

use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::endpoint::JoinRendezvousResponse;
use vestibule_protocol::limits::{RENDEZVOUS_LIFETIME, RENDEZVOUS_RETENTION};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::rendezvous::RendezvousCode;
use vestibule_protocol::rendezvous::frame::{DeviceFrame, MailboxOutcome, RelayFrame};
use vestibule_tests::rendezvous::{message, ticket};
use vestibule_tests::{Applicant, Call, TestCloud, all_at_once, left_out_in_processes};

async fn alice(cloud: &TestCloud) -> Applicant {
    Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await
}

#[tokio::test]
async fn a_client_joins_and_the_mailbox_lasts_ten_minutes_from_then() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let new = cloud.new_device(1).await;
    cloud.cloud.clock().advance(Duration::from_secs(599));
    let answer = cloud.send(&alice.joining_call(&cloud, new.code, &ticket(2))).await;
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"));
    let joined: JoinRendezvousResponse = answer.success();
    assert_eq!(joined.mailbox_id, new.mailbox_id);
    assert_eq!(joined.expires_at, cloud.now().saturating_add(RENDEZVOUS_LIFETIME));
    assert_eq!(Some(joined.relay_url.as_str()), cloud.cloud.websocket_url("RsWebSocketApi"));

    // The new device's connection outlives what it was told at first.
    cloud.cloud.clock().advance(Duration::from_secs(599));
    new.resume(&cloud, 0).await;
}

#[tokio::test]
async fn the_same_ticket_again_joins_the_same_mailbox_and_another_is_refused() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let new = cloud.new_device(1).await;
    let call = alice.joining_call(&cloud, new.code, &ticket(2));
    let first = cloud.send(&call).await;
    let state = cloud.state().await;
    for wait in [0, 299] {
        cloud.cloud.clock().advance(Duration::from_secs(wait));
        assert_eq!(cloud.send(&call).await, first);
        let other = cloud.send(&alice.joining_call(&cloud, new.code, &ticket(3))).await;
        assert_eq!(other.problem(), ProblemType::RendezvousCodeJoined);
    }
    cloud.cloud.clock().advance(Duration::from_secs(900));
    assert_eq!(cloud.send(&alice.joining_call(&cloud, new.code, &ticket(2))).await, first);
    let other = cloud.send(&alice.joining_call(&cloud, new.code, &ticket(3))).await;
    assert_eq!(other.problem(), ProblemType::RendezvousCodeJoined, "also when the mailbox is over");
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn of_many_tickets_at_once_one_joins() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = alice(&cloud).await;
    let new = cloud.new_device(1).await;
    let calls = (0..32).map(|number| alice.joining_call(&cloud, new.code, &ticket(100 + number / 2)));
    let answers = all_at_once(&cloud, calls.collect::<Vec<_>>()).await;
    let (joined, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(joined.len(), 2, "each ticket was sent twice");
    assert_eq!(joined[0], joined[1]);
    assert!(refused.iter().all(|answer| answer.problem() == ProblemType::RendezvousCodeJoined));
}

#[tokio::test]
async fn unknown_expired_and_given_up_codes_are_told_apart() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let new = cloud.new_device(1).await;
    let given_up = cloud.new_device(2).await;
    let mut link = given_up.connect(&cloud).await;
    link.send(DeviceFrame::Abort {}).await;
    assert_eq!(link.ended().await, MailboxOutcome::Aborted);
    let unknown = RendezvousCode::from_number(new.code.number() ^ given_up.code.number() ^ 1);
    let join = |code| alice.joining_call(&cloud, code, &ticket(3));
    let state = cloud.state().await;
    for code in [unknown, given_up.code] {
        assert_eq!(cloud.send(&join(code)).await.problem(), ProblemType::RendezvousCodeUnknown);
    }
    cloud.cloud.clock().advance(RENDEZVOUS_LIFETIME);
    assert_eq!(
        cloud.send(&alice.joining_call(&cloud, new.code, &ticket(3))).await.problem(),
        ProblemType::RendezvousCodeExpired
    );
    cloud.cloud.clock().advance(RENDEZVOUS_RETENTION);
    let join = alice.joining_call(&cloud, new.code, &ticket(3));
    assert_eq!(cloud.send(&join).await.problem(), ProblemType::RendezvousCodeUnknown, "it is forgotten");
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn a_device_that_lost_its_first_run_of_spake2_gets_no_second_one() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let [_, existing] = cloud.pair(&alice, 1).await;
    let (mut link, _) = existing.resume(&cloud, 0).await;
    assert_eq!(link.ask(message(0, b"the first run")).await, RelayFrame::Stored { number: 0 });
    drop(link);
    let anew = alice.joining_call(&cloud, existing.code, &ticket(99));
    assert_eq!(cloud.send(&anew).await.problem(), ProblemType::RendezvousCodeJoined);
    // Whoever kept the ticket gets in again, but has said what there is to say.
    assert_eq!(cloud.send(&alice.joining_call(&cloud, existing.code, &existing.ticket)).await.status, 200);
    let (mut link, _) = existing.resume(&cloud, 0).await;
    let refused = link.refusal(message(0, b"the second run")).await;
    assert_eq!(refused, (ProblemType::MessageNumberTaken, Some(0)));
}

#[tokio::test]
async fn a_ticket_that_opens_something_else_joins_nothing() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let (new, other) = (cloud.new_device(1).await, cloud.new_device(2).await);
    let [_, joined] = cloud.pair(&alice, 10).await;
    let state = cloud.state().await;
    for ticket in [&new.ticket, &other.ticket, &joined.ticket] {
        let answer = cloud.send(&alice.joining_call(&cloud, new.code, ticket)).await;
        assert_eq!(answer.problem(), ProblemType::RendezvousTicketTaken);
    }
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn only_a_live_client_joins_and_only_as_itself() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let bob = Applicant::new(&cloud, "bob@localhost", 2).await.register(&cloud).await;
    let stranger = Applicant::new(&cloud, "eve@localhost", 3).await;
    let new = cloud.new_device(1).await;
    let state = cloud.state().await;

    let unsigned = alice.unsigned_joining_call(new.code, &ticket(2));
    let as_bob = bob.sign_for_rendezvous(&cloud, &unsigned);
    let tag = "vestibule:rs:localhost";
    let with_another_key = unsigned.signed(&bob.client_key, &alice.client_id.to_string(), tag, cloud.now());
    let of_another_service = alice.sign(&cloud, &unsigned);
    let of_another_code = {
        let code = RendezvousCode::from_number(new.code.number() ^ 1);
        let other = alice.joining_call(&cloud, code, &ticket(2));
        Call { path: unsigned.path.clone(), ..other }
    };
    let old = unsigned.signed(
        &alice.client_key,
        &alice.client_id.to_string(),
        tag,
        cloud.now().saturating_sub(Duration::from_secs(301)),
    );
    for (call, problem) in [
        (unsigned, ProblemType::SignatureMissing),
        (as_bob, ProblemType::ClientUnknown),
        (with_another_key, ProblemType::SignatureInvalid),
        (of_another_service, ProblemType::SignatureForAnotherService),
        (of_another_code, ProblemType::SignatureInvalid),
        (old, ProblemType::SignatureStale),
        (stranger.joining_call(&cloud, new.code, &ticket(2)), ProblemType::ClientUnknown),
    ] {
        assert_eq!(cloud.send(&call).await.problem(), problem);
    }
    let foreign = Applicant::new(&cloud, "alice@example.org", 4).await;
    let answer = cloud.send(&foreign.joining_call(&cloud, new.code, &ticket(2))).await;
    assert_eq!(answer.problem(), ProblemType::ForeignDomain);
    let malformed =
        Call { path: "/v1/rendezvous/007/join".to_owned(), ..alice.joining_call(&cloud, new.code, &ticket(2)) };
    assert_eq!(cloud.send(&malformed).await.problem(), ProblemType::InvalidRendezvousCode);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn hits_and_misses_count_alike_for_each_client() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("JoinsPerClientAndHour", "3")).await;
    let alice = alice(&cloud).await;
    let bob = Applicant::new(&cloud, "bob@localhost", 2).await.register(&cloud).await;
    let new = cloud.new_device(1).await;
    let miss = RendezvousCode::from_number(new.code.number() ^ 1);
    // What somebody else sends in her name does not count.
    let forged = alice.unsigned_joining_call(miss, &ticket(2)).signed(
        &bob.client_key,
        &alice.client_id.to_string(),
        "vestibule:rs:localhost",
        cloud.now(),
    );
    assert_eq!(cloud.send(&forged).await.problem(), ProblemType::SignatureInvalid);
    for _ in 0..2 {
        let answer = cloud.send(&alice.joining_call(&cloud, miss, &ticket(2))).await;
        assert_eq!(answer.problem(), ProblemType::RendezvousCodeUnknown);
    }
    alice.join(&cloud, new.code, ticket(2)).await;
    for code in [new.code, miss] {
        let answer = cloud.send(&alice.joining_call(&cloud, code, &ticket(2))).await;
        assert_eq!(answer.problem(), ProblemType::RateLimited);
    }
    let answer = cloud.send(&bob.joining_call(&cloud, new.code, &ticket(3))).await;
    assert_eq!(answer.problem(), ProblemType::RendezvousCodeJoined, "another client has its own allowance");
}
