//! Secrets reach no log, at any level, and no answer.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use vestibule_keys::Deployment;
use vestibule_local::Fault;
use vestibule_protocol::encoding::SecretBytes as _;
use vestibule_protocol::endpoint::UseSessionRequest;
use vestibule_protocol::key_server::StorageKey;
use vestibule_protocol::login::LoginOperation;
use vestibule_tests::identity::{Device, identity_call};
use vestibule_tests::listening::Ear;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{
    Applicant, KeyServerUser, Pseudonym, TestCloud, altered_use, captured_log, left_out_in_processes, removal_of,
};

/// The ways in which bytes can be written into a log.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut spellings: Vec<Vec<u8>> = vec![secret.to_vec(), hex.to_uppercase().into(), hex.into(), decimal.into()];
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        spellings.push(engine.encode(secret).into());
    }
    spellings
}

/// Every secret value of a secret document: whatever in it is at least 16 bytes of base64url.
fn secrets_in(document: &Value, secrets: &mut Vec<Vec<u8>>) {
    match document {
        Value::Object(fields) => {
            let is_secret = |name: &String| name.contains("key") || name.contains("setup");
            for (name, value) in fields {
                match value.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) {
                    Some(bytes) if is_secret(name) => secrets.push(bytes),
                    _ => secrets_in(value, secrets),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| secrets_in(value, secrets)),
        _ => {}
    }
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let mut secrets = vec![b"correct horse".to_vec()];
    let deployment = Deployment::generate(cloud.domain(), cloud.now(), &mut StdRng::seed_from_u64(0));
    for secret in deployment.secrets.iter().chain([&deployment.token_issuer.secret]) {
        secrets_in(&serde_json::from_str(&secret.json).unwrap(), &mut secrets);
    }
    secrets.push(deployment.root.signing_key.to_secret_bytes().to_vec());
    assert!(secrets.len() >= 7, "the secrets of the deployment are among those looked for");

    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    secrets.push(alice.client_key.to_secret_bytes().to_vec());
    let completion = alice.initiate(&cloud).await;
    secrets.push(completion.queue.ratchet_key.to_secret_bytes().to_vec());
    secrets.push(completion.opaque_registration_record.0.clone());
    let call = alice.finishing_call(&cloud, &completion);

    // When something fails, more is logged.
    for fault in [Fault::BeforeEffect, Fault::Throttled, Fault::TransactionConflict, Fault::AfterEffect] {
        cloud.cloud.inject(move |_| Some(fault));
        cloud.send(&call).await;
    }
    cloud.cloud.clear_faults();
    let mut broken = call.clone();
    broken.body.truncate(600);
    let answers = [cloud.send(&broken).await, cloud.send(&call).await, cloud.send(&call).await];
    cloud.cloud.clock().advance(std::time::Duration::from_secs(301));
    cloud.send(&alice.finishing_call(&cloud, &completion)).await;

    // What other tests log meanwhile is searched too: their deployments have the same keys.
    let log = captured_log();
    assert!(log.contains("as-finish-registration") && log.contains("WARN"), "the log is captured: {log}");
    let alice_herself = "alice".as_bytes().to_vec();
    for (number, secret) in secrets.iter().chain([&alice_herself]).enumerate() {
        for spelling in spellings(secret) {
            let is_in = |bytes: &[u8]| bytes.windows(spelling.len()).any(|window| window == spelling);
            assert!(!is_in(log.as_bytes()), "secret {number} is in the log:\n{log}");
            assert!(!answers.iter().any(|answer| is_in(&answer.body)) || *secret == alice_herself, "secret {number}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_session_with_the_key_server_is_logged() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice-of-the-key-server@localhost", 1).await;
    let storage_key = StorageKey::generate(alice.rng());
    let (_, completion) = alice.completing_call(&cloud, &storage_key).await;
    let mut calls = vec![completion];
    for fault in [Fault::BeforeEffect, Fault::Throttled, Fault::TransactionConflict, Fault::AfterEffect] {
        cloud.cloud.inject(move |call| (call.function == "ks-use-session").then_some(fault));
        cloud.send(&calls[0]).await;
    }
    cloud.cloud.clear_faults();
    cloud.send(&calls[0]).await;
    calls.push(altered_use(&calls[0], |request| request.ke3.0[0] ^= 1));
    calls.push(alice.changing_call(&cloud, KeyServerUser::PASSWORD, "battery staple", &storage_key).await);
    let mut secrets = vec![b"battery staple".to_vec(), b"alice-of-the-key-server".to_vec()];
    secrets.push(alice.user_id.to_string().into_bytes());
    for call in &calls {
        cloud.send(call).await;
        let request: UseSessionRequest = serde_json::from_slice(&call.body).unwrap();
        secrets.extend([request.ke3.0, request.sealed_request.0]);
        secrets.push(call.path.rsplit('/').next().unwrap().as_bytes().to_vec());
    }
    for item in cloud.cloud.items("KsTable").await.unwrap() {
        if let Some(encrypted) = item.pointer("/encrypted_storage_key/B").and_then(Value::as_str) {
            secrets.push(STANDARD.decode(encrypted).unwrap());
        }
    }
    assert!(secrets.len() >= 12, "the encrypted storage key is among those looked for");
    let log = captured_log();
    assert!(log.contains("ks-use-session"), "the log is captured: {log}");
    for (number, secret) in secrets.iter().enumerate() {
        for spelling in spellings(secret) {
            let is_logged = log.as_bytes().windows(spelling.len()).any(|window| window == spelling);
            assert!(!is_logged, "secret {number} is in the log");
        }
    }
}

#[tokio::test]
async fn nothing_of_clients_logins_and_identities_is_logged() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let mut phone = Device::first(&cloud, "alice-of-many-devices@localhost", 1).await;
    let mut laptop = phone.welcome(&cloud, 2).await;
    let confirmation = laptop.prepare_update();
    let confirming = laptop.call(&cloud, &confirmation);
    let mut calls = vec![phone.client.adding_call(&cloud, &laptop.client), confirming.clone()];
    assert_eq!(cloud.send(&confirming).await.status, 200);
    let publication = laptop.client.connection_publication(&cloud, 0, 1);
    calls.push(laptop.client.publishing_call(&cloud, &publication));
    let operation = removal_of(&laptop.client);
    let (_, beginning) = phone.client.login_call(&cloud, operation, Applicant::PASSWORD);
    let login = phone.client.log_in(&cloud, operation).await;
    let (_, group_info) = phone.start_generation(2, Some(confirmation.next.follower()));
    let reset_login = phone.log_in_to_reset(&cloud, 2).await;
    calls.extend([
        beginning,
        phone.resetting_call(&cloud, 2, &group_info, reset_login.clone()),
        phone.client.removing_call(&cloud, &laptop.client, Some(login.clone())),
        identity_call(phone.client.user_name(), phone.position()),
    ]);
    let deletion_login = phone.client.log_in(&cloud, LoginOperation::DeleteUser {}).await;
    calls.push(phone.client.deleting_call(&cloud, deletion_login.clone()));

    for call in &calls {
        for fault in [Fault::BeforeEffect, Fault::Throttled, Fault::TransactionConflict, Fault::AfterEffect] {
            cloud.cloud.inject(move |call| call.function.starts_with("as-").then_some(fault));
            cloud.send(call).await;
        }
        cloud.cloud.clear_faults();
        cloud.send(call).await;
        let mut broken = call.clone();
        broken.body.truncate(40);
        cloud.send(&broken).await;
    }

    let mut secrets = vec![b"alice-of-many-devices".to_vec(), Applicant::PASSWORD.as_bytes().to_vec()];
    for device in [&phone, &laptop] {
        secrets.push(device.client.client_key.to_secret_bytes().to_vec());
        secrets.push(device.client_credential.to_bytes().0);
        secrets.push(device.client.client_id.uuid.to_string().into_bytes());
    }
    for login in [login, reset_login, deletion_login] {
        secrets.extend([login.sealed_login.0, login.ke3.0]);
    }
    secrets.extend([confirmation.commit.0, confirmation.group_info.0, group_info.0]);
    secrets.push(publication.queue.unwrap().ratchet_key.to_secret_bytes().to_vec());
    secrets.extend(publication.connection_packages.into_iter().map(|package| package.0));
    let log = captured_log();
    for function in [
        "as-add-client",
        "as-remove-client",
        "as-initiate-login",
        "as-delete-user",
        "as-commit-identity",
        "as-publish-connection-packages",
    ] {
        assert!(log.contains(function), "the log is captured: {log}");
    }
    for (number, secret) in secrets.iter().enumerate() {
        for spelling in spellings(secret) {
            let is_logged = log.as_bytes().windows(spelling.len()).any(|window| window == spelling);
            assert!(!is_logged, "secret {number} is in the log");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_queue_is_logged() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let mut alice = Pseudonym::new(&cloud, "alice-of-the-queues@localhost", 1).await.create(&cloud).await;
    let mut secrets = vec![alice.queue_ratchet_key.to_secret_bytes().to_vec()];
    secrets.push(alice.push_token_key.to_secret_bytes().to_vec());
    secrets.push(alice.qs_client_id().to_string().into_bytes());
    secrets.push(alice.qs_user_id().to_string().into_bytes());
    let message = b"the message that nobody is to see".to_vec();
    let call = sending_call(&alice.queue_config(), &message);
    secrets.push(message);
    for fault in [Fault::BeforeEffect, Fault::Throttled, Fault::TransactionConflict, Fault::AfterEffect] {
        cloud.cloud.inject(move |call| (call.function == "qs-enqueue").then_some(fault));
        cloud.send(&call).await;
    }
    cloud.cloud.clear_faults();
    cloud.send(&call).await;
    for item in cloud.cloud.items("QsQueueTable").await.unwrap() {
        for name in ["/ratchet_key/B", "/ciphertext/B"] {
            secrets.extend(item.pointer(name).and_then(Value::as_str).map(|text| STANDARD.decode(text).unwrap()));
        }
    }
    let header = alice.listen_header(&cloud);
    secrets.push(header.rsplit('.').next().unwrap().as_bytes().to_vec());
    let mut ear = Ear::open(&cloud, &header).await.unwrap();
    secrets.push(alice.listener(&cloud).await.unwrap().into_bytes());
    for fault in [Fault::Gone, Fault::BeforeEffect] {
        cloud.cloud.inject(move |call| (call.operation == "PostToConnection").then_some(fault));
        alice.receive(&cloud, [b"hello".to_vec()]).await;
    }
    cloud.cloud.clear_faults();
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
    cloud.unlistened(&alice.listener(&cloud).await.unwrap()).await;
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    let (key, code) = alice.rotation();
    secrets.push(key.to_secret_bytes().to_vec());
    cloud.send(&alice.updating_call(&cloud, &key, &code)).await;
    cloud.send(&alice.record_call(&cloud)).await;
    assert!(secrets.len() >= 9, "keys and ciphertexts of the table are among those looked for");
    let log = captured_log();
    for function in ["qs-dequeue", "qs-update-user", "qs-listen", "qs-unlisten"] {
        assert!(log.contains(function), "the log is captured: {log}");
    }
    for (number, secret) in secrets.iter().enumerate() {
        for spelling in spellings(secret) {
            let is_logged = log.as_bytes().windows(spelling.len()).any(|window| window == spelling);
            assert!(!is_logged, "secret {number} is in the log");
        }
    }
}
