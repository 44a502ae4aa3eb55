//! A generation after another: started with the password by one client, entered by the others once.

use std::time::Duration;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CommitIdentityResponse, IdentityPosition};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::identity::{Device, request_after};
use vestibule_tests::{Call, KeyServerUser, left_out_in_processes, no_login};

use super::forged::entry;
use super::members::{Members, problem_with};

#[tokio::test]
async fn every_confirmed_member_enters_the_next_generation_once() {
    let mut members = Members::new().await;
    let mut unconfirmed = members.phone.welcome(&members.cloud, 3).await;
    let user_name = members.phone.client.user_name().clone();
    let old = members.cloud.follow(&user_name, 1, None).await;
    let answer = members.phone.reset(&members.cloud, &old).await;
    assert_eq!(answer.success::<CommitIdentityResponse>(), CommitIdentityResponse { generation: 2, epoch: 0 });

    let started = members.cloud.follow(&user_name, 2, Some(&old)).await;
    assert_eq!(started.members().len(), 1);
    let entering = members.laptop.prepare_entry(&members.cloud, &started).await;
    let call = members.laptop.committing_call(&members.cloud, &request_after(&started, &entering));
    let first = members.cloud.send(&call).await;
    assert_eq!(first.status, 200);
    members.laptop.identity = Some(entering.next);
    members.changes_nothing(&call).await;
    members.phone.catch_up(&members.cloud).await;

    // Not twice, not the one who started it, and not a client that was never confirmed.
    let now = members.cloud.follow(&user_name, 2, Some(&old)).await;
    let group_info = members.cloud.identity(&user_name, members.phone.position()).await.group_info;
    for device in [&mut members.laptop, &mut members.phone, &mut unconfirmed] {
        let forged = entry(device, &now, &group_info);
        let problem = problem_with(&members.cloud, &device.committing_call(&members.cloud, &forged)).await;
        assert!(matches!(problem, ProblemType::CommitRefused | ProblemType::ClientUnconfirmed), "{problem:?}");
    }
    // That one is added anew.
    let next = members.phone.link(&members.cloud, 4).await;
    assert_eq!(next.position().generation, 2);
}

#[tokio::test]
async fn a_client_that_has_missed_a_generation_starts_the_next_one_itself() {
    let mut members = Members::new().await;
    let user_name = members.phone.client.user_name().clone();
    let first = members.cloud.follow(&user_name, 1, None).await;
    members.phone.reset(&members.cloud, &first).await;
    let second = members.cloud.follow(&user_name, 2, Some(&first)).await;
    members.phone.reset(&members.cloud, &second).await;
    let third = members.cloud.follow(&user_name, 3, Some(&second)).await;
    let group_info = members.cloud.identity(&user_name, members.phone.position()).await.group_info;
    let forged = entry(&mut members.laptop, &third, &group_info);
    let call = members.laptop.committing_call(&members.cloud, &forged);
    assert_eq!(members.problem_with(&call).await, ProblemType::CommitRefused);

    members.laptop.reset(&members.cloud, &third).await;
    let fourth = members.cloud.follow(&user_name, 4, Some(&third)).await;
    let entering = members.phone.prepare_entry(&members.cloud, &fourth).await;
    let call = members.phone.committing_call(&members.cloud, &request_after(&fourth, &entering));
    assert_eq!(members.cloud.send(&call).await.status, 200);
}

#[tokio::test]
async fn the_same_reset_again_gets_the_same_answer() {
    left_out_in_processes!("it moves the clock");
    let mut members = Members::new().await;
    let old = members.phone.identity().follower().clone();
    let (identity, group_info) = members.phone.start_generation(2, Some(&old));
    let login = members.phone.log_in_to_reset(&members.cloud, 2).await;
    let call = members.phone.resetting_call(&members.cloud, 2, &group_info, login.clone());
    let first = members.cloud.send(&call).await;
    assert_eq!(first.status, 200);
    members.changes_nothing(&call).await;
    members.phone.identity = Some(identity);
    members.phone.confirm(&members.cloud).await;
    members.cloud.cloud.clock().advance(Duration::from_secs(3600));
    let again = members.phone.resetting_call(&members.cloud, 2, &group_info, login);
    members.changes_nothing(&again).await;
    assert_eq!(members.cloud.send(&again).await, first);
    let other = members.phone.resetting_call(&members.cloud, 2, &group_info, no_login());
    assert_eq!(members.problem_with(&other).await, ProblemType::IdentitySuperseded);
}

#[tokio::test]
async fn the_next_generation_alone_can_be_started() {
    let mut members = Members::new().await;
    let old = members.phone.identity().follower().clone();
    let (_, group_info) = members.phone.start_generation(2, Some(&old));
    for generation in [0, 1, 3, u64::MAX] {
        let login = members.phone.log_in_to_reset(&members.cloud, generation).await;
        let call = members.phone.resetting_call(&members.cloud, generation, &group_info, login);
        assert_eq!(members.problem_with(&call).await, ProblemType::IdentitySuperseded, "{generation}");
    }
    let login = members.phone.log_in_to_reset(&members.cloud, 2).await;
    let right = members.phone.resetting_call(&members.cloud, 2, &group_info, login);
    for generation in ["two", "-2", "+2", "18446744073709551616", "2%20"] {
        let path = right.path.replace("generations/2", &format!("generations/{generation}"));
        let call = members.phone.client.sign(&members.cloud, &Call { path, ..right.clone() });
        assert_eq!(members.problem_with(&call).await, ProblemType::InvalidIdentityPosition, "{generation}");
    }
    assert_eq!(members.cloud.send(&right).await.status, 200);
}

#[tokio::test]
async fn a_generation_starts_with_a_login_for_it() {
    left_out_in_processes!("it moves the clock");
    let mut members = Members::new().await;
    let old = members.phone.identity().follower().clone();
    let (_, group_info) = members.phone.start_generation(2, Some(&old));
    let (cloud, phone) = (&members.cloud, &mut members.phone);
    let right = phone.log_in_to_reset(cloud, 2).await;
    let for_another_generation = phone.log_in_to_reset(cloud, 3).await;
    let for_deletion = phone.client.log_in(cloud, LoginOperation::DeleteUser {}).await;
    let of_laptop = members.laptop.log_in_to_reset(cloud, 2).await;
    let forged = LoginProof { ke3: Bytes(vec![1; 64]), ..right.clone() };
    let short = LoginProof { ke3: Bytes(vec![1; 63]), ..right.clone() };
    let attempts = [
        (no_login(), ProblemType::LoginInvalid),
        (for_another_generation, ProblemType::LoginInvalid),
        (for_deletion, ProblemType::LoginInvalid),
        (of_laptop, ProblemType::LoginInvalid),
        (forged, ProblemType::PasswordRefused),
        (short, ProblemType::InvalidOpaqueMessage),
    ];
    for (login, problem) in attempts {
        let call = members.phone.resetting_call(&members.cloud, 2, &group_info, login);
        assert_eq!(members.problem_with(&call).await, problem);
    }
    let call = members.phone.resetting_call(&members.cloud, 2, &group_info, right);
    members.cloud.cloud.clock().advance(Duration::from_secs(60));
    assert_eq!(members.problem_with(&call).await, ProblemType::LoginInvalid);
}

#[tokio::test]
async fn a_login_with_a_password_that_has_changed_starts_no_generation() {
    let cloud = vestibule_tests::TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = alice.complete(&cloud).await;
    let client = vestibule_tests::Applicant::new(&cloud, "alice@localhost", 1).await;
    let credential = alice.client.add(&cloud, &alice.client).await;
    let mut phone = Device::new(client, credential, 7);
    let (identity, request) = phone.start(1, None);
    phone.accepted(&cloud, &request, identity).await;
    let old = phone.identity().follower().clone();
    let (_, group_info) = phone.start_generation(2, Some(&old));
    let login = phone.log_in_to_reset(&cloud, 2).await;
    let change = alice.changing_call(&cloud, KeyServerUser::PASSWORD, "battery staple", &storage_key).await;
    assert_eq!(cloud.send(&change).await.status, 200);
    let call = phone.resetting_call(&cloud, 2, &group_info, login);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::LoginInvalid);
}

#[tokio::test]
async fn a_generation_starts_with_the_client_that_asks_alone() {
    let mut members = Members::new().await;
    let old = members.phone.identity().follower().clone();
    let (third, of_another_generation) = {
        let (second, _) = members.phone.start_generation(2, Some(&old));
        members.phone.start_generation(3, Some(second.follower()))
    };
    assert_eq!(third.follower().generation(), 3);
    let (_, of_laptop) = members.laptop.start_generation(2, Some(&old));
    let (_, of_the_first) = members.phone.start_generation(1, None);
    let (_, right) = members.phone.start_generation(2, Some(&old));
    let mut altered = right.clone();
    altered.0[70] ^= 1;
    let current = members.cloud.identity(members.phone.client.user_name(), members.phone.position()).await.group_info;
    let login = members.phone.log_in_to_reset(&members.cloud, 2).await;
    for group_info in [of_another_generation, of_laptop, of_the_first, altered, current, Bytes(Vec::new())] {
        let call = members.phone.resetting_call(&members.cloud, 2, &group_info, login.clone());
        assert_eq!(members.problem_with(&call).await, ProblemType::GroupInfoRefused);
    }
    let call = members.phone.resetting_call(&members.cloud, 2, &right, login);
    assert_eq!(members.cloud.send(&call).await.status, 200);
}

#[tokio::test]
async fn nobody_but_a_confirmed_client_of_the_user_starts_a_generation() {
    let mut members = Members::new().await;
    let old = members.phone.identity().follower().clone();
    let (_, group_info) = members.phone.start_generation(2, Some(&old));
    let login = members.phone.log_in_to_reset(&members.cloud, 2).await;
    let right = members.phone.resetting_call(&members.cloud, 2, &group_info, login);
    let unconfirmed = members.phone.added(&members.cloud, 3).await;
    let call = unconfirmed.client.sign(&members.cloud, &right);
    assert_eq!(members.problem_with(&call).await, ProblemType::ClientUnconfirmed);
    let bob = Device::registered(&members.cloud, "bob@localhost", 9).await;
    assert_eq!(members.problem_with(&bob.client.sign(&members.cloud, &right)).await, ProblemType::ClientUnknown);
    let of_bobs = Call { path: right.path.replace("alice@", "bob@"), ..right.clone() };
    let call = bob.client.sign(&members.cloud, &of_bobs);
    assert_eq!(members.problem_with(&call).await, ProblemType::IdentityUnknown);
    let unsigned = right.clone().without_header("signature");
    assert_eq!(members.problem_with(&unsigned).await, ProblemType::SignatureMissing);
}

#[tokio::test]
async fn a_generation_that_is_over_stays_as_it_was() {
    let mut members = Members::new().await;
    let user_name = members.phone.client.user_name().clone();
    let end = members.phone.position();
    let before = members.cloud.identity(&user_name, IdentityPosition { generation: 1, epoch: 0 }).await;
    let late = members.laptop.prepare_update();
    let late = members.laptop.request(&late);
    let old = members.phone.identity().follower().clone();
    members.phone.reset(&members.cloud, &old).await;
    let after = members.cloud.identity(&user_name, IdentityPosition { generation: 1, epoch: 0 }).await;
    assert_eq!((after.current_generation, after.last_epoch), (2, end.epoch));
    let unchanged = vestibule_protocol::endpoint::GetIdentityResponse { current_generation: 2, ..before };
    assert_eq!(after, unchanged);
    let call = members.laptop.committing_call(&members.cloud, &late);
    assert_eq!(members.problem_with(&call).await, ProblemType::IdentitySuperseded);
}
