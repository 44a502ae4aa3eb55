//! How a mailbox ends, and that everybody hears of it.

use serde_json::Value;
use vestibule_local::Fault;
use vestibule_protocol::limits::RENDEZVOUS_LIFETIME;
use vestibule_protocol::rendezvous::frame::{DeviceFrame, MailboxOutcome, RelayFrame};
use vestibule_tests::rendezvous::{Link, Seat, message};
use vestibule_tests::{Applicant, TestCloud, left_out_in_processes};

/// A pair that is connected and has stored a message each.
async fn connected() -> (TestCloud, [Seat; 2], [Link; 2]) {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let [new, existing] = cloud.pair(&alice, 1).await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let (mut peer, _) = existing.resume(&cloud, 0).await;
    link.frame().await;
    for (from, to) in [(0, 1), (1, 0)] {
        let links = [&mut link, &mut peer];
        let [from, to] = if from < to {
            links
        } else {
            let [a, b] = links;
            [b, a]
        };
        from.ask(message(0, b"zero")).await;
        to.frame().await;
    }
    (cloud, [new, existing], [link, peer])
}

/// What is left of a mailbox that has ended.
async fn remains(cloud: &TestCloud, seat: &Seat) -> Vec<String> {
    assert_eq!(cloud.messages().await, Vec::<String>::new());
    let Value::Object(item) = cloud.mailbox(&seat.mailbox_id).await else { panic!("an item") };
    item.keys().cloned().collect()
}

const REMAINS: [&str; 7] = ["ends_at", "existing_ticket_hash", "expires_at", "new_ticket_hash", "outcome", "pk", "sk"];

/// Has the device hear the outcome again, which comes after everything else was done.
async fn hears_again(cloud: &TestCloud, seat: &Seat, outcome: MailboxOutcome) {
    let mut link = seat.connect(cloud).await;
    for frame in [
        DeviceFrame::Resume { received: 0 },
        message(1, b"one"),
        DeviceFrame::Acknowledge { received: 1 },
        DeviceFrame::Finish {},
        DeviceFrame::Abort {},
    ] {
        link.send(frame).await;
        assert_eq!(link.ended().await, outcome);
    }
}

#[tokio::test]
async fn a_mailbox_is_linked_when_both_devices_have_finished() {
    let (cloud, [new, existing], [mut link, mut peer]) = connected().await;
    let connection = new.connection(&cloud, "new").await;
    for _ in 0..2 {
        assert_eq!(cloud.relay(&connection, &new.frame(DeviceFrame::Finish {})).await, 200);
    }
    peer.send(DeviceFrame::Finish {}).await;
    assert_eq!([link.ended().await, peer.ended().await], [MailboxOutcome::Linked; 2]);
    for seat in [&new, &existing] {
        hears_again(&cloud, seat, MailboxOutcome::Linked).await;
        assert_eq!(remains(&cloud, seat).await, REMAINS);
    }
}

#[tokio::test]
async fn whoever_gives_up_ends_it_for_both() {
    for side in 0..2 {
        let (cloud, seats, [link, peer]) = connected().await;
        let mut links = [link, peer];
        links[side].send(DeviceFrame::Abort {}).await;
        for link in &mut links {
            assert_eq!(link.ended().await, MailboxOutcome::Aborted);
        }
        hears_again(&cloud, &seats[1 - side], MailboxOutcome::Aborted).await;
        assert_eq!(remains(&cloud, &seats[side]).await, REMAINS);
    }
}

#[tokio::test]
async fn a_device_that_was_away_hears_the_end_when_it_comes_back() {
    let (cloud, [_, existing], [mut link, peer]) = connected().await;
    drop(peer);
    assert_eq!(link.frame().await, RelayFrame::PeerLeft {});
    assert_eq!(link.ask(DeviceFrame::Abort {}).await, RelayFrame::Ended { outcome: MailboxOutcome::Aborted });
    let (_peer, answer) = existing.resume(&cloud, 0).await;
    assert_eq!(answer, RelayFrame::Ended { outcome: MailboxOutcome::Aborted });
}

#[tokio::test]
async fn to_give_up_needs_no_resume() {
    let cloud = TestCloud::start().await;
    let new = cloud.new_device(1).await;
    let mut link = new.connect(&cloud).await;
    assert_eq!(link.ask(DeviceFrame::Abort {}).await, RelayFrame::Ended { outcome: MailboxOutcome::Aborted });
}

#[tokio::test]
async fn time_is_up_for_both_as_soon_as_one_says_a_word() {
    left_out_in_processes!("it moves the clock");
    let (cloud, seats, [mut link, mut peer]) = connected().await;
    cloud.cloud.clock().advance(RENDEZVOUS_LIFETIME);
    peer.send(message(1, b"one")).await;
    assert_eq!([link.ended().await, peer.ended().await], [MailboxOutcome::Expired; 2]);
    hears_again(&cloud, &seats[0], MailboxOutcome::Expired).await;
    assert_eq!(remains(&cloud, &seats[0]).await, REMAINS);
}

#[tokio::test]
async fn a_device_that_nobody_joined_was_lonely() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let new = cloud.new_device(1).await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    link.ask(message(0, b"zero")).await;
    cloud.cloud.clock().advance(RENDEZVOUS_LIFETIME);
    link.send(DeviceFrame::Resume { received: 0 }).await;
    assert_eq!(link.ended().await, MailboxOutcome::Lonely);
    hears_again(&cloud, &new, MailboxOutcome::Lonely).await;
    let remains = remains(&cloud, &new).await;
    assert!(!remains.contains(&"existing_ticket_hash".to_owned()));
}

#[tokio::test]
async fn an_end_that_could_not_be_told_is_told_at_the_next_occasion() {
    let (cloud, [new, existing], [mut link, mut peer]) = connected().await;
    // The function is as good as cut off once the outcome is written: the other device is not told, nothing is cleared.
    let connection = new.connection(&cloud, "new").await;
    let to = existing.connection(&cloud, "existing").await;
    cloud.cloud.inject(move |call| match call.operation.as_str() {
        "BatchWriteItem" | "DeleteConnection" => Some(Fault::BeforeEffect),
        "PostToConnection" if call.body["ConnectionId"] == to.as_str() => Some(Fault::BeforeEffect),
        _ => None,
    });
    assert_eq!(cloud.relay(&connection, &new.frame(DeviceFrame::Abort {})).await, 200);
    assert_eq!(link.ended().await, MailboxOutcome::Aborted);
    assert_eq!(cloud.messages().await.len(), 2);
    cloud.cloud.clear_faults();
    link.send(DeviceFrame::Abort {}).await;
    assert_eq!([link.ended().await, peer.ended().await], [MailboxOutcome::Aborted; 2]);
    hears_again(&cloud, &existing, MailboxOutcome::Aborted).await;
    assert_eq!(remains(&cloud, &new).await, REMAINS);
}
