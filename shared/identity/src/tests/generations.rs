//! Generations that begin by a reset, and who enters them.

use super::*;

/// A household in its second generation, started by its first device and entered by nobody else.
fn reset(household: &mut Household) -> (Follower, Service) {
    let last = household.service.follower.clone();
    let (identity, service) = household.devices[0].start(2, Some(&last));
    household.identities[0] = identity;
    (last, service)
}

#[test]
fn confirmed_members_of_the_generation_before_enter_the_next_by_themselves() {
    let mut household = Household::new(3);
    let (last, mut service) = reset(&mut household);
    let uuids: Vec<_> = household.devices.iter().map(Device::uuid).collect();
    assert_eq!(service.follower.may_enter(), uuids[1..]);
    for index in [2, 1] {
        let entry = household.devices[index].entry(&service).unwrap();
        assert!(entry.welcome.is_none());
        let change = service.accept_prepared(&entry).unwrap();
        assert!(change.is_entry && !change.is_confirmation && change.has_new_credential());
        assert_eq!(change.previous_credential, None);
        assert_eq!(change.committer.client_id, *household.devices[index].client_id());
        assert!(change.committer.is_confirmed);
        assert_eq!(change.committer.encrypted_device_label, household.devices[index].label);
        household.identities[0].process(&entry.commit.0).unwrap();
        if index == 1 {
            household.identities[2].process(&entry.commit.0).unwrap();
        }
        household.identities[index] = entry.next;
    }
    assert!(service.follower.may_enter().is_empty());
    // It goes on as before.
    household.service = service;
    let prepared = household.devices[2].update(&household.identities[2]);
    household.commit(2, prepared);
    let prepared = household.devices[1].remove(&household.identities[1], &uuids[..1]);
    household.commit(1, prepared);
    let replayed = household.service.replay(Some(&last));
    assert_eq!(household.identities[1].follower().fingerprint(), replayed.fingerprint());
    assert_eq!(household.identities[2].follower().fingerprint(), replayed.fingerprint());
}

#[test]
fn a_client_enters_once() {
    let mut household = Household::new(2);
    let (_, mut service) = reset(&mut household);
    let entry = household.devices[1].entry(&service).unwrap();
    service.accept_prepared(&entry).unwrap();
    // While it is in, openmls would have it replace itself.
    assert_eq!(household.devices[1].entry(&service).unwrap_err(), IdentityError::ProposalNotAllowed);
    household.identities[0].process(&entry.commit.0).unwrap();
    let entered = household.devices[1].uuid();
    let removal = household.devices[0].remove(&household.identities[0], &[entered]);
    service.accept_prepared(&removal).unwrap();
    assert_eq!(household.devices[1].entry(&service).unwrap_err(), IdentityError::EntryRefused);
}

#[test]
fn a_client_that_was_added_does_not_enter_after_its_removal() {
    let mut household = Household::new(2);
    let (_, mut service) = reset(&mut household);
    let (key_package, _) = household.devices[1].key_package();
    let added = household.devices[0].add(&household.identities[0], &key_package);
    service.accept_prepared(&added).unwrap();
    assert!(service.follower.may_enter().is_empty());
    let client = household.devices[1].uuid();
    let removal = household.devices[0].remove(&added.next, &[client]);
    service.accept_prepared(&removal).unwrap();
    assert_eq!(household.devices[1].entry(&service).unwrap_err(), IdentityError::EntryRefused);
}

#[test]
fn strangers_and_those_that_were_removed_or_unconfirmed_do_not_enter() {
    let mut household = Household::new(3);
    let removed = household.devices[2].uuid();
    let prepared = household.devices[0].remove(&household.identities[0], &[removed]);
    household.commit(0, prepared);
    household.add(Device::new(&alice(), 4));
    let (_, service) = reset(&mut household);
    assert_eq!(service.follower.may_enter(), [household.devices[1].uuid()]);
    let mut stranger = Device::new(&alice(), 9);
    assert_eq!(stranger.entry(&service).unwrap_err(), IdentityError::EntryRefused);
    let mut bob = Device::new(&"bob@localhost".parse().unwrap(), 9);
    assert_eq!(bob.entry(&service).unwrap_err(), IdentityError::Credential);
    for index in [2, 3] {
        assert_eq!(household.devices[index].entry(&service).unwrap_err(), IdentityError::EntryRefused);
    }
    // The entitled client's name with another key.
    stranger.credential = Issuer::new().issue(household.devices[1].client_id().clone(), &stranger.key, 0);
    assert_eq!(stranger.entry(&service).unwrap_err(), IdentityError::EntryRefused);
    // The creator is in.
    assert!(household.devices[0].entry(&service).is_err());
}

#[test]
fn nobody_enters_the_first_generation() {
    let mut household = Household::new(2);
    let removed = household.devices[1].uuid();
    let prepared = household.devices[0].remove(&household.identities[0], &[removed]);
    household.commit(0, prepared);
    assert!(household.service.follower.may_enter().is_empty());
    assert_eq!(household.devices[1].entry(&household.service).unwrap_err(), IdentityError::EntryRefused);
}

#[test]
fn an_entry_is_prepared_for_the_epoch_that_was_followed_alone() {
    let mut household = Household::new(3);
    let (_, mut service) = reset(&mut household);
    let entry = household.devices[1].entry(&service).unwrap();
    let before = service.group_info.clone();
    service.accept_prepared(&entry).unwrap();
    service.group_info = before;
    assert_eq!(household.devices[2].entry(&service).unwrap_err(), IdentityError::GroupInfoContext);
}

#[test]
fn of_two_entries_at_once_one_wins() {
    let mut household = Household::new(3);
    let (_, mut service) = reset(&mut household);
    let [first, second] = [1, 2].map(|index| household.devices[index].entry(&service).unwrap());
    service.accept_prepared(&first).unwrap();
    assert_eq!(service.accept_prepared(&second), Err(IdentityError::AnotherEpoch));
    let second = household.devices[2].entry(&service).unwrap();
    service.accept_prepared(&second).unwrap();
    let mut first = first.next;
    first.process(&second.commit.0).unwrap();
    assert_eq!(first.export_secret("test", b"", 32), second.next.export_secret("test", b"", 32));
}
