//! KeyPackages made by hand, right but for what a test spoils.

use ed25519_dalek::Signer as _;
use openmls::prelude::tls_codec::Serialize as _;
use openmls::prelude::{
    Capabilities, Ciphersuite, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    KeyPackage, LastResortExtension, Lifetime, ProtocolVersion, UnknownExtension,
};
use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use vestibule_key_packages::seal_queue_config;
use vestibule_protocol::add_package::{AddPackage, PackageIdentity};
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::keys::{LeafCredentialKey, SigningKey, VerifyingKey};
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::queue_config::{QUEUE_CONFIG_EXTENSION_TYPE, QueueConfig};
use vestibule_protocol::symmetric::PushTokenKey;
use vestibule_protocol::time::{DAY, ExpirationData};

use crate::{Pseudonym, TestCloud};

/// What goes into a KeyPackage.
pub struct Recipe {
    /// `0x0003` unless spoiled.
    pub ciphersuite: Ciphersuite,
    /// The KeyPackage's lifetime: today and 83 days more.
    pub lifetime: ExpirationData,
    /// The leaf credential's validity.
    pub credential_validity: ExpirationData,
    /// The key that the leaf credential is for.
    pub credential_key: VerifyingKey<LeafCredentialKey>,
    /// The MLS credential's type.
    pub credential_type: u16,
    /// The leaf's signature key.
    pub signature_key: SigningKey<LeafCredentialKey>,
    /// The leaf's capabilities.
    pub capabilities: Capabilities,
    /// The leaf's extensions.
    pub leaf_extensions: Vec<Extension>,
    /// The KeyPackage's extensions.
    pub key_package_extensions: Vec<Extension>,
}

impl Recipe {
    /// Makes lifetime and credential begin and end like this.
    pub fn set_lifetime(&mut self, lifetime: ExpirationData) {
        (self.lifetime, self.credential_validity) = (lifetime, lifetime);
    }
}

/// The extension that marks a package of last resort.
pub fn last_resort_extension() -> Extension {
    Extension::LastResort(LastResortExtension::new())
}

/// An extension that this protocol does not know, or a queue config with this content.
pub fn private_extension(extension_type: u16, content: &[u8]) -> Extension {
    Extension::Unknown(extension_type, UnknownExtension(content.to_vec()))
}

/// Capabilities with these extensions and credential types, and what is needed otherwise.
pub fn capabilities(ciphersuite: Ciphersuite, extensions: &[u16], credentials: &[u16]) -> Capabilities {
    let extensions: Vec<_> = extensions.iter().copied().map(ExtensionType::from).collect();
    let credentials: Vec<_> = credentials.iter().copied().map(CredentialType::from).collect();
    let versions = [ProtocolVersion::Mls10];
    Capabilities::new(Some(&versions), Some(&[ciphersuite]), Some(&extensions), None, Some(&credentials))
}

impl Pseudonym {
    /// An AddPackage by the recipe that `change` spoils, with signatures that are right.
    pub fn bake(&mut self, cloud: &TestCloud, change: impl FnOnce(&mut Recipe)) -> Bytes {
        let lifetime = ExpirationData::starting(cloud.now().start_of_day(), 84 * DAY);
        let signature_key = SigningKey::generate(&mut self.rng);
        let push_token_key = PushTokenKey::generate(&mut self.rng);
        let queue_config = QueueConfig::issue(self.qs_client_id(), &push_token_key, &self.client_record_key);
        let queue_config = seal_queue_config(&queue_config, &self.qs_keys.payload().queue_config_key).expect("HPKE");
        let ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
        let mut recipe = Recipe {
            ciphersuite,
            lifetime,
            credential_validity: lifetime,
            credential_key: signature_key.verifying_key(),
            credential_type: LEAF_CREDENTIAL_TYPE,
            signature_key,
            capabilities: capabilities(ciphersuite, &[10, QUEUE_CONFIG_EXTENSION_TYPE], &[LEAF_CREDENTIAL_TYPE]),
            leaf_extensions: vec![private_extension(QUEUE_CONFIG_EXTENSION_TYPE, &queue_config)],
            key_package_extensions: Vec::new(),
        };
        change(&mut recipe);
        self.follow(recipe)
    }

    fn follow(&mut self, recipe: Recipe) -> Bytes {
        let (leaf_credential, signature_encryption_key) = LeafCredential::issue(
            recipe.credential_key,
            recipe.credential_validity,
            &self.client_credential,
            &self.client_key,
            &mut self.rng,
        );
        let credential_type = CredentialType::from(recipe.credential_type);
        let credential_with_key = CredentialWithKey {
            credential: Credential::new(credential_type, leaf_credential.to_bytes()),
            signature_key: recipe.signature_key.verifying_key().as_bytes().to_vec().into(),
        };
        let ExpirationData { not_before, not_after } = recipe.lifetime;
        let bundle = KeyPackage::builder()
            .key_package_lifetime(Lifetime::init(not_before.seconds(), not_after.seconds()))
            .leaf_node_capabilities(recipe.capabilities)
            .leaf_node_extensions(Extensions::from_vec(recipe.leaf_extensions).expect("leaf extensions"))
            .key_package_extensions(Extensions::from_vec(recipe.key_package_extensions).expect("extensions"))
            .build(
                recipe.ciphersuite,
                &OpenMlsRustCrypto::default(),
                &LeafSigner(recipe.signature_key),
                credential_with_key,
            )
            .expect("openmls makes it");
        let key_package = bundle.key_package().tls_serialize_detached().expect("it encodes");
        self.add_package(key_package, signature_encryption_key)
    }

    /// An AddPackage of this client with a KeyPackage that was made elsewhere.
    pub fn add_package(
        &mut self,
        key_package: Vec<u8>,
        signature_encryption_key: vestibule_protocol::symmetric::SignatureEncryptionKey,
    ) -> Bytes {
        let identity =
            PackageIdentity { client_credential: self.client_credential.to_bytes(), signature_encryption_key };
        let package = AddPackage::seal(key_package, &identity, &self.code.encryption_key, &mut self.rng);
        package.expect("the credential fits").to_bytes()
    }
}

struct LeafSigner(SigningKey<LeafCredentialKey>);

impl Signer for LeafSigner {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        let key = ed25519_dalek::SigningKey::try_from(self.0.to_secret_bytes().as_slice());
        Ok(key.map_err(|_| SignerError::SigningError)?.sign(payload).to_bytes().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
