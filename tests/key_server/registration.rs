//! The storage key is stored once, in one form, for one user.

use std::sync::Arc;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::key_server::{
    CompleteRegistration, DeleteStorageKey, ENCRYPTED_STORAGE_KEY_LENGTH, Registration, Request, RetrieveStorageKey,
    StorageKey,
};
use vestibule_protocol::name::UserId;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Call, KeyServerUser, TestCloud, all_at_once, response};

use super::{assert_a_session_was_opened, lasting_state};

#[tokio::test]
async fn what_was_stored_is_given_back_to_the_password_alone() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = alice.complete(&cloud).await;
    for _ in 0..2 {
        let retrieved = alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
        assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
        assert_eq!(retrieved.user_id, alice.user_id);
    }
    let state = cloud.state().await;
    assert!(alice.retrieve_with(&cloud, "incorrect horse").await.is_none());
    // The opening is all that the server hears of a wrong password.
    assert_a_session_was_opened(&cloud, &state).await;
}

#[tokio::test]
async fn a_malformed_storage_key_or_another_users_id_is_refused_and_nothing_is_stored() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let bob = KeyServerUser::new(&cloud, "bob@localhost", 2).await;
    let (user_id, other_id) = (alice.user_id, UserId::generate(alice.rng()));
    let right = Bytes([[0, 3].as_slice(), &[7; ENCRYPTED_STORAGE_KEY_LENGTH - 2]].concat());
    let wrong = |bytes: &[u8]| CompleteRegistration::with_bytes(user_id, &Bytes(bytes.to_vec()));
    let malformed = ProblemType::EncryptedStorageKeyInvalid;
    let attempts = [
        (wrong(&right.0[..81]), malformed),
        (wrong(&[right.0.as_slice(), &[0]].concat()), malformed),
        (wrong(&[]), malformed),
        (wrong(&[1; ENCRYPTED_STORAGE_KEY_LENGTH]), malformed),
        (CompleteRegistration::with_bytes(other_id, &right), ProblemType::UserIdMismatch),
        (CompleteRegistration::with_bytes(bob.user_id, &right), ProblemType::UserIdMismatch),
        // The id is checked first.
        (CompleteRegistration::with_bytes(bob.user_id, &Bytes(Vec::new())), ProblemType::UserIdMismatch),
    ];
    let state = lasting_state(&cloud).await;
    for (completion, problem) in attempts {
        let (_, call) = alice.open::<Registration>(&cloud).await.send(completion);
        for _ in 0..2 {
            assert_eq!(cloud.send(&call).await.problem(), problem);
        }
        let other = Call { body: [b" ".as_slice(), &call.body].concat(), ..call };
        assert_eq!(cloud.send(&other).await.problem(), ProblemType::SessionUsed, "the refusal ended the session");
        assert_eq!(lasting_state(&cloud).await, state);
    }
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::StorageKeyMissing);
    alice.complete(&cloud).await;
}

#[tokio::test]
async fn a_second_registration_is_refused_and_changes_nothing() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let first = StorageKey::generate(alice.rng());
    let (_, call) = alice.completing_call(&cloud, &first).await;
    // Opened before the first is stored, and after.
    let second = StorageKey::generate(alice.rng());
    let (_, before) = alice.completing_call(&cloud, &second).await;
    let answer = cloud.send(&call).await;
    assert_eq!(answer.status, 200);
    let (_, after) = alice.completing_call(&cloud, &second).await;
    let state = lasting_state(&cloud).await;
    for call in [before, after] {
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::StorageKeyExists);
    }
    assert_eq!(lasting_state(&cloud).await, state);
    assert_eq!(cloud.send(&call).await, answer, "the first is still answered as it was");
    let retrieved = alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
    assert_eq!(retrieved.storage_key.fingerprint(), first.fingerprint());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_registrations_at_once_one_wins() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let (mut calls, mut fingerprints) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let storage_key = StorageKey::generate(alice.rng());
        fingerprints.push(storage_key.fingerprint());
        calls.push(alice.completing_call(&cloud, &storage_key).await.1);
    }
    let answers = all_at_once(&cloud, calls).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    let retrieved = alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
    assert!(fingerprints.contains(&retrieved.storage_key.fingerprint()));
}

#[tokio::test]
async fn what_was_deleted_is_gone_for_ever_and_its_log_too() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    alice.complete(&cloud).await;
    for _ in 0..30 {
        alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
    }
    let (_, opened_before) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let (awaited, call) = alice.open::<Request>(&cloud).await.send(DeleteStorageKey);
    let answer = cloud.send(&call).await;
    response(&awaited, &answer);
    assert_eq!(cloud.send(&call).await, answer);
    let log = |items: Vec<serde_json::Value>| {
        items.iter().filter(|item| item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("AUDIT#"))).count()
    };
    assert_eq!(log(cloud.state().await), 0);
    let kept = cloud.state().await.into_iter().find(|item| item["sk"]["S"] == "STORAGE_KEY").unwrap();
    assert!(kept.get("encrypted_storage_key").is_none(), "{kept}");

    let state = lasting_state(&cloud).await;
    let (_, retrieval) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let storage_key = StorageKey::generate(alice.rng());
    let (_, registration) = alice.completing_call(&cloud, &storage_key).await;
    for call in [opened_before, retrieval, registration] {
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::StorageKeyDeleted);
    }
    assert_eq!(lasting_state(&cloud).await, state);
}
