//! What is kept of a user's storage key.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use vestibule_protocol::key_server::{AuditHead, EncryptedStorageKey, SessionUser};
use vestibule_protocol::name::{UserId, UserName};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;

use super::user_partition;
use crate::dynamodb::{Item, bytes, corrupt_item, number, put_new};

const USER_ID: &str = "user_id";
const ENCRYPTED_STORAGE_KEY: &str = "encrypted_storage_key";
const VERSION: &str = "version";
const AUDIT_SEQUENCE: &str = "audit_sequence";
const AUDIT_HASH: &str = "audit_hash";
const DELETED_ON: &str = "deleted_on";

/// What is kept of a user's storage key.
pub enum StorageKeyItem {
    /// The key.
    Kept(StorageKeyRecord),
    /// That there was one. It stays, so that nothing can bring another.
    Deleted,
}

/// A storage key as it is kept.
pub struct StorageKeyRecord {
    /// The user's id.
    pub user_id: UserId,
    /// The encrypted key: 82 bytes.
    pub encrypted_storage_key: Vec<u8>,
    /// The password's version under which it is encrypted.
    pub version: u64,
    /// The newest entry of the audit log.
    pub audit_head: AuditHead,
}

impl StorageKeyRecord {
    /// Whether it is this user's, encrypted under the password of this version.
    pub fn is_of(&self, user: &SessionUser) -> bool {
        self.user_id == user.user_id && self.version == user.version
    }
}

impl StorageKeyItem {
    pub(super) fn key(user_name: &UserName) -> Item {
        Item::keyed(user_partition(user_name), "STORAGE_KEY")
    }

    pub(super) fn read(item: &Item) -> Result<Self, Problem> {
        if item.get_number(DELETED_ON).is_some() {
            return Ok(Self::Deleted);
        }
        let record = (|| {
            Some(StorageKeyRecord {
                user_id: item.get_string(USER_ID)?.parse().ok()?,
                encrypted_storage_key: item.get_bytes(ENCRYPTED_STORAGE_KEY)?.to_vec(),
                version: item.get_number(VERSION)?,
                audit_head: AuditHead {
                    sequence: item.get_number(AUDIT_SEQUENCE)?,
                    hash: item.get_bytes(AUDIT_HASH)?.try_into().ok()?,
                },
            })
        })();
        record.map(Self::Kept).ok_or_else(|| corrupt_item("a storage key"))
    }
}

/// What the use of a session does to the storage key. But for the first, each is conditional on the newest audit entry: what
/// came in between makes the caller look again.
pub enum StorageKeyChange<'a> {
    /// It is stored, where none is or was.
    Store(EncryptedStorageKey),
    /// It stays; the audit log grows.
    Keep(&'a StorageKeyRecord),
    /// It is kept in another encryption, under the password's next version.
    Replace(&'a StorageKeyRecord, EncryptedStorageKey),
    /// It is deleted.
    Delete(&'a StorageKeyRecord),
}

impl StorageKeyChange<'_> {
    /// The part of the transaction that does it.
    pub(super) fn write(
        &self,
        table: &str,
        user_name: &UserName,
        user: &SessionUser,
        audit_head: Option<&AuditHead>,
        now: Timestamp,
    ) -> TransactWriteItem {
        let key = StorageKeyItem::key(user_name);
        let update = |record: &StorageKeyRecord| {
            Update::builder()
                .table_name(table)
                .set_key(Some(key.clone().into()))
                .condition_expression("#sequence = :seen AND #version = :version")
                .expression_attribute_names("#sequence", AUDIT_SEQUENCE)
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":seen", number(record.audit_head.sequence))
                .expression_attribute_values(":version", number(user.version))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        };
        let record_entry = |update: aws_sdk_dynamodb::types::builders::UpdateBuilder| {
            let head = audit_head.expect("only a deletion leaves no entry");
            update
                .expression_attribute_names("#hash", AUDIT_HASH)
                .expression_attribute_values(":sequence", number(head.sequence))
                .expression_attribute_values(":hash", bytes(&head.hash))
        };
        let update = match self {
            Self::Store(encrypted_storage_key) => {
                let head = audit_head.expect("only a deletion leaves no entry");
                let item = key
                    .string(USER_ID, user.user_id.to_string())
                    .bytes(ENCRYPTED_STORAGE_KEY, encrypted_storage_key.to_bytes())
                    .number(VERSION, user.version)
                    .number(AUDIT_SEQUENCE, head.sequence)
                    .bytes(AUDIT_HASH, head.hash);
                return TransactWriteItem::builder().put(put_new(table, item)).build();
            }
            Self::Keep(record) => {
                record_entry(update(record)).update_expression("SET #sequence = :sequence, #hash = :hash")
            }
            Self::Replace(record, encrypted_storage_key) => record_entry(update(record))
                .update_expression("SET #sequence = :sequence, #hash = :hash, #key = :key, #version = :next")
                .expression_attribute_names("#key", ENCRYPTED_STORAGE_KEY)
                .expression_attribute_values(":key", bytes(&encrypted_storage_key.to_bytes().0))
                .expression_attribute_values(":next", number(user.version + 1)),
            Self::Delete(record) => update(record)
                .update_expression("SET #deleted = :today REMOVE #key, #version, #sequence, #hash")
                .expression_attribute_names("#deleted", DELETED_ON)
                .expression_attribute_names("#key", ENCRYPTED_STORAGE_KEY)
                .expression_attribute_names("#hash", AUDIT_HASH)
                .expression_attribute_values(":today", number(now.start_of_day().seconds())),
        };
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are given")).build()
    }
}
