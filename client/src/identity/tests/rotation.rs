//! What is rotated when a device is removed, and how the others learn of it.

use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::endpoint::GetIdentityResponse;
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::opaque::Password;

use super::super::devices::label_of;
use super::*;
use crate::home::{Account, UserSecrets};
use crate::transport::{Request, Response};

/// Devices of one user that all are at the queuing service.
async fn household(names: &[&str]) -> Vec<TestDevice> {
    let household = devices(names).await;
    for device in &household {
        device.client().catch_up().await.unwrap();
    }
    household
}

/// What can be compared of what a device shares with the others.
fn shared(device: &TestDevice) -> (u64, String, Vec<u8>, Vec<u8>) {
    let account = device.account();
    let secrets = account.shared_secrets().unwrap();
    let label_key = account.identity.as_ref().unwrap().device_label_key.to_secret_bytes().to_vec();
    let record_key = secrets.user_record_key.verifying_key().as_bytes().to_vec();
    (secrets.rotation, device.client().friendship_code().unwrap().to_text().to_string(), record_key, label_key)
}

/// Asserts that the queuing service has these devices' clients and no others, and the key and token that they share.
pub(super) fn assert_record(devices: &[&TestDevice]) {
    let mut wanted: Vec<_> = devices.iter().map(|device| device.qs_client_id()).collect();
    wanted.sort();
    let account = devices[0].account();
    let secrets = account.shared_secrets().unwrap();
    let deployment = devices[0].service.deployment();
    assert!(deployment.queuing.clients.keys().eq(&wanted), "{:?}", deployment.queuing.clients.keys());
    let record = &deployment.queuing.users[&secrets.qs_user_id().to_string()];
    assert_eq!(record.verifying_key, secrets.user_record_key.verifying_key());
    assert_eq!(record.friendship_token_hash.0, secrets.friendship_token.hash().as_bytes());
}

fn client_uuid(device: &TestDevice) -> ClientUuid {
    device.account().client_uuid
}

/// Asserts that a removed device can read nothing of what the others have told and written since.
fn assert_shut_out(removed: &TestDevice) {
    let account = removed.account();
    let state = account.identity.as_ref().unwrap();
    let deployment = removed.service.deployment();
    let generation = deployment.identities[ALICE].generations.last().unwrap();
    let its_last = usize::try_from(state.member().follower().epoch()).unwrap();
    let its_key = sharing::key_of(state.member()).unwrap();
    assert!(its_last < generation.encrypted_user_secrets.len());
    for (index, told) in generation.encrypted_user_secrets.iter().enumerate().skip(its_last) {
        let mut epoch = sharing::epoch_of(state.member());
        epoch.epoch = index as u64 + 1;
        let opened = vestibule_protocol::user_secrets::UserSecrets::open(&told.as_ref().unwrap().0, &epoch, &its_key);
        assert!(opened.is_err(), "what came with the commit to epoch {}", epoch.epoch);
    }
    for member in generation.follower.members() {
        assert!(label_of(&member, state).is_none(), "the label of {}", member.client_id);
    }
}

#[tokio::test]
async fn nothing_that_a_removed_device_knew_is_of_use_to_it() {
    let household = household(&["tablet", "phone"]).await;
    let [laptop, tablet, phone] = household.as_slice() else { unreachable!() };
    let before = shared(laptop);
    assert_eq!(shared(phone), before);
    let removal = laptop.client().remove_device("tablet", password()).await.unwrap();
    assert_eq!(removal.keys, KeyRotation::Done);
    assert_eq!(laptop.client().key_rotation().unwrap(), KeyRotation::Done);

    let after = shared(laptop);
    assert_eq!((before.0, after.0), (0, 1));
    assert!(before.1 != after.1 && before.2 != after.2 && before.3 != after.3);
    assert_record(&[laptop, phone]);
    assert_eq!(laptop.published().0, 2);

    // The phone has heard of nothing yet: it reads, publishes, and puts its label under the new key.
    assert_eq!(phone.published().0, 1);
    let changes = phone.client().catch_up().await.unwrap();
    assert_eq!(told(&changes), [("removed", "tablet".to_owned())]);
    assert_eq!(shared(phone), after);
    assert_eq!(phone.published().0, 2);
    assert_shut_out(tablet);
    assert_eq!(names(&[household.into_iter().next().unwrap()]).await, ["laptop", "phone"]);
}

#[tokio::test]
async fn a_wrong_password_rotates_nothing() {
    let household = household(&["tablet"]).await;
    let before = household[0].service.deployment().queuing.users.clone();
    let wrong = Password::new("wrong".to_owned());
    assert!(matches!(household[0].client().remove_device("tablet", wrong).await, Err(Error::WrongPassword)));
    assert_eq!(household[0].service.deployment().queuing.users, before);
    assert_eq!(household[0].client().half_removed_device().unwrap(), None);
    assert_record(&[&household[0], &household[1]]);
}

/// Kills a removal at the first point after the queuing service has taken the new keys.
async fn remove_and_die(remover: &TestDevice, device: &str) {
    let rotated = remover.service.deployment().queuing.users.clone();
    for points in 0.. {
        let client = &mut remover.client_with(remover.options().fuse(Fuse::after(points)));
        let killed = client.remove_device(device, password()).await;
        assert!(killed.is_err_and(|error| error.is_stopped()));
        if remover.service.deployment().queuing.users != rotated {
            return;
        }
    }
}

#[tokio::test]
async fn of_two_who_remove_at_once_the_second_rotates_when_the_first_has_told() {
    let household = household(&["tablet", "phone", "watch"]).await;
    let [laptop, tablet, phone, watch] = household.as_slice() else { unreachable!() };
    remove_and_die(laptop, "tablet").await;
    let half = laptop.client().half_removed_device().unwrap().unwrap();
    assert_eq!(half.client_id.uuid, client_uuid(tablet));

    // The phone cannot have the record, and removes nevertheless.
    let removal = phone.client().remove_device("watch", password()).await.unwrap();
    assert_eq!(removal.keys, KeyRotation::Pending);
    assert!(matches!(watch.client().catch_up().await, Err(Error::DeviceRemoved(_))));
    phone.client().catch_up().await.unwrap();
    assert_eq!(phone.client().key_rotation().unwrap(), KeyRotation::Pending);

    let removal = laptop.client().remove_device("tablet", password()).await.unwrap();
    assert_eq!(removal.keys, KeyRotation::Done);
    phone.client().catch_up().await.unwrap();
    assert_eq!(phone.client().key_rotation().unwrap(), KeyRotation::Done);
    laptop.client().catch_up().await.unwrap();
    assert_eq!(shared(laptop), shared(phone));
    assert_eq!(shared(phone).0, 2);
    assert_record(&[laptop, phone]);
    for removed in [tablet, watch] {
        assert_shut_out(removed);
    }
}

#[tokio::test]
async fn a_removal_that_another_device_completes_is_told_by_the_one_that_began_it() {
    let household = household(&["tablet", "phone"]).await;
    let [laptop, tablet, phone] = household.as_slice() else { unreachable!() };
    remove_and_die(laptop, "tablet").await;
    // As long as the tablet is one of the user's, nobody is told what it would read.
    laptop.client().catch_up().await.unwrap();
    assert_eq!(shared(laptop).0, 0);
    assert_eq!(phone.client().remove_device("tablet", password()).await.unwrap().keys, KeyRotation::Pending);
    laptop.client().catch_up().await.unwrap();
    assert_eq!(laptop.client().key_rotation().unwrap(), KeyRotation::Done);
    for device in [phone, laptop] {
        device.client().catch_up().await.unwrap();
    }
    assert_eq!(shared(laptop), shared(phone));
    assert_record(&[laptop, phone]);
    assert_shut_out(tablet);
}

#[tokio::test]
async fn a_device_whose_label_cannot_be_read_keeps_its_client() {
    let household = household(&["tablet", "phone"]).await;
    let [laptop, tablet, _] = household.as_slice() else { unreachable!() };
    laptop.client().remove_device("phone", password()).await.unwrap();
    // The tablet has not heard of the new keys, and the watch never had the old ones.
    let watch = laptop.another();
    link(&watch, laptop, "watch").await.unwrap();
    laptop.service.deployment().queuing.add_client(
        &laptop.account().shared_secrets().unwrap().qs_user_id().to_string(),
        vestibule_protocol::keys::SigningKey::generate(&mut rand::rngs::OsRng).verifying_key(),
    );
    watch.client().remove_device("laptop", password()).await.unwrap();
    let clients = |device: &TestDevice| device.service.deployment().queuing.clients.keys().cloned().collect::<Vec<_>>();
    assert!(clients(&watch).contains(&tablet.qs_client_id()));
    assert!(!clients(&watch).contains(&laptop.qs_client_id()));
    assert_eq!(clients(&watch).len(), 3);

    tablet.client().catch_up().await.unwrap();
    watch.client().catch_up().await.unwrap();
    assert_record(&[&watch, tablet]);
    assert_eq!(shared(&watch), shared(tablet));
}

#[tokio::test]
async fn the_only_client_of_a_record_is_left_until_there_is_another_one() {
    let household = devices(&["tablet"]).await;
    let [laptop, tablet] = household.as_slice() else { unreachable!() };
    leave_queuing_service(tablet);
    tablet.client().remove_device("laptop", password()).await.unwrap();
    assert!(tablet.service.deployment().queuing.clients.contains_key(&laptop.qs_client_id()));
    tablet.client().join_queuing_service(|_| ()).await.unwrap();
    tablet.client().catch_up().await.unwrap();
    assert_record(&[tablet]);
}

/// Has a device commit as if it shared something else with the others.
async fn tell(device: &TestDevice, change: impl FnOnce(&mut Account)) {
    let mut client = device.client();
    client.catch_up().await.unwrap();
    let mut session = client.own_session().unwrap();
    let account = session.account.as_mut().unwrap();
    change(account);
    prepare_update(account, &mut session.connection.randomness).unwrap();
    assert_eq!(send_pending(&mut session).await.unwrap(), Sent::Accepted);
}

fn count(account: &mut Account, rotation: u64) {
    let secrets = account.shared_secrets().unwrap().clone();
    account.set_shared_secrets(secrets.counted(rotation));
}

#[tokio::test]
async fn secrets_that_leave_no_higher_number_are_not_taken() {
    let household = household(&["tablet"]).await;
    let [laptop, tablet] = household.as_slice() else { unreachable!() };
    let before = shared(laptop);
    tell(tablet, |account| count(account, u64::MAX)).await;
    let changes = laptop.client().catch_up().await.unwrap();
    assert_eq!(told(&changes), [("unreadable", "tablet".to_owned())]);
    assert_eq!(laptop.client().catch_up().await.unwrap(), []);
    assert_eq!(shared(laptop), before);
}

#[tokio::test]
async fn the_secrets_of_another_record_are_not_taken() {
    let household = household(&["tablet"]).await;
    let [laptop, tablet] = household.as_slice() else { unreachable!() };
    let before = shared(laptop);
    tell(tablet, |account| {
        let fresh = UserSecrets::generate(&mut vestibule_protocol::randomness::Randomness::system());
        account.set_shared_secrets(fresh.counted(5));
    })
    .await;
    assert_eq!(told(&laptop.client().catch_up().await.unwrap()), [("unreadable", "tablet".to_owned())]);
    assert_eq!(shared(laptop), before);
}

#[tokio::test]
async fn who_tells_older_secrets_is_told_the_newer_ones() {
    let household = household(&["tablet"]).await;
    let [laptop, tablet] = household.as_slice() else { unreachable!() };
    tell(laptop, |account| count(account, 3)).await;
    tablet.client().catch_up().await.unwrap();
    assert_eq!(shared(tablet).0, 3);
    tell(tablet, |account| count(account, 1)).await;
    let epoch = |device: &TestDevice| device.service.deployment().identities[ALICE].follower().epoch();
    let before = epoch(laptop);
    laptop.client().catch_up().await.unwrap();
    assert_eq!(epoch(laptop), before + 1);
    for device in [tablet, laptop, tablet] {
        device.client().catch_up().await.unwrap();
    }
    assert_eq!(epoch(laptop), before + 1);
    assert_eq!(shared(tablet), shared(laptop));
    assert_eq!(shared(tablet).0, 3);
}

#[tokio::test]
async fn what_the_service_spoils_is_left_aside_and_told() {
    let household = household(&["tablet"]).await;
    let [laptop, tablet] = household.as_slice() else { unreachable!() };
    tell(laptop, |account| count(account, 1)).await;
    let spoil = |request: &Request, mut response: Response| {
        if request.method.as_str() == "GET" && request.path.contains("/identity") {
            let mut page: GetIdentityResponse = serde_json::from_slice(&response.body).unwrap();
            for told in page.encrypted_user_secrets.iter_mut().flatten() {
                *told = Bytes(vec![7; told.0.len()]);
            }
            response.body = serde_json::to_vec(&page).unwrap();
        }
        Ok(response)
    };
    let mut client = tablet.client_with(tablet.through(spoil));
    assert_eq!(told(&client.catch_up().await.unwrap()), [("unreadable", "laptop".to_owned())]);
    drop(client);
    assert_eq!(shared(tablet).0, 0);
    // Whoever hears that the tablet has the old ones says it again.
    tell(tablet, |_| ()).await;
    for device in [laptop, tablet] {
        device.client().catch_up().await.unwrap();
    }
    assert_eq!(shared(tablet), shared(laptop));
    assert_eq!(shared(tablet).0, 1);
}

#[tokio::test]
async fn who_is_removed_but_not_from_the_identity_is_not_told_by_the_next_removal() {
    let household = household(&["tablet", "phone", "watch"]).await;
    let [laptop, tablet, phone, watch] = household.as_slice() else { unreachable!() };
    let clients = || laptop.service.deployment().clients.count(ALICE, laptop.clock.now());
    let before = clients();
    for points in 0.. {
        let client = &mut laptop.client_with(laptop.options().fuse(Fuse::after(points)));
        let killed = client.remove_device("tablet", password()).await;
        assert!(killed.is_err_and(|error| error.is_stopped()));
        if clients() < before {
            break;
        }
    }
    laptop.client().remove_device("phone", password()).await.unwrap();
    laptop.client().catch_up().await.unwrap();
    assert_eq!(laptop.client().key_rotation().unwrap(), KeyRotation::Done);
    for removed in [tablet, phone] {
        assert!(matches!(removed.client().catch_up().await, Err(Error::DeviceRemoved(_))));
        assert_eq!(shared(removed).0, 0);
    }
    watch.client().catch_up().await.unwrap();
    assert_eq!(shared(watch), shared(laptop));
    assert_record(&[laptop, watch]);
}
