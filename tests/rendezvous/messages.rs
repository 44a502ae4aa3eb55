//! The mailbox: messages are kept, numbered, passed on, and sent again.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::limits::{MAX_MAILBOX_LENGTH, MAX_MAILBOX_MESSAGES, MAX_RELAY_MESSAGE_LENGTH};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::rendezvous::MailboxId;
use vestibule_protocol::rendezvous::frame::{DeviceFrame, RelayFrame};
use vestibule_tests::rendezvous::{Seat, message, passed_on, payload, ticket};
use vestibule_tests::{Applicant, TestCloud};

use super::cloud_with_pair;

fn stored(number: u32) -> RelayFrame {
    RelayFrame::Stored { number }
}

#[tokio::test]
async fn what_is_said_before_the_other_device_comes_waits_for_it() {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let new = cloud.new_device(2).await;
    let (mut link, resumed) = new.resume(&cloud, 0).await;
    assert_eq!(resumed, RelayFrame::Resumed { stored: 0, peer_connected: false, expires_at: new.expires_at });
    assert_eq!(link.ask(message(0, b"zero")).await, stored(0));
    assert_eq!(link.ask(message(1, b"one")).await, stored(1));

    let existing = alice.join(&cloud, new.code, ticket(3)).await;
    let (mut peer, resumed) = existing.resume(&cloud, 0).await;
    assert_eq!(resumed, RelayFrame::Resumed { stored: 0, peer_connected: true, expires_at: existing.expires_at });
    assert_eq!(peer.frame().await, passed_on(0, b"zero"));
    assert_eq!(peer.frame().await, passed_on(1, b"one"));
    assert_eq!(link.frame().await, RelayFrame::PeerArrived { expires_at: existing.expires_at });

    assert_eq!(peer.ask(message(0, b"answer")).await, stored(0));
    assert_eq!(link.frame().await, passed_on(0, b"answer"));
    assert_eq!(link.ask(message(2, b"two")).await, stored(2));
    assert_eq!(peer.frame().await, passed_on(2, b"two"));
}

#[tokio::test]
async fn the_same_message_again_is_stored_once_and_another_under_its_number_is_refused() {
    let (cloud, [new, _]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    assert_eq!(link.ask(message(0, b"zero")).await, stored(0));
    let state = cloud.state().await;
    assert_eq!(link.ask(message(0, b"zero")).await, stored(0));
    assert_eq!(link.refusal(message(0, b"other")).await, (ProblemType::MessageNumberTaken, Some(0)));
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn messages_come_in_any_order_and_the_first_gap_is_told() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    for number in [2, 0, 3, 255] {
        assert_eq!(link.ask(message(number, &[7; 33])).await, stored(number));
    }
    let (_link, resumed) = new.resume(&cloud, 0).await;
    assert!(matches!(resumed, RelayFrame::Resumed { stored: 1, .. }), "{resumed:?}");
    let (mut peer, _) = existing.resume(&cloud, 1).await;
    for number in [2, 3, 255] {
        assert_eq!(peer.frame().await, passed_on(number, &[7; 33]));
    }
}

#[tokio::test]
async fn a_device_that_resumes_gets_what_it_lacks_and_not_what_it_acknowledged() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    for number in 0..4 {
        link.ask(message(number, &[number as u8])).await;
    }
    let (mut peer, _) = existing.resume(&cloud, 2).await;
    assert_eq!(peer.frame().await, passed_on(2, &[2]));
    assert_eq!(peer.frame().await, passed_on(3, &[3]));
    let connection = existing.connection(&cloud, "existing").await;
    assert_eq!(cloud.relay(&connection, &existing.frame(DeviceFrame::Acknowledge { received: 3 })).await, 200);
    let state = cloud.state().await;
    // Late, again, and of what was never sent.
    for received in [1, 3] {
        assert_eq!(cloud.relay(&connection, &existing.frame(DeviceFrame::Acknowledge { received })).await, 200);
    }
    assert_eq!(cloud.state().await, state);
    let (mut peer, _) = existing.resume(&cloud, 0).await;
    assert_eq!(peer.frame().await, passed_on(3, &[3]));
    let connection = existing.connection(&cloud, "existing").await;
    assert_eq!(cloud.relay(&connection, &existing.frame(DeviceFrame::Acknowledge { received: u32::MAX })).await, 200);
    assert_eq!(cloud.mailbox(&new.mailbox_id).await["existing_received"]["N"], "4");
}

#[tokio::test]
async fn a_mailbox_takes_so_many_messages_and_bytes() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let rng = &mut StdRng::seed_from_u64(1);
    let largest = payload(rng, MAX_RELAY_MESSAGE_LENGTH);
    let full = |number| (ProblemType::MailboxFull, Some(number));
    assert_eq!(link.refusal(message(MAX_MAILBOX_MESSAGES, b"")).await, full(MAX_MAILBOX_MESSAGES));
    assert_eq!(link.refusal(message(0, &[largest.as_slice(), &[0]].concat())).await, full(0));
    let count = u32::try_from(MAX_MAILBOX_LENGTH / MAX_RELAY_MESSAGE_LENGTH).unwrap();
    for number in 0..count - 1 {
        assert_eq!(link.ask(message(number, &largest)).await, stored(number));
    }
    assert_eq!(link.ask(message(count - 1, &largest[1..])).await, stored(count - 1));
    assert_eq!(link.refusal(message(count, b"ab")).await, full(count));
    assert_eq!(link.ask(message(count, b"a")).await, stored(count));
    assert_eq!(link.ask(message(count, b"a")).await, stored(count), "what is there may come again");
    assert_eq!(link.refusal(message(count + 1, b"a")).await, full(count + 1));
    assert_eq!(link.ask(message(count + 1, b"")).await, stored(count + 1));

    // More than a page of DynamoDB's.
    let (mut peer, _) = existing.resume(&cloud, 0).await;
    for number in 0..count + 2 {
        match peer.frame().await {
            RelayFrame::Message { number: passed_on, .. } => assert_eq!(passed_on, number),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(peer.ask(message(0, &largest)).await, stored(0), "each device has its own room");
}

#[tokio::test]
async fn nobody_speaks_for_another_mailbox_or_side() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let stranger = cloud.new_device(10).await;
    let (mut link, _) = stranger.resume(&cloud, 0).await;
    let state = cloud.state().await;
    let frames = || {
        [
            DeviceFrame::Resume { received: 0 },
            message(0, b"zero"),
            DeviceFrame::Acknowledge { received: 0 },
            DeviceFrame::Finish {},
            DeviceFrame::Abort {},
        ]
    };
    for frame in frames() {
        let foreign = Seat { ticket: stranger.ticket.clone(), ..new.clone() };
        link.send_text(&foreign.frame(frame)).await;
        assert_eq!(refusal(link.frame().await), ProblemType::MailboxTicketRefused);
    }
    for frame in frames() {
        let nowhere = Seat { mailbox_id: MailboxId::from_bytes([7; 32]), ..existing.clone() };
        link.send_text(&nowhere.frame(frame)).await;
        assert_eq!(refusal(link.frame().await), ProblemType::MailboxUnknown);
    }
    let too_long = " ".repeat(20_000);
    for text in ["", "{}", "hello", r#"{"action":"x"}"#, too_long.as_str()] {
        link.send_text(text).await;
        assert_eq!(refusal(link.frame().await), ProblemType::MalformedFrame, "{text}");
    }
    assert_eq!(cloud.state().await, state);
}

fn refusal(frame: RelayFrame) -> ProblemType {
    match frame {
        RelayFrame::Refused { problem, .. } => ProblemType::from_urn(&problem.problem_type).unwrap(),
        other => panic!("{other:?}"),
    }
}
