//! A user is deleted with everything, but for what keeps it deleted.

use vestibule_local::Fault;
use vestibule_protocol::endpoint::InitiateRegistration;
use vestibule_protocol::key_server::Request;
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, KeyServerUser, TestCloud, json_body, left_out_in_processes, no_login};

use super::household::Household;

fn keys(state: &[serde_json::Value]) -> Vec<String> {
    let text = |value: &serde_json::Value| value["S"].as_str().unwrap().to_owned();
    state.iter().map(|item| format!("{} / {}", text(&item["pk"]), text(&item["sk"]))).collect()
}

#[tokio::test]
async fn of_a_deleted_user_tombstones_stay_and_nothing_else() {
    let Household { cloud, mut phone, laptop } = Household::confirmed().await;
    let unconfirmed = phone.another(&cloud, 3).await;
    phone.add(&cloud, &unconfirmed).await;
    let user_id = phone.user_id.unwrap();
    phone.delete_user(&cloud).await;

    let state = cloud.state().await;
    let mut clients = [&phone, &laptop, &unconfirmed].map(|client| client.client_id.uuid.to_string());
    clients.sort();
    let expected = [
        "CREDENTIALS / CREDENTIALS".to_owned(),
        format!("USER#alice@localhost / CLIENT#{}", clients[0]),
        format!("USER#alice@localhost / CLIENT#{}", clients[1]),
        format!("USER#alice@localhost / CLIENT#{}", clients[2]),
        "USER#alice@localhost / CLIENTS".to_owned(),
        "USER#alice@localhost / USER".to_owned(),
        format!("USER_ID#{user_id} / USER_ID"),
        "KEYS / KEYS".to_owned(),
        "KEYS / TOKEN_KEYS".to_owned(),
    ];
    assert_eq!(keys(&state), expected);
    for item in &state[1..4] {
        assert!(item.get("removed_on").is_some() && item.as_object().unwrap().len() == 3, "{item}");
    }
    let today = cloud.now().start_of_day().seconds().to_string();
    assert_eq!(state[5]["deleted_on"]["N"], today);
    assert_eq!(state[5].as_object().unwrap().len(), 4, "{}", state[5]);
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_no_other_does() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::confirmed().await;
    let login = household.phone.log_in(&household.cloud, LoginOperation::DeleteUser {}).await;
    let other_login = household.laptop.log_in(&household.cloud, LoginOperation::DeleteUser {}).await;
    let call = household.phone.deleting_call(&household.cloud, login.clone());
    assert_eq!(household.cloud.send(&call).await.status, 200);
    household.changes_nothing(&call).await;
    household.cloud.cloud.clock().advance(std::time::Duration::from_secs(3600));
    let Household { cloud, phone, laptop } = &household;
    household.changes_nothing(&phone.deleting_call(cloud, login)).await;
    let other = laptop.deleting_call(cloud, other_login);
    assert_eq!(household.problem_with(&other).await, ProblemType::ClientUnknown);
    let none = phone.deleting_call(cloud, no_login());
    assert_eq!(household.problem_with(&none).await, ProblemType::ClientUnknown);
}

#[tokio::test]
async fn a_deleted_name_stays_taken_and_no_old_request_brings_the_user_back() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut phone = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = phone.initiate(&cloud).await;
    let finishing = phone.finishing_call(&cloud, &completion);
    assert_eq!(cloud.send(&finishing).await.status, 201);
    let laptop = phone.another(&cloud, 2).await;
    let adding = phone.adding_call(&cloud, &laptop);
    phone.delete_user(&cloud).await;

    let household = Household { cloud, phone, laptop };
    let Household { cloud, phone, .. } = &household;
    assert_eq!(household.problem_with(&finishing).await, ProblemType::UserNameTaken);
    assert_eq!(household.problem_with(&adding).await, ProblemType::ClientUnknown);
    // Also when the registration is long over.
    cloud.cloud.clock().advance(std::time::Duration::from_secs(16 * 60));
    let again = phone.finishing_call(cloud, &completion);
    assert_eq!(household.problem_with(&again).await, ProblemType::UserNameTaken);
    let mut mallory = Applicant::new(cloud, "alice@localhost", 5).await;
    let initiation = Call::new::<InitiateRegistration>(&(), json_body(&mallory.initiation()));
    assert_eq!(household.problem_with(&initiation).await, ProblemType::UserNameTaken);
}

#[tokio::test]
async fn a_registration_that_was_under_way_does_not_take_a_deleted_name() {
    let cloud = TestCloud::start().await;
    let mut mallory = Applicant::new(&cloud, "alice@localhost", 5).await;
    let completion = mallory.initiate(&cloud).await;
    let mut phone = Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    phone.delete_user(&cloud).await;
    let before = cloud.state().await;
    let answer = cloud.send(&mallory.finishing_call(&cloud, &completion)).await;
    assert_eq!(answer.problem(), ProblemType::UserNameTaken);
    assert_eq!(cloud.state().await, before);
}

#[tokio::test]
async fn nobody_but_a_client_with_the_password_deletes_a_user() {
    let mut household = Household::unconfirmed().await;
    let login = household.phone.log_in(&household.cloud, LoginOperation::DeleteUser {}).await;
    let Household { cloud, phone, laptop } = &household;
    let bob = Applicant::new(cloud, "bob@localhost", 9).await.register(cloud).await;
    let right = phone.deleting_call(cloud, login.clone());
    let unsigned = right.clone().without_header("signature");
    assert_eq!(household.problem_with(&unsigned).await, ProblemType::SignatureMissing);
    let of_bobs = Call { path: right.path.replace("alice@", "bob@"), ..right.clone() };
    assert_eq!(household.problem_with(&bob.sign(cloud, &right)).await, ProblemType::ClientUnknown);
    assert_eq!(household.problem_with(&bob.sign(cloud, &of_bobs)).await, ProblemType::LoginInvalid);
    assert_eq!(household.problem_with(&phone.sign(cloud, &of_bobs)).await, ProblemType::ClientUnknown);
    assert_eq!(household.problem_with(&laptop.sign(cloud, &right)).await, ProblemType::ClientUnconfirmed);
    let none = phone.deleting_call(cloud, no_login());
    assert_eq!(household.problem_with(&none).await, ProblemType::LoginInvalid);
    let mut forged = login;
    forged.ke3.0[1] ^= 1;
    let forged = phone.deleting_call(cloud, forged);
    assert_eq!(household.problem_with(&forged).await, ProblemType::PasswordRefused);
    let without = phone.sign(cloud, &Call { body: b"{\"login\":null}".to_vec(), ..right.clone() });
    assert_eq!(household.problem_with(&without).await, ProblemType::InvalidField);
    let nobody = Call { path: right.path.replace("alice@", "nobody@"), ..right.clone() };
    assert_eq!(household.problem_with(&phone.sign(cloud, &nobody)).await, ProblemType::ClientUnknown);
    assert_eq!(cloud.send(&right).await.status, 200);
}

#[tokio::test]
async fn a_deletion_that_was_cut_short_is_completed_by_the_same_request() {
    let Household { cloud, mut phone, .. } = Household::confirmed().await;
    let login = phone.log_in(&cloud, LoginOperation::DeleteUser {}).await;
    let call = phone.deleting_call(&cloud, login);
    cloud.cloud.inject(|call| (call.operation == "BatchWriteItem").then_some(Fault::BeforeEffect));
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::TemporarilyUnavailable);
    cloud.cloud.clear_faults();
    let packages =
        |state: Vec<serde_json::Value>| keys(&state).iter().filter(|key| key.contains("CONNECTION_PACKAGE")).count();
    assert_eq!(packages(cloud.state().await), 3, "the user is deleted, and this is left");
    let (_, other) = phone.login_call(&cloud, LoginOperation::DeleteUser {}, Applicant::PASSWORD);
    assert_eq!(cloud.send(&other).await.problem(), ProblemType::ClientUnknown);
    assert_eq!(cloud.send(&call).await.status, 200);
    assert_eq!(packages(cloud.state().await), 0);
}

#[tokio::test]
async fn nobody_logs_in_as_a_deleted_user() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    alice.complete(&cloud).await;
    alice.client.delete_user(&cloud).await;
    assert!(alice.open_with::<Request>(&cloud, KeyServerUser::PASSWORD).await.is_none());
}
