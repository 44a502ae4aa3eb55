//! Many devices, and what they do to each other.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClaimConnectionPackages, ClaimConnectionPackagesResponse, EnqueueMessage, EnqueueMessageRequest, UserPath,
};
use vestibule_protocol::time::DAY;
use vestibule_tests::{Call, json_body, left_out_in_processes};

use super::*;

#[tokio::test]
async fn a_linked_device_is_as_good_as_the_first() {
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    let linked = household.link("laptop", "phone").await.unwrap();
    assert_eq!((linked.user_name.as_str(), linked.device_name.as_str()), ("alice@localhost", "laptop"));
    household.link("tablet", "laptop").await.unwrap();
    household.assert_devices(&["phone", "laptop", "tablet"]).await;

    let (mut phone, mut laptop) = (household.client("phone"), household.client("laptop"));
    assert_eq!(laptop.friendship_code().unwrap().to_text(), phone.friendship_code().unwrap().to_text());
    let of_phone = phone.storage_key(None, password()).await.unwrap();
    let of_laptop = laptop.storage_key(None, password()).await.unwrap();
    assert_eq!(of_laptop.fingerprint(), of_phone.fingerprint());
    for client in [&mut phone, &mut laptop] {
        assert_eq!(client.key_package_supply().await.unwrap().remaining, 1);
        assert_eq!(client.tokens().unwrap().available, 99);
    }
}

#[tokio::test]
async fn a_friend_claims_a_package_of_each_device_however_it_was_linked() {
    let cloud = Arc::new(TestCloud::start().await);
    let (alices, bobs) =
        tokio::join!(Household::new(&cloud, "alice@localhost"), Household::new(&cloud, "bob@localhost"));
    alices.link("laptop", "phone").await.unwrap();
    alices.link("tablet", "laptop").await.unwrap();
    let mut devices: Vec<_> = ["phone", "laptop", "tablet"]
        .map(|device| alices.client(device).status().unwrap().client_id.to_string())
        .into();
    devices.sort();
    let code = alices.client("tablet").friendship_code().unwrap();
    for is_last_resort in [false, true] {
        let claimed = bobs.client("phone").claim_key_packages(&code).await.unwrap();
        let mut whose: Vec<_> = claimed.iter().map(|package| package.client_id.to_string()).collect();
        whose.sort();
        assert_eq!(whose, devices);
        assert!(claimed.iter().all(|package| package.is_last_resort == is_last_resort));
    }
}

#[tokio::test]
async fn strangers_reach_every_device_that_has_looked_after_its_connection_packages() {
    left_out_in_processes!("it moves the clock");
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    household.link("laptop", "phone").await.unwrap();
    let claim = Call::new::<ClaimConnectionPackages>(&UserPath { user_name: household.user_name.clone() }, Vec::new());
    for _ in 0..4 {
        let claimed: ClaimConnectionPackagesResponse = cloud.send(&claim).await.success();
        assert_eq!(claimed.connection_packages.len(), 2);
        cloud.cloud.clock().advance(61 * DAY);
        for device in ["phone", "laptop"] {
            household.client(device).refill_connection_packages().await.unwrap();
        }
    }
    // Their queues are there as well, though nobody has fetched anything for 244 days.
    for device in ["phone", "laptop"] {
        let client_uuid = household.client(device).status().unwrap().client_id.uuid;
        let request = EnqueueMessageRequest { client_uuid, message: Bytes(b"may I?".to_vec()) };
        let path = UserPath { user_name: household.user_name.clone() };
        assert_eq!(cloud.send(&Call::new::<EnqueueMessage>(&path, json_body(&request))).await.status, 200);
    }
}

#[tokio::test]
async fn a_removed_device_is_refused_and_told_so() {
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    household.link("laptop", "phone").await.unwrap();
    household.client("laptop").remove_device("phone", password()).await.unwrap();
    let mut phone = household.client("phone");
    assert!(matches!(phone.catch_up().await, Err(Error::DeviceRemoved(_))));
    assert!(matches!(phone.reset_identity(password()).await, Err(Error::DeviceRemoved(_))));
    let pairing = "27182-aardvark-breakaway".parse().unwrap();
    let approved = phone.approve(Some(&pairing), &mut Agreeable(None)).await;
    assert!(matches!(approved, Err(Error::DeviceRemoved(_))), "{approved:?}");
    drop(phone);
    household.assert_devices(&["laptop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_that_approve_at_the_same_moment_both_succeed() {
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    household.link("laptop", "phone").await.unwrap();
    let (tablet, watch) = tokio::join!(household.link("tablet", "phone"), household.link("watch", "laptop"));
    tablet.unwrap();
    watch.unwrap();
    household.assert_devices(&["phone", "laptop", "tablet", "watch"]).await;
}

#[tokio::test]
async fn ten_devices_are_linked_by_one_another_and_the_eleventh_is_refused() {
    let cloud = Arc::new(TestCloud::start().await);
    // Who declines waits a moment for the other device to hear why.
    let household = Household::with_waiting(&cloud, "alice@localhost", Waiting::real()).await;
    let names = ["phone", "a", "b", "c", "d", "e", "f", "g", "h", "i"];
    for (index, name) in names.iter().enumerate().skip(1) {
        household.link(name, names[index / 2]).await.unwrap();
    }
    household.assert_devices(&names).await;
    let refused = household.link("j", "i").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the device is not linked: ended by the other device: the user has as many devices as a user can have"
    );
    household.assert_devices(&names).await;
}

/// What devices do, drawn from a seed.
async fn live(household: &Household, rng: &mut StdRng) {
    let mut devices = vec!["phone".to_owned()];
    for step in 0..14 {
        let actor = devices.choose(rng).unwrap().clone();
        match rng.gen_range(0..10) {
            0..5 if devices.len() < 8 => {
                let new = format!("device {step}");
                household.link(&new, &actor).await.unwrap();
                devices.push(new);
            }
            5..7 if devices.len() > 2 => {
                let index = rng.gen_range(0..devices.len());
                if devices[index] != actor {
                    household.client(&actor).remove_device(&devices[index], password()).await.unwrap();
                    devices.remove(index);
                }
            }
            7 => {
                household.client(&actor).reset_identity(password()).await.unwrap();
                // Whoever misses two of them is out.
                for device in &devices {
                    household.client(device).catch_up().await.unwrap();
                }
            }
            _ => {
                household.client(&actor).catch_up().await.unwrap();
            }
        }
    }
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    household.assert_devices(&devices).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_up_to_eight_devices_do_they_agree_in_the_end() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut households = tokio::task::JoinSet::new();
    for seed in 0..6 {
        let cloud = Arc::clone(&cloud);
        households.spawn(async move {
            let household = Household::new(&cloud, &format!("user{seed}@localhost")).await;
            Box::pin(live(&household, &mut StdRng::seed_from_u64(seed))).await;
        });
    }
    households.join_all().await;
}

#[tokio::test]
async fn changes_are_told_once() {
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    household.link("laptop", "phone").await.unwrap();
    household.link("tablet", "laptop").await.unwrap();
    for wanted in [1, 0] {
        let changes = household.client("phone").catch_up().await.unwrap();
        assert_eq!(changes.len(), wanted, "{changes:?}");
        assert!(changes.iter().all(|change| matches!(change, DeviceChange::Added(_))));
    }
}

/// Every text and byte string in these tables that could tell one device from another. What is shorter is the kind of an item
/// or a number.
async fn identifiers(cloud: &TestCloud, tables: &[&str]) -> BTreeSet<String> {
    let mut identifiers = BTreeSet::new();
    for table in tables {
        for item in cloud.cloud.items(table).await.unwrap() {
            let attributes = item.as_object().unwrap().values();
            let texts = attributes.filter_map(|value| value["S"].as_str().or(value["B"].as_str()));
            let parts = texts.flat_map(|text| text.split('#')).filter(|part| part.len() > 12);
            identifiers.extend(parts.filter(|part| part.parse::<u128>().is_err()).map(str::to_owned));
        }
    }
    identifiers
}

#[tokio::test]
async fn nothing_that_the_services_keep_ties_linked_devices_to_their_pseudonyms() {
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    household.link("laptop", "phone").await.unwrap();
    household.link("tablet", "laptop").await.unwrap();
    let of_names = identifiers(&cloud, &["AsTable", "AsQueueTable", "KsTable", "KsSessionTable", "RsTable"]).await;
    let of_pseudonyms = identifiers(&cloud, &["QsTable", "QsQueueTable"]).await;
    assert!(of_names.len() > 50 && of_pseudonyms.len() > 20, "{} {}", of_names.len(), of_pseudonyms.len());
    let shared: Vec<_> = of_names.intersection(&of_pseudonyms).collect();
    assert!(shared.is_empty(), "{shared:?}");
}
