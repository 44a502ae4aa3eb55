//! What comes out of a queue, again and late and after crashes, and for whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use vestibule_local::Fault;
use vestibule_protocol::endpoint::DequeueResponse;
use vestibule_protocol::limits::{MAX_QUEUE_MESSAGE_LENGTH, QUEUE_PAGE_LENGTH};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Pseudonym, TestCloud};

use super::{alice, messages};

fn numbers(page: &DequeueResponse) -> Vec<u64> {
    page.messages.iter().map(|message| message.sequence).collect()
}

/// The numbers of the messages that the table has.
async fn stored(cloud: &TestCloud) -> Vec<u64> {
    let items = cloud.cloud.items("QsQueueTable").await.unwrap();
    let number = |item: &serde_json::Value| item["sk"]["S"].as_str()?.strip_prefix("MESSAGE#")?.parse().ok();
    let mut numbers: Vec<_> = items.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn asking_for_messages_deletes_those_before_and_no_others() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.receive(&cloud, messages(8)).await;
    assert_eq!(numbers(&alice.fetch(&cloud, 0).await), (0..9).collect::<Vec<_>>());
    assert_eq!(stored(&cloud).await, (0..9).collect::<Vec<_>>());
    let page = alice.fetch(&cloud, 5).await;
    assert_eq!((numbers(&page), page.next_sequence), ((5..9).collect(), 9));
    assert_eq!(stored(&cloud).await, (5..9).collect::<Vec<_>>());
    // Again, and late.
    assert_eq!(alice.fetch(&cloud, 5).await, page);
    assert_eq!(alice.fetch(&cloud, 2).await, page);
    let empty = alice.fetch(&cloud, 9).await;
    assert_eq!((numbers(&empty), empty.next_sequence), (Vec::new(), 9));
    assert_eq!(stored(&cloud).await, Vec::<u64>::new());
    alice.receive(&cloud, [b"and on".to_vec()]).await;
    assert_eq!(numbers(&alice.fetch(&cloud, 9).await), [9]);
}

#[tokio::test]
async fn a_number_that_the_queue_never_had_is_refused() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.receive(&cloud, messages(1)).await;
    let before = cloud.state().await;
    for from in [3, u64::MAX] {
        let answer = cloud.send(&alice.fetching_call(&cloud, from)).await;
        assert_eq!(answer.problem(), ProblemType::QueueSequenceAhead);
    }
    let call = alice.fetching_call(&cloud, 0);
    for query in ["", "?from=", "?from=-1", "?from=1e3", "?from=18446744073709551616", "?until=1"] {
        let mut call = call.clone();
        call.path = format!("{}{query}", call.path.split('?').next().unwrap());
        let answer = cloud.send(&alice.sign(&cloud, &call)).await;
        assert_eq!(answer.problem(), ProblemType::InvalidSequence, "{query}");
    }
    assert_eq!(cloud.state().await, before);
}

#[tokio::test]
async fn nobody_but_its_owner_reads_a_queue() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let laptop = alice.add(&cloud, 2).await;
    let bob = Pseudonym::new(&cloud, "bob@localhost", 3).await.create(&cloud).await;
    alice.receive(&cloud, messages(3)).await;
    let before = cloud.state().await;
    let call = alice.fetching_call(&cloud, 2);
    for other in [bob.sign(&cloud, &call), laptop.sign(&cloud, &call), alice.sign_as_user(&cloud, &call)] {
        assert_eq!(cloud.send(&other).await.problem(), ProblemType::SignatureInvalid);
    }
    let unsigned = call.clone().without_header("signature");
    assert_eq!(cloud.send(&unsigned).await.problem(), ProblemType::SignatureMissing);
    // The number is signed, too.
    let mut altered = call.clone();
    altered.path = altered.path.replace("from=2", "from=4");
    assert_eq!(cloud.send(&altered).await.problem(), ProblemType::SignatureInvalid);
    assert_eq!(cloud.state().await, before);
}

/// Makes the table say that so many messages were stored, and puts something in the places of some of them.
async fn pretend(cloud: &TestCloud, next_sequence: u64, stored: impl IntoIterator<Item = u64>) {
    let items = cloud.cloud.items("QsQueueTable").await.unwrap();
    let mut queue = items.into_iter().find(|item| item["sk"]["S"] == "QUEUE").unwrap();
    queue["next_sequence"] = json!({ "N": next_sequence.to_string() });
    for sequence in stored {
        let message = json!({
            "pk": queue["pk"],
            "sk": { "S": format!("MESSAGE#{sequence:020}") },
            "ciphertext": { "B": "AAAA" },
            "expires_at": queue["expires_at"],
        });
        cloud.cloud.put_item("QsQueueTable", message).await.unwrap();
    }
    cloud.cloud.put_item("QsQueueTable", queue).await.unwrap();
}

#[tokio::test]
async fn a_page_has_five_hundred_messages_at_most() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    pretend(&cloud, 503, 0..503).await;
    let page = alice.fetch(&cloud, 0).await;
    assert_eq!((numbers(&page), page.next_sequence), ((0..500).collect(), 503));
    assert_eq!(QUEUE_PAGE_LENGTH, 500);
    let page = alice.fetch(&cloud, 500).await;
    assert_eq!((numbers(&page), page.next_sequence), ((500..503).collect(), 503));
    assert_eq!(stored(&cloud).await, [500, 501, 502]);
}

#[tokio::test]
async fn a_page_ends_where_a_message_is_missing() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    pretend(&cloud, 6, [0, 1, 2, 4, 5]).await;
    let page = alice.fetch(&cloud, 0).await;
    assert_eq!((numbers(&page), page.next_sequence), (vec![0, 1, 2], 6));
}

#[tokio::test]
async fn a_page_of_large_messages_has_a_megabyte_at_most() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let sent: Vec<_> = (0..20u8).map(|number| vec![number; MAX_QUEUE_MESSAGE_LENGTH]).collect();
    alice.receive(&cloud, sent.clone()).await;
    let page = alice.fetch(&cloud, 0).await;
    let length: usize = page.messages.iter().map(|message| message.ciphertext.0.len()).sum();
    assert!((900_000..1_200_000).contains(&length), "{length}");
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, sent);
}

#[tokio::test]
async fn more_than_two_pages_at_once_are_acknowledged_over_several_requests() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    pretend(&cloud, 1100, [5, 999, 1000, 1050]).await;
    assert!(alice.fetch(&cloud, 1100).await.messages.is_empty());
    assert_eq!(stored(&cloud).await, [1000, 1050]);
    assert!(alice.fetch(&cloud, 1100).await.messages.is_empty());
    assert_eq!(stored(&cloud).await, Vec::<u64>::new());
}

#[tokio::test]
async fn whatever_breaks_while_messages_are_fetched_none_is_lost_and_none_comes_twice() {
    for fault in [Fault::BeforeEffect, Fault::AfterEffect, Fault::Unprocessed] {
        let cloud = TestCloud::start().await;
        let mut alice = alice(&cloud).await;
        let (mut inbox, sent) = (alice.inbox(), messages(60));
        // Of every ten calls four fail, which is more than the SDK's attempts, and the client asks again.
        let calls = Arc::new(AtomicUsize::new(0));
        for part in sent.chunks(20) {
            cloud.cloud.clear_faults();
            alice.receive(&cloud, part.to_vec()).await;
            let calls = Arc::clone(&calls);
            cloud.cloud.inject(move |call| {
                let can_happen = fault != Fault::Unprocessed || call.operation.starts_with("Batch");
                let is_hit = call.function == "qs-dequeue" && calls.fetch_add(1, Ordering::SeqCst) % 10 >= 6;
                (is_hit && can_happen).then_some(fault)
            });
            alice.fetch_all(&cloud, &mut inbox).await;
        }
        assert_eq!(inbox.messages, sent, "{fault:?}");
    }
}
