//! `docs/vectors/key-server.json`: what another implementation checks its channel, storage key and audit log with.
//! `VESTIBULE_BLESS=1` writes it.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::channel::{ChannelKeys, request_hash};
use super::session::{RegistrationExchange, opaque_context};
use super::*;
use crate::encoding::Bytes;
use crate::name::{UserId, UserName};
use crate::opaque::{ExportKey, SessionKey};
use crate::time::Timestamp;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/key-server.json");

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tls(value: &impl tls_codec::Serialize) -> Vec<u8> {
    value.tls_serialize_detached().unwrap()
}

fn session_id() -> SessionId {
    "AAECAwQFBgcICQoLDA0ODw".parse().unwrap()
}

fn user_id() -> UserId {
    "7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap()
}

fn contexts() -> Value {
    let exchange = RegistrationExchange { request: [1; 32], response: [2; 64] };
    json!([
        { "kind": "registration", "context": hex(opaque_context(SessionKind::Registration, &session_id(), None)) },
        { "kind": "request", "context": hex(opaque_context(SessionKind::Request, &session_id(), None)) },
        {
            "kind": "password-change",
            "opaque_registration_request": hex(exchange.request),
            "opaque_registration_response": hex(exchange.response),
            "context": hex(opaque_context(SessionKind::PasswordChange, &session_id(), Some(&exchange))),
        },
    ])
}

/// A request and its response over the channel of one session.
fn exchange<O: Operation>(kind: SessionKind, operation: O, response: &O::Response) -> Value {
    let user_name: UserName = "alice@localhost".parse().unwrap();
    let session_key = [3; 64];
    let keys = ChannelKeys::derive(kind, &SessionKey::from_bytes(session_key), &session_id(), &user_name);
    let request = operation.into_request();
    let sealed_request = keys.request.seal(&request, &[]);
    let sealed_response = keys.response.seal(response, &request_hash(&sealed_request.0));
    json!({
        "kind": kind,
        "session_id": session_id(),
        "user_name": user_name,
        "session_key": hex(session_key),
        "request": hex(tls(&request)),
        "sealed_request": hex(sealed_request),
        "response": hex(tls(response)),
        "sealed_response": hex(sealed_response),
    })
}

fn audit_entries() -> [AuditEntry; 2] {
    let at = Timestamp::from_seconds(1_800_000_000);
    let first =
        AuditHead::before_first(&user_id()).next(at, AuditAction::RegistrationCompleted, AuditOutcome::Succeeded);
    [first, first.head().next(at, AuditAction::StorageKeyRetrieved, AuditOutcome::Succeeded)]
}

fn vectors() -> Value {
    let rng = &mut StdRng::seed_from_u64(1);
    let export_key = [4; 64];
    let storage_key = StorageKey::from_bytes([5; 32]);
    let encrypted = storage_key.encrypt(&ExportKey::from_bytes(export_key), &user_id(), rng);
    let [first, second] = audit_entries();
    let recorded = Recorded { audit_entry: first };
    let retrieved = RetrievedStorageKey::new(user_id(), &encrypted.to_bytes().0, second);
    let page = AuditLogPage { user_id: user_id(), entries: vec![second, first] };
    json!({
        "opaque_contexts": contexts(),
        "exchanges": [
            exchange(SessionKind::Registration, CompleteRegistration::new(user_id(), &encrypted), &recorded),
            exchange(SessionKind::Request, RetrieveStorageKey, &retrieved),
            exchange(SessionKind::Request, ReadAuditLog { before: None }, &page),
            exchange(SessionKind::Request, ReadAuditLog { before: Some(3) }, &page),
            exchange(SessionKind::Request, DeleteStorageKey, &Deleted {}),
            exchange(SessionKind::PasswordChange, ChangePassword::new(&Bytes(vec![6; 192]), &encrypted), &recorded),
        ],
        "storage_key": {
            "storage_key": hex([5; 32]),
            "export_key": hex(export_key),
            "user_id": user_id(),
            "encrypted_storage_key": hex(encrypted.to_bytes()),
            "fingerprint": storage_key.fingerprint().to_string(),
            "sealed": {
                "purpose": "settings",
                "plaintext": hex(b"dark"),
                "associated_data": hex(b"v1"),
                "sealed": hex(storage_key.seal("settings", b"dark", b"v1", rng)),
            },
        },
        "audit_log": {
            "user_id": user_id(),
            "before_first": hex(AuditHead::before_first(&user_id()).hash),
            "entries": ([first, second].map(|entry| json!({ "entry": hex(tls(&entry)), "hash": hex(entry.head().hash) }))),
        },
    })
}

#[test]
fn the_vectors_of_the_key_server_are_current() {
    let current = vectors();
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        std::fs::write(PATH, format!("{}\n", serde_json::to_string_pretty(&current).unwrap())).unwrap();
    }
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    let is_current = serde_json::from_str::<Value>(&written).is_ok_and(|written| written == current);
    assert!(is_current, "docs/vectors/key-server.json is not current: run the tests with VESTIBULE_BLESS=1");
}
