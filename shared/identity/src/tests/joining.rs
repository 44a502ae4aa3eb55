//! Welcomes that lead elsewhere.

use super::forging::without_path_secret;
use super::*;

/// A household of two, a device that was added, its private KeyPackage, and the commit.
fn adding() -> (Household, Device, PrivateIdentityKeyPackage, PreparedCommit) {
    let mut household = Household::new(2);
    let mut device = Device::new(&alice(), 3);
    let (key_package, private) = device.key_package();
    let prepared = household.devices[0].add(&household.identities[0], &key_package);
    (household, device, private, prepared)
}

#[test]
fn a_welcome_leads_into_the_epoch_that_the_service_tells_of() {
    let (mut household, _, private, prepared) = adding();
    let welcome = prepared.welcome.clone().unwrap().0;
    let before = household.service.follower.clone();
    household.commit(0, prepared);
    let after = household.service.follower.clone();
    let update = household.devices[1].update(&household.identities[1]);
    household.commit(1, update);
    let later = household.service.follower.clone();
    for elsewhere in [before, later] {
        let refused = Identity::join(private.clone(), &welcome, elsewhere).unwrap_err();
        assert_eq!(refused, IdentityError::Welcome);
    }
    Identity::join(private, &welcome, after).unwrap();
}

#[test]
fn a_welcome_of_a_commit_that_lost_is_refused() {
    let (mut household, mut device, private, lost) = adding();
    let (key_package, won_private) = device.key_package();
    let won = household.devices[1].add(&household.identities[1], &key_package);
    let welcome = won.welcome.clone().unwrap().0;
    household.commit(1, won);
    let follower = household.service.follower.clone();
    let refused = Identity::join(private.clone(), &lost.welcome.unwrap().0, follower.clone()).unwrap_err();
    assert_eq!(refused, IdentityError::Welcome);
    // The right Welcome, and another KeyPackage of the same device.
    assert_eq!(Identity::join(private, &welcome, follower.clone()).unwrap_err(), IdentityError::Welcome);
    Identity::join(won_private, &welcome, follower).unwrap();
}

#[test]
fn a_welcome_for_another_device_is_refused() {
    let (mut household, _, _, prepared) = adding();
    let (_, private) = Device::new(&alice(), 4).key_package();
    let welcome = prepared.welcome.clone().unwrap().0;
    household.commit(0, prepared.clone());
    let follower = household.service.follower.clone();
    let refused = Identity::join(private.clone(), &welcome, follower.clone()).unwrap_err();
    assert_eq!(refused, IdentityError::Welcome);
    let refused = Identity::join(private, &prepared.commit.0, follower).unwrap_err();
    assert_eq!(refused, IdentityError::Malformed);
}

#[test]
fn a_welcome_without_the_path_secret_is_refused() {
    let (mut household, _, private, prepared) = adding();
    let welcome = prepared.welcome.clone().unwrap().0;
    household.commit(0, prepared);
    let follower = household.service.follower.clone();
    let wanting = without_path_secret(&welcome, &private);
    assert_eq!(Identity::join(private.clone(), &wanting, follower.clone()).unwrap_err(), IdentityError::Welcome);
    Identity::join(private, &welcome, follower).unwrap();
}

#[test]
fn a_new_device_follows_others_before_it_has_confirmed_itself() {
    let (mut household, mut device, private, prepared) = adding();
    let welcome = prepared.welcome.clone().unwrap().0;
    household.commit(0, prepared);
    household.identities.push(Identity::join(private, &welcome, household.service.follower.clone()).unwrap());
    for index in [1, 0] {
        let update = household.devices[index].update(&household.identities[index]);
        household.commit(index, update);
    }
    let confirmation = device.update(&household.identities[2]);
    assert!(household.commit(2, confirmation).is_confirmation);
    assert!(household.agrees());
}

#[test]
fn a_client_knows_its_own_commit() {
    let mut household = Household::new(2);
    let prepared = household.devices[0].update(&household.identities[0]);
    assert_eq!(household.identities[0].process(&prepared.commit.0), Err(ProcessError::Own));
}
