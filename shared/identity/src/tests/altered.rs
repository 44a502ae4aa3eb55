//! Bytes that were cut off or altered on the way.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::forging::{SIGNATURE, TAG, with_content};
use super::*;

/// Runs a property over what can happen to some bytes: cut off somewhere, or with some bits flipped.
fn for_every_alteration(bytes: &[u8], cases: u32, property: impl Fn(&[u8])) {
    let alteration = (0..bytes.len(), prop_oneof![Just(None), (1..=u8::MAX).prop_map(Some)]);
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&alteration, |(position, difference)| {
        let mut altered = bytes.to_vec();
        match difference {
            Some(difference) => altered[position] ^= difference,
            None => altered.truncate(position),
        }
        property(&altered);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn an_altered_commit_is_refused_or_means_the_same_and_members_see_it() {
    let mut household = Household::new(2);
    let (key_package, _) = Device::new(&alice(), 3).key_package();
    let prepared = household.devices[0].add(&household.identities[0], &key_package);
    let follower = household.service.follower.clone();
    let right = follower.check(&prepared.commit.0).unwrap();
    for_every_alteration(&prepared.commit.0, 100, |altered| {
        // What nobody signs are the two tags. The confirmation tag is in the GroupInfo.
        let Ok(checked) = follower.check(altered) else { return };
        assert_eq!(checked.change(), right.change());
        assert_eq!(checked.next().fingerprint(), right.next().fingerprint());
        let mut member = household.identities[1].clone();
        let by = household.devices[0].client_id().clone();
        assert_eq!(member.process(altered), Err(ProcessError::Unfollowable { by }));
        let is_membership_tag = altered[..altered.len() - 32] == prepared.commit.0[..altered.len() - 32];
        assert_eq!(follower.check_group_info(&checked, &prepared.group_info.0).is_ok(), is_membership_tag);
    });
}

#[test]
fn whatever_a_member_signs_is_refused_or_is_that_members_update() {
    let mut household = Household::new(3);
    let prepared = household.devices[1].update(&household.identities[1]);
    let follower = household.service.follower.clone();
    let (device, identity) = (&household.devices[1], &household.identities[1]);
    let content_length = prepared.commit.0.len() - SIGNATURE - 2 * TAG;
    for_every_alteration(&prepared.commit.0[..content_length], 150, |altered| {
        let commit = with_content(&prepared.commit.0, device, identity, |content| *content = altered.to_vec());
        let mut member = household.identities[0].clone();
        let Ok(checked) = follower.check(&commit) else {
            assert!(matches!(member.process(&commit), Err(ProcessError::Refused(_))));
            return;
        };
        // What is encrypted to others can be anything.
        assert_eq!(*checked.change(), *follower.check(&prepared.commit.0).unwrap().change());
        let by = device.client_id().clone();
        assert_eq!(member.process(&commit), Err(ProcessError::Unfollowable { by }));
    });
}

#[test]
fn an_altered_entry_is_refused_or_does_not_fit_its_group_info() {
    let mut household = Household::new(2);
    let last = household.service.follower.clone();
    let (_, service) = household.devices[0].start(2, Some(&last));
    let entry = household.devices[1].entry(&service).unwrap();
    for_every_alteration(&entry.commit.0, 60, |altered| {
        let Ok(checked) = service.follower.check(altered) else { return };
        assert!(service.follower.check_group_info(&checked, &entry.group_info.0).is_err());
    });
}

#[test]
fn an_altered_group_info_is_refused() {
    let mut household = Household::new(2);
    let prepared = household.devices[0].update(&household.identities[0]);
    let follower = household.service.follower.clone();
    let checked = follower.check(&prepared.commit.0).unwrap();
    for_every_alteration(&prepared.group_info.0, 200, |altered| {
        assert!(follower.check_group_info(&checked, altered).is_err());
    });
    for_every_alteration(&household.service.start.0, 100, |altered| {
        assert!(Follower::start(&alice(), 1, altered, None).is_err());
    });
}

#[test]
fn an_altered_key_package_or_welcome_is_refused() {
    let mut household = Household::new(2);
    let mut device = Device::new(&alice(), 3);
    let (key_package, private) = device.key_package();
    for_every_alteration(&key_package.0, 100, |altered| {
        assert!(Identity::check_key_package(altered, &device.credential).is_err());
    });
    let prepared = household.devices[0].add(&household.identities[0], &key_package);
    household.service.accept_prepared(&prepared).unwrap();
    for_every_alteration(&prepared.welcome.unwrap().0, 60, |altered| {
        assert!(Identity::join(private.clone(), altered, household.service.follower.clone()).is_err());
    });
}

#[test]
fn an_altered_follower_is_not_read() {
    let household = Household::new(2);
    for_every_alteration(&household.service.follower.to_bytes(), 200, |altered| {
        assert!(Follower::from_bytes(altered).is_none());
    });
}
