//! GroupInfos that do not fit.

use super::forging::*;
use super::*;

/// What is said of a commit's GroupInfo.
fn judge(household: &Household, prepared: &PreparedCommit, group_info: &Bytes) -> Result<(), IdentityError> {
    let checked = household.service.follower.check(&prepared.commit.0).unwrap();
    household.service.follower.check_group_info(&checked, &group_info.0)
}

#[test]
fn a_group_info_is_exactly_of_the_epoch_after_its_commit() {
    let mut household = Household::new(2);
    let before = household.service.group_info.clone();
    let prepared = household.devices[0].update(&household.identities[0]);
    let other = household.devices[1].update(&household.identities[1]);
    assert_eq!(judge(&household, &prepared, &prepared.group_info), Ok(()));
    for another in [&before, &other.group_info] {
        assert_eq!(judge(&household, &prepared, another), Err(IdentityError::GroupInfoContext));
    }
    assert_eq!(judge(&household, &prepared, &prepared.commit), Err(IdentityError::Malformed));
    let mut longer = prepared.group_info.clone();
    longer.0.push(0);
    assert_eq!(judge(&household, &prepared, &longer), Err(IdentityError::Malformed));
}

#[test]
fn a_group_info_that_its_committer_has_made_of_something_else_is_refused() {
    let mut household = Household::new(3);
    let prepared = household.devices[1].update(&household.identities[1]);
    let right = || GroupInfo::of(&prepared.next.follower, 1);
    let [_, committer, other] = [0, 1, 2].map(|index| &household.devices[index].key);
    let judge = |group_info: &GroupInfo, key| judge(&household, &prepared, &group_info.sign(key));
    assert_eq!(judge(&right(), committer), Ok(()));
    assert_eq!(judge(&right(), other), Err(IdentityError::GroupInfoSignature));
    // Another member signs it, as itself.
    assert_eq!(judge(&GroupInfo { signer: 2, ..right() }, other), Err(IdentityError::GroupInfoSignature));

    let tag = opaque(&[7; 32]);
    let another_tag = GroupInfo { confirmation_tag: tag, ..right() };
    assert_eq!(judge(&another_tag, committer), Err(IdentityError::GroupInfoConfirmationTag));

    let mut another_tree = right();
    *another_tree.extensions[0].1.last_mut().unwrap() ^= 1;
    assert_eq!(judge(&another_tree, committer), Err(IdentityError::GroupInfoTree));

    let tree = right().extensions[0].clone();
    let key = right().extensions[1].clone();
    for extensions in [
        vec![tree.clone()],
        vec![key.clone()],
        vec![],
        vec![tree.clone(), key.clone(), (0xf005, vec![1])],
        vec![tree.clone(), key.clone(), key.clone()],
        vec![tree.clone(), (0xf005, vec![1]), key.clone()],
        vec![tree.clone(), (4, opaque(&[9; 31]))],
        vec![tree.clone(), (4, opaque(&[0; 32]))],
    ] {
        let group_info = GroupInfo { extensions, ..right() };
        assert_eq!(judge(&group_info, committer), Err(IdentityError::GroupInfoExtensions));
    }
}

#[test]
fn a_generation_begins_with_its_creator_alone_in_epoch_0() {
    let mut household = Household::new(2);
    let start = |user_name: &UserName, generation, group_info: &Bytes, previous: Option<&Follower>| {
        Follower::start(user_name, generation, &group_info.0, previous).map(|_| ())
    };
    let first = household.service.start.clone();
    assert_eq!(start(&alice(), 1, &first, None), Ok(()));
    let bob = "bob@localhost".parse().unwrap();
    assert_eq!(start(&bob, 1, &first, None), Err(IdentityError::AnotherGroup));
    let previous = household.service.follower.clone();
    assert_eq!(start(&alice(), 2, &first, Some(&previous)), Err(IdentityError::AnotherGroup));
    for generation in [0, 2, 3, u64::MAX] {
        assert_eq!(start(&alice(), generation, &first, None), Err(IdentityError::PreviousGeneration));
    }
    for generation in [0, 1, 3, u64::MAX] {
        let refused = start(&alice(), generation, &first, Some(&previous));
        assert_eq!(refused, Err(IdentityError::PreviousGeneration));
    }
    assert_eq!(start(&bob, 2, &first, Some(&previous)), Err(IdentityError::PreviousGeneration));

    // A later epoch of it, with two members and with one.
    assert_eq!(start(&alice(), 1, &household.service.group_info, None), Err(IdentityError::NotABeginning));
    let other = household.devices[1].uuid();
    let prepared = household.devices[0].remove(&household.identities[0], &[other]);
    assert_eq!(start(&alice(), 1, &prepared.group_info, None), Err(IdentityError::NotABeginning));

    // The beginning of bob's, in alice's name: the credential is bob's.
    let mut impostor = Device::new(&bob, 7);
    let mut rng = impostor.fresh();
    let made = Identity::start(&alice(), 1, None, &impostor.keys(), &mut rng);
    assert_eq!(made.unwrap_err(), IdentityError::Credential);
}

#[test]
fn the_beginning_of_a_generation_has_no_other_extensions_and_no_other_signature() {
    let mut household = Household::new(1);
    let begin = |group_info: Bytes| Follower::start(&alice(), 1, &group_info.0, None).map(|_| ());
    let other = SigningKey::generate(&mut household.devices[0].fresh());
    let key = &household.devices[0].key;
    let right = || GroupInfo::of(&household.service.follower, 0);
    assert_eq!(begin(right().sign(key)), Ok(()));
    let mut more = right();
    more.extensions.push((0xf005, vec![1]));
    assert_eq!(begin(more.sign(key)), Err(IdentityError::GroupInfoExtensions));
    let mut less = right();
    less.extensions.pop();
    assert!(begin(less.sign(key)).is_err());
    assert!(begin(right().sign(&other)).is_err());
}
