//! What a client does about the revocation of who signed its credential.

use serde_json::json;
use vestibule_protocol::credential::{ClientCredential, ClientCredentialPayload};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::signed::{Fingerprint, Unverified};

use super::*;
use crate::chain::CredentialsError;
use crate::client::Options;
use crate::testing::replacing;

/// The options of a device that is told that these were revoked.
fn told(device: &TestDevice, revoked: &[Fingerprint]) -> Options {
    let revoked: Vec<_> = revoked.iter().map(|one| Bytes(one.as_bytes().to_vec())).collect();
    device.through(replacing("/v1/as/credentials", "revoked_fingerprints", json!(revoked)))
}

/// What signs credentials now.
fn intermediate(device: &TestDevice) -> Fingerprint {
    device.service.deployment().intermediate.fingerprint()
}

fn credential(device: &TestDevice) -> Bytes {
    device.account().client_credential().cloned().unwrap()
}

#[tokio::test]
async fn a_credential_is_renewed_and_key_packages_replaced_when_the_signer_is_revoked() {
    let device = TestDevice::new();
    device.register(ALICE).await.result.unwrap();
    let (first, former) = (credential(&device), intermediate(&device));
    device.service.rotate_intermediate();
    device.client().catch_up().await.unwrap();
    assert!(credential(&device) == first && device.published().0 == 1);

    device.client_with(told(&device, &[former])).catch_up().await.unwrap();
    let renewed = credential(&device);
    assert!(renewed != first);
    assert_eq!(device.published().0, 2);
    let member = device.service.deployment().identities[ALICE].follower().members().remove(0);
    assert_eq!(member.client_credential, renewed);

    let mut client = device.client_with(told(&device, &[former]));
    client.catch_up().await.unwrap();
    client.refill_key_packages().await.unwrap();
    drop(client);
    assert!(credential(&device) == renewed && device.published().0 == 2);
}

#[tokio::test]
async fn without_another_intermediate_the_device_says_so_and_keeps_what_it_has() {
    let household = devices(&["tablet"]).await;
    let first = credential(&household[0]);
    let revoked = told(&household[0], &[intermediate(&household[0])]);
    let error = household[0].client_with(revoked).catch_up().await.unwrap_err();
    assert!(matches!(error, Error::Credentials(CredentialsError::IntermediateRefused(None))), "{error}");
    assert!(credential(&household[0]) == first && household[0].published().0 == 1);
    assert_eq!(names(&household).await, ["laptop", "tablet"]);
}

#[tokio::test]
async fn a_credential_that_was_itself_revoked_is_not_replaced_for_that() {
    let device = TestDevice::new();
    device.register(ALICE).await.result.unwrap();
    let first = credential(&device);
    let issued = ClientCredential::verify_signer(&first.0, &device.service.deployment().intermediate).unwrap();
    device.service.rotate_intermediate();
    device.client_with(told(&device, &[issued.fingerprint()])).catch_up().await.unwrap();
    assert!(credential(&device) == first);
}

#[tokio::test]
async fn a_device_that_cannot_follow_the_others_renews_all_the_same() {
    let household = devices(&["tablet"]).await;
    wedge(&household[1]).await;
    let (first, former) = (credential(&household[0]), intermediate(&household[0]));
    household[0].service.rotate_intermediate();
    let options = told(&household[0], &[former]);
    let mut client = household[0].client_with(options);
    let error = client.catch_up().await.unwrap_err();
    assert!(matches!(error, Error::Identity(IdentityFailure::Stuck { .. })), "{error}");
    client.refill_key_packages().await.unwrap();
    drop(client);
    assert!(credential(&household[0]) != first);
    assert_eq!(household[0].published().0, 2);
}

#[tokio::test]
async fn a_renewal_whose_signer_was_revoked_before_it_was_sent_is_made_anew() {
    let device = TestDevice::new();
    device.register(ALICE).await.result.unwrap();
    let first = credential(&device);
    device.clock.advance(Duration::from_secs(60 * DAY.as_secs()));
    // The process ends when the request is on disk.
    for points in 0.. {
        let _ = device.client_with(device.options().fuse(Fuse::after(points))).catch_up().await;
        if device.account().renewal.is_some() {
            break;
        }
    }
    let former = intermediate(&device);
    device.service.rotate_intermediate();
    device.client_with(told(&device, &[former])).catch_up().await.unwrap();
    assert!(credential(&device) != first && device.account().renewal.is_none());
    let signer = Unverified::<ClientCredentialPayload>::from_bytes(&credential(&device).0).unwrap();
    assert_eq!(signer.claim().signer_fingerprint, intermediate(&device));
}
