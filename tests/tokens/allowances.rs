//! What a client may take, and what it gets when it asks again.

use std::collections::HashSet;
use std::sync::Arc;

use vestibule_protocol::endpoint::IssueTokensResponse;
use vestibule_protocol::limits::TOKEN_BATCH_SIZE;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Applicant, TestCloud, all_at_once, all_at_once_until_answered, left_out_in_processes};

/// A cloud in which a client may take so many batches a day.
async fn cloud_with(batches: u64) -> TestCloud {
    TestCloud::start_with(|builder| builder.parameter("TokenBatchesPerClientAndTimeFrame", batches.to_string())).await
}

#[tokio::test]
async fn a_client_takes_a_batch_of_tokens() {
    let cloud = cloud_with(2).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let tokens = alice.take_tokens(&cloud, 1).await;
    assert_eq!(tokens.len(), TOKEN_BATCH_SIZE);
    let nonces: HashSet<_> = tokens.iter().map(|token| token.nonce()).collect();
    assert_eq!(nonces.len(), TOKEN_BATCH_SIZE);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_no_second_batch() {
    left_out_in_processes!("it moves the clock");
    let cloud = cloud_with(1).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let batch = cloud.token_batch(1).await;
    let first = cloud.send(&alice.issuing_call(&cloud, &batch)).await;
    let before = cloud.state().await;
    cloud.cloud.clock().advance(DAY / 4);
    let again = cloud.send(&alice.issuing_call(&cloud, &batch)).await;
    assert_eq!(again, first);
    assert_eq!(cloud.state().await, before);

    // Also after the time-frame has ended: the answer may have been lost just before.
    cloud.cloud.clock().advance(DAY / 2);
    assert_eq!(cloud.send(&alice.issuing_call(&cloud, &batch)).await, first);
    assert_eq!(cloud.state().await, before);
}

#[tokio::test]
async fn a_client_that_has_had_its_batches_is_told_when_the_next_are_there() {
    left_out_in_processes!("it moves the clock");
    let cloud = cloud_with(2).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let mut next_allowances = Vec::new();
    for seed in 0..2 {
        let batch = cloud.token_batch(seed).await;
        let response: IssueTokensResponse = cloud.send(&alice.issuing_call(&cloud, &batch)).await.success();
        next_allowances.push(response.next_allowance_at);
    }
    let midnight = cloud.now().start_of_day().saturating_add(DAY);
    assert_eq!(next_allowances, [cloud.now(), midnight]);

    let before = cloud.state().await;
    let batch = cloud.token_batch(3).await;
    let refused = cloud.send(&alice.issuing_call(&cloud, &batch)).await;
    assert_eq!(refused.problem(), ProblemType::TokenAllowanceUsedUp);
    assert_eq!(refused.headers["retry-after"], midnight.saturating_since(cloud.now()).as_secs().to_string());
    assert_eq!(cloud.state().await, before);

    // It is a client's allowance, not everybody's.
    let bob = Applicant::enrolled(&cloud, "bob@localhost", 2).await;
    bob.take_tokens(&cloud, 4).await;
    cloud.cloud.clock().advance(midnight.saturating_since(cloud.now()));
    assert_eq!(cloud.send(&alice.issuing_call(&cloud, &batch)).await.status, 200);
}

#[tokio::test]
async fn a_replay_from_the_time_frame_before_uses_up_nothing() {
    left_out_in_processes!("it moves the clock");
    let cloud = cloud_with(2).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    cloud.cloud.clock().advance(DAY / 2 - std::time::Duration::from_secs(60));
    let batch = cloud.token_batch(1).await;
    let old = alice.issuing_call(&cloud, &batch);
    let old_answer = cloud.send(&old).await;
    cloud.cloud.clock().advance(std::time::Duration::from_secs(120));
    alice.take_tokens(&cloud, 2).await;
    let before = cloud.state().await;
    assert_eq!(cloud.send(&old).await, old_answer);
    assert_eq!(cloud.state().await, before);
    alice.take_tokens(&cloud, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_at_once_as_many_are_answered_as_are_allowed() {
    let cloud = Arc::new(cloud_with(3).await);
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let mut calls = Vec::new();
    for seed in 0..8 {
        let call = alice.issuing_call(&cloud, &cloud.token_batch(seed).await);
        // Each is sent twice.
        calls.extend([call.clone(), call]);
    }
    let answers = all_at_once_until_answered(&cloud, calls).await;
    let (answered, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((answered.len(), refused.len()), (6, 10));
    assert!(refused.iter().all(|answer| answer.problem() == ProblemType::TokenAllowanceUsedUp));
    let bodies: HashSet<_> = answered.iter().map(|answer| &answer.body).collect();
    assert_eq!(bodies.len(), 3, "the same request has the same answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_many_times_at_once_is_answered_alike() {
    let cloud = Arc::new(cloud_with(1).await);
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let batch = cloud.token_batch(1).await;
    let answers = all_at_once(&cloud, (0..16).map(|_| alice.issuing_call(&cloud, &batch))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status == 200));
}

#[tokio::test]
async fn an_allowance_that_has_expired_is_as_if_it_had_never_been() {
    left_out_in_processes!("it moves the clock");
    let cloud = cloud_with(1).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    alice.take_tokens(&cloud, 1).await;
    // DynamoDB deletes late: the item is still there.
    cloud.cloud.clock().advance(2 * DAY);
    assert!(cloud.state().await.iter().any(|item| item["pk"]["S"] == "TOKENS#alice@localhost"));
    alice.take_tokens(&cloud, 2).await;
    let item = cloud.state().await.into_iter().find(|item| item["pk"]["S"] == "TOKENS#alice@localhost").unwrap();
    assert_eq!((&item["version"]["N"], item["batches"]["L"].as_array().unwrap().len()), (&"1".into(), 1));
}
