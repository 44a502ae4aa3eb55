//! What a state directory lacks that an older version made.

use std::path::Path;

use serde_json::Value;
use vestibule_backend::queuing_service::public_keys::token_keys_item;
use vestibule_protocol::endpoint::{GetQsKeys, GetQsKeysResponse};
use vestibule_protocol::time::DAY;
use vestibule_tests::{Call, KeyServerUser, TestCloud, left_out_in_processes};
use vestibule_tokens::TokenKeys;

async fn start_in(directory: &Path) -> TestCloud {
    TestCloud::start_afresh_with(|builder| builder.state_directory(directory)).await
}

fn secrets_in(directory: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join("secrets.json")).unwrap()).unwrap()
}

/// Takes a secret out of a state directory, and gives those that were there.
fn remove_secret(directory: &Path, logical_id: &str) -> Value {
    let before = secrets_in(directory);
    let mut without = before.clone();
    without.as_object_mut().unwrap().remove(logical_id).unwrap();
    std::fs::write(directory.join("secrets.json"), without.to_string()).unwrap();
    before
}

fn assert_only_replaced(before: &Value, after: &Value, logical_id: &str) {
    for (name, document) in before.as_object().unwrap() {
        assert_eq!(after[name] == *document, name != logical_id, "{name}");
    }
}

async fn published_keys(cloud: &TestCloud) -> GetQsKeysResponse {
    cloud.send(&Call::new::<GetQsKeys>(&(), Vec::new())).await.success()
}

#[tokio::test]
async fn a_state_directory_from_before_there_was_a_key_server_gets_its_secret_and_keeps_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut alice = {
        let cloud = start_in(directory.path()).await;
        KeyServerUser::new(&cloud, "alice@localhost", 1).await
    };
    let before = remove_secret(directory.path(), "SealingKsSecret");

    let cloud = start_in(directory.path()).await;
    assert_only_replaced(&before, &secrets_in(directory.path()), "SealingKsSecret");
    let storage_key = alice.complete(&cloud).await;
    let retrieved = alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
    assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
}

#[tokio::test]
async fn a_state_directory_from_before_there_were_tokens_gets_their_keys_and_keeps_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let keys_before = published_keys(&start_in(directory.path()).await).await;
    let before = remove_secret(directory.path(), "TokensSecret");

    let cloud = start_in(directory.path()).await;
    assert_only_replaced(&before, &secrets_in(directory.path()), "TokensSecret");
    let keys = published_keys(&cloud).await;
    assert_eq!(keys.qs_keys, keys_before.qs_keys);
    assert_ne!(keys.token_keys, keys_before.token_keys);
    assert!(TokenKeys::read(&keys.token_keys).unwrap().current(cloud.now()).is_some());
}

#[tokio::test]
async fn a_local_cloud_that_starts_when_it_is_time_gets_another_token_key() {
    left_out_in_processes!("it moves the clock");
    let directory = tempfile::tempdir().unwrap();
    let first = published_keys(&start_in(directory.path()).await).await.token_keys;
    let clock = TestCloud::common_clock();
    clock.advance(28 * DAY);
    let start =
        || TestCloud::start_afresh_with(|builder| builder.state_directory(directory.path()).clock(clock.clone()));
    let keys = published_keys(&start().await).await.token_keys;
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1], first[0]);
    // Starting it again and again makes no more of them, and publishes what a start that was interrupted did not.
    let cloud = start().await;
    assert_eq!(published_keys(&cloud).await.token_keys, keys);
    cloud.cloud.put_item("QsTable", token_keys_item(&first).to_dynamodb_json()).await.unwrap();
    drop(cloud);
    assert_eq!(published_keys(&start().await).await.token_keys, keys);
}
