use std::sync::LazyLock;

use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::types::SignatureScheme;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::add_package::{AddPackage, PackageIdentity};
use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialPayload, CredentialError,
};
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::endpoint::ClaimKeyPackagesResponse;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::keys::{
    AsIntermediateCredentialKey, ClientCredentialKey, HpkePrivateKey, QsClientRecordKey, QsSigningKey, SigningKey,
};
use vestibule_protocol::limits::MAX_ADD_PACKAGE_LENGTH;
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::queue_config::{QUEUE_CONFIG_LENGTH, open_queue_config};
use vestibule_protocol::queuing::{ClaimAnswer, QsClientId, QsKeys};
use vestibule_protocol::signed::{Fingerprint, Verified};
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, FriendshipToken, PushTokenKey};
use vestibule_protocol::time::{DAY, Timestamp};

use super::*;

/// openmls judges lifetimes by the system's clock, so the tests run today.
static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::now().start_of_day().saturating_add(DAY / 2));

/// A deployment.
struct Deployment {
    intermediates: Vec<AsIntermediateCredential>,
    intermediate_key: SigningKey<AsIntermediateCredentialKey>,
    qs_keys: QsKeys,
    qs_signing_key: SigningKey<QsSigningKey>,
    queue_config_key: HpkePrivateKey,
}

impl Deployment {
    fn new(rng: &mut StdRng) -> Self {
        let root_key = SigningKey::generate(rng);
        let root = AsCredential::issue("localhost".parse().unwrap(), &root_key, *NOW, 3652);
        let intermediate_key = SigningKey::generate(rng);
        let intermediate =
            AsIntermediateCredential::issue(intermediate_key.verifying_key(), &root, &root_key, *NOW, 365);
        let (qs_signing_key, queue_config_key) = (SigningKey::generate(rng), HpkePrivateKey::generate(rng));
        let public_key = queue_config_key.public_key();
        let qs_keys = QsKeys::issue(qs_signing_key.verifying_key(), public_key, &root, &root_key, *NOW, 365);
        Self { intermediates: vec![intermediate], intermediate_key, qs_keys, qs_signing_key, queue_config_key }
    }

    fn trusted(&self) -> TrustedCredentials<'_> {
        TrustedCredentials { intermediates: &self.intermediates, revoked: &[] }
    }
}

/// A client of a user of the deployment.
struct Client {
    credential: ClientCredential,
    key: SigningKey<ClientCredentialKey>,
    record_key: SigningKey<QsClientRecordKey>,
    push_token_key: PushTokenKey,
    code: FriendshipCode,
    queue_config_key: vestibule_protocol::keys::HpkePublicKey,
    rng: StdRng,
}

impl Client {
    fn new(deployment: &Deployment, user_name: &str, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let key = SigningKey::generate(&mut rng);
        let user_name: vestibule_protocol::name::UserName = user_name.parse().unwrap();
        let client_id = ClientId { user_name: user_name.clone(), uuid: ClientUuid::generate(&mut rng) };
        let payload =
            ClientCredentialPayload::requesting(client_id, key.verifying_key(), &deployment.intermediates[0], *NOW);
        Self {
            credential: Verified::sign(payload, &deployment.intermediate_key),
            key,
            record_key: SigningKey::generate(&mut rng),
            push_token_key: PushTokenKey::generate(&mut rng),
            code: FriendshipCode {
                token: FriendshipToken::generate(&mut rng),
                encryption_key: FriendshipEncryptionKey::generate(&mut rng),
                user_name,
            },
            queue_config_key: deployment.queue_config_key.public_key(),
            rng,
        }
    }

    fn package(&mut self, is_last_resort: bool) -> NewPackage {
        let maker = KeyPackageMaker {
            client_credential: &self.credential,
            client_key: &self.key,
            friendship_encryption_key: &self.code.encryption_key,
            client_record_key: &self.record_key,
            push_token_key: &self.push_token_key,
            queue_config_key: &self.queue_config_key,
        };
        maker.make(is_last_resort, *NOW, &mut self.rng).unwrap()
    }

    fn packages(&mut self, count: usize) -> Vec<Bytes> {
        (0..count).map(|_| self.package(false).add_package).collect()
    }
}

fn alice() -> (Deployment, Client) {
    let deployment = Deployment::new(&mut StdRng::seed_from_u64(1));
    let alice = Client::new(&deployment, "alice@localhost", 2);
    (deployment, alice)
}

#[test]
fn what_a_client_makes_is_published_and_a_friend_sees_whose_it_is() {
    let (deployment, mut alice) = alice();
    let packages = alice.packages(3);
    let last_resort = alice.package(true).add_package;
    let publication = Publication::check(&packages, Some(&last_resort), *NOW).unwrap();
    assert_eq!(publication.not_after(), NOW.start_of_day().saturating_add(84 * DAY));
    for package in [&packages[0], &last_resort] {
        let claimed = ClaimedPackage::verify(&package.0, &alice.code, deployment.trusted(), *NOW).unwrap();
        assert_eq!(claimed.client_id(), &alice.credential.payload().client_id);
        assert_eq!(claimed.is_last_resort, *package == last_resort);
    }
}

#[test]
fn a_client_keeps_what_it_needs_to_join() {
    let (_, mut alice) = alice();
    let NewPackage { add_package, private } = alice.package(false);
    let stored = serde_json::to_string(&private).unwrap();
    let read: PrivateKeyPackage = serde_json::from_str(&stored).unwrap();
    let bundle = read.bundle().unwrap();
    let crypto = openmls_rust_crypto::RustCrypto::default();
    assert_eq!(bundle.key_package().hash_ref(&crypto).unwrap().as_slice(), &read.reference.0);
    assert_eq!(AddPackage::from_bytes(&add_package.0).unwrap().reference().as_bytes().as_slice(), &read.reference.0);
    let leaf_key = bundle.key_package().leaf_node().signature_key().as_slice().to_vec();
    assert_eq!(read.signature_key.verifying_key().as_bytes().as_slice(), leaf_key);
}

#[test]
fn a_queue_config_opens_at_the_queuing_service_and_is_the_clients() {
    let (deployment, mut alice) = alice();
    let package = AddPackage::from_bytes(&alice.package(false).add_package.0).unwrap();
    let checked = CheckedKeyPackage::check(package.key_package(), &SignatureBatch::default(), *NOW).unwrap();
    assert_eq!(checked.queue_config().len(), QUEUE_CONFIG_LENGTH);
    let config = open_queue_config(checked.queue_config(), &deployment.queue_config_key).unwrap();
    let config = config.verify(&alice.record_key.verifying_key()).unwrap();
    assert_eq!(config.payload().qs_client_id, QsClientId::of(&alice.record_key.verifying_key()));
    let push_token_key = config.payload().push_token_key();
    assert_eq!(*push_token_key.to_secret_bytes(), *alice.push_token_key.to_secret_bytes());
    let another_key = HpkePrivateKey::generate(&mut alice.rng);
    assert!(open_queue_config(checked.queue_config(), &another_key).is_none());
}

#[test]
fn packages_of_two_clients_differ_in_nothing_that_can_be_measured() {
    let deployment = Deployment::new(&mut StdRng::seed_from_u64(1));
    let mut short = Client::new(&deployment, "a@localhost", 2);
    let long_name = format!("{}@localhost", "a".repeat(64));
    let mut long = Client::new(&deployment, &long_name, 3);
    let one = short.package(false).add_package;
    for other in [short.package(false).add_package, long.package(false).add_package] {
        assert_eq!(one.0.len(), other.0.len());
    }
    assert!(one.0.len() < MAX_ADD_PACKAGE_LENGTH, "{}", one.0.len());
    assert_eq!(short.package(true).add_package.0.len(), long.package(true).add_package.0.len());
    let (one, two) = (short.package(false).add_package.0, short.package(false).add_package.0);
    // What two packages of a client share at the same place is constant in all packages of the day.
    let other = long.package(false).add_package.0;
    let shared = |left: &[u8], right: &[u8]| -> Vec<bool> { left.iter().zip(right).map(|(l, r)| l == r).collect() };
    let runs = |shared: Vec<bool>| shared.split(|same| !same).filter(|run| run.len() >= 4).map(<[bool]>::len).max();
    assert_eq!(runs(shared(&one, &two)), runs(shared(&one, &other)));
}

#[test]
fn a_package_that_a_stranger_or_a_friend_of_another_claims_is_refused() {
    let (deployment, mut alice) = alice();
    let package = alice.package(false).add_package;
    let verify = |code: &FriendshipCode, trusted: TrustedCredentials<'_>| {
        ClaimedPackage::verify(&package.0, code, trusted, *NOW).unwrap_err()
    };
    let other = Client::new(&deployment, "bob@localhost", 5);
    assert_eq!(verify(&other.code, deployment.trusted()), ClaimError::NotForThisCode);

    let as_bob = FriendshipCode { user_name: other.code.user_name.clone(), ..alice.code.clone() };
    assert_eq!(verify(&as_bob, deployment.trusted()), ClaimError::AnotherUser(alice.code.user_name.clone()));

    let elsewhere = Deployment::new(&mut StdRng::seed_from_u64(9));
    let unknown = ClaimError::Credential(CredentialError::UnknownSigner);
    assert_eq!(verify(&alice.code, elsewhere.trusted()), unknown);

    for revoked in [alice.credential.fingerprint(), deployment.intermediates[0].fingerprint()] {
        let revoked = [revoked];
        let trusted = TrustedCredentials { revoked: &revoked, ..deployment.trusted() };
        assert_eq!(verify(&alice.code, trusted), ClaimError::Revoked);
    }
}

#[test]
fn a_credential_beside_a_key_package_that_it_did_not_sign_is_refused() {
    let (deployment, mut alice) = alice();
    let mut mallory = Client::new(&deployment, "mallory@localhost", 5);
    // Mallory knows alice's friendship key and credential, as every friend of hers does.
    mallory.code.encryption_key = alice.code.encryption_key.clone();
    let theirs = AddPackage::from_bytes(&alice.package(false).add_package.0).unwrap();
    let own = AddPackage::from_bytes(&mallory.package(false).add_package.0).unwrap();
    let own_identity = own.open(&alice.code.encryption_key).unwrap();
    let identity = PackageIdentity {
        client_credential: theirs.open(&alice.code.encryption_key).unwrap().client_credential,
        ..own_identity
    };
    let forged =
        AddPackage::seal(own.key_package().to_vec(), &identity, &alice.code.encryption_key, &mut alice.rng).unwrap();
    let refused = ClaimedPackage::verify(&forged.to_bytes().0, &alice.code, deployment.trusted(), *NOW);
    assert_eq!(refused.unwrap_err(), ClaimError::Credential(CredentialError::UnknownSigner));
}

#[test]
fn an_answer_counts_once_for_its_own_request_and_each_client_once() {
    let (deployment, mut alice) = alice();
    let mut phone = Client::new(&deployment, "alice@localhost", 7);
    phone.code = alice.code.clone();
    let respond = |add_packages: Vec<Bytes>| ClaimKeyPackagesResponse {
        claim_answer: ClaimAnswer::issue(
            <sha2::Sha256 as sha2::Digest>::digest(b"request").into(),
            &add_packages,
            &deployment.qs_signing_key,
        )
        .to_bytes(),
        add_packages,
    };
    let code = alice.code.clone();
    let verify = |response: &ClaimKeyPackagesResponse, body: &[u8]| {
        verify_claim(response, body, &deployment.qs_keys, &code, deployment.trusted(), *NOW)
    };
    let both = respond(vec![alice.package(false).add_package, phone.package(true).add_package]);
    assert_eq!(verify(&both, b"request").unwrap().len(), 2);
    assert!(matches!(verify(&both, b"another request"), Err(ClaimError::Answer(_))));
    assert_eq!(verify(&respond(Vec::new()), b"request").unwrap_err(), ClaimError::Empty);
    let twice = respond(alice.packages(2));
    assert_eq!(verify(&twice, b"request").unwrap_err(), ClaimError::ClientTwice);

    // Whose credential is revoked keeps nobody from the others; what is wrong otherwise still spoils everything.
    let without = |revoked: &[Fingerprint], response: &ClaimKeyPackagesResponse| {
        let trusted = TrustedCredentials { revoked, ..deployment.trusted() };
        verify_claim(response, b"request", &deployment.qs_keys, &code, trusted, *NOW)
    };
    let (alices, phones) = (alice.credential.fingerprint(), phone.credential.fingerprint());
    let left = without(&[phones], &both).unwrap();
    assert!(left.len() == 1 && left[0].client_credential.fingerprint() == alices);
    assert_eq!(without(&[phones, alices], &both).unwrap_err(), ClaimError::Revoked);
    let damaged = respond(vec![phone.package(false).add_package, Bytes(vec![1])]);
    assert!(matches!(without(&[phones], &damaged), Err(ClaimError::Package(_))));
    let twice = respond([alice.packages(2), phone.packages(1)].concat());
    assert_eq!(without(&[phones], &twice).unwrap_err(), ClaimError::ClientTwice);
}

#[test]
fn an_intermediate_that_is_revoked_need_not_be_known() {
    let (deployment, mut alice) = alice();
    let revoked = [deployment.intermediates[0].fingerprint()];
    let trusted = TrustedCredentials { intermediates: &[], revoked: &revoked };
    let package = alice.package(false).add_package;
    let refused = ClaimedPackage::verify(&package.0, &alice.code, trusted, *NOW);
    assert_eq!(refused.unwrap_err(), ClaimError::Revoked);
}

#[test]
fn no_flipped_bit_of_a_claimed_package_goes_unnoticed() {
    let (deployment, mut alice) = alice();
    let bytes = alice.package(false).add_package.0;
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1 << (position % 8);
        let refused = ClaimedPackage::verify(&altered, &alice.code, deployment.trusted(), *NOW);
        assert!(refused.is_err(), "{position}");
    }
}

#[test]
fn a_wrong_signature_in_a_batch_is_named() {
    let (_, mut alice) = alice();
    let mut packages = alice.packages(5);
    let last_resort = alice.package(true).add_package;
    // The KeyPackage ends with its signature; the identity comes after it.
    let end = packages[3].0.len() - 2 - vestibule_protocol::add_package::ENCRYPTED_IDENTITY_LENGTH;
    packages[3].0[end - 1] ^= 0x01;
    let refused = Publication::check(&packages, Some(&last_resort), *NOW).unwrap_err();
    assert_eq!(
        refused,
        PublicationError::Package { position: Position::Ordinary(3), error: PackageError::SignatureInvalid }
    );
}

#[test]
fn a_batch_of_right_signatures_passes_and_one_with_a_wrong_one_names_it() {
    let rng = &mut StdRng::seed_from_u64(1);
    let signed = |rng: &mut StdRng, message: &[u8]| {
        use ed25519_dalek::Signer as _;
        let key = ed25519_dalek::SigningKey::generate(rng);
        (message.to_vec(), key.verifying_key().to_bytes(), key.sign(message).to_bytes())
    };
    for count in [0, 1, 2, 202] {
        for wrong in [None, Some(0), Some(count / 2), Some(count.max(1) - 1)] {
            let batch = SignatureBatch::default();
            for number in 0..count {
                let (mut message, key, signature) = signed(rng, &[number as u8; 40]);
                if wrong == Some(number) {
                    message[0] ^= 1;
                }
                batch.verify_signature(SignatureScheme::ED25519, &message, &key, &signature).unwrap();
            }
            assert_eq!(batch.len(), count);
            let expected = wrong.filter(|number| *number < count).map_or(Ok(()), |number| Err(BatchError(number)));
            assert_eq!(batch.verify(), expected);
        }
    }
}

#[test]
fn a_key_of_small_order_and_a_signature_that_is_not_canonical_do_not_get_into_a_batch() {
    use ed25519_dalek::Signer as _;
    let batch = SignatureBatch::default();
    // The identity point as key and commitment, with s = 0: it fits every message under lax verification.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(batch.verify_signature(SignatureScheme::ED25519, b"anything", &identity, &signature).is_err());

    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let mut signature = key.sign(b"message").to_bytes();
    // s + ℓ, which would be the same signature once more.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0u16;
    for (byte, summand) in signature[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(summand);
        *byte = carry as u8;
        carry >>= 8;
    }
    let accepted = batch
        .verify_signature(SignatureScheme::ED25519, b"message", key.verifying_key().as_bytes(), &signature)
        .is_ok();
    assert!(!accepted || batch.verify().is_err());
}
