//! What a removal rotates, with the client library over the real services.

use vestibule_client::{DeviceChange, FriendshipCode, Fuse, KeyRotation};

use super::*;

/// The code that a device shows, as it is read by a friend.
fn code_of(household: &Household, device: &str) -> FriendshipCode {
    household.client(device).friendship_code().unwrap().to_text().parse().unwrap()
}

/// Asserts that devices show one code, that a friend claims with it, and with none of `former`.
async fn assert_codes(household: &Household, devices: &[&str], bob: &Household, former: &[&FriendshipCode]) {
    let code = code_of(household, devices[0]);
    for device in devices {
        assert_eq!(*code_of(household, device).to_text(), *code.to_text(), "{device}'s");
    }
    let bob = bob.client("phone");
    let claimed = bob.claim_key_packages(&code).await.unwrap();
    assert!(claimed.iter().all(|package| package.client_id.user_name == household.user_name));
    for former in former {
        let refused = bob.claim_key_packages(former).await.unwrap_err();
        assert_eq!(refused.urn(), ProblemType::FriendshipTokenUnknown.urn());
    }
}

#[tokio::test]
async fn friends_claim_with_the_new_code_and_not_with_the_old_one() {
    let cloud = Arc::new(TestCloud::start().await);
    let (household, bob) =
        (Household::new(&cloud, "alice@localhost").await, Household::new(&cloud, "bob@localhost").await);
    household.link("laptop", "phone").await.unwrap();
    household.link("tablet", "phone").await.unwrap();
    let former = code_of(&household, "tablet");
    assert_codes(&household, &["phone", "laptop", "tablet"], &bob, &[]).await;
    let removal = household.client("phone").remove_device("tablet", password()).await.unwrap();
    assert_eq!(removal.keys, KeyRotation::Done);
    household.assert_devices(&["phone", "laptop"]).await;
    assert_codes(&household, &["phone", "laptop"], &bob, &[&former]).await;
    // Whoever is linked now gets the new ones, and what it rotates is the others' too.
    household.link("watch", "laptop").await.unwrap();
    let second = code_of(&household, "watch");
    household.client("watch").remove_device("laptop", password()).await.unwrap();
    household.assert_devices(&["phone", "watch"]).await;
    assert_codes(&household, &["phone", "watch"], &bob, &[&former, &second]).await;
}

#[tokio::test]
async fn a_removal_that_is_killed_again_and_again_is_completed() {
    let cloud = Arc::new(TestCloud::start().await);
    let (household, bob) =
        (Household::new(&cloud, "alice@localhost").await, Household::new(&cloud, "bob@localhost").await);
    household.link("laptop", "phone").await.unwrap();
    household.link("tablet", "phone").await.unwrap();
    let former = code_of(&household, "tablet");
    for points in 0.. {
        let options = household.options("phone").fuse(Fuse::after(points));
        let removed = match Client::open(options) {
            Ok(mut client) => client.remove_device("tablet", password()).await,
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.is_stopped() => {}
            // It was gone when an earlier run was killed.
            Err(Error::NoSuchDevice) => break,
            removed => {
                removed.unwrap();
                break;
            }
        }
    }
    household.assert_devices(&["phone", "laptop"]).await;
    assert_eq!(household.client("phone").key_rotation().unwrap(), KeyRotation::Done);
    assert_codes(&household, &["phone", "laptop"], &bob, &[&former]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_that_remove_at_once_agree_in_the_end() {
    let cloud = Arc::new(TestCloud::start().await);
    let (household, bob) =
        (Household::new(&cloud, "alice@localhost").await, Household::new(&cloud, "bob@localhost").await);
    for name in ["laptop", "tablet", "watch"] {
        household.link(name, "phone").await.unwrap();
    }
    let former = code_of(&household, "tablet");
    let (mut phone, mut laptop) = (household.client("phone"), household.client("laptop"));
    let (first, second) =
        tokio::join!(phone.remove_device("tablet", password()), laptop.remove_device("watch", password()));
    let rotations = [first.unwrap().keys, second.unwrap().keys];
    assert!(rotations.contains(&KeyRotation::Done), "{rotations:?}");
    drop((phone, laptop));
    household.assert_devices(&["phone", "laptop"]).await;
    for device in ["phone", "laptop", "phone", "laptop"] {
        let changes = household.client(device).catch_up().await.unwrap();
        assert!(!changes.iter().any(|change| matches!(change, DeviceChange::Unreadable(_))), "{changes:?}");
        assert_eq!(household.client(device).key_rotation().unwrap(), KeyRotation::Done);
    }
    assert_codes(&household, &["phone", "laptop"], &bob, &[&former]).await;
}
