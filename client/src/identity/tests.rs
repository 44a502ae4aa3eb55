use std::time::Duration;

use openmls_traits::signatures::Signer as _;
use tls_codec::{Serialize as _, VLByteSlice};
use vestibule_mls::MlsSigner;
use vestibule_protocol::endpoint::CommitIdentityRequest;
use vestibule_protocol::time::DAY;

use super::*;
use crate::error::Error;
use crate::fuse::Fuse;
use crate::testing::{Device as TestDevice, leave_queuing_service, link, password};

mod revocation;
mod rotation;

use rotation::assert_record;

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

/// Devices of one user: a laptop that registered, and others that were linked.
async fn devices(names: &[&str]) -> Vec<TestDevice> {
    let first = TestDevice::new();
    first.register(ALICE).await.result.unwrap();
    let mut devices = vec![first];
    for name in names {
        let new = devices[0].another();
        link(&new, devices.last().unwrap(), name).await.unwrap();
        devices.push(new);
    }
    devices
}

/// Has every device catch up, and asserts that all have the same list and the same epoch. Gives the names.
async fn names(devices: &[TestDevice]) -> Vec<String> {
    let mut lists = Vec::new();
    for _ in 0..2 {
        lists.clear();
        for device in devices {
            device.client().catch_up().await.unwrap();
            let listed = device.client().devices().await.unwrap();
            let fingerprint = device.account().identity.unwrap().member().follower().fingerprint();
            let mut names: Vec<_> = listed.iter().map(name).collect();
            names.sort();
            lists.push((names, fingerprint));
        }
    }
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
    lists.swap_remove(0).0
}

fn told(changes: &[DeviceChange]) -> Vec<(&'static str, String)> {
    changes.iter().map(|change| (change.name(), name(change.device()))).collect()
}

/// A device's name, if it is known.
fn name(device: &Device) -> String {
    device.name.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string)
}

#[tokio::test]
async fn every_device_is_told_once_of_what_the_others_did() {
    let devices = devices(&["tablet", "phone"]).await;
    let added = devices[0].client().catch_up().await.unwrap();
    assert_eq!(told(&added), [("added", "phone".to_owned())]);
    assert_eq!(devices[0].client().catch_up().await.unwrap(), []);
    assert_eq!(devices[2].client().catch_up().await.unwrap(), []);

    let removed = devices[0].client().remove_device("tablet", password()).await.unwrap();
    assert_eq!(removed.device.name.unwrap().as_str(), "tablet");
    assert_eq!(devices[0].client().catch_up().await.unwrap(), []);
    let changes = devices[2].client().catch_up().await.unwrap();
    assert_eq!(told(&changes), [("removed", "tablet".to_owned())]);
    assert!(matches!(devices[1].client().catch_up().await, Err(Error::DeviceRemoved(_))));
    assert!(matches!(devices[1].client().devices().await, Err(Error::DeviceRemoved(_))));
}

#[tokio::test]
async fn only_another_device_that_there_is_is_removed_and_with_the_password() {
    let devices = devices(&["tablet", "tablet"]).await;
    let mut client = devices[0].client();
    for (name, urn) in [("phone", "no-such-device"), ("laptop", "this-device"), ("tablet", "several-such-devices")] {
        let error = client.remove_device(name, password()).await.unwrap_err();
        assert_eq!(error.urn(), format!("urn:vestibule:client:{urn}"));
    }
    let id = devices[2].account().client_id().to_string();
    let wrong = vestibule_protocol::opaque::Password::new("wrong".to_owned());
    assert!(matches!(client.remove_device(&id, wrong).await, Err(Error::WrongPassword)));
    assert_eq!(client.devices().await.unwrap().len(), 3);
    client.remove_device(&id, password()).await.unwrap();
    drop(client);
    assert_eq!(names(&devices[..2]).await, ["laptop", "tablet"]);
}

#[tokio::test]
async fn a_removal_that_is_killed_anywhere_is_completed() {
    let mut household = devices(&[]).await;
    for points in 0.. {
        let tablet = household[0].another();
        link(&tablet, &household[0], "tablet").await.unwrap();
        let fuse = Fuse::after(points);
        let mut client = household[0].client_with(household[0].options().fuse(fuse.clone()));
        let killed = client.remove_device("tablet", password()).await;
        drop(client);
        assert!(killed.is_ok() || killed.is_err_and(|error| error.is_stopped()));
        let mut client = household[0].client();
        client.catch_up().await.unwrap();
        // It is a device of the user's, or not at all.
        let now = household[0].clock.now();
        let is_live = household[0].service.deployment().clients.count(ALICE, now) == 2;
        assert_eq!(client.devices().await.unwrap().len(), if is_live { 2 } else { 1 }, "after {points} points");
        if is_live {
            client.remove_device("tablet", password()).await.unwrap();
        }
        assert_eq!(client.devices().await.unwrap().len(), 1);
        client.catch_up().await.unwrap();
        assert_eq!(client.key_rotation().unwrap(), KeyRotation::Done, "after {points} points");
        drop(client);
        assert_record(&[&household[0]]);
        if !fuse.is_burnt() {
            assert!(points > 45, "only {points} points");
            return;
        }
        if points % 8 == 7 {
            household = devices(&[]).await;
        }
    }
}

#[tokio::test]
async fn a_reset_that_is_killed_anywhere_is_completed() {
    let household = devices(&["tablet"]).await;
    for points in 0.. {
        let fuse = Fuse::after(points);
        let mut client = household[0].client_with(household[0].options().fuse(fuse.clone()));
        let killed = client.reset_identity(password()).await;
        drop(client);
        assert!(killed.is_ok() || killed.is_err_and(|error| error.is_stopped()));
        assert_eq!(names(&household).await, ["laptop", "tablet"], "after {points} points");
        if !fuse.is_burnt() {
            assert!(points > 12, "only {points} points");
            return;
        }
    }
}

#[tokio::test]
async fn who_has_missed_a_generation_starts_the_next_one() {
    let household = devices(&["tablet"]).await;
    for generation in [2, 3] {
        let reset = household[0].client().reset_identity(password()).await.unwrap();
        assert_eq!(reset, IdentityReset { generation, removed: None });
    }
    let left_behind = household[1].client().catch_up().await.unwrap_err();
    assert!(matches!(left_behind, Error::Identity(IdentityFailure::LeftBehind)), "{left_behind}");
    let reset = household[1].client().reset_identity(password()).await.unwrap();
    assert_eq!(reset.generation, 4);
    assert_eq!(names(&household).await, ["laptop", "tablet"]);
}

/// Length of a confirmation tag and of a membership tag, each with its length in front, in bytes.
const TAG_LENGTH: usize = 33;
/// Length of a signature with its length in front, in bytes.
const SIGNATURE_LENGTH: usize = 66;

/// Has a device send a commit whose confirmation tag is wrong, which only members can see.
async fn wedge(device: &TestDevice) {
    let mut client = device.client();
    client.catch_up().await.unwrap();
    let mut session = client.own_session().unwrap();
    let account = session.account.as_mut().unwrap();
    prepare_update(account, &mut session.connection.randomness).unwrap();
    let key = MlsSigner::from(&account.client_credential_key);
    let pending = account.identity.as_mut().unwrap().pending.as_mut().unwrap();
    let mut request: CommitIdentityRequest = serde_json::from_slice(pending.request.as_bytes()).unwrap();
    let commit = &mut request.commit.as_mut().unwrap().0;
    let tag_end = commit.len() - TAG_LENGTH;
    let right_tag = commit[tag_end - 32..tag_end].to_vec();
    commit[tag_end - 1] ^= 1;
    let wrong_tag = commit[tag_end - 32..tag_end].to_vec();
    let group_info = &mut request.group_info.0;
    let position = group_info.windows(32).position(|window| window == right_tag).unwrap();
    group_info[position..position + 32].copy_from_slice(&wrong_tag);
    group_info.truncate(group_info.len() - SIGNATURE_LENGTH);
    let mut content = Vec::new();
    // Version and wire format of the MLSMessage around it are not signed.
    for part in [b"MLS 1.0 GroupInfoTBS".as_slice(), &group_info[4..]] {
        VLByteSlice(part).tls_serialize(&mut content).unwrap();
    }
    VLByteSlice(&key.sign(&content).unwrap()).tls_serialize(group_info).unwrap();
    pending.request = crate::home::KeptRequest::new(&request);
    assert_eq!(send_pending(&mut session).await.unwrap(), Sent::Accepted);
}

#[tokio::test]
async fn a_commit_that_nobody_can_follow_is_survived_without_its_maker() {
    let household = devices(&["tablet", "phone"]).await;
    wedge(&household[1]).await;
    for device in [&household[0], &household[2]] {
        let error = device.client().catch_up().await.unwrap_err();
        let named = "'tablet' (alice@localhost/";
        assert!(error.to_string().starts_with(named), "{error}");
        assert_eq!(error.urn(), "urn:vestibule:client:identity-stuck");
    }
    // Nothing goes on.
    let new = household[0].another();
    assert!(matches!(household[0].client().devices().await, Err(Error::Identity(IdentityFailure::Stuck { .. }))));
    let wrong = vestibule_protocol::opaque::Password::new("wrong".to_owned());
    assert!(matches!(household[2].client().reset_identity(wrong).await, Err(Error::WrongPassword)));

    let reset = household[2].client().reset_identity(password()).await.unwrap();
    assert_eq!((reset.generation, reset.removed.unwrap().device.name.unwrap().as_str()), (2, "tablet"));
    assert_eq!(household[2].client().catch_up().await.unwrap(), []);
    let changes = household[0].client().catch_up().await.unwrap();
    // What the phone is called it reads when it has been told the new keys.
    assert_eq!(told(&changes), [("added", "?".to_owned()), ("removed", "tablet".to_owned())]);
    let offender = household[1].client().catch_up().await.unwrap_err();
    assert!(matches!(offender, Error::DeviceRemoved(_)), "{offender}");
    let mut household = household;
    household.remove(1);
    assert_eq!(names(&household).await, ["laptop", "phone"]);
    let codes = [0, 1].map(|index| household[index].client().friendship_code().unwrap().to_text().to_string());
    assert_eq!(codes[0], codes[1]);
    link(&new, &household[0], "tablet").await.unwrap();
}
