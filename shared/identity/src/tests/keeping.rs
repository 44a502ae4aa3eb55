//! What is kept: of secrets no more than needed, and everything that is written is read back.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use openmls::treesync::LeafNodeSource;

use super::*;

/// What openmls has stored, by kind.
fn stored(identity: &Identity) -> BTreeMap<String, Vec<u8>> {
    let storage = identity.private.storage().unwrap();
    let values = storage.values.read().unwrap();
    let kind = |key: &[u8]| -> String {
        key.iter().take_while(|byte| byte.is_ascii_alphabetic()).map(|byte| char::from(*byte)).collect()
    };
    let kinds: BTreeMap<_, _> = values.iter().map(|(key, value)| (kind(key), value.clone())).collect();
    assert_eq!(kinds.len(), values.len(), "one of each kind");
    kinds
}

#[test]
fn nothing_is_kept_but_the_present_epoch() {
    let mut household = Household::new(3);
    for index in [0, 1, 2, 0] {
        let prepared = household.devices[index].update(&household.identities[index]);
        household.commit(index, prepared);
    }
    let last = household.service.follower.clone();
    let (_, mut service) = household.devices[0].start(2, Some(&last));
    let entry = household.devices[1].entry(&service).unwrap();
    service.accept_prepared(&entry).unwrap();
    let expected = [
        "ConfirmationTag",
        "EpochKeyPairs",
        "EpochSecrets",
        "GroupContext",
        "GroupState",
        "InterimTranscriptHash",
        "MessageSecrets",
        "MlsGroupJoinConfig",
        "OwnLeafNodeIndex",
        "ResumptionPsk",
        "Tree",
    ];
    for identity in household.identities.iter().chain([&entry.next]) {
        let stored = stored(identity);
        assert!(stored.keys().eq(expected), "{:?}", stored.keys());
        let text = |kind: &str| String::from_utf8(stored[kind].clone()).unwrap();
        assert_eq!(text("ResumptionPsk"), r#"{"max_number_of_secrets":0,"resumption_psk":[],"cursor":0}"#);
        assert!(text("MessageSecrets").contains(r#""past_epoch_trees":[]"#), "{}", text("MessageSecrets"));
        assert_eq!(text("GroupState"), r#""Operational""#);
        // One key pair for the own leaf, and one for each node above it.
        let pairs: Vec<serde_json::Value> = serde_json::from_str(&text("EpochKeyPairs")).unwrap();
        assert!(pairs.len() <= 3, "{}", pairs.len());
    }
}

#[test]
fn a_client_that_was_removed_keeps_no_secrets() {
    let mut household = Household::new(2);
    let removed = household.devices[1].uuid();
    let prepared = household.devices[0].remove(&household.identities[0], &[removed]);
    household.commit(0, prepared);
    let later = household.devices[0].update(&household.identities[0]);
    let former = &mut household.identities[1];
    assert!(!former.is_member() && former.private.is_empty());
    assert_eq!(former.export_secret("test", b"", 32), Err(IdentityError::Removed));
    assert_eq!(former.process(&later.commit.0), Err(ProcessError::Refused(IdentityError::Removed)));
    let mut rng = household.devices[1].fresh();
    let refused = household.identities[1].prepare_update(&household.devices[1].keys(), &mut rng);
    assert_eq!(refused.unwrap_err(), IdentityError::Removed);
}

#[test]
fn a_secret_is_common_to_the_members_of_an_epoch() {
    let mut household = Household::new(2);
    let secret =
        |identity: &Identity, label: &str, context: &[u8]| identity.export_secret(label, context, 32).unwrap().to_vec();
    let first = secret(&household.identities[0], "one", b"a");
    assert_eq!(first, secret(&household.identities[1], "one", b"a"));
    assert_ne!(first, secret(&household.identities[1], "two", b"a"));
    assert_ne!(first, secret(&household.identities[1], "one", b"b"));
    let prepared = household.devices[0].update(&household.identities[0]);
    household.commit(0, prepared);
    assert_ne!(first, secret(&household.identities[1], "one", b"a"));
    let too_long = household.identities[0].export_secret("one", b"", 70_000);
    assert_eq!(too_long, Err(IdentityError::Failed));
}

#[test]
fn whatever_is_written_is_read_back() {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }
    let mut household = Household::new(2);
    let mut third = Device::new(&alice(), 3);
    let (key_package, private) = third.key_package();
    let prepared = again(&household.devices[0].add(&again(&household.identities[0]), &key_package));
    household.service.accept_prepared(&prepared).unwrap();
    let mut follower = Follower::from_bytes(&household.service.follower.to_bytes()).unwrap();
    assert_eq!(follower.fingerprint(), household.service.follower.fingerprint());
    assert_eq!(follower.members(), household.service.follower.members());
    let third_identity = Identity::join(again(&private), &prepared.welcome.unwrap().0, follower.clone()).unwrap();
    let confirmation = third.update(&again(&third_identity));
    follower.merge(follower.check(&confirmation.commit.0).unwrap());
    let secret = |identity: &Identity| identity.export_secret("test", b"", 32).unwrap();
    let mut first = again(&prepared.next);
    first.process(&confirmation.commit.0).unwrap();
    assert_eq!(secret(&first), secret(&again(&confirmation.next)));
    assert_eq!(first.follower().fingerprint(), follower.fingerprint());
}

#[test]
fn secrets_do_not_print_themselves() {
    let mut household = Household::new(1);
    let (_, private) = household.devices[0].key_package();
    assert_eq!(format!("{private:?}"), format!("KeyPackage of {}", household.devices[0].client_id()));
    let printed = format!("{:?}", household.identities[0]);
    assert!(printed.contains("private: PrivateGroup(StoredSecret)"), "{printed}");
}

#[test]
fn a_follower_takes_a_few_hundred_bytes_for_each_member() {
    let small = Household::new(2).service.follower.to_bytes().len();
    let large = Household::new(10).service.follower.to_bytes().len();
    assert!(small < 2_000, "{small}");
    assert!(large < 9_000, "{large}");
}

#[test]
fn a_history_is_followed_whatever_the_time_is() {
    // openmls asks the system's clock about every lifetime in a leaf. All leaves that have one have this.
    let household = Household::new(3);
    let year = Duration::from_secs(31_557_600);
    for time in [SystemTime::UNIX_EPOCH, SystemTime::now() + year, SystemTime::now() + 9_000 * year] {
        leaf::lifetime().validate_with_time(time).unwrap();
    }
    let replayed = household.service.replay(None);
    let mut lifetimes = 0;
    for (_, leaf) in replayed.group.treesync().full_leaves() {
        if let LeafNodeSource::KeyPackage(lifetime) = leaf.leaf_node_source() {
            assert_eq!(*lifetime, leaf::lifetime());
            lifetimes += 1;
        }
    }
    assert_eq!(lifetimes, 0, "all have updated themselves");
    assert_eq!(replayed.fingerprint(), household.service.follower.fingerprint());
}
