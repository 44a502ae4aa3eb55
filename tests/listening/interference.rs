//! Connections that are gone, not there yet, or cannot be reached; events that come twice or never.

use std::time::Duration;

use vestibule_local::template::RouteKey;
use vestibule_local::{Disturbance, Fault, ServiceCall, TransferKind};
use vestibule_tests::listening::Ear;
use vestibule_tests::{Pseudonym, TestCloud, left_out_in_processes};

use super::alice;

/// After so long a connection that is gone is not one that is about to be.
const SETTLED: Duration = Duration::from_secs(2 * 60);

fn is_post(call: &ServiceCall) -> bool {
    call.operation == "PostToConnection"
}

/// Somebody whose connection has ended, of which the service never heard.
async fn gone_without_a_word(cloud: &TestCloud) -> Pseudonym {
    let alice = alice(cloud).await;
    let ear = alice.listen(cloud).await;
    cloud.cloud.disturb(|transfer| {
        let is_end = transfer.kind == TransferKind::Event(RouteKey::Disconnect);
        is_end.then_some(Disturbance::Lost)
    });
    drop(ear);
    cloud.cloud.inject(|call| is_post(call).then_some(Fault::Gone));
    alice
}

#[tokio::test]
async fn a_connection_that_is_gone_without_a_word_is_forgotten_with_the_next_message() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = gone_without_a_word(&cloud).await;
    cloud.cloud.clock().advance(SETTLED);
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    assert_eq!(alice.listener(&cloud).await, None);
    // After that nobody is posted to.
    cloud.cloud.forget_calls();
    alice.receive(&cloud, [b"hello again".to_vec()]).await;
    assert!(!cloud.cloud.calls().iter().any(is_post));
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages.len(), 2);
}

#[tokio::test]
async fn a_connection_that_is_not_established_yet_is_not_taken_for_gone() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    // Posted between the write of `$connect` and its answer.
    cloud.cloud.inject(|call| is_post(call).then_some(Fault::Gone));
    alice.receive(&cloud, [b"too early".to_vec()]).await;
    cloud.cloud.clear_faults();
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
    // What nobody announced is found by whoever fetches after connecting.
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"too early".to_vec(), b"hello".to_vec()]);
}

#[tokio::test]
async fn a_later_connection_is_not_forgotten_for_a_former_one() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let former = alice.listen(&cloud).await;
    cloud.cloud.clock().advance(SETTLED);
    let mut ear = alice.listen(&cloud).await;
    drop(former);
    cloud.cloud.inject(|call| is_post(call).then_some(Fault::Gone));
    alice.receive(&cloud, [b"too early".to_vec()]).await;
    cloud.cloud.clear_faults();
    assert!(alice.listener(&cloud).await.is_some());
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
}

#[tokio::test]
async fn a_message_is_taken_whatever_becomes_of_the_notice() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    for fault in [Fault::BeforeEffect, Fault::AfterEffect, Fault::Throttled] {
        cloud.cloud.inject(move |call| is_post(call).then_some(fault));
        alice.receive(&cloud, [b"hello".to_vec()]).await;
    }
    cloud.cloud.clear_faults();
    // One of the three posts had its effect.
    ear.notice().await;
    ear.assert_nothing_came().await;
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages.len(), 4);
}

#[tokio::test]
async fn a_message_is_taken_if_the_one_who_is_gone_cannot_be_forgotten() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = gone_without_a_word(&cloud).await;
    cloud.cloud.clock().advance(SETTLED);
    cloud.cloud.inject(|call| match call.operation.as_str() {
        "PostToConnection" => Some(Fault::Gone),
        "UpdateItem" => Some(Fault::TransactionConflict),
        _ => None,
    });
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    assert!(alice.listener(&cloud).await.is_some());
}

#[tokio::test]
async fn a_handshake_that_is_delivered_twice_lets_in_once() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    cloud.cloud.disturb(|transfer| {
        let is_connect = transfer.kind == TransferKind::Event(RouteKey::Connect);
        is_connect.then_some(Disturbance::Twice)
    });
    let mut ear = alice.listen(&cloud).await;
    assert_eq!(cloud.listening_connections().await.len(), 1);
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
}

#[tokio::test]
async fn a_crash_between_the_writes_of_a_handshake_harms_nobody() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    let connection = alice.listener(&cloud).await;
    cloud
        .cloud
        .inject(|call| (call.function == "qs-listen" && call.operation == "UpdateItem").then_some(Fault::BeforeEffect));
    assert_eq!(Ear::open(&cloud, &alice.listen_header(&cloud)).await.err(), Some(503));
    cloud.cloud.clear_faults();
    assert_eq!(alice.listener(&cloud).await, connection);
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
}
