//! The commands about storage key and password.

use super::*;

const CHECK: &[&str] = &["storage-key", "check", "--password-stdin", "--json"];

/// Runs a command with these lines on stdin.
async fn vestibule_asked(device: &Device, arguments: &[&str], lines: &str) -> Ran {
    vestibule_with(device, arguments, lines, |options| options).await
}

async fn registered() -> Device {
    let device = Device::new();
    assert_eq!(vestibule(&device, &["register", ALICE, "--password-stdin"]).await.exit_code, 0);
    device
}

#[tokio::test]
async fn a_storage_key_has_the_same_fingerprint_on_every_device() {
    let device = registered().await;
    let event = vestibule(&device, CHECK).await.events().remove(0);
    let fingerprint = event["fingerprint"].as_str().unwrap();
    assert_eq!(event, json!({"event": "storage-key", "fingerprint": fingerprint}));
    assert_eq!(fingerprint.len(), 43);

    let empty = device.another();
    let ran = vestibule(&empty, &["storage-key", "check", ALICE, "--password-stdin"]).await;
    assert_eq!((ran.stdout, ran.stderr), (format!("{fingerprint}\n"), String::new()));
    assert_eq!(std::fs::read_dir(empty.home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_password_is_changed_with_two_lines() {
    let device = registered().await;
    let before = vestibule(&device, CHECK).await.events();
    let change = ["password", "change", "--password-stdin"];
    let ran = vestibule_asked(&device, &change, &format!("{PASSWORD}\nbattery staple")).await;
    let wanted = "Your password is changed. Your storage key is the same as before.\n";
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (0, wanted));
    assert_eq!(vestibule_asked(&device, CHECK, "battery staple").await.events(), before);
    assert_eq!(vestibule(&device, CHECK).await.events()[0]["problem"], "urn:vestibule:client:wrong-password");

    let change = ["password", "change", "--password-stdin", "--json"];
    let ran = vestibule_asked(&device, &change, "battery staple\r\nthird").await;
    assert_eq!(ran.events(), [json!({"event": "password-changed"})]);
    let ran = vestibule_asked(&device, &change, "battery staple\nfourth").await;
    assert_eq!(ran.events()[0]["problem"], "urn:vestibule:client:wrong-password");
    let ran = vestibule_asked(&device, &change, "third").await;
    assert_eq!(ran.stderr, "error: an empty password protects nothing\n");
}

#[tokio::test]
async fn an_audit_log_is_listed_newest_first() {
    let device = registered().await;
    let entry = |sequence, action| json!({"sequence": sequence, "at": "2027-01-15T08:00:00Z", "action": action, "outcome": "succeeded"});
    let ran = vestibule(&device, &["audit", "--password-stdin", "--json"]).await;
    let entries = [entry(2, "audit-log-read"), entry(1, "registration-completed")];
    assert_eq!(ran.events(), [json!({"event": "audit", "entries": entries, "chain": "intact"})]);

    let ran = vestibule(&device.another(), &["audit", ALICE, "--password-stdin"]).await;
    let wanted = "     3  2027-01-15T08:00:00Z  audit-log-read          succeeded\n     \
                  2  2027-01-15T08:00:00Z  audit-log-read          succeeded\n     \
                  1  2027-01-15T08:00:00Z  registration-completed  succeeded\n\
                  unknown: this device has seen nothing before that it could be compared with\n";
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (0, wanted));
}

#[tokio::test]
async fn an_altered_audit_log_is_named_as_such() {
    let device = registered().await;
    device.service.deployment().key_server.users.get_mut(ALICE).unwrap().audit_log.clear();
    for _ in 0..2 {
        let ran = vestibule(&device, &["audit", "--password-stdin", "--json"]).await;
        assert_eq!(ran.events()[0]["chain"], "altered");
    }
    let ran = vestibule(&device, &["audit", "--password-stdin"]).await;
    assert!(
        ran.stdout
            .ends_with("altered: SOMEBODY HAS CHANGED THE LOG, or cut entries off, since this device saw it last\n")
    );
}

#[tokio::test]
async fn a_locked_home_is_unlocked_with_name_and_password() {
    let device = registered().await;
    let unlock = ["unlock", ALICE, "--password-stdin"];
    let ran = vestibule_asked(&device, &unlock, "not needed").await;
    assert_eq!(ran.stdout, "The home of alice@localhost is not locked.\n");

    std::fs::remove_file(device.home.path().join("device-key")).unwrap();
    let ran = vestibule(&device, &["status", "--json"]).await;
    assert_eq!(ran.events()[0]["problem"], "urn:vestibule:client:home-locked");
    assert!(ran.stderr.contains("`vestibule unlock NAME@DOMAIN`"), "{}", ran.stderr);
    let ran = vestibule(&device, &["unlock", "--password-stdin", "--json"]).await;
    assert_eq!(ran.events()[0]["problem"], "urn:vestibule:client:user-name-needed");
    let ran = vestibule_asked(&device, &unlock, "wrong").await;
    assert_eq!(ran.stderr, "error: the password is wrong, or there is no such user\n");

    assert_eq!(vestibule(&device, &unlock).await.stdout, "The home of alice@localhost is open again.\n");
    let ran = vestibule(&device, &["unlock", "--json"]).await;
    assert_eq!(ran.events(), [json!({"event": "unlocked", "user_name": ALICE})]);
    assert_eq!(vestibule(&device, &["status"]).await.exit_code, 0);
}
