//! Record and encrypted storage key are replaced together or not at all.

use std::sync::Arc;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::key_server::{ChangePassword, Request, RetrieveStorageKey, StorageKey};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{KeyServerUser, TestCloud, all_at_once};

use super::lasting_state;

const OLD: &str = KeyServerUser::PASSWORD;
const NEW: &str = "battery staple";

#[tokio::test]
async fn the_new_password_opens_the_same_storage_key_and_the_old_one_nothing() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = alice.complete(&cloud).await;
    let call = alice.changing_call(&cloud, OLD, NEW, &storage_key).await;
    let answer = cloud.send(&call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let state = cloud.state().await;
    assert_eq!(cloud.send(&call).await, answer);
    assert_eq!(cloud.state().await, state);

    assert!(alice.retrieve_with(&cloud, OLD).await.is_none());
    let retrieved = alice.retrieve_with(&cloud, NEW).await.unwrap();
    assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
    let call = alice.changing_call(&cloud, NEW, OLD, &storage_key).await;
    assert_eq!(cloud.send(&call).await.status, 200, "and it can be changed again");
    assert!(alice.retrieve_with(&cloud, OLD).await.is_some());
}

#[tokio::test]
async fn a_session_opened_under_the_old_password_does_nothing_any_more() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = alice.complete(&cloud).await;
    let (_, retrieval) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let another_change = alice.changing_call(&cloud, OLD, "a third one", &storage_key).await;
    let (_, registration) = alice.completing_call(&cloud, &storage_key).await;
    let change = alice.changing_call(&cloud, OLD, NEW, &storage_key).await;
    assert_eq!(cloud.send(&change).await.status, 200);
    let state = lasting_state(&cloud).await;
    for call in [retrieval, another_change] {
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::SessionSuperseded);
    }
    assert_eq!(cloud.send(&registration).await.problem(), ProblemType::StorageKeyExists);
    assert_eq!(lasting_state(&cloud).await, state);
}

#[tokio::test]
async fn a_change_before_a_storage_key_is_stored_is_refused_and_the_registration_goes_on() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = StorageKey::generate(alice.rng());
    let (_, registration) = alice.completing_call(&cloud, &storage_key).await;
    let change = alice.changing_call(&cloud, OLD, NEW, &storage_key).await;
    let state = lasting_state(&cloud).await;
    assert_eq!(cloud.send(&change).await.problem(), ProblemType::StorageKeyMissing);
    assert_eq!(lasting_state(&cloud).await, state);
    assert_eq!(cloud.send(&registration).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_one_wins_and_its_password_alone_opens_the_storage_key() {
    for round in 0..4 {
        let cloud = Arc::new(TestCloud::start().await);
        let mut alice = KeyServerUser::new(&cloud, "alice@localhost", round).await;
        let storage_key = alice.complete(&cloud).await;
        let passwords = ["one", "two"];
        let mut calls = Vec::new();
        for password in passwords {
            calls.push(alice.changing_call(&cloud, OLD, password, &storage_key).await);
        }
        let answers = all_at_once(&cloud, calls.clone()).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for call in &calls {
            // Asked again, the loser is told why.
            let answer = cloud.send(call).await;
            assert!(answer.status == 200 || answer.problem() == ProblemType::SessionSuperseded);
        }
        let mut opened = 0;
        for password in [OLD, "one", "two"] {
            if let Some(retrieved) = alice.retrieve_with(&cloud, password).await {
                assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
                assert_ne!(password, OLD);
                opened += 1;
            }
        }
        assert_eq!(opened, 1);
    }
}

#[tokio::test]
async fn a_malformed_record_or_storage_key_changes_nothing() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    alice.complete(&cloud).await;
    let right_key = Bytes([[0, 3].as_slice(), &[7; 80]].concat());
    // A record that is well-formed: that of somebody else.
    let bob = KeyServerUser::new(&cloud, "bob@localhost", 2).await;
    let record = cloud.state().await.into_iter().find(|item| item["pk"]["S"] == format!("OPAQUE#{}", bob.user_name()));
    let record = base64_bytes(record.unwrap()["record"]["B"].as_str().unwrap());
    let attempts = [
        (Bytes(record[1..].to_vec()), right_key.clone(), ProblemType::InvalidOpaqueMessage),
        (Bytes(vec![0; 192]), right_key.clone(), ProblemType::InvalidOpaqueMessage),
        (Bytes(record.clone()), Bytes(right_key.0[1..].to_vec()), ProblemType::EncryptedStorageKeyInvalid),
        (Bytes(record), Bytes(vec![9; 82]), ProblemType::EncryptedStorageKeyInvalid),
    ];
    let state = lasting_state(&cloud).await;
    for (record, storage_key, problem) in attempts {
        let change = ChangePassword::with_bytes(&record, &storage_key);
        let (_, call) = alice.open_change(&cloud, OLD, NEW).await.send(change);
        assert_eq!(cloud.send(&call).await.problem(), problem);
    }
    assert_eq!(lasting_state(&cloud).await, state);
    assert!(alice.retrieve_with(&cloud, OLD).await.is_some());
}

fn base64_bytes(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
