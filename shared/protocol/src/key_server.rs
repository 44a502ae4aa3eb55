//! The key server (`key-server-registration.md`): it keeps a user's storage key, wrapped so that only the user's password
//! opens it, and hands it out over a channel on which both sides have proved that they know what the password left.
//!
//! A session is one OPAQUE login and one request. The client opens it with a `KE1` and the session's kind
//! ([`SessionOpening`]), the server answers with a `KE2` ([`StoredSession::open`]), and the client uses it with a `KE3` and
//! one sealed request ([`ClientSession::send`]), which the server opens ([`StoredSession::receive`]) and answers with a
//! sealed response.
//!
//! What a session is for is its type: an operation names the one kind of session that it can be sent over
//! ([`Operation::Session`]), and each kind of session has messages of its own.

mod audit;
mod channel;
mod client;
mod operations;
mod server;
mod session;
mod storage_key;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use audit::{AuditAction, AuditEntry, AuditHead, AuditOutcome, Chain, check_audit_log};
pub use channel::ChannelError;
pub use client::{
    AwaitedResponse, AwaitedStorageKey, ClientSession, ClientSessionError, RegistrationUnderWay, Retrieved,
    SessionOpening,
};
pub use operations::{
    AuditLogPage, ChangePassword, CompleteRegistration, DeleteStorageKey, Deleted, Operation, ReadAuditLog, Recorded,
    RequestOperation, RetrieveStorageKey, RetrievedStorageKey,
};
pub use server::{PasswordOwner, ReceivedRequest, ServerSession, ServerSessionError, SessionUser, StoredSession};
pub use session::{PasswordChange, Registration, Request, Session, SessionId, SessionIdError, SessionKind};
pub use storage_key::{
    ENCRYPTED_STORAGE_KEY_LENGTH, EncryptedStorageKey, EncryptedStorageKeyError, StorageKey, StorageKeyError,
    StorageKeyFingerprint,
};
