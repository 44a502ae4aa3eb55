//! What gets into a queue, and what does not.

use serde_json::json;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::limits::{MAX_QUEUE_MESSAGE_LENGTH, MAX_QUEUE_MESSAGES};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queue_config::QueueConfig;
use vestibule_protocol::time::DAY;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Call, Pseudonym, TestCloud, left_out_in_processes};

use super::alice;

/// Sends a call and checks that it leaves nothing behind.
async fn problem_with(cloud: &TestCloud, call: &Call) -> ProblemType {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert_eq!(cloud.state().await, before, "{}", answer.text());
    answer.problem()
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_there_once_for_a_day_at_least() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let call = sending_call(&alice.queue_config(), b"hello");
    for _ in 0..3 {
        assert_eq!(cloud.send(&call).await.status, 200);
        cloud.cloud.clock().advance(DAY / 3);
    }
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello"]);
    // It is not there again when it was fetched, either.
    assert_eq!(cloud.send(&call).await.status, 200);
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello"]);
}

#[tokio::test]
async fn two_queue_configs_of_a_client_lead_to_the_same_queue() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (one, other) = (alice.queue_config(), alice.queue_config());
    assert_ne!(one, other);
    for queue_config in [one, other] {
        assert_eq!(cloud.send(&sending_call(&queue_config, b"hello")).await.status, 200);
    }
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello", b"hello"]);
}

#[tokio::test]
async fn a_queue_config_from_a_key_package_leads_to_the_queue() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let package = alice.package(&cloud, false);
    let package = vestibule_protocol::add_package::AddPackage::from_bytes(&package.0).unwrap();
    let batch = vestibule_key_packages::SignatureBatch::default();
    let checked = vestibule_key_packages::CheckedKeyPackage::check(package.key_package(), &batch, cloud.now()).unwrap();
    let queue_config = Bytes(checked.queue_config().to_vec());
    assert_eq!(cloud.send(&sending_call(&queue_config, b"welcome")).await.status, 200);
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"welcome"]);
}

#[tokio::test]
async fn a_queue_config_that_is_no_clients_leads_nowhere() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let right = alice.queue_config();
    let mut altered = right.clone();
    altered.0[100] ^= 1;
    let of_nobody = Pseudonym::new(&cloud, "bob@localhost", 2).await.queue_config();
    // Mallory knows Alice's id and signs for her.
    let forged = QueueConfig::issue(alice.qs_client_id(), &alice.push_token_key, &SigningKey::generate(&mut alice.rng));
    let forged = alice.seal(&forged);
    for (queue_config, expected) in [
        (altered, ProblemType::QueueConfigInvalid),
        (Bytes(right.0[1..].to_vec()), ProblemType::QueueConfigInvalid),
        (Bytes(Vec::new()), ProblemType::QueueConfigInvalid),
        (forged, ProblemType::QueueConfigInvalid),
        (of_nobody, ProblemType::QueueUnknown),
    ] {
        assert_eq!(problem_with(&cloud, &sending_call(&queue_config, b"hello")).await, expected);
    }
}

#[tokio::test]
async fn the_longest_message_is_taken_and_a_longer_one_is_not() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let queue_config = alice.queue_config();
    let longest = vec![7; MAX_QUEUE_MESSAGE_LENGTH];
    assert_eq!(cloud.send(&sending_call(&queue_config, &longest)).await.status, 200);
    let longer = sending_call(&queue_config, &[longest.clone(), vec![7]].concat());
    assert_eq!(problem_with(&cloud, &longer).await, ProblemType::MessageTooLarge);
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [longest]);
}

#[tokio::test]
async fn a_queue_takes_no_more_than_it_may_hold_until_its_owner_fetches() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let queue_config = alice.queue_config();
    assert_eq!(cloud.send(&sending_call(&queue_config, b"the first")).await.status, 200);
    let mut items = cloud.cloud.items("QsQueueTable").await.unwrap().into_iter();
    let mut queue = items.find(|item| item["sk"]["S"] == "QUEUE").unwrap();
    queue["next_sequence"] = json!({ "N": (MAX_QUEUE_MESSAGES - 1).to_string() });
    cloud.cloud.put_item("QsQueueTable", queue.clone()).await.unwrap();
    let last = sending_call(&queue_config, b"the last");
    assert_eq!(cloud.send(&last).await.status, 200);
    // It is there, whether there is room for another one or not.
    assert_eq!(cloud.send(&last).await.status, 200);
    let one_more = sending_call(&queue_config, b"one more");
    assert_eq!(problem_with(&cloud, &one_more).await, ProblemType::QueueFull);
    queue["next_sequence"] = json!({ "N": MAX_QUEUE_MESSAGES.to_string() });
    cloud.cloud.put_item("QsQueueTable", queue).await.unwrap();
    alice.fetch(&cloud, 2).await;
    // Number 10000 is a key update, so it takes two places.
    assert_eq!(cloud.send(&one_more).await.status, 200);
}
