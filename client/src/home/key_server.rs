//! What the state holds of the user at the key server.

use serde::{Deserialize, Serialize};
use vestibule_protocol::key_server::AuditEntry;

/// The user at the key server.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyServerState {
    /// The newest entry of the audit log that this device saw: what a later reading of the log is judged by.
    #[serde(with = "audit_entry")]
    pub(crate) newest_audit_entry: AuditEntry,
}

/// An audit entry as base64url.
mod audit_entry {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use tls_codec::{DeserializeBytes as _, Serialize as _};
    use vestibule_protocol::encoding::Bytes;
    use vestibule_protocol::key_server::AuditEntry;

    pub(super) fn serialize<S: Serializer>(entry: &AuditEntry, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(entry.tls_serialize_detached().expect("it has one length")).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AuditEntry, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        AuditEntry::tls_deserialize_exact_bytes(&bytes.0).map_err(|_| D::Error::custom("an audit entry has 50 bytes"))
    }
}
