//! A client that is not confirmed within an hour is as if it had never been added.

use std::time::Duration;

use vestibule_protocol::limits::{CLIENT_CONFIRMATION_TIME, MAX_CLIENTS};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::left_out_in_processes;

use super::household::Household;

#[tokio::test]
async fn a_client_lapses_after_an_hour_and_not_before() {
    left_out_in_processes!("it moves the clock");
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME - Duration::from_secs(1));
    let call = laptop.removing_call(cloud, phone, None);
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientUnconfirmed);
    household.changes_nothing(&phone.adding_call(cloud, laptop)).await;
    cloud.cloud.clock().advance(Duration::from_secs(1));
    let call = laptop.removing_call(cloud, laptop, None);
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientUnknown);
    let call = phone.removing_call(cloud, laptop, None);
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientNotFound);
}

#[tokio::test]
async fn a_lapsed_client_can_be_added_again_as_it_was() {
    left_out_in_processes!("it moves the clock");
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME);
    phone.add(cloud, laptop).await;
    let item = cloud.client_item(&laptop.client_id).await.unwrap();
    let expires_at = cloud.now().saturating_add(CLIENT_CONFIRMATION_TIME);
    assert_eq!(item["expires_at"]["N"], expires_at.seconds().to_string());
    let call = laptop.removing_call(cloud, phone, None);
    assert_eq!(household.problem_with(&call).await, ProblemType::ClientUnconfirmed);
}

#[tokio::test]
async fn the_id_of_a_lapsed_client_is_not_anothers() {
    left_out_in_processes!("it moves the clock");
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME);
    let mut other = phone.another(cloud, 3).await;
    other.client_id = laptop.client_id.clone();
    other.requested.client_id = laptop.client_id.clone();
    assert_eq!(household.problem_with(&phone.adding_call(cloud, &other)).await, ProblemType::ClientIdTaken);
    // Nor is it signed again when it would not be signed afresh.
    cloud.cloud.clock().advance(3 * DAY);
    assert_eq!(household.problem_with(&phone.adding_call(cloud, laptop)).await, ProblemType::CsrValidityRefused);
}

#[tokio::test]
async fn lapsed_clients_leave_room_for_others() {
    left_out_in_processes!("it moves the clock");
    let household = Household::new().await;
    let Household { cloud, phone, laptop } = &household;
    for seed in 0..MAX_CLIENTS as u64 - 1 {
        phone.add(cloud, &phone.another(cloud, 100 + seed).await).await;
    }
    assert_eq!(household.problem_with(&phone.adding_call(cloud, laptop)).await, ProblemType::ClientLimitReached);
    cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME);
    phone.add(cloud, laptop).await;
}

#[tokio::test]
async fn a_confirmed_client_does_not_lapse() {
    left_out_in_processes!("it moves the clock");
    let household = Household::confirmed().await;
    let Household { cloud, phone, laptop } = &household;
    cloud.cloud.clock().advance(2 * CLIENT_CONFIRMATION_TIME);
    let tablet = phone.another(cloud, 3).await;
    laptop.add(cloud, &tablet).await;
}
