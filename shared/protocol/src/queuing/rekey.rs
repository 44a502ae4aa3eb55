//! A new key for a record: signed by itself, so that nobody can make another's key their own.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{QsClientId, QsUserId};
use crate::credential::ProtocolVersion;
use crate::keys::{QsClientRecordKey, QsUserRecordKey, SigningKey, VerifyingKey};
use crate::signed::{SignedError, SignedPayload, Unverified, Verified};

macro_rules! rekeys {
    ($($(#[$doc:meta])* $name:ident, $payload:ident: the $purpose:ident of $record:ident: $id:ident;)*) => { $(
        #[doc = concat!("Payload of a [`", stringify!($name), "`].")]
        #[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
        pub struct $payload {
            /// The protocol's version.
            pub version: ProtocolVersion,
            /// Whose record it is.
            pub $record: $id,
            /// The key that the record is to have.
            pub verifying_key: VerifyingKey<$purpose>,
        }

        impl SignedPayload for $payload {
            const TYPE_NAME: &'static str = stringify!($name);
            type Signer = $purpose;
        }

        $(#[$doc])*
        pub type $name = Verified<$payload>;

        impl $name {
            /// Gives the record a new key.
            pub fn issue($record: $id, key: &SigningKey<$purpose>) -> Self {
                let version = ProtocolVersion::Vestibule1;
                Self::sign($payload { version, $record, verifying_key: key.verifying_key() }, key)
            }

            /// Decodes it and checks its own signature. Whether it is for the right record, the caller checks.
            ///
            /// # Errors
            /// [`SignedError`].
            pub fn verify_self_signed(bytes: &[u8]) -> Result<Self, SignedError> {
                let unverified = Unverified::<$payload>::from_bytes(bytes)?;
                let own_key = unverified.claim().verifying_key;
                unverified.verify(&own_key)
            }
        }
    )* };
}

rekeys! {
    /// A new key for a user's record, signed with that key.
    QsUserRekey, QsUserRekeyPayload: the QsUserRecordKey of qs_user_id: QsUserId;
    /// A new key for a client's record, signed with that key. The client's id stays what it was.
    QsClientRekey, QsClientRekeyPayload: the QsClientRecordKey of qs_client_id: QsClientId;
}
