//! The records of the queuing service: identifiers, client records, the service's own keys, answers to claims, requests to
//! listen.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::credential::ProtocolVersion;
use crate::keys::{QsClientRecordKey, QsUserRecordKey, SigningKey, VerifyingKey};
use crate::signed::{SignedError, SignedPayload, Unverified, Verified, labelled_hash};
use crate::text_form::bytes_text_form;

mod claim;
mod keys;
mod listening;
mod rekey;

pub use claim::{ClaimAnswer, ClaimAnswerPayload, packages_hash};
pub use keys::{QsKeys, QsKeysPayload};
pub use listening::{LISTEN_SUBPROTOCOL, ListenNotice, ListenRequest, ListenRequestError, ListenRequestPayload};
pub use rekey::{QsClientRekey, QsClientRekeyPayload, QsUserRekey, QsUserRekeyPayload};

/// The text is not an identifier of the queuing service: 32 bytes as 43 characters of base64url are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an identifier of the queuing service is 32 bytes in base64url without padding")]
pub struct QsIdError;

/// Identifiers that are hashes of the key that a record was created with, so that a repeated request finds its record.
macro_rules! qs_id {
    ($(#[$doc:meta])* $name:ident of $purpose:ident) => {
        $(#[$doc])*
        ///
        /// 32 bytes; base64url in text and JSON.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The identifier of the record created with this key.
            pub fn of(key: &VerifyingKey<$purpose>) -> Self {
                Self(labelled_hash(stringify!($name), key.as_bytes()))
            }

            /// The identifier's 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        bytes_text_form!($name, QsIdError);
    };
}

qs_id! {
    /// A user at the queuing service: a pseudonym that has nothing to do with the user's name.
    QsUserId of QsUserRecordKey
}

qs_id! {
    /// A client at the queuing service.
    QsClientId of QsClientRecordKey
}

/// Payload of a [`QsClientRecord`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsClientRecordPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// Whose client it is to be.
    pub qs_user_id: QsUserId,
    /// The client record's key.
    pub verifying_key: VerifyingKey<QsClientRecordKey>,
}

impl SignedPayload for QsClientRecordPayload {
    const TYPE_NAME: &'static str = "QsClientRecord";
    type Signer = QsClientRecordKey;
}

/// A client's record, signed with the very key it is for: nobody can claim another's key for a client of theirs.
pub type QsClientRecord = Verified<QsClientRecordPayload>;

impl QsClientRecord {
    /// Makes a record.
    pub fn issue(qs_user_id: QsUserId, key: &SigningKey<QsClientRecordKey>) -> Self {
        let payload = QsClientRecordPayload {
            version: ProtocolVersion::Vestibule1,
            qs_user_id,
            verifying_key: key.verifying_key(),
        };
        Self::sign(payload, key)
    }

    /// Decodes a record and checks its own signature. Whether it is for the right user, the caller checks.
    ///
    /// # Errors
    /// [`SignedError`].
    pub fn verify_self_signed(bytes: &[u8]) -> Result<Self, SignedError> {
        let unverified = Unverified::<QsClientRecordPayload>::from_bytes(bytes)?;
        let own_key = unverified.claim().verifying_key;
        unverified.verify(&own_key)
    }

    /// The client's identifier.
    pub fn qs_client_id(&self) -> QsClientId {
        QsClientId::of(&self.payload().verifying_key)
    }
}

#[cfg(test)]
mod tests;
