use std::time::Duration;

use vestibule_protocol::time::DAY;

use super::*;
use crate::testing::Device as TestDevice;

const ALICE: &str = "alice@localhost";

#[tokio::test]
async fn the_first_client_starts_the_identity_and_is_listed() {
    let device = TestDevice::new();
    let registered = device.register(ALICE).await.result.unwrap();
    let mut client = device.client();
    let devices = client.devices().await.unwrap();
    assert_eq!(devices.len(), 1);
    let Device { client_id, name, added_at, is_confirmed, is_this } = &devices[0];
    assert_eq!(*client_id, registered.client_id);
    assert_eq!(name.as_ref().unwrap().as_str(), "laptop");
    assert_eq!(*added_at, Some(device.clock.now()));
    assert!(*is_confirmed && *is_this);
    assert_eq!(client.catch_up().await.unwrap(), []);
    assert_eq!(device.service.deployment().identities[ALICE].follower().epoch(), 0);
}

#[tokio::test]
async fn a_credential_is_renewed_when_less_than_thirty_days_are_left() {
    let device = TestDevice::new();
    device.register(ALICE).await.result.unwrap();
    let mut client = device.client();
    let first = client.status().unwrap().credential_validity;
    device.clock.advance(Duration::from_secs(59 * DAY.as_secs()));
    client.catch_up().await.unwrap();
    assert_eq!(client.status().unwrap().credential_validity, first);
    device.clock.advance(DAY);
    device.service.rotate_intermediate();
    client.catch_up().await.unwrap();
    let renewed = client.status().unwrap();
    assert!(renewed.is_credential_valid && renewed.credential_validity.not_after > first.not_after);
    drop(client);
    let credential = device.account().client_credential().cloned().unwrap();
    let member = device.service.deployment().identities[ALICE].follower().members().remove(0);
    assert_eq!(member.client_credential, credential);
    // It is of use to the rest.
    device.client().publish_key_packages(1).await.unwrap();
    let epoch = device.service.deployment().identities[ALICE].follower().epoch();
    device.client().catch_up().await.unwrap();
    assert_eq!(device.service.deployment().identities[ALICE].follower().epoch(), epoch);
}
