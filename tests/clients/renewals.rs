//! A client renews its own credential: for the same key, and never backwards.

use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::{TestCloud, left_out_in_processes};

use super::household::Household;

async fn after_days(household: &mut Household, days: u32) {
    household.cloud.cloud.clock().advance(days * DAY);
    let (_, intermediate) = household.cloud.credentials().await;
    household.phone.renew(&household.cloud, &intermediate);
}

async fn stored_credential(cloud: &TestCloud, household: &Household) -> serde_json::Value {
    cloud.client_item(&household.phone.client_id).await.unwrap()["client_credential"].clone()
}

#[tokio::test]
async fn a_renewed_credential_takes_the_place_of_the_old_one() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::new().await;
    let before = household.cloud.state().await;
    after_days(&mut household, 60).await;
    let Household { cloud, phone, .. } = &household;
    let credential = phone.add(cloud, phone).await;
    assert_eq!(credential.payload(), &phone.requested);
    let changed: Vec<_> = cloud.state().await.into_iter().filter(|item| !before.contains(item)).collect();
    assert_eq!(changed, [cloud.client_item(&phone.client_id).await.unwrap()]);
    assert!(changed[0].get("expires_at").is_none());
    household.changes_nothing(&phone.adding_call(cloud, phone)).await;
    // The client goes on as before: the key is the same.
    phone.add(cloud, &phone.another(cloud, 3).await).await;
}

#[tokio::test]
async fn a_credential_is_renewed_even_after_it_has_expired() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::new().await;
    after_days(&mut household, 100).await;
    let Household { cloud, phone, .. } = &household;
    assert_eq!(phone.add(cloud, phone).await.payload(), &phone.requested);
}

#[tokio::test]
async fn an_old_renewal_takes_nothing_back() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::new().await;
    let first = household.phone.requested.clone();
    after_days(&mut household, 1).await;
    let second = household.phone.requested.clone();
    household.phone.add(&household.cloud, &household.phone).await;
    after_days(&mut household, 1).await;
    household.phone.add(&household.cloud, &household.phone).await;
    let newest = household.phone.requested.clone();
    let stored = stored_credential(&household.cloud, &household).await;
    for older in [first, second] {
        household.phone.requested = older;
        let call = household.phone.adding_call(&household.cloud, &household.phone);
        assert_eq!(household.problem_with(&call).await, ProblemType::CsrValidityRefused);
    }
    // Neither does one that begins as late and ends earlier.
    household.phone.requested = newest;
    let not_after = &mut household.phone.requested.expiration_data.not_after;
    *not_after = not_after.saturating_sub(DAY);
    let call = household.phone.adding_call(&household.cloud, &household.phone);
    assert_eq!(household.problem_with(&call).await, ProblemType::CsrValidityRefused);
    assert_eq!(stored_credential(&household.cloud, &household).await, stored);
}

#[tokio::test]
async fn a_credential_is_renewed_for_the_same_key_by_the_client_itself() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::confirmed().await;
    after_days(&mut household, 30).await;
    let Household { cloud, phone, laptop } = &household;
    let mut with_another_key = phone.another(cloud, 3).await;
    with_another_key.client_id = phone.client_id.clone();
    with_another_key.requested.client_id = phone.client_id.clone();
    let call = phone.adding_call(cloud, &with_another_key);
    assert_eq!(household.problem_with(&call).await, ProblemType::CsrForAnotherKey);
    // Another client of the user has no say in it.
    assert_eq!(household.problem_with(&laptop.adding_call(cloud, phone)).await, ProblemType::ClientIdTaken);
}

#[tokio::test]
async fn a_client_renews_itself_though_the_user_can_have_no_more() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::new().await;
    for seed in 100..109 {
        let client = household.phone.another(&household.cloud, seed).await;
        household.phone.add(&household.cloud, &client).await;
    }
    let (_, intermediate) = household.cloud.credentials().await;
    household.cloud.cloud.clock().advance(DAY / 4);
    household.phone.renew(&household.cloud, &intermediate);
    household.changes_nothing(&household.phone.adding_call(&household.cloud, &household.phone)).await;
}
