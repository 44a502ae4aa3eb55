//! State of the key server, in `KsTable`.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<user_name>` | `SESSION#<session_id>` | `sealed_session` B, `expires_at` N; once it is used `request_hash` B, `sealed_response` B |
//! | | `STORAGE_KEY` | `user_id` S, `encrypted_storage_key` B, `version` N, `audit_sequence` N, `audit_hash` B |
//! | | `STORAGE_KEY`, once it is deleted | `user_id` S, `deleted_on` N |
//! | | `AUDIT#<sequence>` | `entry` B, `expires_at` N |
//! | `BUCKET#<name>` | `BUCKET` | a source's sessions in a window ([`crate::rate_limit`]) |
//!
//! A user's items have one partition, so that a session and what it is about are read with one call. A session with a user
//! who does not exist is stored like any other. `version` is the password's under which the storage key is encrypted;
//! `audit_sequence` and `audit_hash` are the newest entry's.

mod audit_log;
mod sessions;
mod storage_keys;

pub use audit_log::AuditLog;
pub use sessions::{SessionItem, SessionUse, Sessions, session_superseded, session_unknown, storage_key_exists};
pub use storage_keys::{StorageKeyChange, StorageKeyItem, StorageKeyRecord};

use vestibule_protocol::name::UserName;

fn user_partition(user_name: &UserName) -> String {
    format!("USER#{user_name}")
}
