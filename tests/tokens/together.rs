//! One token at many places at once, many tokens for one thing, and what breaks in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use vestibule_local::{Fault, Service};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Answer, Call, Pseudonym, TestCloud, all_at_once_until_answered};

use super::till::{FUNCTIONS, Till};

/// Which of the things that can be paid for are there, or were given away.
async fn sold(cloud: &TestCloud) -> BTreeSet<&'static str> {
    let mut sold = BTreeSet::new();
    let mut counts = [0; 2];
    for item in cloud.state().await {
        let key = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
        counts[0] += usize::from(key("pk").starts_with("USER#") && key("sk") == "USER");
        counts[1] += usize::from(key("sk") == "QUEUE");
        if key("sk").starts_with("MESSAGE#") {
            sold.insert("qs-enqueue");
        }
        if item["head"]["N"].as_str().is_some_and(|head| head != "0") {
            sold.insert("qs-claim-key-packages");
        }
    }
    let [users, queues] = counts;
    sold.extend((users > 1).then_some("qs-create-user"));
    sold.extend((queues > users).then_some("qs-create-client"));
    sold
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_at_every_endpoint_at_once_pays_for_one_thing() {
    let mut winners = BTreeSet::new();
    for round in 0..6 {
        let mut till = Till::open().await;
        let (queue_config, token) = (till.alice.queue_config(), TestCloud::token());
        let mut calls = FUNCTIONS.map(|function| till.paid(function, &token)).to_vec();
        calls.extend([b"one", b"two"].map(|message| sending_call(&queue_config, message).paid_with(&token)));
        calls.rotate_left(round);
        let cloud = Arc::new(till.cloud);
        let answers = all_at_once_until_answered(&cloud, calls).await;
        let (paid, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status < 300);
        assert_eq!(paid.len(), 1, "{answers:?}");
        assert!(refused.iter().all(|answer| answer.problem() == ProblemType::TokenSpent));
        let sold = sold(&cloud).await;
        assert_eq!(sold.len(), 1, "{sold:?}");
        assert_eq!(cloud.spent_tokens().await.len(), 2, "this one, and that of Alice's creation");
        winners.extend(sold);
    }
    assert!(!winners.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_senders_at_once_pay_with_one_token_each() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let before = cloud.spent_tokens().await.len();
    let queue_config = alice.queue_config();
    let calls: Vec<_> = (0..32u8).map(|number| sending_call(&queue_config, &[number])).collect();
    // And again, as if no answer had come.
    for calls in [calls.clone(), calls] {
        let answers = all_at_once_until_answered(&cloud, calls).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    }
    let numbers: Vec<_> = alice.fetch(&cloud, 0).await.messages.iter().map(|message| message.sequence).collect();
    assert_eq!(numbers, (0..35).collect::<Vec<_>>(), "32 messages and 3 key updates, without a gap");
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    let sent: BTreeSet<_> = (0..32u8).map(|number| vec![number]).collect();
    let received = std::mem::take(&mut inbox.messages);
    assert_eq!((received.len(), received.into_iter().collect()), (32, sent));
    assert_eq!(cloud.spent_tokens().await.len() - before, 32);

    // The ratchet goes on.
    assert_eq!(cloud.send(&sending_call(&queue_config, b"one more")).await.status, 200);
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"one more"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_paid_for_many_times_at_once_is_there_once_and_costs_one_token() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let before = cloud.spent_tokens().await.len();
    let call = sending_call(&alice.queue_config(), b"hello");
    let answers = all_at_once_until_answered(&cloud, (0..16).map(|_| call.clone().paid())).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello"]);
    assert_eq!(cloud.spent_tokens().await.len() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_claim_sent_many_times_at_once_takes_one_package() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    alice.publish(&cloud, 1, 8).await;
    let answers = all_at_once_until_answered(&cloud, vec![alice.claiming_call(); 8]).await;
    let (claimed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((claimed.len(), refused.len()), (1, 7));
    assert!(refused.iter().all(|answer| answer.problem() == ProblemType::TokenSpent));
    assert_eq!(alice.supply(&cloud).await.remaining, 7);
}

/// Sends a call, of which the DynamoDB calls from `position` on fail as if the function had died there. `None` if there are
/// not so many.
async fn dying(cloud: &TestCloud, call: &Call, position: usize, fault: Fault) -> Option<Answer> {
    let made = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&made);
    cloud.cloud.inject(move |call| {
        let is_counted = call.service == Service::DynamoDb;
        let number = if is_counted { seen.fetch_add(1, Ordering::SeqCst) } else { 0 };
        (is_counted && number >= position).then_some(fault)
    });
    let answer = cloud.send(call).await;
    cloud.cloud.clear_faults();
    (made.load(Ordering::SeqCst) > position).then_some(answer)
}

#[tokio::test]
async fn wherever_a_function_dies_a_token_is_spent_exactly_if_what_it_pays_for_is_there() {
    for function in FUNCTIONS {
        let mut deaths = 0;
        for (position, fault) in (0..8).flat_map(|place| [(place, Fault::BeforeEffect), (place, Fault::AfterEffect)]) {
            let till = Till::open().await;
            let token = TestCloud::token();
            let call = till.paid(function, &token);
            let Some(answer) = dying(&till.cloud, &call, position, fault).await else { continue };
            deaths += 1;
            assert_eq!(answer.status, 503, "{}", answer.text());
            let is_spent = till.cloud.spent_tokens().await.len() == 2;
            let is_sold = !sold(&till.cloud).await.is_empty();
            if function == "qs-claim-key-packages" {
                assert!(is_spent || !is_sold, "{function} {position} {fault:?}: a package was given away");
                continue;
            }
            assert_eq!(is_spent, is_sold, "{function} {position} {fault:?}");
            // And then it is done, with the same token.
            till.sell(&call).await;
            assert_eq!(till.cloud.spent_tokens().await.len(), 2);
            assert_eq!(sold(&till.cloud).await, BTreeSet::from([function]));
        }
        assert!(deaths >= 2, "{function} died {deaths} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_messages_come_and_go_and_functions_die_every_message_costs_one_token() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let before = cloud.spent_tokens().await.len();
    let queue_config = alice.queue_config();
    // Of every ten calls of the two functions one is lost before it does anything and one after.
    let calls = AtomicUsize::new(0);
    cloud.cloud.inject(move |call| match call.function.as_str() {
        "qs-enqueue" | "qs-dequeue" => match calls.fetch_add(1, Ordering::SeqCst) % 10 {
            3 => Some(Fault::BeforeEffect),
            7 => Some(Fault::AfterEffect),
            _ => None,
        },
        _ => None,
    });
    let senders = tokio::spawn({
        let cloud = Arc::clone(&cloud);
        async move {
            for part in (0..64u8).collect::<Vec<_>>().chunks(8) {
                let calls = part.iter().map(|number| sending_call(&queue_config, &[*number])).collect::<Vec<_>>();
                let answers = all_at_once_until_answered(&cloud, calls).await;
                assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            }
        }
    });
    let mut inbox = alice.inbox();
    while !senders.is_finished() {
        // Now and then the owner dies before it has kept what came.
        let page = cloud.send_until_answered(&alice.fetching_call(&cloud, inbox.position())).await;
        let again = cloud.send_until_answered(&alice.fetching_call(&cloud, inbox.position())).await;
        let page = if inbox.position() % 3 == 0 { again } else { page };
        inbox.take(&page.success());
    }
    senders.await.unwrap();
    cloud.cloud.clear_faults();
    alice.fetch_all(&cloud, &mut inbox).await;
    let sent: BTreeSet<_> = (0..64u8).map(|number| vec![number]).collect();
    assert_eq!((inbox.messages.len(), inbox.messages.into_iter().collect()), (64, sent));
    assert_eq!(cloud.spent_tokens().await.len() - before, 64);
    let left: Vec<Value> = cloud.cloud.items("QsQueueTable").await.unwrap();
    assert!(!left.iter().any(|item| item["sk"]["S"].as_str().unwrap().starts_with("MESSAGE#")));
}
