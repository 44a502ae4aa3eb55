//! Doing it twice is doing it once.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use vestibule_local::Delivery;
use vestibule_protocol::endpoint::{GetCredentials, InitiateRegistration};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, TestCloud, all_at_once, json_body, left_out_in_processes};

#[tokio::test]
async fn the_same_finish_gets_the_same_answer_even_after_the_fifteen_minutes() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    let first = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
    let state = cloud.state().await;
    for wait in [0, 1, 15 * 60, 100 * 24 * 60 * 60] {
        cloud.cloud.clock().advance(Duration::from_secs(wait));
        let again = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
        assert_eq!((again.status, again.body), (first.status, first.body.clone()), "after {wait} s");
    }
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn another_finish_of_the_same_registration_does_not_get_in() {
    let cloud = TestCloud::start().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let mut completion = alice.initiate(&cloud).await;
    cloud.send(&alice.finishing_call(&cloud, &completion)).await;
    let state = cloud.state().await;
    completion.connection_packages.pop();
    let answer = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
    assert_eq!(answer.problem(), ProblemType::UserNameTaken);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_people_who_register_one_name_at_once_make_one_user() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut calls = Vec::new();
    for seed in 0..16 {
        let mut person = Applicant::new(&cloud, "alice@localhost", seed).await;
        let completion = person.initiate(&cloud).await;
        calls.push(person.finishing_call(&cloud, &completion));
    }
    let answers = all_at_once(&cloud, calls).await;
    let winners = answers.iter().filter(|answer| answer.status == 201).count();
    let losers = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((winners, losers), (1, 15));
    let users = cloud.state().await.into_iter().filter(|item| item["sk"]["S"] == "USER").count();
    assert_eq!(users, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_finish_sent_many_times_at_once_is_one_finish() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    let calls: Vec<_> = (0..16).map(|_| alice.finishing_call(&cloud, &completion)).collect();
    let answers = all_at_once(&cloud, calls).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
}

#[tokio::test]
async fn every_request_of_a_run_sent_again_in_any_order_changes_nothing() {
    let cloud = TestCloud::start().await;
    let mut calls = Vec::new();
    for (seed, name) in ["alice@localhost", "bob@localhost"].into_iter().enumerate() {
        calls.push(Call::new::<GetCredentials>(&(), Vec::new()));
        let mut person = Applicant::new(&cloud, name, seed as u64).await;
        let initiation = Call::new::<InitiateRegistration>(&(), json_body(&person.initiation()));
        let mut completion = person.completion(&cloud.send(&initiation).await.success());
        completion.connection_packages.push(person.connection_package(&cloud).to_bytes());
        let finish = person.finishing_call(&cloud, &completion);
        assert_eq!(cloud.send(&finish).await.status, 201);
        calls.extend([initiation, finish]);
    }
    let state = cloud.state().await;
    for call in &calls {
        cloud.send(call).await;
        assert_eq!(cloud.state().await, state, "{} {}", call.method, call.path);
    }
    for seed in 0..20 {
        calls.shuffle(&mut StdRng::seed_from_u64(seed));
        for call in &calls {
            cloud.send(call).await;
        }
        assert_eq!(cloud.state().await, state, "seed {seed}");
    }
}

#[tokio::test]
async fn an_event_that_lambda_delivers_twice_is_handled_once() {
    for delivery in [Delivery::TwiceWithFirstAnswer, Delivery::TwiceWithSecondAnswer] {
        let cloud = TestCloud::start().await;
        cloud.cloud.set_delivery(delivery);
        let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
        let completion = alice.initiate(&cloud).await;
        let answer = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}
