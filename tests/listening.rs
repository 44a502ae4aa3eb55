//! Waiting for messages at the queuing service: who is let in, who is told, and what comes between.

mod admission;
mod interference;
mod races;

use serde_json::Value;
use vestibule_protocol::endpoint::{GetQsKeys, GetQsKeysResponse};
use vestibule_protocol::time::DAY;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Call, Pseudonym, TestCloud};

/// Alice at the queuing service.
async fn alice(cloud: &TestCloud) -> Pseudonym {
    Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await
}

/// The names of an item's attributes.
fn attributes(item: &Value) -> String {
    let mut names: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
    names.sort();
    names.join(" ")
}

#[tokio::test]
async fn clients_are_told_where_to_listen() {
    let cloud = TestCloud::start().await;
    let answer: GetQsKeysResponse = cloud.send(&Call::new::<GetQsKeys>(&(), Vec::new())).await.success();
    assert_eq!(Some(answer.listen_url.as_str()), cloud.cloud.websocket_url("QsWebSocketApi"));
    assert_ne!(Some(answer.listen_url.as_str()), cloud.cloud.websocket_url("RsWebSocketApi"));
}

#[tokio::test]
async fn a_client_that_listens_is_told_of_every_message() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.receive(&cloud, [b"before".to_vec()]).await;
    let (mut ear, mut inbox) = (alice.listen(&cloud).await, alice.inbox());
    ear.assert_nothing_came().await;
    alice.fetch_all(&cloud, &mut inbox).await;
    for round in 0..3u8 {
        // The key updates among them are not worth a word.
        alice.receive(&cloud, (0..7).map(|number| vec![round, number])).await;
        for _ in 0..7 {
            ear.notice().await;
        }
        ear.assert_nothing_came().await;
        alice.fetch_all(&cloud, &mut inbox).await;
    }
    assert_eq!(inbox.messages.len(), 22);
}

#[tokio::test]
async fn each_client_is_told_of_its_own_messages_alone() {
    let cloud = TestCloud::start().await;
    let mut phone = alice(&cloud).await;
    let laptop = phone.add(&cloud, 2).await;
    let mut bob = Pseudonym::new(&cloud, "bob@localhost", 3).await.create(&cloud).await;
    let mut ears = [phone.listen(&cloud).await, laptop.listen(&cloud).await, bob.listen(&cloud).await];
    phone.receive(&cloud, [b"for the phone".to_vec()]).await;
    bob.receive(&cloud, [b"for bob".to_vec()]).await;
    ears[0].notice().await;
    ears[2].notice().await;
    for ear in &mut ears {
        ear.assert_nothing_came().await;
    }
}

#[tokio::test]
async fn what_is_stored_is_what_the_documents_say_and_nothing_when_it_is_over() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let before = cloud.state().await;
    let ear = alice.listen(&cloud).await;
    let items = cloud.cloud.items("QsQueueTable").await.unwrap();
    let [queue, connection] = &items[..] else { panic!("{items:?}") };
    assert_eq!(
        attributes(queue),
        "encryption_key expires_at first_sequence listener listener_settles_at next_sequence owner_key pk ratchet_key sk"
    );
    let id = alice.listener(&cloud).await.unwrap();
    assert_eq!(connection["pk"]["S"], format!("CONNECTION#{id}"));
    assert_eq!(attributes(connection), "expires_at pk qs_client_id sk");
    let number = |item: &Value, name: &str| item[name]["N"].as_str().unwrap().parse::<u64>().unwrap();
    let expires_at = number(connection, "expires_at");
    assert!(expires_at.is_multiple_of(DAY.as_secs()) && expires_at > cloud.now().saturating_add(DAY).seconds());
    assert!(number(queue, "listener_settles_at").is_multiple_of(60));

    drop(ear);
    while cloud.state().await != before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_not_announced_again() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    let call = sending_call(&alice.queue_config(), b"hello");
    for _ in 0..3 {
        assert_eq!(cloud.send(&call).await.status, 200);
    }
    ear.notice().await;
    ear.assert_nothing_came().await;
}

#[tokio::test]
async fn whoever_listens_cannot_say_anything() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    let before = cloud.state().await;
    cloud.cloud.forget_calls();
    for _ in 0..3 {
        ear.assert_nothing_came().await;
    }
    assert!(cloud.cloud.calls().is_empty());
    assert_eq!(cloud.state().await, before);
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
}
