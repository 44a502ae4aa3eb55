//! A login is one client's, for one operation and its target, with the password of the moment, for a minute.

use std::time::Duration;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{InitiateLogin, InitiateLoginRequest};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, KeyServerUser, TestCloud, json_body, left_out_in_processes, removal_of};

use super::household::Household;

#[tokio::test]
async fn beginning_a_login_stores_nothing() {
    let mut household = Household::confirmed().await;
    let before = household.cloud.state().await;
    household.phone.log_in(&household.cloud, LoginOperation::DeleteUser {}).await;
    assert_eq!(household.cloud.state().await, before);
}

#[tokio::test]
async fn a_wrong_password_leads_nowhere() {
    let mut household = Household::confirmed().await;
    let operation = removal_of(&household.laptop);
    assert!(household.phone.log_in_with(&household.cloud, operation, "wrong horse").await.is_none());
    let right = household.phone.log_in(&household.cloud, operation).await;
    let Household { cloud, phone, laptop } = &household;
    let with = |change: fn(&mut LoginProof)| {
        let mut login = right.clone();
        change(&mut login);
        phone.removing_call(cloud, laptop, Some(login))
    };
    let attempts = [
        (with(|login| login.ke3.0[0] ^= 1), ProblemType::PasswordRefused),
        (with(|login| login.ke3.0.fill(0)), ProblemType::PasswordRefused),
        (with(|login| login.ke3.0.truncate(63)), ProblemType::InvalidOpaqueMessage),
        (with(|login| login.ke3.0.push(0)), ProblemType::InvalidOpaqueMessage),
        (with(|login| login.ke3.0.clear()), ProblemType::InvalidOpaqueMessage),
        (with(|login| login.sealed_login.0[30] ^= 1), ProblemType::LoginInvalid),
        (with(|login| login.sealed_login.0.clear()), ProblemType::LoginInvalid),
        (with(|login| login.sealed_login.0.truncate(60)), ProblemType::LoginInvalid),
    ];
    for (call, problem) in attempts {
        assert_eq!(household.problem_with(&call).await, problem);
    }
    assert_eq!(cloud.send(&with(|_| ())).await.status, 200, "none of it used the login up");
}

#[tokio::test]
async fn a_login_is_good_for_one_client_operation_and_target() {
    let mut household = Household::confirmed().await;
    let tablet = household.phone.another(&household.cloud, 3).await;
    household.phone.add(&household.cloud, &tablet).await;
    household.cloud.confirm(&tablet).await;
    let cloud = &household.cloud;
    let of_laptop = household.laptop.log_in(cloud, removal_of(&tablet)).await;
    let for_laptop = household.phone.log_in(cloud, removal_of(&household.laptop)).await;
    let for_deletion = household.phone.log_in(cloud, LoginOperation::DeleteUser {}).await;
    let for_reset = household.phone.log_in(cloud, LoginOperation::ResetIdentity { generation: 2 }).await;
    let Household { phone, .. } = &household;
    for login in [&of_laptop, &for_laptop, &for_deletion, &for_reset] {
        let call = phone.removing_call(cloud, &tablet, Some(login.clone()));
        assert_eq!(household.problem_with(&call).await, ProblemType::LoginInvalid);
    }
    for login in [of_laptop, for_laptop, for_reset] {
        let call = phone.deleting_call(cloud, login);
        assert_eq!(household.problem_with(&call).await, ProblemType::LoginInvalid);
    }
}

#[tokio::test]
async fn two_halves_of_different_logins_do_not_fit() {
    let mut household = Household::confirmed().await;
    let operation = removal_of(&household.laptop);
    let one = household.phone.log_in(&household.cloud, operation).await;
    let other = household.phone.log_in(&household.cloud, operation).await;
    let crossed = LoginProof { sealed_login: one.sealed_login, ke3: other.ke3 };
    let call = household.phone.removing_call(&household.cloud, &household.laptop, Some(crossed));
    assert_eq!(household.problem_with(&call).await, ProblemType::PasswordRefused);
}

#[tokio::test]
async fn what_was_sealed_for_something_else_is_no_login() {
    let mut household = Household::confirmed().await;
    let login = household.phone.log_in(&household.cloud, removal_of(&household.laptop)).await;
    let mut bob = Applicant::new(&household.cloud, "bob@localhost", 9).await;
    let sealed_login = bob.initiate(&household.cloud).await.sealed_registration;
    let login = LoginProof { sealed_login, ..login };
    let call = household.phone.removing_call(&household.cloud, &household.laptop, Some(login));
    assert_eq!(household.problem_with(&call).await, ProblemType::LoginInvalid);
}

#[tokio::test]
async fn a_login_is_over_after_a_minute() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::confirmed().await;
    let operation = removal_of(&household.laptop);
    let login = household.phone.log_in(&household.cloud, operation).await;
    let call = household.phone.removing_call(&household.cloud, &household.laptop, Some(login));
    household.cloud.cloud.clock().advance(Duration::from_secs(60));
    assert_eq!(household.problem_with(&call).await, ProblemType::LoginInvalid);

    let login = household.phone.log_in(&household.cloud, operation).await;
    household.cloud.cloud.clock().advance(Duration::from_secs(59));
    let call = household.phone.removing_call(&household.cloud, &household.laptop, Some(login));
    assert_eq!(household.cloud.send(&call).await.status, 200);
}

#[tokio::test]
async fn a_login_is_worth_nothing_when_the_password_has_changed() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = alice.complete(&cloud).await;
    let laptop = alice.client.another(&cloud, 2).await;
    alice.client.add(&cloud, &laptop).await;
    cloud.confirm(&laptop).await;
    let for_removal = alice.client.log_in(&cloud, removal_of(&laptop)).await;
    let for_deletion = alice.client.log_in(&cloud, LoginOperation::DeleteUser {}).await;
    let change = alice.changing_call(&cloud, KeyServerUser::PASSWORD, "battery staple", &storage_key).await;
    assert_eq!(cloud.send(&change).await.status, 200);

    let household = Household { cloud, phone: alice.client, laptop };
    let Household { cloud, phone, laptop } = &household;
    let removing = phone.removing_call(cloud, laptop, Some(for_removal));
    assert_eq!(household.problem_with(&removing).await, ProblemType::LoginInvalid);
    let deleting = phone.deleting_call(cloud, for_deletion);
    assert_eq!(household.problem_with(&deleting).await, ProblemType::LoginInvalid);

    let Household { cloud, mut phone, laptop } = household;
    assert!(phone.log_in_with(&cloud, removal_of(&laptop), KeyServerUser::PASSWORD).await.is_none());
    let login = phone.log_in_with(&cloud, removal_of(&laptop), "battery staple").await;
    assert_eq!(cloud.send(&phone.removing_call(&cloud, &laptop, login)).await.status, 200);
}

#[tokio::test]
async fn a_login_is_begun_by_the_client_that_it_names() {
    let mut household = Household::confirmed().await;
    let operation = LoginOperation::DeleteUser {};
    let (_, right) = household.phone.login_call(&household.cloud, operation, Applicant::PASSWORD);
    let Household { cloud, phone, laptop } = &household;
    let request: InitiateLoginRequest = serde_json::from_slice(&right.body).unwrap();
    let with = |request: InitiateLoginRequest| phone.sign(cloud, &Call { body: json_body(&request), ..right.clone() });
    let with_ke1 = |ke1: Vec<u8>| with(InitiateLoginRequest { ke1: Bytes(ke1), ..request.clone() });
    let foreign = Applicant::new(cloud, "alice@example.org", 1).await;
    let mut unknown_operation = serde_json::to_value(&request).unwrap();
    unknown_operation["operation"] = serde_json::json!({"type": "anything"});
    let mut without_target = serde_json::to_value(&request).unwrap();
    without_target["operation"] = serde_json::json!({"type": "remove-client"});
    let unsigned = Call::new::<InitiateLogin>(&(), right.body.clone());
    let attempts = [
        (laptop.sign(cloud, &right), ProblemType::ClientUnknown),
        (
            with(InitiateLoginRequest { client_id: laptop.client_id.clone(), ..request.clone() }),
            ProblemType::ClientUnknown,
        ),
        (
            with(InitiateLoginRequest { client_id: foreign.client_id.clone(), ..request.clone() }),
            ProblemType::ForeignDomain,
        ),
        (with_ke1(Vec::new()), ProblemType::InvalidOpaqueMessage),
        (with_ke1(vec![0; 96]), ProblemType::InvalidOpaqueMessage),
        (with_ke1([request.ke1.0.as_slice(), &[0]].concat()), ProblemType::InvalidOpaqueMessage),
        (phone.sign(cloud, &Call { body: json_body(&unknown_operation), ..right.clone() }), ProblemType::InvalidField),
        (phone.sign(cloud, &Call { body: json_body(&without_target), ..right.clone() }), ProblemType::InvalidField),
        (unsigned, ProblemType::SignatureMissing),
    ];
    for (call, problem) in attempts {
        assert_eq!(household.problem_with(&call).await, problem);
    }
}

#[tokio::test]
async fn logins_of_a_client_are_counted_and_those_of_strangers_do_not_count() {
    left_out_in_processes!("it moves the clock");
    let start = |builder: vestibule_local::LocalCloudBuilder| {
        builder.parameter("LoginsPerClientAndHour", "3").parameter("LoginsPerNameAndHour", "1")
    };
    let cloud = TestCloud::start_with(start).await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    // A stranger uses the name's allowance up.
    let (_, opening) = alice.opening::<vestibule_protocol::key_server::Request>("a guess");
    for _ in 0..2 {
        cloud.send(&vestibule_tests::opening_call(&opening)).await;
    }
    let mut phone = alice.client;
    for _ in 0..3 {
        phone.log_in(&cloud, LoginOperation::DeleteUser {}).await;
    }
    let (_, call) = phone.login_call(&cloud, LoginOperation::DeleteUser {}, Applicant::PASSWORD);
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::RateLimited);
    cloud.cloud.clock().advance(Duration::from_secs(60 * 60));
    phone.log_in(&cloud, LoginOperation::DeleteUser {}).await;
}
