//! Queues, request by request: what is right, what meets, what breaks, and what is refused.

mod dequeuing;
mod direct;
mod enqueuing;
mod forward_secrecy;
mod publications;
mod races;

use std::time::Duration;

use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::{DAY, MONTH};
use vestibule_tests::{Pseudonym, TestCloud, left_out_in_processes};

/// Alice at the queuing service.
async fn alice(cloud: &TestCloud) -> Pseudonym {
    Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await
}

/// Messages that can be told apart, of different lengths.
fn messages(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{number}: {}", "x".repeat(number % 300)).into_bytes()).collect()
}

#[tokio::test]
async fn what_is_sent_is_received_in_order_and_once() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (mut inbox, sent) = (alice.inbox(), messages(40));
    alice.receive(&cloud, sent[..25].to_vec()).await;
    alice.fetch_all(&cloud, &mut inbox).await;
    alice.receive(&cloud, sent[25..].to_vec()).await;
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, sent);
    // Three of the messages are key updates.
    assert_eq!(inbox.position(), 43);
}

#[tokio::test]
async fn what_is_stored_is_what_the_documents_say() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.receive(&cloud, messages(1)).await;
    let mut keys: Vec<_> = cloud.cloud.items("QsQueueTable").await.unwrap();
    keys.sort_by_key(|item| item["sk"]["S"].as_str().unwrap().to_owned());
    let queue = format!("CLIENT#{}", alice.qs_client_id());
    assert!(keys.iter().all(|item| item["pk"]["S"] == queue));
    let names: Vec<_> = keys.iter().map(|item| item["sk"]["S"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["MESSAGE#00000000000000000000", "MESSAGE#00000000000000000001", "QUEUE"]);
    assert!(names[3].starts_with("SENT#") && names[3].len() == 5 + 43 && names.len() == 4);
    let attributes = |item: &serde_json::Value| {
        let mut names: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(attributes(&keys[0]), "ciphertext expires_at pk sk");
    assert_eq!(
        attributes(&keys[2]),
        "encryption_key expires_at first_sequence next_sequence owner_key pk ratchet_key sk"
    );
    assert_eq!(attributes(&keys[3]), "expires_at pk sk");
}

#[tokio::test]
async fn a_queue_lives_while_its_owner_fetches_and_expires_90_days_after_the_month_of_the_last_time() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    cloud.prolong_token_key();
    let mut alice = alice(&cloud).await;
    let mut inbox = alice.inbox();
    for round in 0..5u8 {
        cloud.cloud.clock().advance(85 * DAY);
        alice.receive(&cloud, [vec![round]]).await;
        alice.fetch_all(&cloud, &mut inbox).await;
    }
    assert_eq!(inbox.messages, (0..5u8).map(|round| vec![round]).collect::<Vec<_>>());
    let end_of_month = cloud.now().start_of_month().saturating_add(MONTH + 90 * DAY);
    cloud.cloud.clock().advance(end_of_month.saturating_since(cloud.now()) - Duration::from_secs(1));
    assert_eq!(cloud.send(&alice.fetching_call(&cloud, 0)).await.status, 200, "this keeps it alive");
    cloud.cloud.clock().advance(MONTH + 90 * DAY);
    assert_eq!(cloud.send(&alice.fetching_call(&cloud, 0)).await.problem(), ProblemType::QueueUnknown);
    let call = vestibule_tests::queues::sending_call(&alice.queue_config(), b"too late");
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::QueueUnknown);
}

#[tokio::test]
async fn a_queue_says_in_which_month_its_owner_was_there_and_no_more() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let first = cloud.now().start_of_month().saturating_add(MONTH);
    cloud.cloud.clock().advance(first.saturating_since(cloud.now()));
    alice.fetch(&cloud, 0).await;
    let state = cloud.state().await;
    for _ in 0..5 {
        cloud.cloud.clock().advance(5 * DAY);
        alice.fetch(&cloud, 0).await;
        assert_eq!(cloud.state().await, state);
    }
    cloud.cloud.clock().advance(5 * DAY);
    alice.fetch(&cloud, 0).await;
    assert_ne!(cloud.state().await, state);
}
