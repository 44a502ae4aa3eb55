//! Commits that are refused: nothing changes by them.

use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CommitIdentity, CommitIdentityRequest};
use vestibule_protocol::keys::{AsIntermediateCredentialKey, SigningKey};
use vestibule_protocol::limits::{CLIENT_CONFIRMATION_TIME, MAX_IDENTITY_MESSAGE_LENGTH, MAX_IDENTITY_REQUEST_LENGTH};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::signed::Verified;
use vestibule_protocol::time::DAY;
use vestibule_tests::identity::Device;
use vestibule_tests::{Applicant, Call, json_body, left_out_in_processes};

use super::members::Members;

/// A KeyPackage of a device.
fn key_package(device: &mut Device) -> Bytes {
    device.make_key_package().0
}

/// What the client asks for, signed by somebody who is not the authentication service.
fn unissued(client: &Applicant) -> ClientCredential {
    use rand::SeedableRng as _;
    let key: SigningKey<AsIntermediateCredentialKey> = SigningKey::generate(&mut rand::rngs::StdRng::seed_from_u64(66));
    Verified::sign(client.requested.clone(), &key)
}

#[tokio::test]
async fn a_commit_for_another_epoch_or_generation_is_superseded() {
    let mut members = Members::new().await;
    let old = members.phone.prepare_update();
    let old = members.phone.request(&old);
    members.phone.confirm(&members.cloud).await;
    let prepared = members.phone.prepare_update();
    let right = members.phone.request(&prepared);
    let numbers = [(1, right.epoch + 1), (1, u64::MAX), (2, right.epoch), (2, 0), (0, right.epoch), (u64::MAX, 0)];
    let others = numbers.map(|(generation, epoch)| CommitIdentityRequest { generation, epoch, ..right.clone() });
    for request in others.iter().chain([&old]) {
        assert_eq!(members.problem_with_request(request).await, ProblemType::IdentitySuperseded);
    }
    // What is said around it does not make an old commit a new one.
    let disguised = CommitIdentityRequest { epoch: right.epoch, ..old };
    assert_eq!(members.problem_with_request(&disguised).await, ProblemType::CommitRefused);
}

#[tokio::test]
async fn what_is_no_commit_is_refused() {
    let mut members = Members::new().await;
    let prepared = members.phone.prepare_update();
    let right = members.phone.request(&prepared);
    let commit = prepared.commit.0.clone();
    let altered = |position: usize| {
        let mut commit = commit.clone();
        commit[position] ^= 1;
        commit
    };
    let attempts = [
        Vec::new(),
        commit[..commit.len() - 1].to_vec(),
        [commit.as_slice(), &[0]].concat(),
        altered(3),
        altered(60),
        altered(commit.len() / 2),
        right.group_info.0.clone(),
        key_package(&mut members.laptop).0,
        vec![0; MAX_IDENTITY_MESSAGE_LENGTH + 1],
    ];
    for commit in attempts {
        let request = CommitIdentityRequest { commit: Some(Bytes(commit)), ..right.clone() };
        assert_eq!(members.problem_with_request(&request).await, ProblemType::CommitRefused);
    }
    let nothing = CommitIdentityRequest { commit: None, ..right.clone() };
    assert_eq!(members.problem_with_request(&nothing).await, ProblemType::InvalidField);
    let mut call = members.phone.committing_call(&members.cloud, &right);
    call.body.resize(MAX_IDENTITY_REQUEST_LENGTH + 1, b' ');
    assert_eq!(members.problem_with(&call).await, ProblemType::BodyTooLarge);
    members.phone.commit(&members.cloud, prepared).await;
}

#[tokio::test]
async fn a_commit_is_sent_by_the_client_that_made_it() {
    let mut members = Members::new().await;
    let prepared = members.laptop.prepare_update();
    let request = members.laptop.request(&prepared);
    assert_eq!(members.problem_with_request(&request).await, ProblemType::CommitRefused);
    let call = members.laptop.committing_call(&members.cloud, &request);
    let unsigned = call.clone().without_header("signature");
    assert_eq!(members.problem_with(&unsigned).await, ProblemType::SignatureMissing);
    let bob = Applicant::new(&members.cloud, "bob@localhost", 9).await.register(&members.cloud).await;
    assert_eq!(members.problem_with(&bob.sign(&members.cloud, &call)).await, ProblemType::ClientUnknown);
    members.laptop.commit(&members.cloud, prepared).await;
}

#[tokio::test]
async fn a_commit_of_another_users_identity_is_refused() {
    let members = Members::new().await;
    let mut bob = Device::first(&members.cloud, "bob@localhost", 9).await;
    for _ in 0..members.phone.position().epoch {
        bob.confirm(&members.cloud).await;
    }
    let prepared = bob.prepare_update();
    let request = bob.request(&prepared);
    assert_eq!(request.epoch, members.phone.position().epoch);
    assert_eq!(members.problem_with_request(&request).await, ProblemType::CommitRefused);
    let call = bob.committing_call(&members.cloud, &request);
    let elsewhere = Call { path: call.path.replace("bob@", "alice@"), ..call };
    let as_phone = members.phone.client.sign(&members.cloud, &elsewhere);
    assert_eq!(members.problem_with(&as_phone).await, ProblemType::CommitRefused);
    let as_bob = bob.client.sign(&members.cloud, &elsewhere);
    assert_eq!(members.problem_with(&as_bob).await, ProblemType::ClientUnknown);
}

#[tokio::test]
async fn a_removed_client_commits_nothing() {
    let mut members = Members::new().await;
    let prepared = members.laptop.prepare_update();
    members.phone.client.remove(&members.cloud, &members.laptop.client).await;
    let call = members.laptop.call(&members.cloud, &prepared);
    assert_eq!(members.problem_with(&call).await, ProblemType::ClientUnknown);
    // Nor does another client for it.
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused);
}

#[tokio::test]
async fn an_unconfirmed_client_commits_nothing_but_its_confirmation() {
    let mut members = Members::new().await;
    let mut tablet = members.phone.welcome(&members.cloud, 3).await;
    let mut watch = members.phone.added(&members.cloud, 4).await;
    // Its own library would not let it add a client: it has to pretend.
    let key_package = key_package(&mut watch);
    let keys = tablet.keys();
    let adding = tablet.identity().prepare_add(&keys, &key_package.0, &mut rand::rngs::OsRng);
    assert!(adding.is_err(), "an unconfirmed client adds nobody");
    let removing =
        tablet.identity().prepare_remove(&keys, &[members.laptop.client.client_id.uuid], &mut rand::rngs::OsRng);
    assert!(removing.is_err(), "nor does it remove anybody");
    let forged = super::forged::add(&tablet, &key_package);
    let call = tablet.committing_call(&members.cloud, &forged);
    assert_eq!(members.problem_with(&call).await, ProblemType::CommitRefused);
    // What another member has made is not its confirmation either.
    let of_phone = members.phone.prepare_update();
    let request = members.phone.request(&of_phone);
    let call = tablet.committing_call(&members.cloud, &request);
    assert_eq!(members.problem_with(&call).await, ProblemType::CommitRefused);
    tablet.confirm(&members.cloud).await;
}

#[tokio::test]
async fn a_client_confirms_itself_with_the_credential_issued_to_it() {
    let mut members = Members::new().await;
    let mut tablet = members.phone.welcome(&members.cloud, 3).await;
    let issued = tablet.client_credential.clone();
    tablet.client_credential = unissued(&tablet.client);
    let prepared = tablet.prepare_update();
    let call = tablet.call(&members.cloud, &prepared);
    assert_eq!(members.problem_with(&call).await, ProblemType::CommitRefused);
    tablet.client_credential = issued;
    tablet.confirm(&members.cloud).await;
}

#[tokio::test]
async fn a_lapsed_client_does_not_confirm_itself_any_more() {
    left_out_in_processes!("it moves the clock");
    let mut members = Members::new().await;
    let mut tablet = members.phone.welcome(&members.cloud, 3).await;
    let prepared = tablet.prepare_update();
    members.cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME);
    let call = tablet.call(&members.cloud, &prepared);
    assert_eq!(members.problem_with(&call).await, ProblemType::ClientUnknown);
}

#[tokio::test]
async fn a_withdrawn_client_does_not_confirm_itself_any_more() {
    let mut members = Members::new().await;
    let mut tablet = members.phone.welcome(&members.cloud, 3).await;
    let prepared = tablet.prepare_update();
    let withdrawal = members.laptop.client.removing_call(&members.cloud, &tablet.client, None);
    assert_eq!(members.cloud.send(&withdrawal).await.status, 200);
    let call = tablet.call(&members.cloud, &prepared);
    assert_eq!(members.problem_with(&call).await, ProblemType::ClientUnknown);
}

#[tokio::test]
async fn nobody_is_added_but_an_unconfirmed_client_with_the_credential_issued_to_it() {
    left_out_in_processes!("it moves the clock");
    let mut members = Members::new().await;
    let cloud = &members.cloud;
    // Never added at the service; with a credential that nobody issued; another user's.
    let unknown_client = members.phone.client.another(cloud, 3).await;
    let credential = unissued(&unknown_client);
    let mut unknown = Device::new(unknown_client, credential, 3);
    let mut unissued_credential = members.phone.added(cloud, 4).await;
    unissued_credential.client_credential = unissued(&unissued_credential.client);
    // Lapsed, and withdrawn.
    let mut lapsed = members.phone.added(cloud, 5).await;
    cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME);
    let mut withdrawn = members.phone.added(cloud, 6).await;
    let withdrawal = members.phone.client.removing_call(cloud, &withdrawn.client, None);
    assert_eq!(cloud.send(&withdrawal).await.status, 200);
    // Confirmed already.
    let mut confirmed = members.phone.added(cloud, 7).await;
    cloud.confirm(&confirmed.client).await;
    for device in [&mut unknown, &mut unissued_credential, &mut lapsed, &mut withdrawn, &mut confirmed] {
        let prepared = members.phone.prepare_add(&key_package(device));
        assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused);
    }
    let mut right = members.phone.added(&members.cloud, 8).await;
    let prepared = members.phone.prepare_add(&key_package(&mut right));
    members.phone.commit(&members.cloud, prepared).await;
}

#[tokio::test]
async fn a_client_of_another_user_or_with_another_key_is_not_added() {
    let mut members = Members::new().await;
    let mut bob = Device::registered(&members.cloud, "bob@localhost", 9).await;
    let bobs = key_package(&mut bob);
    let forged = super::forged::add(&members.phone, &bobs);
    assert_eq!(members.problem_with_request(&forged).await, ProblemType::CommitRefused);
    // A leaf whose key is not its credential's.
    let mut tablet = members.phone.added(&members.cloud, 3).await;
    tablet.client.client_key = SigningKey::generate(&mut tablet.rng);
    let crossed = key_package(&mut tablet);
    let forged = super::forged::add(&members.phone, &crossed);
    assert_eq!(members.problem_with_request(&forged).await, ProblemType::CommitRefused);
    let stays = members.phone.prepare_update();
    members.phone.commit(&members.cloud, stays).await;
}

#[tokio::test]
async fn a_live_client_is_not_removed_from_the_identity() {
    let mut members = Members::new().await;
    let prepared = members.phone.prepare_remove(&members.laptop.client);
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused);
    let tablet = members.phone.welcome(&members.cloud, 3).await;
    let prepared = members.phone.prepare_remove(&tablet.client);
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused, "unconfirmed as it is");
}

#[tokio::test]
async fn a_path_swaps_no_credential_but_for_the_current_one() {
    let mut members = Members::new().await;
    let right = members.phone.client_credential.clone();
    // The same client and key, and another signature; then a validity that was not asked for.
    members.phone.client_credential = unissued(&members.phone.client);
    let prepared = members.phone.prepare_update();
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused);
    let not_after = &mut members.phone.client.requested.expiration_data.not_after;
    *not_after = not_after.saturating_sub(DAY);
    members.phone.client_credential = unissued(&members.phone.client);
    let prepared = members.phone.prepare_update();
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused);
    members.phone.client_credential = right;
    let prepared = members.phone.prepare_update();
    members.phone.commit(&members.cloud, prepared).await;
}

#[tokio::test]
async fn a_credential_that_was_renewed_since_is_not_put_back() {
    left_out_in_processes!("it moves the clock");
    let mut members = Members::new().await;
    let first = members.phone.client_credential.clone();
    for _ in 0..2 {
        members.cloud.cloud.clock().advance(DAY);
        let (_, intermediate) = members.cloud.credentials().await;
        members.phone.client.renew(&members.cloud, &intermediate);
        members.phone.client_credential = members.phone.client.add(&members.cloud, &members.phone.client).await;
    }
    let current = members.phone.client_credential.clone();
    members.phone.confirm(&members.cloud).await;
    members.phone.client_credential = first;
    let prepared = members.phone.prepare_update();
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::CommitRefused);
    members.phone.client_credential = current;
    members.phone.confirm(&members.cloud).await;
}

#[tokio::test]
async fn nobody_enters_the_first_generation_by_itself() {
    let members = Members::new().await;
    let mut tablet = members.phone.added(&members.cloud, 3).await;
    members.cloud.confirm(&tablet.client).await;
    let follower = members.phone.identity().follower().clone();
    let group_info =
        members.cloud.identity(members.phone.client.user_name(), members.phone.position()).await.group_info;
    let forged = super::forged::entry(&mut tablet, &follower, &group_info);
    let call = tablet.committing_call(&members.cloud, &forged);
    assert_eq!(members.problem_with(&call).await, ProblemType::CommitRefused);
}

#[tokio::test]
async fn a_client_confirms_no_other_credential_than_that_of_its_leaf() {
    let mut members = Members::new().await;
    let mut tablet = members.phone.welcome(&members.cloud, 30).await;
    let prepared = tablet.prepare_update();
    let request = tablet.request(&prepared);
    // As it is when its id was given out again, for another key, after it had lapsed and its item was swept.
    let mut other = members.phone.client.another(&members.cloud, 31).await;
    members.phone.client.add(&members.cloud, &other).await;
    let credential = members.cloud.client_item(&other.client_id).await.unwrap()["client_credential"].clone();
    let mut item = members.cloud.client_item(&tablet.client.client_id).await.unwrap();
    item["client_credential"] = credential;
    members.cloud.cloud.put_item("AsTable", item).await.unwrap();
    other.client_id = tablet.client.client_id.clone();
    let call = Call::new::<CommitIdentity>(&other.user_path(), json_body(&request));
    assert_eq!(members.problem_with(&other.sign(&members.cloud, &call)).await, ProblemType::CommitRefused);
}
