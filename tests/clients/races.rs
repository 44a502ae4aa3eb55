//! Requests about one user's clients that meet.

use std::sync::Arc;

use vestibule_protocol::limits::MAX_CLIENTS;
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, TestCloud, all_at_once_until_answered, removal_of};

async fn alice() -> (Arc<TestCloud>, Applicant) {
    let cloud = Arc::new(TestCloud::start().await);
    let phone = Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    (cloud, phone)
}

async fn version(cloud: &TestCloud) -> String {
    let items = cloud.cloud.items("AsTable").await.unwrap();
    let clients = items.into_iter().find(|item| item["sk"]["S"] == "CLIENTS").unwrap();
    clients["version"]["N"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_clients_at_once_as_many_are_added_as_there_is_room_for() {
    let (cloud, phone) = alice().await;
    for seed in 0..MAX_CLIENTS as u64 - 3 {
        phone.add(&cloud, &phone.another(&cloud, 100 + seed).await).await;
    }
    let mut calls = Vec::new();
    for seed in 0..6 {
        let client = phone.another(&cloud, 200 + seed).await;
        // Each is sent twice.
        calls.extend([phone.adding_call(&cloud, &client), phone.adding_call(&cloud, &client)]);
    }
    let answers = all_at_once_until_answered(&cloud, calls).await;
    let (added, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((added.len(), refused.len()), (4, 8));
    assert!(refused.iter().all(|answer| answer.problem() == ProblemType::ClientLimitReached));
    assert_eq!(version(&cloud).await, (MAX_CLIENTS - 1).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_addition_sent_many_times_at_once_adds_one_client() {
    let (cloud, phone) = alice().await;
    let laptop = phone.another(&cloud, 2).await;
    let answers = all_at_once_until_answered(&cloud, (0..16).map(|_| phone.adding_call(&cloud, &laptop))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status == 200));
    assert_eq!(version(&cloud).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_credentials_for_one_client_at_once_one_is_issued() {
    let (cloud, phone) = alice().await;
    let one = phone.another(&cloud, 2).await;
    let mut other = phone.another(&cloud, 3).await;
    other.client_id = one.client_id.clone();
    other.requested.client_id = one.client_id.clone();
    let calls = [phone.adding_call(&cloud, &one), phone.adding_call(&cloud, &other)];
    let answers = all_at_once_until_answered(&cloud, calls).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_removal_sent_many_times_at_once_removes_one_client() {
    let (cloud, mut phone) = alice().await;
    let laptop = phone.another(&cloud, 2).await;
    phone.add(&cloud, &laptop).await;
    cloud.confirm(&laptop).await;
    let login = phone.log_in(&cloud, removal_of(&laptop)).await;
    let calls = (0..16).map(|_| phone.removing_call(&cloud, &laptop, Some(login.clone())));
    let answers = all_at_once_until_answered(&cloud, calls.collect::<Vec<_>>()).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(version(&cloud).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_clients_that_remove_each_other_one_stays() {
    for _ in 0..4 {
        let (cloud, mut phone) = alice().await;
        let mut laptop = phone.another(&cloud, 2).await;
        phone.add(&cloud, &laptop).await;
        cloud.confirm(&laptop).await;
        let of_phone = phone.log_in(&cloud, removal_of(&laptop)).await;
        let of_laptop = laptop.log_in(&cloud, removal_of(&phone)).await;
        let calls = [
            phone.removing_call(&cloud, &laptop, Some(of_phone)),
            laptop.removing_call(&cloud, &phone, Some(of_laptop)),
        ];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
        let state = cloud.cloud.items("AsTable").await.unwrap();
        assert_eq!(state.iter().filter(|item| item.get("removed_on").is_some()).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_deletion_sent_many_times_at_once_deletes_the_user_and_all_are_told() {
    let (cloud, mut phone) = alice().await;
    let login = phone.log_in(&cloud, LoginOperation::DeleteUser {}).await;
    let calls = (0..16).map(|_| phone.deleting_call(&cloud, login.clone()));
    let answers = all_at_once_until_answered(&cloud, calls.collect::<Vec<_>>()).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(version(&cloud).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_added_while_the_user_is_deleted_does_not_outlive_it() {
    for round in 0..4 {
        let (cloud, mut phone) = alice().await;
        let laptop = phone.another(&cloud, 2 + round).await;
        let login = phone.log_in(&cloud, LoginOperation::DeleteUser {}).await;
        let calls = [phone.adding_call(&cloud, &laptop), phone.deleting_call(&cloud, login)];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        assert!(answers.iter().any(|answer| answer.status == 200));
        let state = cloud.cloud.items("AsTable").await.unwrap();
        let of_clients = state.iter().filter(|item| item["sk"]["S"].as_str().unwrap().starts_with("CLIENT#"));
        assert!(of_clients.into_iter().all(|item| item.get("removed_on").is_some()), "{state:?}");
    }
}
