use std::sync::LazyLock;

use openmls::prelude::KeyPackage;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tls_codec::Serialize as _;
use vestibule_key_packages::{KeyPackageMaker, PrivateKeyPackage};
use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialPayload, CredentialError,
};
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::keys::{
    AsIntermediateCredentialKey, ClientCredentialKey, HpkePrivateKey, LeafCredentialKey, SigningKey,
};
use vestibule_protocol::leaf_credential::LeafCredential;
use vestibule_protocol::limits::{MAX_QS_CLIENTS, MAX_QUEUE_MESSAGE_LENGTH, MAX_TEST_MESSAGE_TEXT_LENGTH};
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::signed::{Fingerprint, SignedError, Verified};
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, PushTokenKey, SignatureEncryptionKey};
use vestibule_protocol::time::{DAY, Timestamp};
use zeroize::Zeroizing;

use super::*;
use crate::content::Content;
use crate::sealing::encrypt;

mod impostors;

/// openmls judges lifetimes by the system's clock, so the tests run today.
static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::now().start_of_day().saturating_add(DAY / 2));

/// A deployment.
struct Deployment {
    root: AsCredential,
    intermediate: AsIntermediateCredential,
    intermediate_key: SigningKey<AsIntermediateCredentialKey>,
}

impl Deployment {
    fn new(seed: u64) -> Self {
        let rng = &mut StdRng::seed_from_u64(seed);
        let root_key = SigningKey::generate(rng);
        let root = AsCredential::issue("localhost".parse().unwrap(), &root_key, *NOW, 3652);
        let intermediate_key = SigningKey::generate(rng);
        let public_key = intermediate_key.verifying_key();
        let intermediate = AsIntermediateCredential::issue(public_key, &root, &root_key, *NOW, 365);
        Self { root, intermediate, intermediate_key }
    }

    fn trust(&self) -> SenderTrust<'_> {
        SenderTrust { root: &self.root, revoked: &[] }
    }
}

/// A client of a user of the deployment.
struct Client {
    credential: ClientCredential,
    key: SigningKey<ClientCredentialKey>,
    intermediate: AsIntermediateCredential,
    rng: StdRng,
}

impl Client {
    fn new(deployment: &Deployment, user_name: &str, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let key = SigningKey::generate(&mut rng);
        let client_id = ClientId { user_name: user_name.parse().unwrap(), uuid: ClientUuid::generate(&mut rng) };
        let intermediate = deployment.intermediate.clone();
        let payload = ClientCredentialPayload::requesting(client_id, key.verifying_key(), &intermediate, *NOW);
        Self { credential: Verified::sign(payload, &deployment.intermediate_key), key, intermediate, rng }
    }

    fn package(&mut self, is_last_resort: bool) -> (KeyPackage, PrivateKeyPackage) {
        let maker = KeyPackageMaker {
            client_credential: &self.credential,
            client_key: &self.key,
            friendship_encryption_key: &FriendshipEncryptionKey::generate(&mut self.rng.clone()),
            client_record_key: &SigningKey::generate(&mut self.rng.clone()),
            push_token_key: &PushTokenKey::generate(&mut self.rng.clone()),
            queue_config_key: &HpkePrivateKey::generate(&mut self.rng.clone()).public_key(),
        };
        let private = maker.make(is_last_resort, *NOW, &mut self.rng).unwrap().private;
        (private.bundle().unwrap().key_package().clone(), private)
    }

    fn client_id(&self) -> &ClientId {
        &self.credential.payload().client_id
    }

    fn send(&mut self, text: &str, recipients: &[KeyPackage]) -> TestMessage {
        self.try_to_send(text, recipients, *NOW).unwrap()
    }

    fn try_to_send(
        &mut self,
        text: &str,
        recipients: &[KeyPackage],
        now: Timestamp,
    ) -> Result<TestMessage, SealingError> {
        let sender = Sender {
            client_credential: &self.credential,
            as_intermediate_credential: &self.intermediate,
            client_key: &self.key,
        };
        sender.seal(text.parse().unwrap(), recipients, now, &mut self.rng)
    }
}

/// Alice, who is written to, and bob, who writes.
fn alice_and_bob() -> (Deployment, Client, Client) {
    let deployment = Deployment::new(1);
    let alice = Client::new(&deployment, "alice@localhost", 2);
    let bob = Client::new(&deployment, "bob@localhost", 3);
    (deployment, alice, bob)
}

#[test]
fn every_device_opens_the_message_and_sees_who_sent_it() {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let mut laptop = Client::new(&deployment, "alice@localhost", 4);
    let (phone_package, of_phone) = alice.package(false);
    let (laptop_package, of_laptop) = laptop.package(true);
    let sent = bob.send("Grüße", &[phone_package, laptop_package]).to_bytes();
    let received = TestMessage::from_bytes(&sent).unwrap();
    let mut names = Vec::new();
    for private in [of_phone, of_laptop] {
        assert!(received.is_for(&private.reference.0));
        let opened = received.open(&private, deployment.trust(), *NOW).unwrap();
        assert_eq!((&opened.from, opened.text.as_str()), (bob.client_id(), "Grüße"));
        names.push(opened.name);
    }
    assert_eq!(names[0], names[1]);
    let (_, other) = alice.package(false);
    assert!(!received.is_for(&other.reference.0));
    assert_eq!(received.open(&other, deployment.trust(), *NOW).unwrap_err(), OpeningError::NotForThisPackage);
}

#[test]
fn a_message_that_is_opened_twice_is_known_again_and_others_are_not_taken_for_it() {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let (package, private) = alice.package(true);
    let (other_package, _) = alice.package(false);
    let first = bob.send("hello", &[package.clone(), other_package]);
    let second = bob.send("hello", &[package]);
    let name = |message: &TestMessage| message.open(&private, deployment.trust(), *NOW).unwrap().name;
    assert_eq!(name(&first), name(&first));
    assert_ne!(name(&first), name(&second));
    // Whoever carries the message can alter what is for others.
    let for_others = first.welcome().unwrap().secrets()[1].tls_serialize_detached().unwrap();
    let mut altered = first.to_bytes();
    let at = altered.windows(for_others.len()).position(|window| window == for_others).unwrap();
    altered[at + for_others.len() - 1] ^= 1;
    assert_eq!(name(&TestMessage::from_bytes(&altered).unwrap()), name(&first));
}

#[test]
fn who_was_away_opens_the_message_when_the_key_package_has_expired() {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let (package, private) = alice.package(false);
    let message = bob.send("hello", &[package]);
    let later = NOW.saturating_add(83 * DAY);
    assert!(message.open(&private, deployment.trust(), later).is_ok());
}

#[test]
fn a_sender_whose_credential_is_over_or_revoked_is_not_trusted() {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let (package, private) = alice.package(false);
    let message = bob.send("hello", std::slice::from_ref(&package));
    let open = |revoked: &[Fingerprint], now| {
        message.open(&private, SenderTrust { root: &deployment.root, revoked }, now).unwrap_err()
    };
    let not_valid = OpeningError::Sender(CredentialError::NotValidNow);
    assert_eq!(open(&[], NOW.saturating_add(85 * DAY)), not_valid);
    assert_eq!(open(&[], NOW.saturating_sub(2 * DAY)), not_valid);
    assert_eq!(open(&[bob.credential.fingerprint()], *NOW), OpeningError::Revoked);
    assert_eq!(open(&[deployment.intermediate.fingerprint()], *NOW), OpeningError::Revoked);
    let expired = bob.try_to_send("hello", &[package], NOW.saturating_add(90 * DAY));
    assert_eq!(expired, Err(SealingError::CredentialExpired));
}

#[test]
fn the_longest_text_to_as_many_devices_as_there_can_be_fits_a_queue() {
    let (deployment, _, mut bob) = alice_and_bob();
    let packages: Vec<_> = (0..MAX_QS_CLIENTS as u64)
        .map(|number| Client::new(&deployment, "alice@localhost", 10 + number).package(false))
        .collect();
    let recipients: Vec<_> = packages.iter().map(|(package, _)| package.clone()).collect();
    let text = "x".repeat(MAX_TEST_MESSAGE_TEXT_LENGTH);
    let message = bob.send(&text, &recipients);
    assert!(message.to_bytes().len() <= MAX_QUEUE_MESSAGE_LENGTH / 2, "{}", message.to_bytes().len());
    let opened = message.open(&packages[9].1, deployment.trust(), *NOW).unwrap();
    assert_eq!(opened.text.as_str(), text);
}

#[test]
fn nobody_cannot_be_written_to() {
    let (_, _, mut bob) = alice_and_bob();
    assert_eq!(bob.try_to_send("hello", &[], *NOW), Err(SealingError::Failed));
}

#[test]
fn the_length_tells_neither_text_nor_name() {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let mut somebody = Client::new(&deployment, &format!("{}@localhost", "b".repeat(64)), 5);
    let recipients = [alice.package(false).0];
    let lengths =
        [bob.send("y", &recipients), bob.send(&"n".repeat(200), &recipients), somebody.send("no", &recipients)]
            .map(|message| message.parts.private_message.0.len());
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
}

#[test]
fn texts_have_1_to_4096_bytes() {
    assert_eq!("".parse::<MessageText>(), Err(MessageTextError::Empty));
    assert!("x".repeat(4096).parse::<MessageText>().is_ok());
    assert_eq!("ü".repeat(2049).parse::<MessageText>(), Err(MessageTextError::TooLong));
    assert_eq!(MessageText::from_bytes(&[0xff]), Err(MessageTextError::NotUtf8));
    let json = serde_json::to_string(&"a \"b\"".parse::<MessageText>().unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<MessageText>(&json).unwrap().as_str(), "a \"b\"");
    assert!(serde_json::from_str::<MessageText>("\"\"").is_err());
    assert_eq!(format!("{:?}", "secret".parse::<MessageText>().unwrap()), "MessageText(6 bytes)");
}

#[test]
fn what_is_cut_short_or_goes_on_is_no_message() {
    let (_, mut alice, mut bob) = alice_and_bob();
    let bytes = bob.send("hello", &[alice.package(false).0]).to_bytes();
    for length in (0..bytes.len()).step_by(37) {
        assert_eq!(TestMessage::from_bytes(&bytes[..length]), Err(Malformed), "{length}");
    }
    assert_eq!(TestMessage::from_bytes(&[bytes, vec![0]].concat()), Err(Malformed));
}

/// A message that is the same in every case of a test, the deployment and who opens it.
static SENT: LazyLock<(Deployment, PrivateKeyPackage, Vec<u8>)> = LazyLock::new(|| {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let (package, private) = alice.package(true);
    let bytes = bob.send("hello", &[package]).to_bytes();
    (deployment, private, bytes)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_altered_message_is_never_opened_as_another(at: prop::sample::Index, mask in 1u8..) {
        let (deployment, private, bytes) = &*SENT;
        let mut altered = bytes.clone();
        let at = at.index(altered.len());
        altered[at] ^= mask;
        let opened = TestMessage::from_bytes(&altered)
            .map_err(OpeningError::from)
            .and_then(|message| message.open(private, deployment.trust(), *NOW));
        prop_assert!(opened.is_err(), "byte {at}");
    }

    #[test]
    fn whatever_bytes_there_are_are_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let labelled = vestibule_protocol::signed::labelled("TestMessage", &bytes);
        prop_assert!(TestMessage::from_bytes(&bytes).is_err());
        prop_assert!(TestMessage::from_bytes(&labelled).is_err());
        prop_assert!(Content::from_bytes(&bytes).is_none_or(|content| *content.to_bytes() == bytes));
    }

    #[test]
    fn a_content_is_read_as_it_was_written(text in "\\PC{1,300}", credential in proptest::collection::vec(any::<u8>(), 0..500)) {
        let rng = &mut StdRng::seed_from_u64(7);
        let content = Content {
            client_credential: Bytes(credential.clone()),
            as_intermediate_credential: Bytes(Vec::new()),
            signature_encryption_key: SignatureEncryptionKey::generate(rng),
            text: text.parse().unwrap(),
        };
        let read = Content::from_bytes(&content.to_bytes()).unwrap();
        prop_assert_eq!((read.text.as_str(), &read.client_credential.0), (text.as_str(), &credential));
        let keys = [&read, &content].map(|content| content.signature_encryption_key.to_secret_bytes());
        prop_assert_eq!(&keys[0], &keys[1]);
    }
}
