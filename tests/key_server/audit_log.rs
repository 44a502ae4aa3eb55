//! The audit log, as its owner reads it.

use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::key_server::{
    AuditAction, AuditEntry, Chain, ReadAuditLog, Request, RetrieveStorageKey, check_audit_log,
};
use vestibule_protocol::limits::AUDIT_PAGE_LENGTH;
use vestibule_tests::{KeyServerUser, TestCloud, all_at_once, left_out_in_processes, response};

async fn read(cloud: &TestCloud, user: &mut KeyServerUser, password: &str, before: Option<u64>) -> Vec<AuditEntry> {
    let session = user.open_with::<Request>(cloud, password).await.unwrap();
    let (awaited, call) = session.send(ReadAuditLog { before });
    let page = response(&awaited, &cloud.send(&call).await);
    assert_eq!(page.user_id, user.user_id);
    page.entries
}

#[tokio::test]
async fn it_says_what_was_done_newest_first() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let began = cloud.now();
    let storage_key = alice.complete(&cloud).await;
    cloud.cloud.clock().advance(Duration::from_secs(5));
    alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.unwrap();
    assert!(alice.retrieve_with(&cloud, "wrong").await.is_none());
    let change = alice.changing_call(&cloud, KeyServerUser::PASSWORD, "battery staple", &storage_key).await;
    cloud.send(&change).await;
    cloud.send(&change).await;
    let entries = read(&cloud, &mut alice, "battery staple", None).await;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action).collect();
    use AuditAction::{AuditLogRead, PasswordChanged, RegistrationCompleted, StorageKeyRetrieved};
    assert_eq!(actions, [AuditLogRead, PasswordChanged, StorageKeyRetrieved, RegistrationCompleted]);
    assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert_eq!(entries[3].at, began);
    assert_eq!(entries[2].at, began.saturating_add(Duration::from_secs(5)));
    assert_eq!(check_audit_log(&entries, &alice.user_id, Some(&entries[3]), cloud.now()), Chain::Intact);
    assert_eq!(check_audit_log(&entries, &alice.user_id, None, cloud.now()), Chain::Unknown);
}

#[tokio::test]
async fn it_is_read_in_pages_that_hold_together() {
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    alice.complete(&cloud).await;
    // As many entries as a page and a little more, made quickly: sessions are opened one after the other.
    let count = AUDIT_PAGE_LENGTH + 3;
    for _ in 0..count {
        let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
        assert_eq!(cloud.send(&call).await.status, 200);
    }
    let mut entries = read(&cloud, &mut alice, KeyServerUser::PASSWORD, None).await;
    assert_eq!(entries.len(), AUDIT_PAGE_LENGTH);
    let oldest = entries.last().unwrap().sequence;
    entries.extend(read(&cloud, &mut alice, KeyServerUser::PASSWORD, Some(oldest)).await);
    assert_eq!(entries.len(), count + 2);
    assert_eq!(entries.last().unwrap().sequence, 1);
    assert_eq!(check_audit_log(&entries, &alice.user_id, Some(&entries[150]), cloud.now()), Chain::Intact);
    assert!(read(&cloud, &mut alice, KeyServerUser::PASSWORD, Some(1)).await.is_empty());
}

#[tokio::test]
async fn entries_end_after_a_year() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    alice.complete(&cloud).await;
    cloud.cloud.clock().advance(Duration::from_secs(366 * 24 * 60 * 60 - 1));
    assert_eq!(read(&cloud, &mut alice, KeyServerUser::PASSWORD, None).await.len(), 2);
    cloud.cloud.clock().advance(Duration::from_secs(1));
    let entries = read(&cloud, &mut alice, KeyServerUser::PASSWORD, None).await;
    assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sessions_leave_a_chain_without_gaps() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    alice.complete(&cloud).await;
    let mut calls = Vec::new();
    for _ in 0..8 {
        calls.push(alice.open::<Request>(&cloud).await.send(RetrieveStorageKey).1);
    }
    // Who meets another is asked to send the same again, as a client does.
    let mut left = calls.clone();
    for _ in 0..8 {
        all_at_once(&cloud, left.clone()).await;
        let mut unfinished = Vec::new();
        for call in left {
            if cloud.send(&call).await.status != 200 {
                unfinished.push(call);
            }
        }
        left = unfinished;
    }
    assert!(left.is_empty());
    let entries = read(&cloud, &mut alice, KeyServerUser::PASSWORD, None).await;
    assert_eq!(entries.len(), 10);
    assert_eq!(check_audit_log(&entries, &alice.user_id, Some(&entries[9]), cloud.now()), Chain::Intact);
}
