//! What a KeyPackage must be, for the queuing service and for friends alike.

use openmls::prelude::{
    CredentialType, ExtensionType, KeyPackage, KeyPackageIn, KeyPackageVerifyError, LeafNode, ProtocolVersion,
};
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::VerifiableCiphersuite;
use tls_codec::{DeserializeBytes as _, Serialize as _};
use vestibule_mls::{CIPHERSUITE, encryption_key_bytes};
use vestibule_protocol::add_package::KeyPackageRef;
use vestibule_protocol::keys::HpkePublicKey;
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::limits::{MAX_ADD_PACKAGE_LENGTH, MAX_KEY_PACKAGE_DAYS};
use vestibule_protocol::queue_config::{QUEUE_CONFIG_EXTENSION_TYPE, QUEUE_CONFIG_LENGTH};
use vestibule_protocol::time::{ExpirationData, Timestamp};

use crate::queue_config;

/// Why a package is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PackageError {
    /// The AddPackage has more than [`MAX_ADD_PACKAGE_LENGTH`] bytes.
    #[error("it has more than {MAX_ADD_PACKAGE_LENGTH} bytes")]
    TooLarge,
    /// The AddPackage or the KeyPackage does not decode, or breaks a rule of MLS that has no error of its own.
    #[error("it is not a well-formed AddPackage with a KeyPackage")]
    Malformed,
    /// The KeyPackage is of another version of MLS or another ciphersuite.
    #[error("its KeyPackage is not of MLS 1.0 with ciphersuite 0x0003")]
    Ciphersuite,
    /// The signature of the KeyPackage or of its leaf is wrong.
    #[error("a signature of its KeyPackage is not valid")]
    SignatureInvalid,
    /// The KeyPackage is not valid yet, or not any more.
    #[error("its KeyPackage is not valid at this time")]
    Expired,
    /// The KeyPackage's lifetime has the wrong form.
    #[error("its KeyPackage's lifetime is not 1 to {MAX_KEY_PACKAGE_DAYS} whole days of UTC")]
    Lifetime,
    /// The leaf's capabilities lack something that the KeyPackage uses.
    #[error(
        "its leaf's capabilities do not have MLS 1.0, ciphersuite 0x0003, the leaf credential's type and the extensions it uses"
    )]
    Capabilities,
    /// There is an extension that could be anything.
    #[error(
        "it may have the queue config in its leaf and the last-resort extension in its KeyPackage, and no other extension"
    )]
    Extensions,
    /// The credential is no leaf credential for this leaf.
    #[error("its credential is not a leaf credential for the leaf's key and exactly the KeyPackage's lifetime")]
    LeafCredential,
    /// There is no queue config of the right form.
    #[error("its leaf has no queue config of {QUEUE_CONFIG_LENGTH} bytes")]
    QueueConfig,
    /// The last-resort extension is where it must not be, or not where it must be.
    #[error("the last-resort KeyPackage, and no other, must have the last-resort extension")]
    LastResortMisplaced,
    /// It has something in common with a package before it that would tie the two together.
    #[error("it has a key, a leaf credential, a queue config or an identity in common with another")]
    Duplicate,
}

/// A KeyPackage that keeps the rules.
#[derive(Clone, Debug)]
pub struct CheckedKeyPackage {
    /// Its name.
    pub reference: KeyPackageRef,
    /// When it is valid.
    pub expiration_data: ExpirationData,
    /// Whether it is to be handed out when others are gone.
    pub is_last_resort: bool,
    /// Its credential. What is in clear was checked, the signature was not.
    pub leaf_credential: LeafCredential,
    /// The KeyPackage.
    pub key_package: KeyPackage,
}

impl CheckedKeyPackage {
    /// Decodes a KeyPackage and checks it by the rules of MLS, with `crypto`, and by ours.
    ///
    /// openmls judges the lifetime by the system's clock; it is judged by `now` beside that.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn check(bytes: &[u8], crypto: &impl OpenMlsCrypto, now: Timestamp) -> Result<Self, PackageError> {
        // openmls would check signatures of other suites with other algorithms: one suite, one algorithm.
        let Some([0, 1, 0, 3]) = bytes.first_chunk() else { return Err(PackageError::Ciphersuite) };
        let key_package = KeyPackageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| PackageError::Malformed)?;
        let key_package = key_package.validate(crypto, ProtocolVersion::Mls10).map_err(mls_error)?;
        // openmls checks the signatures of what it would have written. What was received must be that.
        if key_package.tls_serialize_detached().map_err(|_| PackageError::Malformed)? != bytes {
            return Err(PackageError::Malformed);
        }
        let leaf = key_package.leaf_node();
        let expiration_data = check_lifetime(&key_package, now)?;
        check_encryption_keys(&key_package)?;
        check_capabilities(leaf)?;
        check_extensions(&key_package)?;
        Ok(Self {
            reference: KeyPackageRef::of(bytes),
            expiration_data,
            is_last_resort: key_package.last_resort(),
            leaf_credential: check_leaf_credential(leaf, &expiration_data)?,
            key_package,
        })
    }

    /// The queue config in its leaf, encrypted to the queuing service.
    pub fn queue_config(&self) -> &[u8] {
        queue_config_of(self.key_package.leaf_node()).expect("it was checked")
    }
}

fn mls_error(error: KeyPackageVerifyError) -> PackageError {
    match error {
        KeyPackageVerifyError::InvalidLeafNodeSignature | KeyPackageVerifyError::InvalidSignature => {
            PackageError::SignatureInvalid
        }
        KeyPackageVerifyError::LifetimeError(_) => PackageError::Expired,
        KeyPackageVerifyError::UnsupportedExtension => PackageError::Capabilities,
        KeyPackageVerifyError::ExtensionTypeNotValidInKeyPackage(_) => PackageError::Extensions,
        _ => PackageError::Malformed,
    }
}

fn check_lifetime(key_package: &KeyPackage, now: Timestamp) -> Result<ExpirationData, PackageError> {
    let lifetime = key_package.life_time();
    let expiration_data = ExpirationData {
        not_before: Timestamp::from_seconds(lifetime.not_before()),
        not_after: Timestamp::from_seconds(lifetime.not_after()),
    };
    if !expiration_data.is_whole_days(1..=MAX_KEY_PACKAGE_DAYS) {
        return Err(PackageError::Lifetime);
    }
    if expiration_data.contains(now) { Ok(expiration_data) } else { Err(PackageError::Expired) }
}

/// That the HPKE keys are some that can be encrypted to: openmls takes any bytes.
fn check_encryption_keys(key_package: &KeyPackage) -> Result<(), PackageError> {
    let leaf_key = encryption_key_bytes(key_package.leaf_node().encryption_key()).ok_or(PackageError::Malformed)?;
    let are_keys = [key_package.hpke_init_key().as_slice(), &leaf_key]
        .into_iter()
        .all(|key| HpkePublicKey::from_bytes(key).is_some());
    if are_keys { Ok(()) } else { Err(PackageError::Malformed) }
}

/// That the capabilities have what MLS says they must have (RFC 9420, section 7.2): what the leaf itself uses. The
/// last-resort extension openmls looked for.
fn check_capabilities(leaf: &LeafNode) -> Result<(), PackageError> {
    let capabilities = leaf.capabilities();
    let are_complete = capabilities.versions().contains(&ProtocolVersion::Mls10)
        && capabilities.ciphersuites().contains(&VerifiableCiphersuite::from(CIPHERSUITE))
        && capabilities.credentials().contains(&CredentialType::Other(LEAF_CREDENTIAL_TYPE))
        && capabilities.extensions().contains(&ExtensionType::Unknown(QUEUE_CONFIG_EXTENSION_TYPE));
    if are_complete { Ok(()) } else { Err(PackageError::Capabilities) }
}

/// That there are no other extensions than ours: one could carry what ties two packages of a client together.
fn check_extensions(key_package: &KeyPackage) -> Result<(), PackageError> {
    let leaf = key_package.leaf_node();
    let is_queue_config = |kind| kind == ExtensionType::Unknown(QUEUE_CONFIG_EXTENSION_TYPE);
    if !leaf.extensions().iter().all(|extension| is_queue_config(extension.extension_type()))
        || !key_package.extensions().iter().all(|extension| extension.extension_type() == ExtensionType::LastResort)
    {
        return Err(PackageError::Extensions);
    }
    let queue_config = queue_config_of(leaf).ok_or(PackageError::QueueConfig)?;
    if queue_config::is_well_formed(queue_config) { Ok(()) } else { Err(PackageError::QueueConfig) }
}

pub(crate) fn queue_config_of(leaf: &LeafNode) -> Option<&[u8]> {
    leaf.extensions().unknown(QUEUE_CONFIG_EXTENSION_TYPE).map(|extension| extension.0.as_slice())
}

fn check_leaf_credential(leaf: &LeafNode, expiration_data: &ExpirationData) -> Result<LeafCredential, PackageError> {
    let credential = leaf.credential();
    if credential.credential_type() != CredentialType::Other(LEAF_CREDENTIAL_TYPE) {
        return Err(PackageError::LeafCredential);
    }
    let leaf_credential =
        LeafCredential::from_bytes(credential.serialized_content()).map_err(|_| PackageError::LeafCredential)?;
    let payload = leaf_credential.payload();
    let is_this_leafs = payload.verifying_key.as_bytes().as_slice() == leaf.signature_key().as_slice()
        && payload.expiration_data == *expiration_data;
    if is_this_leafs { Ok(leaf_credential) } else { Err(PackageError::LeafCredential) }
}
