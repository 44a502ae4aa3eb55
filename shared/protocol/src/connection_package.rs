//! Connection packages: what a stranger encrypts a request for contact to (`user-creation.md`, "Finish AS
//! registration").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::credential::{Ciphersuite, ProtocolVersion};
use crate::keys::{ClientCredentialKey, HpkePublicKey, SigningKey, VerifyingKey};
use crate::limits::{CLOCK_TOLERANCE, MAX_CONNECTION_PACKAGE_DAYS};
use crate::name::ClientId;
use crate::signed::{SignedError, SignedPayload, Unverified, Verified};
use crate::time::{DAY, ExpirationData, Timestamp};

/// Why a connection package is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectionPackageError {
    /// It does not decode or its signature is wrong.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// It is of another client.
    #[error("it is of another client")]
    ForeignClient,
    /// Its validity is over, has not begun, is too long or is not in whole days.
    #[error(
        "it is not valid at this time, or its validity is not 1 to {MAX_CONNECTION_PACKAGE_DAYS} whole days of UTC"
    )]
    ValidityRefused,
}

/// Payload of a [`ConnectionPackage`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ConnectionPackagePayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The client that made it. The AS serves it together with this client's current credential.
    pub client_id: ClientId,
    /// What the key is of.
    pub ciphersuite: Ciphersuite,
    /// The public half of a connection key pair of this package's own.
    pub encryption_key: HpkePublicKey,
    /// When it is valid: at most [`MAX_CONNECTION_PACKAGE_DAYS`], in whole days.
    pub expiration_data: ExpirationData,
}

impl SignedPayload for ConnectionPackagePayload {
    const TYPE_NAME: &'static str = "ConnectionPackage";
    type Signer = ClientCredentialKey;
}

/// A connection package, signed with the key of the client's credential.
pub type ConnectionPackage = Verified<ConnectionPackagePayload>;

impl ConnectionPackage {
    /// Makes a package for `encryption_key`, valid for as long as packages may be.
    pub fn issue(
        client_id: ClientId,
        encryption_key: HpkePublicKey,
        key: &SigningKey<ClientCredentialKey>,
        now: Timestamp,
    ) -> Self {
        let lifetime = DAY * MAX_CONNECTION_PACKAGE_DAYS as u32;
        let payload = ConnectionPackagePayload {
            version: ProtocolVersion::Vestibule1,
            client_id,
            ciphersuite: Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519,
            encryption_key,
            expiration_data: ExpirationData::starting(now.saturating_sub(CLOCK_TOLERANCE).start_of_day(), lifetime),
        };
        Self::sign(payload, key)
    }

    /// Decodes a package and checks that it is `client_id`'s, signed by its key, and valid now.
    ///
    /// # Errors
    /// [`ConnectionPackageError`].
    pub fn verify_owner(
        bytes: &[u8],
        client_id: &ClientId,
        key: &VerifyingKey<ClientCredentialKey>,
        now: Timestamp,
    ) -> Result<Self, ConnectionPackageError> {
        let package = Unverified::<ConnectionPackagePayload>::from_bytes(bytes)?.verify(key)?;
        let ConnectionPackagePayload { client_id: owner, expiration_data, .. } = package.payload();
        if owner != client_id {
            return Err(ConnectionPackageError::ForeignClient);
        }
        if !expiration_data.is_whole_days(1..=MAX_CONNECTION_PACKAGE_DAYS) || !expiration_data.contains(now) {
            return Err(ConnectionPackageError::ValidityRefused);
        }
        Ok(package)
    }
}
