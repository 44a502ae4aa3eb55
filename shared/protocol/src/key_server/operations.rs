//! What can be asked of the key server over its sessions.

use tls_codec::{DeserializeBytes, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use super::audit::AuditEntry;
use super::session::{PasswordChange, Registration, Request, Session};
use super::storage_key::EncryptedStorageKey;
use crate::encoding::Bytes;
use crate::name::UserId;

/// Something that is asked for over one kind of session.
pub trait Operation {
    /// Over which.
    type Session: Session;
    /// What is answered when it is done.
    type Response: tls_codec::Serialize + DeserializeBytes;

    /// What is sent.
    fn into_request(self) -> <Self::Session as Session>::Request;
}

/// Stores the storage key: the end of the registration (`key-server-registration.md`, step 1.6). It can be done once.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct CompleteRegistration {
    /// The user's id. The server checks that it is the session's user's.
    pub user_id: UserId,
    encrypted_storage_key: VLBytes,
}

impl CompleteRegistration {
    /// For this user, this encrypted storage key.
    pub fn new(user_id: UserId, encrypted_storage_key: &EncryptedStorageKey) -> Self {
        Self::with_bytes(user_id, &encrypted_storage_key.to_bytes())
    }

    /// The same with any bytes for an encrypted storage key: a server refuses what is none.
    pub fn with_bytes(user_id: UserId, encrypted_storage_key: &Bytes) -> Self {
        Self { user_id, encrypted_storage_key: VLBytes::from(encrypted_storage_key.0.clone()) }
    }

    /// The encrypted storage key, which nobody has checked yet.
    pub fn encrypted_storage_key(&self) -> &[u8] {
        self.encrypted_storage_key.as_slice()
    }
}

impl Operation for CompleteRegistration {
    type Session = Registration;
    type Response = Recorded;

    fn into_request(self) -> Self {
        self
    }
}

/// Replaces the password, and with it the record and the encrypted storage key; the storage key stays what it is.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ChangePassword {
    registration_record: VLBytes,
    encrypted_storage_key: VLBytes,
}

impl ChangePassword {
    /// An OPAQUE `RegistrationRecord` (192 bytes) of the new password, and the storage key encrypted under what it gives.
    pub fn new(registration_record: &Bytes, encrypted_storage_key: &EncryptedStorageKey) -> Self {
        Self::with_bytes(registration_record, &encrypted_storage_key.to_bytes())
    }

    /// The same with any bytes for an encrypted storage key: a server refuses what is none.
    pub fn with_bytes(registration_record: &Bytes, encrypted_storage_key: &Bytes) -> Self {
        Self {
            registration_record: VLBytes::from(registration_record.0.clone()),
            encrypted_storage_key: VLBytes::from(encrypted_storage_key.0.clone()),
        }
    }

    /// The record, which [`RegistrationRecord::from_upload`](crate::opaque::RegistrationRecord::from_upload) checks.
    pub fn registration_record(&self) -> &[u8] {
        self.registration_record.as_slice()
    }

    /// The encrypted storage key, which nobody has checked yet.
    pub fn encrypted_storage_key(&self) -> &[u8] {
        self.encrypted_storage_key.as_slice()
    }
}

impl Operation for ChangePassword {
    type Session = PasswordChange;
    type Response = Recorded;

    fn into_request(self) -> Self {
        self
    }
}

/// What is asked for over a request session.
///
/// ```text
/// struct {
///     uint8 operation;        // 1 retrieve storage key, 2 read audit log, 3 delete storage key
///     select (operation) {
///         case 2: optional<uint64> before;
///     };
/// } RequestOperation;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum RequestOperation {
    /// [`RetrieveStorageKey`].
    #[tls_codec(discriminant = 1)]
    RetrieveStorageKey,
    /// [`ReadAuditLog`].
    #[tls_codec(discriminant = 2)]
    ReadAuditLog(ReadAuditLog),
    /// [`DeleteStorageKey`].
    #[tls_codec(discriminant = 3)]
    DeleteStorageKey,
}

/// Retrieves the storage key (`key-server-registration.md`, "Retrieve `storage_key` functionality").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetrieveStorageKey;

impl Operation for RetrieveStorageKey {
    type Session = Request;
    type Response = RetrievedStorageKey;

    fn into_request(self) -> RequestOperation {
        RequestOperation::RetrieveStorageKey
    }
}

/// Reads a page of the audit log: at most [`AUDIT_PAGE_LENGTH`](crate::limits::AUDIT_PAGE_LENGTH) entries, newest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ReadAuditLog {
    /// The page begins before the entry with this sequence number; with the newest entry, which is that of this reading,
    /// if none is given.
    pub before: Option<u64>,
}

impl Operation for ReadAuditLog {
    type Session = Request;
    type Response = AuditLogPage;

    fn into_request(self) -> RequestOperation {
        RequestOperation::ReadAuditLog(self)
    }
}

/// Deletes the storage key and the audit log, for ever: part of the deletion of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeleteStorageKey;

impl Operation for DeleteStorageKey {
    type Session = Request;
    type Response = Deleted;

    fn into_request(self) -> RequestOperation {
        RequestOperation::DeleteStorageKey
    }
}

/// The answer to what changed something: it is done, and recorded in the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Recorded {
    /// The entry that says so.
    pub audit_entry: AuditEntry,
}

/// The answer to [`RetrieveStorageKey`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RetrievedStorageKey {
    /// The user's id, which a client on a new device does not know.
    pub user_id: UserId,
    encrypted_storage_key: VLBytes,
    /// The entry that says that it was retrieved.
    pub audit_entry: AuditEntry,
}

impl RetrievedStorageKey {
    /// This user's encrypted storage key.
    pub fn new(user_id: UserId, encrypted_storage_key: &[u8], audit_entry: AuditEntry) -> Self {
        Self { user_id, encrypted_storage_key: VLBytes::from(encrypted_storage_key.to_vec()), audit_entry }
    }

    /// The encrypted storage key.
    pub fn encrypted_storage_key(&self) -> &[u8] {
        self.encrypted_storage_key.as_slice()
    }
}

/// The answer to [`ReadAuditLog`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AuditLogPage {
    /// The user's id, with which the log begins.
    pub user_id: UserId,
    /// Entries without gaps, newest first. Those that are older than logs are kept are missing.
    pub entries: Vec<AuditEntry>,
}

/// The answer to [`DeleteStorageKey`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Deleted {}
