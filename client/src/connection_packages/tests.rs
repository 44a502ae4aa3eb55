use std::sync::Mutex;
use std::time::Duration;

use vestibule_protocol::endpoint::Method;
use vestibule_protocol::problem::Problem;

use super::*;
use crate::fuse::Fuse;
use crate::home::{ConnectionPackages, Home, OwnQueue};
use crate::testing::{Device, link};
use crate::transport::{Request, Response, TransportError};

const ALICE: &str = "alice@localhost";

async fn alice() -> Device {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    device
}

/// A device of alice's that was linked.
async fn tablet() -> Device {
    let phone = alice().await;
    let tablet = phone.another();
    link(&tablet, &phone, "tablet").await.unwrap();
    tablet
}

/// The same, of before linked devices had connection packages.
async fn old_tablet() -> Device {
    let tablet = tablet().await;
    let home = Home::open(tablet.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
    let mut state = home.load().unwrap().unwrap();
    let account = state.account.as_mut().unwrap();
    (account.connection_packages, account.as_queue) = (ConnectionPackages::default(), None);
    tablet.service.deployment().connection_packages.0.remove(&account.client_id().to_string());
    home.store(&state).unwrap();
    drop(home);
    tablet
}

/// How many packages the service has had of this device, and what its queue was made with.
fn known(device: &Device) -> (u64, Option<Vec<u8>>) {
    let id = device.account().client_id().to_string();
    let deployment = device.service.deployment();
    let known = deployment.connection_packages.0.get(&id);
    let queue = known.and_then(|known| known.queue.as_ref()).map(|queue| queue.encryption_key.0.clone());
    (known.map_or(0, |known| known.tail), queue)
}

/// The public keys of what strangers can claim of this device.
fn claimable(device: &Device) -> Vec<[u8; 32]> {
    let account = device.account();
    let (id, key) = (account.client_id(), account.client_credential_key.verifying_key());
    let now = device.clock.now();
    let deployment = device.service.deployment();
    let Some(known) = deployment.connection_packages.0.get(&id.to_string()) else { return Vec::new() };
    let verified = known.packages.iter().map(|package| {
        let package = ConnectionPackage::verify_owner(&package.0, &id, &key, now).unwrap();
        *package.payload().encryption_key.as_bytes()
    });
    verified.collect()
}

fn kept(device: &Device) -> Vec<[u8; 32]> {
    let packages = device.account().connection_packages;
    let under_way = packages.under_way.into_iter().map(|publication| publication.batch);
    let keys = packages.batches.into_iter().chain(under_way).flat_map(|batch| batch.keys);
    keys.map(|key| *key.0.public_key().as_bytes()).collect()
}

/// Asserts that of every package that strangers can claim the private key is on disk, and of the queue, too.
fn assert_keys_are_kept(device: &Device) {
    let kept = kept(device);
    assert!(claimable(device).iter().all(|key| kept.contains(key)));
    if let Some(queue) = known(device).1 {
        let own = device.account().as_queue.as_ref().map(OwnQueue::keys).unwrap();
        assert_eq!(own.encryption_key.0, queue);
    }
}

fn publications(device: &Device) -> usize {
    let is_publication = |request: &&Request| request.path.ends_with("/connection-packages");
    device.service.deployment().requests.iter().filter(is_publication).count()
}

#[tokio::test]
async fn packages_that_last_are_left_as_they_are_and_nobody_is_asked() {
    let device = alice().await;
    device.clock.advance(59 * DAY);
    let not_after = device.client().refill_connection_packages().await.unwrap();
    assert!(not_after > device.clock.now().saturating_add(30 * DAY));
    assert_eq!((publications(&device), known(&device).0), (0, COUNT as u64));
    assert_keys_are_kept(&device);
}

#[tokio::test]
async fn packages_are_replaced_when_less_than_thirty_days_are_left() {
    let device = alice().await;
    let first = claimable(&device);
    device.clock.advance(60 * DAY);
    let not_after = device.client().refill_connection_packages().await.unwrap();
    assert!(not_after > device.clock.now().saturating_add(89 * DAY));
    let second = claimable(&device);
    assert_eq!((publications(&device), second.len()), (1, COUNT));
    assert!(second.iter().all(|key| !first.contains(key)));
    // Some may still be used that were claimed before.
    assert_eq!(kept(&device), [first, second].concat());
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!(publications(&device), 1);
}

#[tokio::test]
async fn keys_are_kept_until_thirty_days_after_their_packages_expired() {
    let device = alice().await;
    let first = claimable(&device);
    device.clock.advance(60 * DAY);
    device.client().refill_connection_packages().await.unwrap();
    device.clock.advance(59 * DAY);
    device.client().refill_connection_packages().await.unwrap();
    assert!(first.iter().all(|key| kept(&device).contains(key)));
    device.clock.advance(DAY);
    device.client().refill_connection_packages().await.unwrap();
    assert!(!first.iter().any(|key| kept(&device).contains(key)));
    assert_keys_are_kept(&device);
}

#[tokio::test]
async fn a_device_has_packages_and_a_queue_as_soon_as_it_is_linked() {
    let device = tablet().await;
    assert_eq!((claimable(&device).len(), known(&device).1.is_some()), (COUNT, true));
    assert_keys_are_kept(&device);
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!(publications(&device), 1);
}

#[tokio::test]
async fn a_linked_device_that_has_none_gets_packages_and_a_queue_and_stays_a_linked_one() {
    let device = old_tablet().await;
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!((claimable(&device).len(), known(&device).1.is_some()), (COUNT, true));
    assert_keys_are_kept(&device);
    let account = device.account();
    assert!(account.is_linked() && account.as_queue.is_some());
    let outcome = device.register(ALICE).await;
    assert!(matches!(outcome.result, Err(Error::AlreadyLinked(_))));
    // The next ones go to the same queue.
    let queue = known(&device).1;
    device.clock.advance(61 * DAY);
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!(known(&device), (2 * COUNT as u64, queue));
    assert_keys_are_kept(&device);
}

#[tokio::test]
async fn a_publication_killed_at_any_point_is_completed_by_the_next_run() {
    for is_first in [true, false] {
        for points in 0.. {
            let device = if is_first { old_tablet().await } else { alice().await };
            let before = known(&device).0;
            device.clock.advance(61 * DAY);
            let options = device.options().fuse(Fuse::after(points));
            let killed = device.client_with(options).refill_connection_packages().await;
            assert_keys_are_kept(&device);
            device.client().refill_connection_packages().await.unwrap();
            assert_eq!(known(&device).0, before + COUNT as u64, "at point {points}");
            assert_eq!(claimable(&device).len(), COUNT);
            assert_keys_are_kept(&device);
            if killed.is_ok() {
                assert!(points > 5, "only {points} points");
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_same_bytes_are_sent_until_they_are_answered() {
    let device = old_tablet().await;
    let bodies = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let losing = move |request: &Request, response: Response| {
        if !request.path.ends_with("/connection-packages") {
            return Ok(response);
        }
        seen.lock().unwrap().push(request.body.clone());
        if seen.lock().unwrap().len() < 20 { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    let options = device.through(losing);
    while device.client_with(options.clone()).refill_connection_packages().await.is_err() {}
    let mut bodies = bodies.lock().unwrap().clone();
    bodies.dedup();
    assert_eq!((bodies.len(), known(&device).0), (1, COUNT as u64));
    assert_keys_are_kept(&device);
}

#[tokio::test]
async fn packages_that_grew_old_before_they_arrived_are_made_anew() {
    let device = old_tablet().await;
    let unplugged = |request: &Request| {
        request.path.ends_with("/connection-packages").then(|| Err(TransportError("unplugged".into())))
    };
    assert!(device.client_with(device.instead(unplugged)).refill_connection_packages().await.is_err());
    device.clock.advance(Duration::from_secs(91 * DAY.as_secs()));
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!(claimable(&device).len(), COUNT);
    assert_keys_are_kept(&device);
}

#[tokio::test]
async fn another_copy_of_the_home_does_not_stop_the_device_from_publishing() {
    let device = alice().await;
    device.clock.advance(61 * DAY);
    {
        // It has published twice.
        let id = device.account().client_id().to_string();
        device.service.deployment().connection_packages.0.get_mut(&id).unwrap().tail += 2 * COUNT as u64;
    }
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!((publications(&device), known(&device).0), (3, 4 * COUNT as u64));
    assert_eq!(claimable(&device).len(), COUNT);
    assert_keys_are_kept(&device);
    // Of packages that nobody can have claimed no key is kept.
    assert_eq!(kept(&device).len(), 2 * COUNT);
}

#[tokio::test]
async fn what_is_refused_for_good_is_said_and_does_not_stand_in_the_way() {
    let device = alice().await;
    device.clock.advance(61 * DAY);
    let refusing = |problem_type: ProblemType| {
        move |request: &Request| {
            let body = serde_json::to_vec(&Problem::new(problem_type, "no").document()).unwrap();
            let is_publication = request.method == Method::Put && request.path.ends_with("/connection-packages");
            is_publication.then(|| Ok(Response { status: problem_type.status(), headers: Vec::new(), body }))
        }
    };
    for problem_type in
        [ProblemType::QueueUnknown, ProblemType::ConnectionPackageInvalid, ProblemType::ClientUnconfirmed]
    {
        let client = device.client_with(device.instead(refusing(problem_type)));
        let refused = { client }.refill_connection_packages().await.unwrap_err();
        assert_eq!(refused.urn(), problem_type.urn());
    }
    let client = device.client_with(device.instead(refusing(ProblemType::ClientUnknown)));
    assert!(matches!({ client }.refill_connection_packages().await, Err(Error::DeviceRemoved(_))));
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!(known(&device).0, 2 * COUNT as u64);
    assert_keys_are_kept(&device);
}

#[tokio::test]
async fn a_home_of_before_it_was_kept_which_keys_are_of_which_packages_is_read() {
    let device = alice().await;
    let first = claimable(&device);
    for version in [1, 3, 4] {
        let home = Home::open(device.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
        home.store_version(version);
        let packages = device.account().connection_packages;
        assert_eq!((packages.next_index, packages.not_after), (COUNT as u64, None));
        assert!(!device.account().is_linked());
        assert_eq!(kept(&device), first);
    }
    // When they expire is not known: so they are replaced.
    device.client().refill_connection_packages().await.unwrap();
    assert_eq!(known(&device).0, 2 * COUNT as u64);
    assert_keys_are_kept(&device);
    device.clock.advance(119 * DAY);
    device.client().refill_connection_packages().await.unwrap();
    assert!(first.iter().all(|key| kept(&device).contains(key)));
    device.clock.advance(2 * DAY);
    device.client().refill_connection_packages().await.unwrap();
    assert!(!first.iter().any(|key| kept(&device).contains(key)));
}
