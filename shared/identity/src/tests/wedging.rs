//! Commits that the service cannot but accept, and no member can follow.

use super::forging::*;
use super::*;

/// A commit with its GroupInfo, which everybody who only follows accepts.
struct Wedge {
    commit: Bytes,
    group_info: Bytes,
}

/// The GroupInfo that a committer makes for what it has forged.
fn wedge(household: &Household, committer: usize, commit: Vec<u8>) -> Wedge {
    let checked = household.service.follower.check(&commit).unwrap();
    let device = &household.devices[committer];
    let leaf = checked.next().index_of(device.uuid()).unwrap();
    let group_info = GroupInfo::of(checked.next(), leaf.u32()).sign(&device.key);
    Wedge { commit: Bytes(commit), group_info }
}

/// An update of a member, altered from the end.
fn altered(household: &mut Household, committer: usize, from_the_end: usize) -> Wedge {
    let mut commit = household.devices[committer].update(&household.identities[committer]).commit.0;
    let position = commit.len() - from_the_end;
    commit[position] ^= 1;
    wedge(household, committer, commit)
}

fn with_a_bad_membership_tag(household: &mut Household) -> Wedge {
    altered(household, 1, 1)
}

/// The membership tag is over the confirmation tag, so it is made anew.
fn with_a_bad_confirmation_tag(household: &mut Household) -> Wedge {
    let mut commit = household.devices[1].update(&household.identities[1]).commit.0;
    let position = commit.len() - TAG - 1;
    commit[position] ^= 1;
    let commit = with_content(&commit, &household.devices[1], &household.identities[1], |_| {});
    wedge(household, 1, commit)
}

/// A path secret that is encrypted wrongly to others: the last byte of the content is of the last ciphertext.
fn with_a_bad_path_secret(household: &mut Household) -> Wedge {
    let commit = household.devices[1].update(&household.identities[1]).commit.0;
    let commit = with_content(&commit, &household.devices[1], &household.identities[1], |content| {
        *content.last_mut().unwrap() ^= 1;
    });
    wedge(household, 1, commit)
}

#[test]
fn a_commit_that_members_cannot_follow_changes_nothing_and_names_its_committer() {
    let wedges = [with_a_bad_membership_tag, with_a_bad_confirmation_tag, with_a_bad_path_secret];
    for make in wedges {
        let mut household = Household::new(2);
        let wedge = make(&mut household);
        household.service.accept(&wedge.commit, &wedge.group_info).unwrap();
        let by = household.devices[1].client_id().clone();
        let before = serde_json::to_string(&household.identities[0]).unwrap();
        let refused = household.identities[0].process(&wedge.commit.0);
        assert_eq!(refused, Err(ProcessError::Unfollowable { by }));
        assert!(serde_json::to_string(&household.identities[0]).unwrap() == before);
    }
}

#[test]
fn a_commit_that_is_right_in_all_this_is_followed() {
    let mut household = Household::new(2);
    let commit = household.devices[1].update(&household.identities[1]).commit.0;
    let same = with_content(&commit, &household.devices[1], &household.identities[1], |_| {});
    let same = wedge(&household, 1, same);
    household.service.accept(&same.commit, &same.group_info).unwrap();
    household.identities[0].process(&same.commit.0).unwrap();
}

#[test]
fn the_next_generation_goes_on_without_the_offender() {
    let mut household = Household::new(4);
    let wedge = with_a_bad_confirmation_tag(&mut household);
    household.service.accept(&wedge.commit, &wedge.group_info).unwrap();
    for index in [0, 2, 3] {
        assert!(household.identities[index].process(&wedge.commit.0).is_err());
    }
    // Whoever starts the next generation follows the stuck one to its end, as everybody can.
    let mut last = household.identities[2].follower().clone();
    last.merge(last.check(&wedge.commit.0).unwrap());
    assert_eq!(last.fingerprint(), household.service.follower.fingerprint());
    let (identity, mut service) = household.devices[2].start(2, Some(&last));
    household.identities[2] = identity;
    let mut entered = vec![2];
    for index in [0, 3] {
        let entry = household.devices[index].entry(&service).unwrap();
        service.accept_prepared(&entry).unwrap();
        for index in &entered {
            household.identities[*index].process(&entry.commit.0).unwrap();
        }
        household.identities[index] = entry.next;
        entered.push(index);
    }
    let members: Vec<_> = service.follower.members().into_iter().map(|member| member.client_id).collect();
    assert_eq!(members, [2, 0, 3].map(|index| household.devices[index].client_id().clone()));
    let secrets: Vec<_> =
        entered.iter().map(|index| household.identities[*index].export_secret("test", b"", 32).unwrap()).collect();
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    // The offender was a confirmed member, so it is for the service to know that it is not a client any more.
    assert_eq!(service.follower.may_enter(), [household.devices[1].uuid()]);
    // It has no way in by what it has: its own view of the generation before.
    let stale = household.devices[1].update(&household.identities[1]);
    assert_eq!(service.accept_prepared(&stale), Err(IdentityError::AnotherGroup));
}

#[test]
fn an_offender_that_was_not_confirmed_cannot_enter() {
    let mut household = Household::new(3);
    household.add(Device::new(&alice(), 4));
    let wedge = with_a_bad_confirmation_tag(&mut household);
    household.service.accept(&wedge.commit, &wedge.group_info).unwrap();
    let last = household.service.follower.clone();
    let (_, service) = household.devices[0].start(2, Some(&last));
    assert_eq!(service.follower.may_enter(), [1, 2].map(|index| household.devices[index].uuid()));
    assert_eq!(household.devices[3].entry(&service).unwrap_err(), IdentityError::EntryRefused);
}
