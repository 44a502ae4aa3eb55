use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::problem::Problem;

use super::*;
use crate::client::Options;
use crate::fuse::Fuse;
use crate::linking::Linked;
use crate::password::PasswordError;
use crate::testing::{Device, PASSWORD, link, password};
use crate::transport::{Request, Response, TransportError};

const ALICE: &str = "alice@localhost";

async fn registered() -> Device {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    device
}

async fn delete_with(options: Options) -> Result<DeletedAccount, Error> {
    crate::client::Client::open(options)?.delete_account(|_| Ok(password())).await
}

async fn delete(device: &Device) -> Result<DeletedAccount, Error> {
    delete_with(device.options()).await
}

/// Nobody is to be asked for a password.
async fn delete_without_password(device: &Device) -> Result<DeletedAccount, Error> {
    device.client().delete_account(|_| panic!("there is no password to ask for")).await
}

/// Asserts that no service has anything of alice, and this home neither.
fn assert_nothing_is_left(device: &Device) {
    assert_services_have_nothing(device);
    assert!(matches!(device.client().status(), Err(Error::NotRegistered)));
    for entry in std::fs::read_dir(device.home.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_of_home = ["lock", "device-key", "state-key", "state"].contains(&name.as_str());
        assert!(is_of_home || name.ends_with(".new"), "{name} is left");
    }
}

fn assert_services_have_nothing(device: &Device) {
    let deployment = device.service.deployment();
    assert!(deployment.queuing.users.values().all(|user| user.is_deleted));
    assert!(deployment.queuing.clients.is_empty());
    assert_eq!(deployment.key_server.users[ALICE].encrypted_storage_key.as_deref(), Some(&[][..]));
    assert_eq!(deployment.clients.count(ALICE, device.clock.now()), 0);
    assert!(deployment.identities.is_empty());
}

/// Asserts that alice is as if nothing had been tried.
async fn assert_nothing_has_changed(device: &Device) {
    device.client().status().unwrap();
    device.client().catch_up().await.unwrap();
    device.client().key_package_supply().await.unwrap();
    device.client().storage_key(None, password()).await.unwrap();
}

#[tokio::test]
async fn a_deleted_account_leaves_the_services_and_the_home() {
    let device = registered().await;
    device.client().receive().await.unwrap();
    let trusted_root = device.client().status().unwrap().trusted_root;
    let deleted = delete(&device).await.unwrap();
    assert_eq!((deleted.user_name.as_str(), deleted.is_pseudonym_left), (ALICE, false));
    assert_nothing_is_left(&device);
    assert!(matches!(delete_without_password(&device).await, Err(Error::NotRegistered)));

    let again = device.register(ALICE).await;
    assert!(matches!(again.result, Err(Error::UserNameTaken(_))), "the name stays taken");
    device.register("bob@localhost").await.result.unwrap();
    assert_eq!(device.client().status().unwrap().trusted_root, trusted_root);
    assert!(device.client().tokens().unwrap().available <= 100, "the tokens are bob's own");
}

#[tokio::test]
async fn the_services_are_asked_in_an_order_in_which_each_can_still_be_told_the_password() {
    let device = registered().await;
    device.service.deployment().requests.clear();
    delete(&device).await.unwrap();
    let deployment = device.service.deployment();
    let asked: Vec<_> = deployment.requests.iter().map(|request| &request.path[..10]).collect();
    let wanted =
        ["/v1/as/logins", "/v1/qs/users", "/v1/ks/sessions", "/v1/ks/sessions", "/v1/as/logins", "/v1/as/users"];
    assert_eq!(asked, wanted.map(|path| &path[..10]));
}

#[tokio::test]
async fn nothing_is_touched_without_the_password() {
    let device = registered().await;
    let mut client = device.client();
    let wrong = client.delete_account(|_| Ok(Password::new("wrong".to_owned()))).await;
    assert!(matches!(wrong, Err(Error::WrongPassword)));
    let none = client.delete_account(|_| Err(PasswordError::NotRepeated)).await;
    assert!(matches!(none, Err(Error::Password(_))));
    drop(client);
    assert!(device.account().deletion.is_none());
    assert_nothing_has_changed(&device).await;
}

#[tokio::test]
async fn a_deletion_killed_at_any_point_is_completed_by_the_next_run() {
    for points in 0.. {
        let device = registered().await;
        let stopped = delete_with(device.options().fuse(Fuse::after(points))).await;
        let Err(error) = stopped else {
            assert!(points > 20, "only {points} points");
            return;
        };
        assert!(error.is_stopped(), "{error}");
        let status = device.client().status();
        match status {
            Ok(_) => assert_nothing_has_changed(&device).await,
            Err(Error::NotRegistered) => {
                assert_nothing_is_left(&device);
                continue;
            }
            Err(error) => assert!(matches!(error, Error::DeletionUnderWay(_)), "after {points} points: {error}"),
        }
        delete(&device).await.unwrap_or_else(|error| panic!("after {points} points: {error}"));
        assert_nothing_is_left(&device);
    }
}

#[tokio::test]
async fn a_deletion_killed_again_and_again_is_completed_in_the_end() {
    let device = registered().await;
    let mut runs = 0;
    // Every run gets one point further than the one before.
    while let Err(error) = delete_with(device.options().fuse(Fuse::after(runs))).await {
        if matches!(error, Error::NotRegistered) {
            break;
        }
        assert!(error.is_stopped(), "{error}");
        runs += 1;
    }
    assert_nothing_is_left(&device);
}

#[tokio::test]
async fn a_deletion_whose_every_answer_is_lost_once_is_done() {
    let device = registered().await;
    let seen = Mutex::new(BTreeSet::new());
    let losing = move |request: &Request, response: Response| {
        let is_first = seen.lock().unwrap().insert((request.path.clone(), request.body.clone()));
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    delete_with(device.through(losing)).await.unwrap();
    assert_nothing_is_left(&device);
}

/// Deletes alice as far as the authentication service, whose answer does not arrive, or which is not reached.
async fn interrupt_at_the_end(device: &Device, is_reached: bool) {
    let is_it = |request: &Request| request.path == format!("/v1/as/users/{ALICE}");
    let options = if is_reached {
        device.through(move |request, response| match is_it(request) {
            true => Err(TransportError("lost".into())),
            false => Ok(response),
        })
    } else {
        device.instead(move |request| is_it(request).then(|| Err(TransportError("unplugged".into()))))
    };
    let error = delete_with(options).await.unwrap_err();
    assert!(matches!(error, Error::Api(_)), "{error}");
}

#[tokio::test]
async fn what_the_last_answer_would_have_said_is_found_out_without_the_password() {
    let device = registered().await;
    interrupt_at_the_end(&device, true).await;
    device.clock.advance(Duration::from_secs(60 * 60));
    delete_without_password(&device).await.unwrap();
    assert_nothing_is_left(&device);
}

#[tokio::test]
async fn a_login_whose_minute_is_over_is_made_anew() {
    let device = registered().await;
    interrupt_at_the_end(&device, false).await;
    device.clock.advance(Duration::from_secs(60 * 60));
    delete(&device).await.unwrap();
    assert_nothing_is_left(&device);
}

#[tokio::test]
async fn with_an_account_that_is_being_deleted_nothing_else_is_done() {
    let device = registered().await;
    interrupt_at_the_end(&device, false).await;
    device.service.deployment().requests.clear();
    let mut client = device.client();
    let refusals = [
        client.status().err(),
        client.catch_up().await.err(),
        client.refill_key_packages().await.err(),
        client.refill_tokens().await.err(),
        client.friendship_code().err(),
        client.remove_device("tablet", password()).await.err(),
    ];
    for refusal in refusals {
        let refusal = refusal.unwrap();
        assert_eq!(refusal.urn(), "urn:vestibule:client:deletion-under-way", "{refusal}");
    }
    drop(client);
    let registering = device.register(ALICE).await;
    assert!(matches!(registering.result, Err(Error::DeletionUnderWay(_))));
    assert!(device.service.deployment().requests.is_empty());
}

/// A second device of alice's.
async fn linked(existing: &Device) -> (Device, Linked) {
    let new = existing.another();
    let linked = link(&new, existing, "tablet").await.unwrap();
    (new, linked)
}

#[tokio::test]
async fn the_other_devices_say_that_the_account_was_deleted_and_let_go_of_it() {
    let device = registered().await;
    let (other, _) = linked(&device).await;
    delete(&device).await.unwrap();
    let error = other.client().catch_up().await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:account-deleted");
    assert!(error.to_string().contains("was deleted with another device"), "{error}");
    // The authentication service does not know the client, so there is nobody whose password could be right.
    delete(&other).await.unwrap();
    assert_nothing_is_left(&other);
}

#[tokio::test]
async fn a_linked_device_can_delete_the_account() {
    let device = registered().await;
    let (other, _) = linked(&device).await;
    delete(&other).await.unwrap();
    assert_nothing_is_left(&other);
    assert!(matches!(device.client().catch_up().await, Err(Error::AccountDeleted(_))));
}

#[tokio::test]
async fn two_devices_can_delete_the_account_at_once() {
    for points in (0..45).step_by(6) {
        let device = registered().await;
        let (other, _) = linked(&device).await;
        let stopped = delete_with(device.options().fuse(Fuse::after(points))).await;
        delete(&other).await.unwrap_or_else(|error| panic!("after {points} points: {error}"));
        assert_nothing_is_left(&other);
        match delete(&device).await {
            Ok(_) | Err(Error::NotRegistered) => assert_nothing_is_left(&device),
            Err(error) => panic!("after {points} points: {error}"),
        }
        if stopped.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn a_device_that_was_removed_deletes_nothing() {
    let device = registered().await;
    let (other, linked) = linked(&device).await;
    device.client().remove_device(&linked.client_id.to_string(), password()).await.unwrap();
    device.service.deployment().requests.clear();
    assert!(matches!(delete(&other).await, Err(Error::DeviceRemoved(_))));
    assert!(device.service.deployment().requests.iter().all(|request| request.path.starts_with("/v1/as/")));
    assert_nothing_has_changed(&device).await;
    assert!(other.account().deletion.is_none());
}

#[tokio::test]
async fn a_pseudonym_whose_key_nobody_has_told_is_left_and_the_user_is_told() {
    let device = registered().await;
    for user in device.service.deployment().queuing.users.values_mut() {
        user.verifying_key = SigningKey::generate(&mut rand::rngs::OsRng).verifying_key();
    }
    let deleted = delete(&device).await.unwrap();
    assert!(deleted.is_pseudonym_left);
    assert_eq!(device.service.deployment().clients.count(ALICE, device.clock.now()), 0);
    assert!(matches!(device.client().status(), Err(Error::NotRegistered)));
}

#[tokio::test]
async fn a_service_that_refuses_ends_the_run_and_the_next_goes_on() {
    for path in ["/v1/as/logins", "/v1/qs/users", "/v1/ks/sessions", "/v1/as/users"] {
        let device = registered().await;
        let refusing = move |request: &Request| {
            let problem = Problem::new(ProblemType::InternalError, "defect");
            let body = serde_json::to_vec(&problem.document()).unwrap();
            request.path.starts_with(path).then_some(Ok(Response { status: 500, headers: Vec::new(), body }))
        };
        let error = delete_with(device.instead(refusing)).await.unwrap_err();
        assert_eq!(error.urn(), "urn:vestibule:problem:internal-error", "at {path}");
        delete(&device).await.unwrap();
        assert_nothing_is_left(&device);
    }
}

#[tokio::test]
async fn a_registration_under_way_is_not_deleted() {
    let device = Device::new();
    let unplugged =
        |request: &Request| request.path.contains("/users/").then(|| Err(TransportError("unplugged".into())));
    device.register_with(ALICE, device.instead(unplugged)).await.result.unwrap_err();
    assert!(matches!(delete_without_password(&device).await, Err(Error::RegistrationUnderWay(_))));
}

#[tokio::test]
async fn a_registration_that_stopped_behind_the_user_can_be_deleted() {
    for path in ["/v1/ks/sessions", "/v1/qs/users", "/v1/qs/clients"] {
        let device = Device::new();
        let unplugged =
            move |request: &Request| request.path.starts_with(path).then(|| Err(TransportError("unplugged".into())));
        device.register_with(ALICE, device.instead(unplugged)).await.result.unwrap_err();
        let deleted = device.client().delete_account(|_| Ok(Password::new(PASSWORD.to_owned()))).await.unwrap();
        assert!(!deleted.is_pseudonym_left);
        assert_eq!(device.service.deployment().clients.count(ALICE, device.clock.now()), 0);
        assert!(matches!(device.client().status(), Err(Error::NotRegistered)));
    }
}

#[tokio::test]
async fn a_pseudonym_whose_key_this_device_has_just_changed_is_deleted() {
    let device = registered().await;
    let tablet = device.another();
    link(&tablet, &device, "tablet").await.unwrap();
    let before = device.service.deployment().queuing.users.clone();
    for points in 0.. {
        let client = &mut device.client_with(device.options().fuse(Fuse::after(points)));
        let killed = client.remove_device("tablet", password()).await;
        assert!(killed.is_err_and(|error| error.is_stopped()));
        if device.service.deployment().queuing.users != before {
            break;
        }
    }
    assert!(!delete(&device).await.unwrap().is_pseudonym_left);
    assert_nothing_is_left(&device);
}
