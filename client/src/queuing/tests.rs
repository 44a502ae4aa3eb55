use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use vestibule_key_packages::Publication;
use vestibule_protocol::add_package::AddPackage;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::Method;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::QsKeys;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::time::DAY;

use super::*;
use crate::api::Waiting;
use crate::client::Options;
use crate::fuse::Fuse;
use crate::home::Home;
use crate::password::PasswordUse;
use crate::registration::{Stage, StageState};
use crate::testing::{Device, FakeService, KEY_PACKAGES, replacing};
use crate::transport::{Request, Response, TransportError};

mod claim;
mod listening;

const ALICE: &str = "alice@localhost";

#[tokio::test]
async fn a_registration_makes_a_pseudonym_with_key_packages() {
    let device = Device::of_today();
    let registered = device.register(ALICE).await.result.unwrap();
    {
        let queuing = &device.service.deployment().queuing;
        assert!(queuing.users.keys().eq([&registered.qs_user_id.to_string()]));
        assert!(queuing.clients.keys().eq([&registered.qs_client_id.to_string()]));
    }
    let (generation, packages) = device.published();
    assert_eq!((generation, packages.len()), (1, KEY_PACKAGES + 1));
    let (last_resort, ordinary) = packages.split_last().unwrap();
    Publication::check(ordinary, Some(last_resort), device.clock.now()).unwrap();
    device.assert_private_parts_are_kept();
    let supply = device.client().key_package_supply().await.unwrap();
    assert_eq!((supply.generation, supply.remaining, supply.last_resort_uses), (1, KEY_PACKAGES as u64, 0));
}

#[tokio::test]
async fn what_reaches_the_queuing_service_says_nothing_of_the_user() {
    let device = Device::new();
    let registered = device.register(ALICE).await.result.unwrap();
    let deployment = device.service.deployment();
    let user = &deployment.users[ALICE];
    let identifiers = ["alice".to_owned(), registered.client_id.uuid.to_string(), user.user_id.to_string()];
    let (queuing, others): (Vec<_>, Vec<_>) =
        deployment.requests.iter().partition(|request| request.path.starts_with("/v1/qs/"));
    assert_eq!((queuing.len(), others.len()), (5, 7));
    for request in queuing {
        let said = format!("{} {:?} {}", request.path, request.headers, String::from_utf8_lossy(&request.body));
        assert!(!identifiers.iter().any(|identifier| said.contains(identifier)), "{said}");
        // Keys are asked for by everybody alike.
        assert!(request.path != "/v1/qs/keys" || request.headers.iter().all(|(name, _)| *name == "accept"));
    }
    for request in others {
        let said = String::from_utf8_lossy(&request.body).into_owned();
        let pseudonyms = [registered.qs_user_id.to_string(), registered.qs_client_id.to_string()];
        assert!(!pseudonyms.iter().any(|pseudonym| said.contains(pseudonym)));
    }
}

#[tokio::test]
async fn a_pseudonym_is_created_after_a_random_time_unless_the_server_is_here() {
    let delay = |options: Options, waiting: &Waiting| options.waiting(waiting.clone());
    let (here, elsewhere) = (Waiting::skipped(), Waiting::skipped());
    let device = Device::new();
    device.register_with(ALICE, delay(device.options(), &here)).await.result.unwrap();
    assert_eq!(here.waits(), []);
    let device = Device::new();
    let waiting = elsewhere.clone();
    // Tokens are taken before that time, so that it parts them from the pseudonym too.
    let watching = move |request: &Request| {
        let wait_before = match request.path.as_str() {
            "/v1/as/tokens" => Some(0),
            "/v1/qs/users" => Some(1),
            _ => None,
        };
        assert!(wait_before.is_none_or(|count| count == waiting.waits().len()), "{}", request.path);
        None
    };
    let options = device.instead(watching).server("https://example.org".parse().unwrap());
    device.register_with(ALICE, delay(options, &elsewhere)).await.result.unwrap();
    let waits = elsewhere.waits();
    assert!(waits.len() == 1 && waits[0] <= Duration::from_secs(15), "{waits:?}");
}

#[tokio::test]
async fn every_answer_may_be_lost_once() {
    let device = Device::new();
    let lost = Mutex::new(BTreeSet::new());
    let losing = move |request: &Request, response| {
        let is_first = lost.lock().unwrap().insert(request.path.clone());
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    device.register_with(ALICE, device.through(losing)).await.result.unwrap();
    let deployment = device.service.deployment();
    assert_eq!((deployment.queuing.users.len(), deployment.queuing.clients.len()), (1, 1));
    for ending in ["/v1/qs/users", "/key-packages"] {
        let mut bodies: Vec<_> = deployment.requests.iter().filter(|sent| sent.path.ends_with(ending)).collect();
        assert_eq!(bodies.len(), 2);
        bodies.dedup_by(|left, right| left.body == right.body);
        assert_eq!(bodies.len(), 1, "the same bytes are sent again");
    }
}

#[tokio::test]
async fn the_queuing_services_stages_go_on_where_they_stopped() {
    let device = Device::new();
    let unplugged =
        |request: &Request| (request.path == "/v1/qs/users").then(|| Err(TransportError("unplugged".into())));
    let outcome = device.register_with(ALICE, device.instead(unplugged)).await;
    assert!(outcome.error().contains("unplugged"));

    let client = device.client();
    assert!(client.status().is_ok(), "the user exists");
    assert!(matches!(client.friendship_code(), Err(Error::RegistrationUnderWay(_))));
    assert!(matches!(client.key_package_supply().await, Err(Error::RegistrationUnderWay(_))));
    drop(client);

    let outcome = device.register(ALICE).await;
    outcome.result.unwrap();
    assert_eq!(outcome.progress[0], (Stage::QueuingService, StageState::Resumed));
    assert_eq!(device.passwords_asked(), [PasswordUse::New]);
}

#[tokio::test]
async fn an_account_of_before_there_was_a_queuing_service_gets_its_pseudonym() {
    let device = Device::new();
    let first = device.register(ALICE).await.result.unwrap();
    let home = Home::open(device.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
    home.store_version(1);
    device.service.deployment().identities.clear();
    assert!(device.client().status().is_ok());
    assert!(matches!(device.client().key_package_supply().await, Err(Error::RegistrationUnderWay(_))));

    let outcome = device.register(ALICE).await;
    let registered = outcome.result.unwrap();
    assert_eq!(registered.client_id, first.client_id);
    assert_ne!(registered.qs_client_id, first.qs_client_id);
    assert_eq!(outcome.progress[0], (Stage::Identity, StageState::Resumed));
    assert_eq!(outcome.progress[2], (Stage::KeyServer, StageState::Started));
    assert_eq!(outcome.progress[4], (Stage::QueuingService, StageState::Started));
    assert_eq!(outcome.progress.len(), 8);
    assert_eq!(device.passwords_asked(), [PasswordUse::New, PasswordUse::Current]);
    device.assert_private_parts_are_kept();
}

#[tokio::test]
async fn another_pseudonym_than_ones_own_is_refused() {
    let device = Device::new();
    let other = device.another().register("bob@localhost").await.result.unwrap();
    let id = json!(other.qs_user_id);
    let outcome = device.register_with(ALICE, device.through(replacing("/v1/qs/users", "qs_user_id", id))).await;
    assert!(matches!(outcome.result, Err(Error::PseudonymForAnotherRequest)));
    device.register(ALICE).await.result.unwrap();
}

#[tokio::test]
async fn keys_that_the_root_does_not_certify_are_refused_before_a_name_is_taken() {
    let device = Device::new();
    let foreign = FakeService::new(2, device.clock.clone()).deployment().queuing.keys.to_bytes();
    let expired = {
        let deployment = device.service.deployment();
        let payload = deployment.queuing.keys.payload();
        let (keys, now) = ((payload.verifying_key, payload.queue_config_key), device.clock.now());
        let long_ago = now.saturating_sub(30 * DAY);
        QsKeys::issue(keys.0, keys.1, &deployment.root, &deployment.root_key, long_ago, 7).to_bytes()
    };
    for (offered, wanted) in [
        (json!([]), "the queuing service has no keys"),
        (json!([foreign]), "none of the queuing service's keys is acceptable: its signature is not the signer's"),
        (json!([expired]), "none of the queuing service's keys is acceptable: its validity"),
    ] {
        let outcome = device.register_with(ALICE, device.through(replacing("/v1/qs/keys", "qs_keys", offered))).await;
        assert!(outcome.error().starts_with(wanted), "{}", outcome.error());
        assert_eq!(outcome.result.unwrap_err().urn(), "urn:vestibule:client:server-credentials-refused");
    }
    assert!(device.service.deployment().users.is_empty());
}

#[tokio::test]
async fn a_low_supply_is_refilled_and_a_sufficient_one_left() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let supply = device.client().refill_key_packages().await.unwrap();
    assert_eq!((supply.generation, supply.remaining), (1, KEY_PACKAGES as u64));
    device.use_up(1);
    let supply = device.client().refill_key_packages().await.unwrap();
    assert_eq!((supply.generation, supply.remaining), (2, KEY_PACKAGES as u64));
    device.assert_private_parts_are_kept();
}

#[tokio::test]
async fn a_refill_killed_at_any_point_is_completed_by_the_next() {
    for points in 0.. {
        let device = Device::new();
        device.register(ALICE).await.result.unwrap();
        device.use_up(1);
        let options = device.options().fuse(Fuse::after(points));
        let refilled = device.client_with(options).refill_key_packages().await;
        device.client().refill_key_packages().await.unwrap();
        assert_eq!(device.published().0, 2, "at point {points}");
        device.assert_private_parts_are_kept();
        if refilled.is_ok() {
            assert!(points > 15, "only {points} points");
            break;
        }
    }
}

#[tokio::test]
async fn a_copy_of_the_home_does_not_stop_the_other_from_publishing() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let copy = device.another();
    for entry in std::fs::read_dir(device.home.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.home.path().join(path.file_name().unwrap())).unwrap();
    }
    make_private(copy.home.path());
    for generation in [2, 3] {
        assert_eq!(copy.client().publish_key_packages(1).await.unwrap().generation, generation);
    }
    assert_eq!(device.client().publish_key_packages(1).await.unwrap().generation, 4);
    device.assert_private_parts_are_kept();
}

fn make_private(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn packages_that_are_refused_for_good_do_not_stand_in_the_way_of_others() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let refusing = |request: &Request| {
        let problem = Problem::new(ProblemType::KeyPackageExpired, "expired");
        let body = serde_json::to_vec(&problem.document()).unwrap();
        (request.method == Method::Put).then_some(Ok(Response { status: 400, headers: Vec::new(), body }))
    };
    let refused = device.client_with(device.instead(refusing)).publish_key_packages(1).await.unwrap_err();
    assert_eq!(refused.urn(), ProblemType::KeyPackageExpired.urn());
    assert_eq!(device.client().publish_key_packages(1).await.unwrap().generation, 2);
    device.assert_private_parts_are_kept();
}

#[tokio::test]
async fn private_parts_of_a_lost_answer_are_found() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let losing = |request: &Request, response| {
        if request.method == Method::Put { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    assert!(device.client_with(device.through(losing)).publish_key_packages(1).await.is_err());
    assert_eq!(device.published().0, 2);
    device.assert_private_parts_are_kept();
}

#[tokio::test]
async fn private_parts_outlive_their_generation_until_no_welcome_can_come() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let first = AddPackage::from_bytes(&device.published().1[0].0).unwrap().reference();
    let mut client = device.client();
    client.publish_key_packages(0).await.unwrap();
    assert!(client.private_key_package(&first).unwrap().is_some());
    assert!(client.publish_key_packages(101).await.is_err_and(|error| matches!(error, Error::KeyPackageCount)));

    // The credential is renewed in a later issue; so long the clock can be no further than its end.
    device.clock.advance(89 * DAY);
    client.publish_key_packages(0).await.unwrap();
    assert!(client.private_key_package(&first).unwrap().is_some());
    device.clock.advance(DAY);
    let refused = client.publish_key_packages(0).await.unwrap_err();
    assert_eq!(refused.urn(), "urn:vestibule:client:own-credential-unusable");
}
