//! What a state directory lacks that an older version made.

use serde_json::Value;
use vestibule_tests::{KeyServerUser, TestCloud};

#[tokio::test]
async fn a_state_directory_from_before_there_was_a_key_server_gets_its_secret_and_keeps_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let start = || TestCloud::start_afresh_with(|builder| builder.state_directory(directory.path()));
    let path = directory.path().join("secrets.json");
    let secrets = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
    let alice = {
        let cloud = start().await;
        KeyServerUser::new(&cloud, "alice@localhost", 1).await
    };
    let before = secrets();
    let mut without = before.clone();
    without.as_object_mut().unwrap().retain(|name, _| name != "SealingKsSecret");
    assert_ne!(without, before);
    std::fs::write(&path, without.to_string()).unwrap();

    let cloud = start().await;
    let after = secrets();
    for (name, document) in before.as_object().unwrap() {
        assert_eq!(after[name] == *document, name != "SealingKsSecret", "{name}");
    }
    let mut alice = alice;
    let storage_key = alice.complete(&cloud).await;
    let retrieved = alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
    assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
}
