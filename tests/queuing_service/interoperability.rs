//! KeyPackages made by mls-rs, an implementation of MLS that shares no code with openmls. They are made when the test
//! runs, because they expire.

use std::convert::Infallible;

use mls_rs::client_builder::ClientBuilder;
use mls_rs::crypto::{SignaturePublicKey, SignatureSecretKey};
use mls_rs::identity::{Credential, CredentialType, CustomCredential, SigningIdentity};
use mls_rs::time::MlsTime;
use mls_rs::{CipherSuite, CipherSuiteProvider as _, CryptoProvider as _, Extension, ExtensionList, IdentityProvider};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;
use vestibule_key_packages::seal_queue_config;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::VerifyingKey;
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queue_config::{QUEUE_CONFIG_EXTENSION_TYPE, QueueConfig};
use vestibule_protocol::symmetric::PushTokenKey;
use vestibule_protocol::time::{DAY, ExpirationData};
use vestibule_tests::{Pseudonym, TestCloud};

/// `last_resort` (the registry of MLS extension types).
const LAST_RESORT_EXTENSION_TYPE: u16 = 0x000a;

/// An AddPackage of alice's with a KeyPackage by mls-rs, with a queue config or without.
fn package(alice: &mut Pseudonym, cloud: &TestCloud, is_last_resort: bool, has_queue_config: bool) -> Bytes {
    let suite = RustCryptoProvider::new().cipher_suite_provider(CipherSuite::CURVE25519_CHACHA).unwrap();
    let (secret_key, public_key): (SignatureSecretKey, SignaturePublicKey) = suite.signature_key_generate().unwrap();
    let today = cloud.now().start_of_day();
    let (leaf_credential, signature_encryption_key) = LeafCredential::issue(
        VerifyingKey::from_bytes(&public_key).unwrap(),
        ExpirationData::starting(today, 84 * DAY),
        &alice.client_credential,
        &alice.client_key,
        &mut alice.rng,
    );
    let credential_type = CredentialType::new(LEAF_CREDENTIAL_TYPE);
    let credential = Credential::Custom(CustomCredential::new(credential_type, leaf_credential.to_bytes()));
    let client = ClientBuilder::new()
        .crypto_provider(RustCryptoProvider::new())
        .identity_provider(LeafCredentials)
        .extension_types([LAST_RESORT_EXTENSION_TYPE, QUEUE_CONFIG_EXTENSION_TYPE].map(Into::into))
        .key_package_lifetime(84 * DAY)
        .signing_identity(SigningIdentity::new(credential, public_key), secret_key, CipherSuite::CURVE25519_CHACHA)
        .build();

    let mut extensions = ExtensionList::new();
    if is_last_resort {
        extensions.set(Extension::new(LAST_RESORT_EXTENSION_TYPE.into(), Vec::new()));
    }
    let mut leaf_extensions = ExtensionList::new();
    if has_queue_config {
        let push_token_key = PushTokenKey::generate(&mut alice.rng);
        let config = QueueConfig::issue(alice.qs_client_id(), &push_token_key, &alice.client_record_key);
        let config = seal_queue_config(&config, &alice.qs_keys.payload().queue_config_key).unwrap();
        leaf_extensions.set(Extension::new(QUEUE_CONFIG_EXTENSION_TYPE.into(), config));
    }
    let today = MlsTime::from(today.seconds());
    let message = client.generate_key_package_message(extensions, leaf_extensions, Some(today)).unwrap();
    // An MLSMessage is version, wire format and then the KeyPackage (RFC 9420, section 6).
    let key_package = message.to_bytes().unwrap()[4..].to_vec();
    alice.add_package(key_package, signature_encryption_key)
}

#[tokio::test]
async fn a_key_package_of_another_implementation_is_published_claimed_and_verified() {
    let cloud = TestCloud::start().await;
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let mut generation = alice.generation(&cloud, 1, 0);
    generation.add_packages = vec![package(&mut alice, &cloud, false, true)];
    generation.last_resort_add_package = Some(package(&mut alice, &cloud, true, true));
    let answer = cloud.send(&alice.publishing_call(&cloud, &generation)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for is_last_resort in [false, true] {
        let call = alice.claiming_call();
        let answer = cloud.send(&call).await;
        let claimed = alice.as_friend(&cloud, &call, &answer).await.unwrap();
        assert_eq!(claimed[0].is_last_resort, is_last_resort);
    }
}

#[tokio::test]
async fn a_key_package_of_another_implementation_that_merely_parses_is_refused() {
    let cloud = TestCloud::start().await;
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let mut generation = alice.generation(&cloud, 1, 0);
    generation.add_packages = vec![package(&mut alice, &cloud, false, false)];
    let answer = cloud.send(&alice.publishing_call(&cloud, &generation)).await;
    assert_eq!(answer.problem(), ProblemType::QueueConfigMissing);
    generation.add_packages = vec![package(&mut alice, &cloud, true, true)];
    let answer = cloud.send(&alice.publishing_call(&cloud, &generation)).await;
    assert_eq!(answer.problem(), ProblemType::LastResortMisplaced);
}

/// mls-rs asks this what it knows of credentials. For making KeyPackages it asks which types.
#[derive(Clone)]
struct LeafCredentials;

impl IdentityProvider for LeafCredentials {
    type Error = NeverFails;

    fn validate_member(
        &self,
        _: &SigningIdentity,
        _: Option<MlsTime>,
        _: mls_rs_core::identity::MemberValidationContext<'_>,
    ) -> Result<(), NeverFails> {
        Ok(())
    }

    fn validate_external_sender(
        &self,
        _: &SigningIdentity,
        _: Option<MlsTime>,
        _: Option<&ExtensionList>,
    ) -> Result<(), NeverFails> {
        Ok(())
    }

    fn identity(&self, identity: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, NeverFails> {
        Ok(identity.signature_key.to_vec())
    }

    fn valid_successor(&self, _: &SigningIdentity, _: &SigningIdentity, _: &ExtensionList) -> Result<bool, NeverFails> {
        Ok(true)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::new(LEAF_CREDENTIAL_TYPE)]
    }
}

/// An error that does not happen, in the form that mls-rs wants.
#[derive(Debug)]
struct NeverFails(Infallible);

impl mls_rs::error::IntoAnyError for NeverFails {
    fn into_any_error(self) -> mls_rs::error::AnyError {
        match self.0 {}
    }
}
