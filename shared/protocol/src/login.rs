//! Logins at the authentication service: what a client does with the user's password beside its own key.
//!
//! A login is OPAQUE's (RFC 9807, section 6) and good for one operation, which is part of its context together with the
//! client that logs in. What the server must remember between its two messages it seals and leaves in the client's hands.
//! The operations are such that doing one twice is doing it once, so it does not matter how often a login is presented
//! while it lasts.

use serde::{Deserialize, Serialize};
use tls_codec::{Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::encoding::Bytes;
use crate::name::{ClientId, ClientUuid};
use crate::signed::labelled;

/// What a login is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[repr(u8)]
pub enum LoginOperation {
    /// To remove a client of the user.
    #[tls_codec(discriminant = 1)]
    RemoveClient {
        /// Which.
        client_uuid: ClientUuid,
    },
    /// To delete the user.
    DeleteUser {},
    /// To start a generation of the user's identity.
    ResetIdentity {
        /// Which.
        generation: u64,
    },
}

impl LoginOperation {
    /// The `context` of the login of a client for this operation (RFC 9807, section 6.1).
    ///
    /// ```text
    /// struct {
    ///     opaque label<V> = "Vestibule 1.0 Login";
    ///     opaque content<V>;      // LoginContext
    /// }
    ///
    /// struct {
    ///     ClientId client_id;
    ///     LoginOperation operation;
    /// } LoginContext;
    /// ```
    pub fn opaque_context(&self, client_id: &ClientId) -> Vec<u8> {
        let mut content = Vec::new();
        let written = (|| {
            client_id.tls_serialize(&mut content)?;
            self.tls_serialize(&mut content)
        })();
        written.expect("a Vec takes whatever is written");
        labelled("Login", &content)
    }
}

/// The second half of a login, which proves that the password is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginProof {
    /// What initiating the login gave, unchanged.
    pub sealed_login: Bytes,
    /// An OPAQUE `KE3`: 64 bytes.
    pub ke3: Bytes,
}
