//! Nothing that is stored says who meets, and nothing secret is logged.

use base64::Engine as _;
use vestibule_protocol::encoding::{SecretBytes as _, encode};
use vestibule_protocol::rendezvous::frame::{DeviceFrame, MailboxOutcome};
use vestibule_tests::rendezvous::{message, ticket};
use vestibule_tests::{Applicant, TestCloud, captured_log, left_out_in_processes};

/// The items of the rendezvous service, as text.
async fn stored(cloud: &TestCloud) -> String {
    let items = cloud.cloud.items("RsTable").await.unwrap();
    items.iter().map(|item| format!("{item}\n")).collect()
}

/// As requests have bytes, as DynamoDB's items have them, and as debug output has them.
fn spellings(bytes: &[u8]) -> [String; 3] {
    let standard = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    let debug = format!("{bytes:?}");
    [encode(bytes), standard, debug.trim_matches(['[', ']']).to_owned()]
}

#[tokio::test]
async fn what_is_stored_names_nobody_and_no_ticket() {
    let cloud = TestCloud::start().await;
    let alice = Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    let [new, existing] = cloud.pair(&alice, 1).await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let (_peer, _) = existing.resume(&cloud, 0).await;
    link.frame().await;
    link.ask(message(0, b"zero")).await;
    let during = stored(&cloud).await;
    assert!(during.contains("CONNECTION#") && during.contains("BUCKET#"), "{during}");
    link.send(DeviceFrame::Abort {}).await;
    assert_eq!(link.ended().await, MailboxOutcome::Aborted);
    let client = alice.client_id.uuid.to_string();
    for text in [during, stored(&cloud).await] {
        for identifying in ["alice", "localhost", client.as_str(), "127.0.0.1"] {
            assert!(!text.contains(identifying), "{identifying} is in {text}");
        }
        for seat in [&new, &existing] {
            for spelling in spellings(&seat.ticket.to_secret_bytes()) {
                assert!(!text.contains(&spelling), "a ticket is stored");
            }
        }
    }
}

#[tokio::test]
async fn tickets_and_messages_reach_no_log() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let alice = Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    // Tickets that no other test uses, whose deployments have the same keys.
    let [new, existing] = cloud.pair(&alice, 4711).await;
    let secret = b"a message that nobody else sends";
    let (mut link, _) = new.resume(&cloud, 0).await;
    link.ask(message(0, secret)).await;
    cloud.cloud.inject(|call| call.operation.ends_with("Item").then_some(vestibule_local::Fault::AfterEffect));
    link.refusal(message(1, secret)).await;
    link.send_text(&new.frame(message(2, secret))[1..]).await;
    assert!(existing.try_connect(&cloud).await.is_err());
    cloud.cloud.clear_faults();
    assert!(cloud.send(&alice.joining_call(&cloud, new.code, &ticket(4712))).await.status >= 400);
    link.send(DeviceFrame::Abort {}).await;
    while !matches!(link.frame().await, vestibule_protocol::rendezvous::frame::RelayFrame::Ended { .. }) {}
    let log = captured_log();
    assert!(log.contains("rs-relay") && log.contains("a mailbox has ended"), "{log}");
    let mailbox = new.mailbox_id.to_string();
    let tickets = [&new, &existing].map(|seat| spellings(&seat.ticket.to_secret_bytes()));
    for text in tickets.iter().flatten().chain(&spellings(secret)).chain([&mailbox]) {
        assert!(!log.contains(text.as_str()), "{text} is in the log");
    }
}
