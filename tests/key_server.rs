//! The key server.

mod audit_log;
mod indistinguishable;
mod limits;
mod password_change;
mod registration;
mod sessions;

use serde_json::Value;
use vestibule_tests::TestCloud;

/// Every item but the sessions, which come and go.
async fn lasting_state(cloud: &TestCloud) -> Vec<Value> {
    let mut items = cloud.state().await;
    items.retain(|item| !item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("SESSION#")));
    items
}

/// Asserts that since `before` one session was opened, and nothing else happened.
async fn assert_a_session_was_opened(cloud: &TestCloud, before: &[Value]) {
    let mut items = cloud.state().await;
    items.retain(|item| !before.contains(item));
    let [opened] = items.as_slice() else { panic!("{items:?}") };
    assert!(opened["sk"]["S"].as_str().is_some_and(|key| key.starts_with("SESSION#")), "{opened}");
    assert_eq!(cloud.state().await.len(), before.len() + 1, "something is gone");
}
