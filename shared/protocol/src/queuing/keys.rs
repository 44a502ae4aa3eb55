//! The queuing service's own keys, certified by the root.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::credential::{AsCredential, Ciphersuite, CredentialError, ProtocolVersion, check_days, check_now};
use crate::keys::{AsCredentialKey, HpkePublicKey, QsSigningKey, SigningKey, VerifyingKey};
use crate::limits::MAX_QS_KEYS_DAYS;
use crate::name::Domain;
use crate::signed::{SignedPayload, Unverified, Verified};
use crate::time::{DAY, ExpirationData, Timestamp};

/// Payload of [`QsKeys`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsKeysPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The deployment.
    pub domain: Domain,
    /// What the keys are of.
    pub ciphersuite: Ciphersuite,
    /// What verifies the queuing service's answers.
    pub verifying_key: VerifyingKey<QsSigningKey>,
    /// What queue configs are encrypted to.
    pub queue_config_key: HpkePublicKey,
    /// When they are valid: at most [`MAX_QS_KEYS_DAYS`], inside the root's.
    pub expiration_data: ExpirationData,
}

impl SignedPayload for QsKeysPayload {
    const TYPE_NAME: &'static str = "QsKeys";
    type Signer = AsCredentialKey;
}

/// The queuing service's keys, signed by the deployment's root at the key ceremony: a client that pinned the root needs
/// to trust nothing else. It names no signer, because there is but one that could be.
pub type QsKeys = Verified<QsKeysPayload>;

impl QsKeys {
    /// Certifies keys for at most `days` from today on.
    pub fn issue(
        verifying_key: VerifyingKey<QsSigningKey>,
        queue_config_key: HpkePublicKey,
        root: &AsCredential,
        root_key: &SigningKey<AsCredentialKey>,
        now: Timestamp,
        days: u64,
    ) -> Self {
        let not_before = now.start_of_day();
        let not_after = not_before.saturating_add(DAY * days as u32).min(root.payload().expiration_data.not_after);
        let payload = QsKeysPayload {
            version: ProtocolVersion::Vestibule1,
            domain: root.payload().domain.clone(),
            ciphersuite: Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519,
            verifying_key,
            queue_config_key,
            expiration_data: ExpirationData { not_before, not_after },
        };
        Self::sign(payload, root_key)
    }

    /// Decodes the keys and checks them against a verified root.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify_chain(bytes: &[u8], root: &AsCredential, now: Timestamp) -> Result<Self, CredentialError> {
        let keys = Unverified::<QsKeysPayload>::from_bytes(bytes)?.verify(&root.payload().verifying_key)?;
        let payload = keys.payload();
        if payload.domain != root.payload().domain {
            return Err(CredentialError::ForeignDomain);
        }
        check_days(&payload.expiration_data, MAX_QS_KEYS_DAYS, Some(&root.payload().expiration_data))?;
        check_now(&payload.expiration_data, now)?;
        Ok(keys)
    }
}
