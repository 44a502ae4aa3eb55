//! KeyPackages made by mls-rs, another implementation of MLS.

use std::convert::Infallible;
use std::time::Duration;

use mls_rs::client_builder::ClientBuilder;
use mls_rs::crypto::{SignaturePublicKey, SignatureSecretKey};
use mls_rs::extension::ExtensionType;
use mls_rs::identity::{Credential, CredentialType, CustomCredential, SigningIdentity};
use mls_rs::time::MlsTime;
use mls_rs::{CipherSuite, Extension, ExtensionList, IdentityProvider};
use mls_rs_core::identity::MemberValidationContext;
use mls_rs_crypto_rustcrypto::RustCryptoProvider;
use vestibule_protocol::keys::LeafCredentialKey;
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::queue_config::{QUEUE_CONFIG_EXTENSION_TYPE, QueueConfig};
use vestibule_protocol::time::ExpirationData;

use super::*;

/// The last-resort extension's type (RFC 9420 leaves it to the extensions draft).
const LAST_RESORT: ExtensionType = ExtensionType::new(0x000a);
const DAYS: u32 = 84;

/// mls-rs asks who may be a member; here, everybody.
#[derive(Clone)]
struct Anybody;

impl IdentityProvider for Anybody {
    type Error = Infallible;

    fn validate_member(
        &self,
        _: &SigningIdentity,
        _: Option<MlsTime>,
        _: MemberValidationContext<'_>,
    ) -> Result<(), Infallible> {
        Ok(())
    }

    fn validate_external_sender(
        &self,
        _: &SigningIdentity,
        _: Option<MlsTime>,
        _: Option<&ExtensionList>,
    ) -> Result<(), Infallible> {
        Ok(())
    }

    fn identity(&self, identity: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, Infallible> {
        Ok(identity.signature_key.as_bytes().to_vec())
    }

    fn valid_successor(&self, _: &SigningIdentity, _: &SigningIdentity, _: &ExtensionList) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::new(LEAF_CREDENTIAL_TYPE)]
    }
}

/// What one KeyPackage of mls-rs differs in from another.
struct Wanted {
    lifetime: Duration,
    has_queue_config: bool,
    is_last_resort: bool,
}

const GOOD: Wanted = Wanted { lifetime: DAY.saturating_mul(DAYS), has_queue_config: true, is_last_resort: false };

impl Client {
    /// An AddPackage around a KeyPackage of mls-rs.
    fn foreign_package(&mut self, wanted: &Wanted) -> Bytes {
        let signature_key = SigningKey::<LeafCredentialKey>::generate(&mut self.rng);
        let expiration_data = ExpirationData::starting(NOW.start_of_day(), wanted.lifetime);
        let (leaf_credential, signature_encryption_key) = LeafCredential::issue(
            signature_key.verifying_key(),
            expiration_data,
            &self.credential,
            &self.key,
            &mut self.rng,
        );
        let key_package = self.mls_rs_key_package(wanted, &signature_key, &leaf_credential);
        let identity = PackageIdentity { client_credential: self.credential.to_bytes(), signature_encryption_key };
        AddPackage::seal(key_package, &identity, &self.code.encryption_key, &mut self.rng).unwrap().to_bytes()
    }

    fn mls_rs_key_package(
        &self,
        wanted: &Wanted,
        signature_key: &SigningKey<LeafCredentialKey>,
        leaf_credential: &LeafCredential,
    ) -> Vec<u8> {
        let public_key = signature_key.verifying_key().as_bytes().to_vec();
        // mls-rs wants the private key followed by the public one.
        let secret_key = [signature_key.to_secret_bytes().to_vec(), public_key.clone()].concat();
        let credential = CustomCredential::new(CredentialType::new(LEAF_CREDENTIAL_TYPE), leaf_credential.to_bytes());
        let identity = SigningIdentity::new(Credential::Custom(credential), SignaturePublicKey::new(public_key));
        let client = ClientBuilder::new()
            .crypto_provider(RustCryptoProvider::default())
            .identity_provider(Anybody)
            .extension_types([ExtensionType::new(QUEUE_CONFIG_EXTENSION_TYPE), LAST_RESORT])
            .key_package_lifetime(wanted.lifetime)
            .signing_identity(identity, SignatureSecretKey::new(secret_key), CipherSuite::CURVE25519_CHACHA)
            .build();

        let mut leaf_extensions = ExtensionList::new();
        if wanted.has_queue_config {
            let client_id = QsClientId::of(&self.record_key.verifying_key());
            let queue_config = QueueConfig::issue(client_id, &self.push_token_key, &self.record_key);
            let sealed = seal_queue_config(&queue_config, &self.queue_config_key).unwrap();
            leaf_extensions.set(Extension::new(ExtensionType::new(QUEUE_CONFIG_EXTENSION_TYPE), sealed));
        }
        let mut extensions = ExtensionList::new();
        if wanted.is_last_resort {
            extensions.set(Extension::new(LAST_RESORT, Vec::new()));
        }
        let begins = MlsTime::from(NOW.start_of_day().seconds());
        let message = client.generate_key_package_message(extensions, leaf_extensions, Some(begins)).unwrap();
        // An MLSMessage is a version, a wire format, and the KeyPackage.
        message.to_bytes().unwrap()[4..].to_vec()
    }
}

#[test]
fn a_key_package_of_another_implementation_is_accepted_and_verifies_for_a_friend() {
    let (deployment, mut alice) = alice();
    let last_resort = alice.foreign_package(&Wanted { is_last_resort: true, ..GOOD });
    let packages = [alice.foreign_package(&GOOD), alice.package(false).add_package, alice.foreign_package(&GOOD)];
    let publication = Publication::check(&packages, Some(&last_resort), *NOW).unwrap();
    assert_eq!(publication.not_after(), NOW.start_of_day().saturating_add(DAY * DAYS));
    for package in [&packages[0], &last_resort] {
        let claimed = ClaimedPackage::verify(&package.0, &alice.code, deployment.trusted(), *NOW).unwrap();
        assert_eq!(claimed.client_id(), &alice.credential.payload().client_id);
    }
}

#[test]
fn a_key_package_of_another_implementation_that_merely_parses_is_refused() {
    let (_, mut alice) = alice();
    let refused = |package: Bytes| Publication::check(&[package], None, *NOW).map(|_| ());
    let last_resort = alice.package(true).add_package;
    let mut check = |wanted: Wanted| {
        let package = alice.foreign_package(&wanted);
        match Publication::check(&[package], Some(&last_resort), *NOW) {
            Err(PublicationError::Package { position: Position::Ordinary(0), error }) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(check(Wanted { has_queue_config: false, ..GOOD }), PackageError::QueueConfig);
    assert_eq!(check(Wanted { is_last_resort: true, ..GOOD }), PackageError::LastResortMisplaced);
    assert_eq!(check(Wanted { lifetime: DAY * (DAYS + 1), ..GOOD }), PackageError::Lifetime);
    assert_eq!(check(Wanted { lifetime: DAY * DAYS - Duration::from_secs(1), ..GOOD }), PackageError::Lifetime);
    assert_eq!(refused(last_resort), Err(PublicationError::LastResortMissing));
}
