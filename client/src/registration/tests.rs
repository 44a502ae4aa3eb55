use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use vestibule_protocol::clock::Clock;
use vestibule_protocol::credential::{AsCredential, AsIntermediateCredential};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::signed::{Fingerprint, Verified};
use vestibule_protocol::time::DAY;

use super::*;
use crate::chain::CredentialsError;
use crate::client::Client;
use crate::fuse::Fuse;
use crate::home::Home;
use crate::testing::{Device, FakeService, NOW, replacing};
use crate::transport::{Request, Response, TransportError};

mod credentials;
mod key_server;

const ALICE: &str = "alice@localhost";

#[tokio::test]
async fn a_registration_makes_a_user_and_tells_who_it_is() {
    let device = Device::new();
    let outcome = device.register(ALICE).await;
    let registered = outcome.result.unwrap();
    assert_eq!(registered.user_name.as_str(), ALICE);
    let stages = Stage::ALL.iter().flat_map(|stage| [(*stage, StageState::Started), (*stage, StageState::Done)]);
    assert_eq!(outcome.progress, stages.collect::<Vec<_>>());

    let deployment = device.service.deployment();
    let user = &deployment.users[ALICE];
    assert_eq!(user.client_id, registered.client_id.to_string());
    assert_eq!(user.connection_packages, 20);
    let status = Client::open(device.options()).unwrap().status().unwrap();
    assert_eq!(status.client_id, registered.client_id);
    assert_eq!(status.device_name, "laptop");
    assert!(status.is_credential_valid);
    assert_eq!(status.credential_validity.lifetime(), 90 * DAY);
    assert_eq!(status.trusted_root, deployment.root.fingerprint());
}

#[tokio::test]
async fn a_registration_killed_at_any_point_is_completed_by_the_next_run() {
    for points in 0.. {
        let device = Device::new();
        let outcome = device.register_with(ALICE, device.options().fuse(Fuse::after(points))).await;
        let Err(error) = outcome.result else {
            assert!(points > 65, "only {points} points");
            break;
        };
        assert!(error.is_stopped(), "{error}");

        let (user_before, client_before) = {
            let deployment = device.service.deployment();
            (deployment.users.get(ALICE).cloned(), deployment.queuing.clients.values().next().cloned())
        };
        let registered = device.register(ALICE).await.result.unwrap();
        let status = Client::open(device.options()).unwrap().status().unwrap();
        assert_eq!(status.client_id, registered.client_id);
        device.assert_private_parts_are_kept();
        if outcome.progress.last() == Some(&(Stage::KeyServer, StageState::Started)) {
            device.assert_storage_key_opens_the_home().await;
        }

        let deployment = device.service.deployment();
        assert_eq!((deployment.users.len(), deployment.queuing.users.len()), (1, 1), "at point {points}");
        assert_eq!(deployment.users[ALICE].client_id, registered.client_id.to_string());
        assert!(user_before.is_none_or(|user| user == deployment.users[ALICE]));
        let clients = &deployment.queuing.clients;
        let client = &clients[&registered.qs_client_id.to_string()];
        assert_eq!((clients.len(), client.generation), (1, 1), "at point {points}");
        assert!(client_before.is_none_or(|before| before.generation == 0 || before == *client));
    }
}

#[tokio::test]
async fn a_registration_killed_again_and_again_is_completed_in_the_end() {
    let device = Device::new();
    let mut runs = 0;
    // Every run gets one point further than the one before.
    while device.register_with(ALICE, device.options().fuse(Fuse::after(runs))).await.result.is_err() {
        runs += 1;
    }
    assert_eq!(device.service.deployment().users.len(), 1);
    assert_eq!(device.register(ALICE).await.progress, []);
}

#[tokio::test]
async fn of_sixteen_who_want_one_name_one_gets_it() {
    let device = Device::new();
    let registrations: Vec<_> = (0..16)
        .map(|_| {
            let another = device.another();
            tokio::spawn(async move { another.register(ALICE).await.result })
        })
        .collect();
    let mut registered = Vec::new();
    for registration in registrations {
        match registration.await.unwrap() {
            Ok(who) => registered.push(who.client_id.to_string()),
            Err(error) => assert!(matches!(error, Error::UserNameTaken(_)), "{error}"),
        }
    }
    assert_eq!(registered, [device.service.deployment().users[ALICE].client_id.clone()]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_body() {
    let device = Device::new();
    let lost = AtomicBool::new(false);
    let losing = move |request: &Request, response| {
        let is_first = is_finish(request) && !lost.swap(true, Ordering::SeqCst);
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    device.register_with(ALICE, device.through(losing)).await.result.unwrap();
    let deployment = device.service.deployment();
    let finishing: Vec<_> = deployment.requests.iter().filter(|request| is_finish(request)).collect();
    assert_eq!(finishing.len(), 2);
    assert_eq!(finishing[0].body, finishing[1].body);
}

#[tokio::test]
async fn to_register_again_changes_nothing() {
    let device = Device::new();
    let first = device.register(ALICE).await.result.unwrap();
    let requests = device.service.deployment().requests.len();
    let again = device.register(ALICE).await;
    assert_eq!(again.result.unwrap(), first);
    assert_eq!(again.progress, []);
    assert_eq!(device.service.deployment().requests.len(), requests);
}

#[tokio::test]
async fn an_account_of_before_there_were_identities_gets_one_from_whatever_it_does_first() {
    for does_register in [true, false] {
        let device = Device::new();
        let first = device.register(ALICE).await.result.unwrap();
        let home = Home::open(device.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
        home.store_version(3);
        device.service.deployment().identities.clear();
        let mut client = device.client();
        assert_eq!(client.status().unwrap().client_id, first.client_id);
        if does_register {
            drop(client);
            let outcome = device.register(ALICE).await;
            assert_eq!(outcome.progress, [(Stage::Identity, StageState::Resumed), (Stage::Identity, StageState::Done)]);
            assert_eq!(outcome.result.unwrap(), first);
        } else {
            assert_eq!(client.catch_up().await.unwrap(), []);
            drop(client);
        }
        assert!(device.account().has_identity());
        assert_eq!(device.passwords_asked(), [PasswordUse::New]);
        let deployment = device.service.deployment();
        assert_eq!(deployment.identities[ALICE].follower().members()[0].client_id, first.client_id);
    }
}

#[tokio::test]
async fn a_home_has_one_user() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    let another = device.register("bob@localhost").await;
    assert!(matches!(another.result, Err(Error::RegistrationUnderWay(_))), "{}", another.error());
    device.register(ALICE).await.result.unwrap();
    let another = device.register("bob@localhost").await;
    assert!(matches!(another.result, Err(Error::AlreadyRegistered(_))), "{}", another.error());
}

#[tokio::test]
async fn an_expired_registration_starts_over_with_fresh_keys() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    let old_bytes = std::fs::read(device.home.path().join("state")).unwrap();
    device.clock.advance(Duration::from_secs(15 * 60));

    // Killed on the way, it still has the old account, and starts over again.
    let asked = device.passwords_asked().len();
    let killed = device.register_with(ALICE, device.options().fuse(Fuse::after(8))).await;
    assert!(killed.result.unwrap_err().is_stopped());
    assert_eq!(std::fs::read(device.home.path().join("state")).unwrap(), old_bytes);

    let outcome = device.register(ALICE).await;
    outcome.result.unwrap();
    assert!(device.passwords_asked().len() > asked);
    let states: Vec<_> = outcome.progress.iter().map(|(stage, state)| (stage.name(), state.name())).collect();
    let wanted = [
        ("finish", "resumed"),
        ("initiate", "started"),
        ("initiate", "done"),
        ("finish", "started"),
        ("finish", "done"),
    ];
    assert_eq!(states[..5], wanted);
}

#[tokio::test]
async fn a_registration_under_a_rotated_intermediate_starts_over() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    device.service.rotate_intermediate();
    device.register(ALICE).await.result.unwrap();
    assert_eq!(device.passwords_asked(), [PasswordUse::New, PasswordUse::New]);
}

#[tokio::test]
async fn a_server_that_forgets_every_registration_is_not_asked_for_ever() {
    let device = Device::new();
    let refusing = |request: &Request| {
        let problem = Problem::new(ProblemType::RegistrationExpired, "expired");
        let body = serde_json::to_vec(&problem.document()).unwrap();
        request.path.contains("/users/").then_some(Ok(Response { status: 403, headers: Vec::new(), body }))
    };
    let outcome = device.register_with(ALICE, device.instead(refusing)).await;
    assert_eq!(outcome.error(), "expired");
    let deployment = device.service.deployment();
    let begun = deployment.requests.iter().filter(|request| request.path == "/v1/as/registrations").count();
    assert_eq!((begun, device.passwords_asked().len()), (2, 1));
}

#[tokio::test]
async fn a_taken_name_leaves_the_home_free_for_another() {
    let device = Device::new();
    let other = device.another();
    interrupt_before_finish(&device).await;
    other.register(ALICE).await.result.unwrap();
    // Taken while this device had initiated, and then from the beginning.
    for _ in 0..2 {
        let outcome = device.register(ALICE).await;
        assert_eq!(outcome.error(), "the user name alice@localhost is taken: choose another one");
        assert_eq!(outcome.result.unwrap_err().urn(), "urn:vestibule:problem:user-name-taken");
        assert!(matches!(Client::open(device.options()).unwrap().status(), Err(Error::NotRegistered)));
    }
    device.register("alice2@localhost").await.result.unwrap();
}

#[tokio::test]
async fn an_empty_password_is_refused() {
    let device = Device::new();
    let mut client = Client::open(device.options()).unwrap();
    let empty = |_| Ok(Password::new(String::new()));
    let error = client.register(&ALICE.parse().unwrap(), "laptop", empty, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Password(PasswordError::Empty)), "{error}");
    assert!(device.service.deployment().users.is_empty());
}

#[tokio::test]
async fn a_device_name_fits_a_line() {
    let device = Device::new();
    let mut client = Client::open(device.options()).unwrap();
    for name in ["", "  ", "a\nb", &"a".repeat(65)] {
        let password = |_| Ok(Password::new("secret".into()));
        let error = client.register(&ALICE.parse().unwrap(), name, password, |_| ()).await.unwrap_err();
        assert!(matches!(error, Error::DeviceName(_)), "{name:?}: {error}");
    }
}

#[tokio::test]
async fn a_user_name_of_another_domain_is_refused_before_anything_is_sent() {
    let device = Device::new();
    let outcome = device.register("alice@example.org").await;
    assert_eq!(outcome.error(), "this server is for user names that end in @localhost, not in @example.org");
    assert_eq!(device.passwords_asked(), []);
    assert_eq!(device.service.deployment().requests.len(), 1);
}

/// Whether it is the request that creates alice.
fn is_finish(request: &Request) -> bool {
    request.path == format!("/v1/as/users/{ALICE}")
}

/// Registers as far as the request that creates the user, which never reaches the server.
async fn interrupt_before_finish(device: &Device) {
    let unplugged =
        |request: &Request| request.path.contains("/users/").then(|| Err(TransportError("unplugged".into())));
    let outcome = device.register_with(ALICE, device.instead(unplugged)).await;
    assert!(outcome.error().starts_with("no answer from http://127.0.0.1:8787: unplugged"), "{}", outcome.error());
}
