//! State of the key server, in `KsTable` and, what nobody should ever recover, in `KsSessionTable`.
//!
//! | table | pk | sk | attributes |
//! |---|---|---|---|
//! | `KsTable` | `USER#<user_name>` | `STORAGE_KEY` | `user_id` S, `encrypted_storage_key` B, `version` N, `audit_sequence` N, `audit_hash` B |
//! | | | `STORAGE_KEY`, once it is deleted | `user_id` S, `deleted_on` N |
//! | | | `AUDIT#<sequence>` | `entry` B, `expires_at` N |
//! | `KsSessionTable` | `USER#<user_name>` | `SESSION#<session_id>` | `expires_at` N, `sealed_session` B |
//! | | | `SESSION#…`, once its request was refused | the same, and `request_hash` B |
//! | | | `SESSION#…`, once it is used | `expires_at` N, `request_hash` B, `sealed_response` B |
//! | | `BUCKET#<name>` | `BUCKET` | a source's sessions in a window ([`crate::rate_limit`]) |
//!
//! Both are keyed by the user's name, so that a session and what it is about are read with one call. A session with a user
//! who does not exist is stored like any other. `version` is the password's under which the storage key is encrypted;
//! `audit_sequence` and `audit_hash` are the newest entry's.

mod audit_log;
mod logins;
mod session_item;
mod sessions;
mod storage_keys;

pub use audit_log::AuditLog;
pub use logins::finish_login;
pub use session_item::SessionItem;
pub use sessions::{NewSessions, SessionUse, Sessions, session_superseded, session_unknown, storage_key_exists};
pub use storage_keys::{StorageKeyChange, StorageKeyItem, StorageKeyRecord};

use vestibule_protocol::name::UserName;

fn user_partition(user_name: &UserName) -> String {
    format!("USER#{user_name}")
}
