//! Those who begin to listen while something is put into their queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use vestibule_local::ServiceCall;
use vestibule_tests::listening::Ear;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Pseudonym, TestCloud, all_at_once_until_answered};

async fn started() -> (Arc<TestCloud>, Pseudonym) {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = super::alice(&cloud).await;
    (cloud, alice)
}

fn is_enqueueing(call: &ServiceCall) -> bool {
    call.function == "qs-enqueue" && call.operation == "TransactWriteItems"
}

/// Has somebody begin to listen in the moment in which a message is about to be stored, after the queue was read for it,
/// `times` times. Gives those who listen.
fn listen_before_the_transaction(cloud: &Arc<TestCloud>, alice: &Arc<Pseudonym>, times: usize) -> Arc<Mutex<Vec<Ear>>> {
    let ears = Arc::new(Mutex::new(Vec::new()));
    let (weak, alice, kept, begun) = (Arc::downgrade(cloud), Arc::clone(alice), Arc::clone(&ears), AtomicUsize::new(0));
    cloud.cloud.inject(move |call| {
        if is_enqueueing(call) && begun.fetch_add(1, Ordering::SeqCst) < times {
            let cloud = weak.upgrade().expect("the cloud is there");
            let listening = async { kept.lock().await.push(alice.listen(&cloud).await) };
            tokio::task::block_in_place(|| Handle::current().block_on(listening));
        }
        None
    });
    ears
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_to_listen_between_read_and_transaction_is_told() {
    for times in [1, 3] {
        let (cloud, mut alice) = started().await;
        let call = sending_call(&alice.queue_config(), b"hello");
        let ears = listen_before_the_transaction(&cloud, &Arc::new(alice), times);
        cloud.cloud.forget_calls();
        assert_eq!(cloud.send(&call).await.status, 200);
        cloud.cloud.clear_faults();
        let attempts = cloud.cloud.calls().into_iter().filter(is_enqueueing).count();
        assert_eq!(attempts, times + 1, "it is tried until nobody else has come");
        ears.lock().await.last_mut().unwrap().notice().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_between_read_and_transaction_costs_no_other_attempt() {
    let (cloud, mut alice) = started().await;
    let call = sending_call(&alice.queue_config(), b"hello");
    let _ear = alice.listen(&cloud).await;
    let connection = alice.listener(&cloud).await.unwrap();
    let (weak, begun) = (Arc::downgrade(&cloud), AtomicUsize::new(0));
    cloud.cloud.inject(move |call| {
        if is_enqueueing(call) && begun.fetch_add(1, Ordering::SeqCst) == 0 {
            let cloud = weak.upgrade().expect("the cloud is there");
            let status = tokio::task::block_in_place(|| Handle::current().block_on(cloud.unlistened(&connection)));
            assert_eq!(status, 200);
        }
        None
    });
    cloud.cloud.forget_calls();
    assert_eq!(cloud.send(&call).await.status, 200);
    assert_eq!(cloud.cloud.calls().into_iter().filter(is_enqueueing).count(), 1);
    assert_eq!(alice.listener(&cloud).await, None, "the late notice brings nobody back");
}

/// Listens, again and again until the service has a moment for it.
async fn listen_until_let_in(cloud: &TestCloud, alice: &Pseudonym) -> Ear {
    loop {
        match Ear::open(cloud, &alice.listen_header(cloud)).await {
            Ok(ear) => return ear,
            Err(503) => {}
            Err(status) => panic!("refused with {status}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_announced_or_found_by_the_first_fetch_whoever_was_first() {
    let (cloud, mut alice) = started().await;
    let queue_config = alice.queue_config();
    let mut inbox = alice.inbox();
    for round in 0..24u8 {
        let call = sending_call(&queue_config, &[round]);
        let sending = tokio::spawn({
            let cloud = Arc::clone(&cloud);
            async move { cloud.send_until_answered(&call).await.status }
        });
        // Sometimes a little later: neither is always first.
        for _ in 0..usize::from(round) * 20 {
            tokio::task::yield_now().await;
        }
        let mut ear = listen_until_let_in(&cloud, &alice).await;
        alice.fetch_all(&cloud, &mut inbox).await;
        if inbox.messages.len() <= usize::from(round) {
            ear.notice().await;
            alice.fetch_all(&cloud, &mut inbox).await;
        }
        assert_eq!(inbox.messages.len(), usize::from(round) + 1);
        assert_eq!(sending.await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_senders_at_once_are_all_announced() {
    let (cloud, mut alice) = started().await;
    let mut ear = alice.listen(&cloud).await;
    let queue_config = alice.queue_config();
    let calls: Vec<_> = (0..32u8).map(|number| sending_call(&queue_config, &[number])).collect();
    let answers = all_at_once_until_answered(&cloud, calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    for _ in 0..32 {
        ear.notice().await;
    }
    ear.assert_nothing_came().await;
    let page = alice.fetch(&cloud, 0).await;
    let numbers: Vec<_> = page.messages.iter().map(|message| message.sequence).collect();
    assert_eq!(numbers, (0..35).collect::<Vec<_>>(), "32 messages and 3 key updates, without a gap");
}
