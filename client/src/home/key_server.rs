//! What the state holds of the user at the key server.

use serde::{Deserialize, Serialize};
use vestibule_protocol::key_server::AuditHead;

/// The user at the key server.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyServerState {
    /// The newest entry of the audit log that this device saw: what a later reading of the log is judged by.
    #[serde(with = "audit_head")]
    pub(crate) audit_head: AuditHead,
}

/// An audit head as base64url.
mod audit_head {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use tls_codec::{DeserializeBytes as _, Serialize as _};
    use vestibule_protocol::encoding::Bytes;
    use vestibule_protocol::key_server::AuditHead;

    pub(super) fn serialize<S: Serializer>(head: &AuditHead, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(head.tls_serialize_detached().expect("it has one length")).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AuditHead, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        AuditHead::tls_deserialize_exact_bytes(&bytes.0).map_err(|_| D::Error::custom("an audit head has 40 bytes"))
    }
}
