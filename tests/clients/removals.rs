//! A client is removed for good, by another one and with the password; one that is unconfirmed goes without.

use vestibule_protocol::endpoint::RemoveClientRequest;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, json_body, left_out_in_processes, no_login, removal_of};

use super::household::Household;

#[tokio::test]
async fn of_a_removed_client_a_tombstone_stays_and_nothing_else() {
    let Household { cloud, phone, mut laptop } = Household::confirmed().await;
    let before = cloud.state().await;
    laptop.remove(&cloud, &phone).await;
    let today = cloud.now().start_of_day().seconds().to_string();
    let tombstone = serde_json::json!({
        "pk": {"S": "USER#alice@localhost"},
        "sk": {"S": format!("CLIENT#{}", phone.client_id.uuid)},
        "removed_on": {"N": today},
    });
    assert_eq!(cloud.client_item(&phone.client_id).await.unwrap(), tombstone);
    // Its queue and its three connection packages are gone.
    let state = cloud.state().await;
    assert_eq!(state.len(), before.len() - 4);
    let uuid = phone.client_id.uuid.to_string();
    assert_eq!(state.iter().filter(|item| item.to_string().contains(&uuid)).count(), 1);
}

#[tokio::test]
async fn what_is_removed_stays_removed_however_often_it_is_asked_for() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::confirmed().await;
    let login = household.phone.log_in(&household.cloud, removal_of(&household.laptop)).await;
    let call = household.phone.removing_call(&household.cloud, &household.laptop, Some(login));
    let first = household.cloud.send(&call).await;
    assert_eq!(first.status, 200);
    household.changes_nothing(&call).await;
    household.cloud.cloud.clock().advance(std::time::Duration::from_secs(240));
    household.changes_nothing(&call).await;
    let Household { cloud, phone, laptop } = &household;
    household.changes_nothing(&phone.removing_call(cloud, laptop, None)).await;
    assert_eq!(cloud.send(&call).await, first);
}

#[tokio::test]
async fn no_request_of_before_brings_a_removed_client_back() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::confirmed().await;
    let adding = household.phone.adding_call(&household.cloud, &household.laptop);
    let (_, intermediate) = household.cloud.credentials().await;
    household.laptop.renew(&household.cloud, &intermediate);
    let renewing = household.laptop.adding_call(&household.cloud, &household.laptop);
    let login = household.phone.log_in(&household.cloud, removal_of(&household.laptop)).await;
    let removing = household.phone.removing_call(&household.cloud, &household.laptop, Some(login));
    assert_eq!(household.cloud.send(&removing).await.status, 200);

    assert_eq!(household.problem_with(&adding).await, ProblemType::ClientIdTaken);
    assert_eq!(household.problem_with(&renewing).await, ProblemType::ClientUnknown);
    let Household { cloud, phone, laptop } = &household;
    assert_eq!(household.problem_with(&phone.adding_call(cloud, laptop)).await, ProblemType::ClientIdTaken);
    // The day after, too, and with another key.
    cloud.cloud.clock().advance(vestibule_protocol::time::DAY);
    let mut with_another_key = phone.another(cloud, 3).await;
    with_another_key.client_id = laptop.client_id.clone();
    with_another_key.requested.client_id = laptop.client_id.clone();
    let call = phone.adding_call(cloud, &with_another_key);
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientIdTaken);
}

#[tokio::test]
async fn a_confirmed_client_is_removed_with_the_password_alone() {
    let household = Household::confirmed().await;
    let Household { cloud, phone, laptop } = &household;
    let without = phone.removing_call(cloud, laptop, None);
    assert_eq!(household.problem_with(&without).await, ProblemType::LoginMissing);
    let with_none = phone.removing_call(cloud, laptop, Some(no_login()));
    assert_eq!(household.problem_with(&with_none).await, ProblemType::LoginInvalid);
    let answer = cloud.send(&without).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_confirmed_client_does_not_remove_itself() {
    let mut household = Household::confirmed().await;
    let operation = removal_of(&household.phone);
    let login = household.phone.log_in(&household.cloud, operation).await;
    let Household { cloud, phone, .. } = &household;
    for login in [None, Some(login)] {
        let call = phone.removing_call(cloud, phone, login);
        assert_eq!(household.problem_with(&call).await, ProblemType::ClientRemovesItself);
    }
}

#[tokio::test]
async fn there_must_be_a_client_to_remove() {
    let mut household = Household::new().await;
    let operation = removal_of(&household.laptop);
    let login = household.phone.log_in(&household.cloud, operation).await;
    let Household { cloud, phone, laptop } = &household;
    for login in [None, Some(login)] {
        let call = phone.removing_call(cloud, laptop, login);
        assert_eq!(household.problem_with(&call).await, ProblemType::ClientNotFound);
    }
}

#[tokio::test]
async fn nobody_but_a_client_of_the_user_removes_one() {
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    let bob = Applicant::new(cloud, "bob@localhost", 9).await.register(cloud).await;
    assert_eq!(household.problem_with(&bob.removing_call(cloud, laptop, None)).await, ProblemType::ClientUnknown);
    assert_eq!(household.problem_with(&bob.removing_call(cloud, phone, None)).await, ProblemType::ClientUnknown);
    let right = phone.removing_call(cloud, laptop, None);
    let unsigned = right.clone().without_header("signature-input");
    assert_eq!(household.problem_with(&unsigned).await, ProblemType::SignatureMissing);
    let uuid = laptop.client_id.uuid.to_string();
    let nobody = Call { path: right.path.replace(&uuid, "nobody"), ..right.clone() };
    assert_eq!(household.problem_with(&nobody).await, ProblemType::InvalidClientUuid);
    let with_body = |body: &[u8]| phone.sign(cloud, &Call { body: body.to_vec(), ..right.clone() });
    assert_eq!(household.problem_with(&with_body(b"")).await, ProblemType::MalformedJson);
    assert_eq!(household.problem_with(&with_body(b"{\"login\":{}}")).await, ProblemType::InvalidField);
    assert_eq!(household.problem_with(&with_body(b"{\"logon\":null}")).await, ProblemType::InvalidField);
}

#[tokio::test]
async fn an_unconfirmed_client_is_withdrawn_by_another_without_the_password() {
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    let call = phone.removing_call(cloud, laptop, None);
    assert_eq!(cloud.send(&call).await.status, 200);
    let item = cloud.client_item(&laptop.client_id).await.unwrap();
    assert!(item.get("removed_on").is_some() && item.get("expires_at").is_none(), "{item}");
    household.changes_nothing(&call).await;
    assert_eq!(household.problem_with(&phone.adding_call(cloud, laptop)).await, ProblemType::ClientIdTaken);
}

#[tokio::test]
async fn an_unconfirmed_client_withdraws_itself_and_nobody_else() {
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    let tablet = phone.another(cloud, 3).await;
    phone.add(cloud, &tablet).await;
    for other in [phone, &tablet] {
        let call = laptop.removing_call(cloud, other, None);
        assert_eq!(household.problem_with(&call).await, ProblemType::ClientUnconfirmed);
    }
    let call = laptop.removing_call(cloud, laptop, None);
    assert_eq!(cloud.send(&call).await.status, 200);
    // It has said so itself: from now on nobody knows it.
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientUnknown);
    assert!(cloud.client_item(&tablet.client_id).await.unwrap().get("removed_on").is_none());
}

#[tokio::test]
async fn a_login_that_is_not_needed_is_not_looked_at() {
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    let call = phone.removing_call(cloud, laptop, Some(no_login()));
    assert_eq!(cloud.send(&call).await.status, 200);
}

#[tokio::test]
async fn a_login_removes_no_client_of_another_user() {
    let mut household = Household::confirmed().await;
    let login = household.phone.log_in(&household.cloud, removal_of(&household.laptop)).await;
    let Household { cloud, phone, laptop } = &household;
    // The path decides, and its user's clients alone may sign.
    let body = json_body(&RemoveClientRequest { login: Some(login) });
    let right = phone.removing_call(cloud, laptop, None);
    let path = right.path.replace("alice@", "bob@");
    let call = phone.sign(cloud, &Call { path, body, ..right });
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientUnknown);
}
