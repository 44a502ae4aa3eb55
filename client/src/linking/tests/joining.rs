//! What follows when a device is linked: tokens, a queue and KeyPackages of its own.

use std::collections::BTreeSet;

use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::problem::Problem;

use super::*;
use crate::transport::{Request, Response, TransportError};

/// What is left when a device is linked, as it is told.
const STAGES: [(Stage, StageState); 4] = [
    (Stage::QueuingService, StageState::Started),
    (Stage::QueuingService, StageState::Done),
    (Stage::KeyPackages, StageState::Started),
    (Stage::KeyPackages, StageState::Done),
];

/// A pair whose new device is linked, but did not reach this part of the queuing service.
async fn cut_off_from(path: &'static str) -> Pair {
    let pair = Pair::new().await;
    pair.fake.relay().unreachable = Some(path);
    let [new, existing] = pair.meet().await;
    pair.fake.relay().unreachable = None;
    assert!(matches!(new, Err(Error::Api(_))), "{new:?}");
    assert_eq!(existing.unwrap().device_name.as_str(), "tablet");
    assert_eq!(*pair.told.lock().unwrap(), ["linked"]);
    pair
}

/// Has the new device become known to the queuing service, and tells what it was told.
async fn join(pair: &Pair, options: Options) -> Result<Vec<(Stage, StageState)>, Error> {
    let mut progress = Vec::new();
    let observer = |event: Progress| progress.push((event.stage, event.state));
    Client::open(options)?.join_queuing_service(observer).await?;
    pair.assert_reachable();
    Ok(progress)
}

#[tokio::test]
async fn a_linked_device_takes_tokens_and_is_reachable() {
    let pair = Pair::new().await;
    let [new, _] = pair.meet().await;
    let linked = new.unwrap();
    assert_eq!(*pair.told.lock().unwrap(), ["linked"]);
    assert_eq!(*pair.progress.lock().unwrap(), STAGES);
    pair.assert_reachable();
    let tokens = pair.client(0, Fuse::none()).unwrap().tokens().unwrap();
    assert_eq!(tokens.available, 99, "one of a whole batch has paid for the client");

    // What is done is done: nobody is asked.
    pair.devices[0].service.deployment().requests.clear();
    assert_eq!(pair.link(Fuse::none()).await.unwrap(), linked);
    assert_eq!(join(&pair, pair.options(0)).await.unwrap(), []);
    assert!(pair.devices[0].service.deployment().requests.is_empty());
}

#[tokio::test]
async fn tokens_are_taken_before_a_random_time_and_the_client_is_created_after_it() {
    let pair = cut_off_from("/v1/qs/users").await;
    let waiting = Waiting::skipped();
    pair.devices[0].service.deployment().requests.clear();
    let options = pair.options(0).pseudonym_delay(Duration::from_secs(15)).waiting(waiting.clone());
    join(&pair, options).await.unwrap();
    assert!(matches!(waiting.waits()[..], [wait] if wait <= Duration::from_secs(15)), "{:?}", waiting.waits());
    let deployment = pair.devices[0].service.deployment();
    let paths: Vec<_> = deployment.requests.iter().map(|request| request.path.as_str()).collect();
    // It has the tokens already, and comes back to the authentication service for nothing.
    assert!(paths[0].starts_with("/v1/qs/users/") && paths[0].ends_with("/clients"), "{paths:?}");
    assert!(paths.iter().all(|path| path.starts_with("/v1/qs/")), "{paths:?}");
}

#[tokio::test]
async fn what_a_linked_device_sends_to_the_queuing_service_says_nothing_of_the_user() {
    let pair = Pair::new().await;
    pair.devices[0].service.deployment().requests.clear();
    let [new, _] = pair.meet().await;
    let linked = new.unwrap();
    let deployment = pair.devices[0].service.deployment();
    let (queuing, others): (Vec<_>, Vec<_>) =
        deployment.requests.iter().partition(|request| request.path.starts_with("/v1/qs/"));
    let said = |request: &&Request| {
        format!("{} {:?} {}", request.path, request.headers, String::from_utf8_lossy(&request.body))
    };
    for request in queuing.iter().map(said) {
        assert!(!request.contains("alice") && !request.contains(&linked.client_id.uuid.to_string()), "{request}");
    }
    let account = pair.devices[0].account();
    let pseudonym = account.pseudonym.unwrap();
    let pseudonyms = [pair.devices[0].qs_client_id(), pseudonym.user_secrets.qs_user_id().to_string()];
    for request in others.iter().map(said) {
        assert!(!pseudonyms.iter().any(|pseudonym| request.contains(pseudonym)), "{request}");
    }
}

#[tokio::test]
async fn a_device_that_did_not_reach_the_queuing_service_is_linked_and_completes_it_later() {
    for path in ["/v1/as/tokens", "/v1/qs/keys", "/v1/qs/users", "/v1/qs/clients"] {
        let pair = cut_off_from(path).await;
        let mut client = pair.client(0, Fuse::none()).unwrap();
        assert!(client.status().is_ok() && client.friendship_code().is_ok());
        if path != "/v1/qs/clients" {
            for refusal in [client.publish_key_packages(1).await.err(), client.key_package_supply().await.err()] {
                assert!(matches!(refusal, Some(Error::NotAtQueuingService)), "{path}: {refusal:?}");
            }
        }
        drop(client);
        let progress = join(&pair, pair.options(0)).await.unwrap();
        assert_eq!(progress[0].1, StageState::Resumed, "{path}");
        assert_eq!(progress.last(), Some(&(Stage::KeyPackages, StageState::Done)), "{path}");
    }
}

#[tokio::test]
async fn a_device_that_did_not_reach_the_queuing_service_completes_it_when_it_is_linked_again() {
    let pair = cut_off_from("/v1/qs/users").await;
    let linked = pair.link(Fuse::none()).await.unwrap();
    assert_eq!(
        pair.progress.lock().unwrap()[1..],
        [&[(Stage::QueuingService, StageState::Resumed)], &STAGES[1..]].concat()
    );
    pair.assert_linked(&linked).await;
}

#[tokio::test]
async fn every_answer_may_be_lost_once() {
    let pair = cut_off_from("/v1/as/tokens").await;
    let seen = Mutex::new(BTreeSet::new());
    let losing = move |request: &Request, response: Response| {
        let is_first = seen.lock().unwrap().insert((request.path.clone(), request.body.clone()));
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    join(&pair, pair.devices[0].through(losing)).await.unwrap();
    let deployment = pair.devices[0].service.deployment();
    assert_eq!(deployment.queuing.clients.len(), 2);
    for ending in ["/clients", "/key-packages", "/v1/as/tokens"] {
        let is_new_devices = |request: &&Request| request.path.ends_with(ending) && !request.body.is_empty();
        let mut bodies: Vec<_> =
            deployment.requests.iter().filter(is_new_devices).map(|request| &request.body).collect();
        bodies.reverse();
        assert!(bodies.len() >= 2 && bodies[0] == bodies[1], "the same bytes are sent again to {ending}");
    }
}

#[tokio::test]
async fn a_device_that_an_earlier_version_linked_is_labelled_before_it_is_created() {
    let pair = Pair::new().await;
    let [new, _] = pair.meet().await;
    new.unwrap();
    let former = pair.devices[0].qs_client_id();
    let home = pair.home(0).unwrap();
    let mut state = home.load().unwrap().unwrap();
    let account = state.account.as_mut().unwrap();
    account.user_secrets = account.pseudonym.take().map(|pseudonym| pseudonym.user_secrets);
    home.store(&state).unwrap();
    drop(home);
    pair.devices[0].service.deployment().queuing.clients.remove(&former);

    // The label comes first, so that whoever removes the device knows what there is to be deleted.
    let unplugged =
        |request: &Request| request.path.ends_with("/clients").then(|| Err(TransportError("unplugged".into())));
    join(&pair, pair.devices[0].instead(unplugged)).await.unwrap_err();
    let (account, own) = (pair.devices[0].account(), pair.devices[0].qs_client_id());
    assert_eq!(labelled_qs_client_id(&account), Some(own.clone()));
    assert_ne!(own, former);
    let mut existing = pair.client(1, Fuse::none()).unwrap();
    assert_eq!(existing.catch_up().await.unwrap(), []);
    drop(existing);
    assert!(!pair.devices[0].service.deployment().queuing.clients.contains_key(&own));

    join(&pair, pair.options(0)).await.unwrap();
    assert_eq!(pair.devices[0].qs_client_id(), own);
}

#[tokio::test]
async fn a_record_key_that_is_not_the_users_any_more_costs_no_token_and_is_asked_about() {
    let pair = cut_off_from("/v1/qs/users").await;
    let former = {
        let mut deployment = pair.devices[0].service.deployment();
        let user = deployment.queuing.users.values_mut().next().unwrap();
        std::mem::replace(&mut user.verifying_key, SigningKey::generate(&mut rand::rngs::OsRng).verifying_key())
    };
    pair.devices[0].service.deployment().requests.clear();
    let error = join(&pair, pair.options(0)).await.unwrap_err();
    assert_eq!(error.urn(), ProblemType::SignatureInvalid.urn());
    let asked = |pair: &Pair| {
        let deployment = pair.devices[0].service.deployment();
        deployment.requests.iter().filter(|request| request.path.contains("/identity?")).count()
    };
    assert_eq!(asked(&pair), 1, "another device may have told of another key");
    assert_eq!(pair.client(0, Fuse::none()).unwrap().tokens().unwrap().available, 100);
    pair.devices[0].service.deployment().queuing.users.values_mut().next().unwrap().verifying_key = former;
    join(&pair, pair.options(0)).await.unwrap();
}

#[tokio::test]
async fn a_record_key_that_was_rotated_meanwhile_is_learned_from_the_others() {
    let pair = cut_off_from("/v1/qs/users").await;
    let laptop = pair.devices[1].another();
    let linked = crate::testing::link(&laptop, &pair.devices[1], "laptop").await.unwrap();
    let rotation = |device: &Device| device.account().own_secrets().unwrap().rotation;
    let laptop = linked.client_id.to_string();
    pair.client(1, Fuse::none()).unwrap().remove_device(&laptop, password()).await.unwrap();
    assert_eq!((rotation(&pair.devices[0]), rotation(&pair.devices[1])), (0, 1));

    let mut tablet = pair.client(0, Fuse::none()).unwrap();
    tablet.join_queuing_service(|_| ()).await.unwrap();
    // With the secrets comes another key for labels.
    tablet.catch_up().await.unwrap();
    drop(tablet);
    pair.assert_reachable();
    assert_eq!(rotation(&pair.devices[0]), 1);
    let codes = [0, 1].map(|side| pair.client(side, Fuse::none()).unwrap().friendship_code().unwrap().to_text());
    assert_eq!(codes[0], codes[1]);
    assert_eq!(pair.client(0, Fuse::none()).unwrap().tokens().unwrap().available, 99);
}

#[tokio::test]
async fn a_device_that_was_removed_before_it_was_known_never_will_be() {
    let pair = cut_off_from("/v1/as/tokens").await;
    let tablet = pair.devices[0].account().client_id().to_string();
    pair.client(1, Fuse::none()).unwrap().remove_device(&tablet, password()).await.unwrap();
    assert!(matches!(join(&pair, pair.options(0)).await, Err(Error::DeviceRemoved(_))));
    assert_eq!(pair.devices[0].service.deployment().queuing.clients.len(), 1);
}

#[tokio::test]
async fn a_pseudonym_that_was_deleted_is_told_as_such() {
    let pair = cut_off_from("/v1/qs/users").await;
    pair.devices[0].service.deployment().queuing.users.values_mut().next().unwrap().is_deleted = true;
    let error = join(&pair, pair.options(0)).await.unwrap_err();
    assert_eq!(error.urn(), ProblemType::QsUserUnknown.urn());
}

#[tokio::test]
async fn a_service_that_creates_something_else_is_refused() {
    let pair = cut_off_from("/v1/qs/users").await;
    let another = Pair::new().await.devices[1].qs_client_id();
    let replacing = crate::testing::replacing("/v1/qs/users/", "qs_client_id", another.into());
    let error = join(&pair, pair.devices[0].through(replacing)).await.unwrap_err();
    assert!(matches!(error, Error::PseudonymForAnotherRequest), "{error}");
    join(&pair, pair.options(0)).await.unwrap();
}

#[tokio::test]
async fn the_limit_of_clients_is_told() {
    let pair = cut_off_from("/v1/qs/users").await;
    let refusing = |request: &Request| {
        let problem = Problem::new(ProblemType::QsClientLimitReached, "ten are enough");
        let body = serde_json::to_vec(&problem.document()).unwrap();
        let answer = Response { status: 409, headers: Vec::new(), body };
        request.path.ends_with("/clients").then_some(Ok(answer))
    };
    let error = join(&pair, pair.devices[0].instead(refusing)).await.unwrap_err();
    assert_eq!(error.urn(), ProblemType::QsClientLimitReached.urn());
    assert_eq!(pair.client(0, Fuse::none()).unwrap().tokens().unwrap().available, 100);
}

#[tokio::test]
async fn a_friend_claims_a_package_of_each_device() {
    let alice = Device::of_today();
    alice.register(ALICE).await.result.unwrap();
    let (bob, pair) = (alice.another(), Pair::of([alice.another(), alice]));
    bob.register("bob@localhost").await.result.unwrap();
    assert!(pair.meet().await.iter().all(Result::is_ok));
    for side in [0, 1] {
        let code = pair.client(side, Fuse::none()).unwrap().friendship_code().unwrap();
        let claimed = bob.client().claim_key_packages(&code).await.unwrap();
        let whose: BTreeSet<_> = claimed.iter().map(|package| package.client_id.to_string()).collect();
        let devices = pair.devices.each_ref().map(|device| device.account().client_id().to_string());
        assert_eq!((claimed.len(), whose), (2, BTreeSet::from(devices)));
        for device in &pair.devices {
            let client = device.client();
            let kept = claimed
                .iter()
                .filter(|package| client.private_key_package(&package.key_package_ref).unwrap().is_some());
            assert_eq!(kept.count(), 1, "each device can open its own");
        }
    }
}
