//! How a client makes KeyPackages.

use openmls::prelude::{
    Capabilities, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions, KeyPackage,
    KeyPackageBundle, Lifetime, ProtocolVersion, UnknownExtension,
};
use openmls_rust_crypto::MemoryStorage;
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use tls_codec::Serialize as _;
use vestibule_mls::{CIPHERSUITE, MlsSigner, Provider, StoredSecret};
use vestibule_protocol::add_package::{AddPackage, KeyPackageRef, PackageIdentity};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::keys::{ClientCredentialKey, HpkePublicKey, LeafCredentialKey, QsClientRecordKey, SigningKey};
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::limits::{CLOCK_TOLERANCE, MAX_KEY_PACKAGE_DAYS};
use vestibule_protocol::queue_config::{QUEUE_CONFIG_EXTENSION_TYPE, QueueConfig};
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, PushTokenKey};
use vestibule_protocol::time::{DAY, ExpirationData, Timestamp};
use zeroize::Zeroizing;

use crate::queue_config::seal_queue_config;

/// Why no KeyPackage could be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MakingError {
    /// The client's credential is valid for no whole day from today on.
    #[error("the client's credential must be renewed first")]
    CredentialExpired,
    /// openmls or HPKE failed, for want of randomness or by a defect.
    #[error("no KeyPackage could be made")]
    Failed,
}

/// What a client makes KeyPackages from.
#[derive(Clone, Copy, Debug)]
pub struct KeyPackageMaker<'a> {
    /// The client's credential.
    pub client_credential: &'a ClientCredential,
    /// Its key, which signs leaf credentials.
    pub client_key: &'a SigningKey<ClientCredentialKey>,
    /// Under what friends see whose the packages are.
    pub friendship_encryption_key: &'a FriendshipEncryptionKey,
    /// The key of the client's record at the queuing service, which signs queue configs.
    pub client_record_key: &'a SigningKey<QsClientRecordKey>,
    /// The key of the client's push token.
    pub push_token_key: &'a PushTokenKey,
    /// What queue configs are encrypted to: from the `QsKeys`.
    pub queue_config_key: &'a HpkePublicKey,
}

/// A package to publish, and what the client keeps of it.
#[derive(Debug)]
pub struct NewPackage {
    /// The `AddPackage`.
    pub add_package: Bytes,
    /// The private part.
    pub private: PrivateKeyPackage,
}

/// What a client keeps of a KeyPackage, to join the groups it is added to. Its JSON is for files that are private.
#[derive(Debug, Serialize, Deserialize)]
pub struct PrivateKeyPackage {
    /// The KeyPackage's name, by which a Welcome names it: 32 bytes.
    pub reference: Bytes,
    /// The first second in which it is of no use any more.
    pub not_after: Timestamp,
    /// Whether it may be used more than once.
    pub is_last_resort: bool,
    /// The leaf's signature key.
    #[serde(with = "secret")]
    pub signature_key: SigningKey<LeafCredentialKey>,
    #[serde(with = "secret")]
    bundle: StoredSecret,
}

impl PrivateKeyPackage {
    /// The KeyPackage with its private HPKE keys, for an openmls storage.
    pub fn bundle(&self) -> Option<KeyPackageBundle> {
        serde_json::from_slice(self.bundle.as_bytes()).ok()
    }
}

impl KeyPackageMaker<'_> {
    /// Makes a package, valid from today for as long as packages and the client's credential may be.
    ///
    /// # Errors
    /// [`MakingError`].
    pub fn make(
        &self,
        is_last_resort: bool,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<NewPackage, MakingError> {
        let expiration_data = leaf_validity(self.client_credential, now).ok_or(MakingError::CredentialExpired)?;
        let signature_key = SigningKey::<LeafCredentialKey>::generate(rng);
        let (leaf_credential, signature_encryption_key) = LeafCredential::issue(
            signature_key.verifying_key(),
            expiration_data,
            self.client_credential,
            self.client_key,
            rng,
        );
        let bundle = self.build(&leaf_credential, &signature_key, is_last_resort, rng)?;

        let key_package = bundle.key_package().tls_serialize_detached().map_err(|_| MakingError::Failed)?;
        let identity =
            PackageIdentity { client_credential: self.client_credential.to_bytes(), signature_encryption_key };
        let add_package =
            AddPackage::seal(key_package, &identity, self.friendship_encryption_key, rng).ok_or(MakingError::Failed)?;
        let reference: KeyPackageRef = add_package.reference();
        let stored = serde_json::to_vec(&bundle).map(Zeroizing::new).map_err(|_| MakingError::Failed)?;
        Ok(NewPackage {
            add_package: add_package.to_bytes(),
            private: PrivateKeyPackage {
                reference: Bytes(reference.as_bytes().to_vec()),
                not_after: expiration_data.not_after,
                is_last_resort,
                signature_key,
                bundle: StoredSecret::from(stored),
            },
        })
    }

    fn build(
        &self,
        leaf_credential: &LeafCredential,
        signature_key: &SigningKey<LeafCredentialKey>,
        is_last_resort: bool,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<KeyPackageBundle, MakingError> {
        let qs_client_id = QsClientId::of(&self.client_record_key.verifying_key());
        let queue_config = QueueConfig::issue(qs_client_id, self.push_token_key, self.client_record_key);
        let queue_config = seal_queue_config(&queue_config, self.queue_config_key).ok_or(MakingError::Failed)?;
        let queue_config = Extension::Unknown(QUEUE_CONFIG_EXTENSION_TYPE, UnknownExtension(queue_config));
        let payload = leaf_credential.payload();
        let ExpirationData { not_before, not_after } = payload.expiration_data;
        let mut builder = KeyPackage::builder()
            .key_package_lifetime(Lifetime::init(not_before.seconds(), not_after.seconds()))
            .leaf_node_capabilities(leaf_capabilities())
            .leaf_node_extensions(Extensions::single(queue_config).map_err(|_| MakingError::Failed)?);
        if is_last_resort {
            builder = builder.mark_as_last_resort();
        }
        let credential_with_key = CredentialWithKey {
            credential: Credential::new(CredentialType::Other(LEAF_CREDENTIAL_TYPE), leaf_credential.to_bytes()),
            signature_key: payload.verifying_key.as_bytes().to_vec().into(),
        };
        let signer = MlsSigner::from(signature_key);
        builder
            .build(CIPHERSUITE, &Provider::new(rng, MemoryStorage::default()), &signer, credential_with_key)
            .map_err(|_| MakingError::Failed)
    }
}

/// The longest validity that a client's credential allows for a leaf credential under it, from today on. A clock that is a
/// little fast must not make leaves that are not valid yet. `None` if the client's credential is not valid now.
pub fn leaf_validity(client_credential: &ClientCredential, now: Timestamp) -> Option<ExpirationData> {
    let outer = &client_credential.payload().expiration_data;
    let not_before = now.saturating_sub(CLOCK_TOLERANCE).start_of_day().max(outer.not_before);
    let not_after = not_before.saturating_add(DAY * MAX_KEY_PACKAGE_DAYS as u32).min(outer.not_after);
    let expiration_data = ExpirationData { not_before, not_after };
    expiration_data.contains(now).then_some(expiration_data)
}

/// What every leaf of ours says it can do: the same in all, so that it tells nothing.
pub fn leaf_capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[CIPHERSUITE]),
        Some(&[ExtensionType::LastResort, ExtensionType::Unknown(QUEUE_CONFIG_EXTENSION_TYPE)]),
        None,
        Some(&[CredentialType::Other(LEAF_CREDENTIAL_TYPE)]),
    )
}
