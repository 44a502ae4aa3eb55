//! Many at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use vestibule_protocol::endpoint::DequeueResponse;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Pseudonym, TestCloud, all_at_once, all_at_once_until_answered};

use super::messages;

async fn started() -> (Arc<TestCloud>, Pseudonym) {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = super::alice(&cloud).await;
    (cloud, alice)
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_senders_at_once_are_all_heard_once() {
    let (cloud, mut alice) = started().await;
    let (queue_config, sent) = (alice.queue_config(), messages(32));
    let calls: Vec<_> = sent.iter().map(|message| sending_call(&queue_config, message)).collect();
    // None of them has to try again: the function does.
    let answers = all_at_once(&cloud, calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let page = alice.fetch(&cloud, 0).await;
    let numbers: Vec<_> = page.messages.iter().map(|message| message.sequence).collect();
    assert_eq!(numbers, (0..35).collect::<Vec<_>>(), "32 messages and 3 key updates, without a gap");
    let mut inbox = alice.inbox();
    inbox.take(&page);
    assert_eq!(inbox.messages.len(), 32);
    assert_eq!(inbox.messages.into_iter().collect::<BTreeSet<_>>(), sent.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_sent_many_times_at_once_is_there_once() {
    let (cloud, mut alice) = started().await;
    let call = sending_call(&alice.queue_config(), b"hello");
    let answers = all_at_once_until_answered(&cloud, vec![call; 16]).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_while_others_send_is_all_that_they_sent_and_once() {
    let (cloud, mut alice) = started().await;
    let (queue_config, sent) = (alice.queue_config(), messages(96));
    let senders = tokio::spawn({
        let (cloud, sent) = (Arc::clone(&cloud), sent.clone());
        async move {
            for part in sent.chunks(8) {
                let calls: Vec<_> = part.iter().map(|message| sending_call(&queue_config, message)).collect();
                let answers = all_at_once_until_answered(&cloud, calls).await;
                assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            }
        }
    });
    let mut inbox = alice.inbox();
    let mut round = 0;
    while !senders.is_finished() {
        round += 1;
        let position = inbox.position();
        // Two requests of the owner meet, and now and then it crashes before it has kept what came.
        let calls = [alice.fetching_call(&cloud, position), alice.fetching_call(&cloud, position.saturating_sub(3))];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        if round % 3 != 0 {
            for answer in answers {
                inbox.take(&answer.success::<DequeueResponse>());
            }
        }
    }
    senders.await.unwrap();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages.len(), sent.len());
    assert_eq!(inbox.messages.into_iter().collect::<BTreeSet<_>>(), sent.into_iter().collect());
}
