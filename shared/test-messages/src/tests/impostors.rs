//! Whoever says to be somebody else.

use openmls::prelude::{
    Credential, CredentialType, CredentialWithKey, Lifetime, MlsGroup, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
};
use openmls_rust_crypto::MemoryStorage;
use openmls_traits::OpenMlsProvider as _;
use vestibule_key_packages::{leaf_capabilities, leaf_validity};
use vestibule_mls::{CIPHERSUITE, MlsSigner, Provider};
use vestibule_protocol::leaf_credential::LEAF_CREDENTIAL_TYPE;
use vestibule_protocol::time::ExpirationData;

use super::*;

/// A message by `sender` that says `content`, and what comes of it at alice.
fn opened(
    leaf_credential: &LeafCredential,
    leaf_key: &SigningKey<LeafCredentialKey>,
    content: Zeroizing<Vec<u8>>,
) -> Result<OpenedMessage, OpeningError> {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let (package, private) = alice.package(false);
    let message = encrypt(leaf_credential, leaf_key, &[package], content, &mut bob.rng).unwrap();
    message.open(&private, deployment.trust(), *NOW)
}

/// A leaf of a client, and what opens its signature.
fn leaf(client: &mut Client) -> (LeafCredential, SigningKey<LeafCredentialKey>, SignatureEncryptionKey) {
    let key = SigningKey::<LeafCredentialKey>::generate(&mut client.rng);
    let validity = leaf_validity(&client.credential, *NOW).unwrap();
    let (credential, encryption_key) =
        LeafCredential::issue(key.verifying_key(), validity, &client.credential, &client.key, &mut client.rng);
    (credential, key, encryption_key)
}

fn content(client: &Client, signature_encryption_key: SignatureEncryptionKey) -> Zeroizing<Vec<u8>> {
    let content = Content {
        client_credential: client.credential.to_bytes(),
        as_intermediate_credential: client.intermediate.to_bytes(),
        signature_encryption_key,
        text: "hello".parse().unwrap(),
    };
    content.to_bytes()
}

#[test]
fn a_credential_that_is_not_behind_the_leaf_is_refused() {
    let (deployment, _, mut bob) = alice_and_bob();
    let mut mallory = Client::new(&deployment, "mallory@localhost", 9);
    let (own_leaf, own_key, encryption_key) = leaf(&mut mallory);
    let refused = opened(&own_leaf, &own_key, content(&bob, encryption_key.clone())).unwrap_err();
    assert_eq!(refused, OpeningError::Sender(CredentialError::UnknownSigner));
    let own = opened(&own_leaf, &own_key, content(&mallory, encryption_key)).unwrap();
    assert_eq!(own.from, *mallory.client_id());
    let (_, _, other_encryption_key) = leaf(&mut bob);
    let refused = opened(&own_leaf, &own_key, content(&mallory, other_encryption_key)).unwrap_err();
    assert_eq!(refused, OpeningError::Sender(CredentialError::Signed(SignedError::SignatureInvalid)));
}

#[test]
fn the_leaf_credential_of_another_is_refused_in_a_leaf_of_ones_own() {
    let (deployment, _, mut bob) = alice_and_bob();
    let mut mallory = Client::new(&deployment, "mallory@localhost", 9);
    // Mallory has had a message of bob's.
    let (bobs_leaf, _, encryption_key) = leaf(&mut bob);
    let (_, own_key, _) = leaf(&mut mallory);
    let (_, mut alice, _) = alice_and_bob();
    let (package, private) = alice.package(false);
    let provider = Provider::new(&mut mallory.rng, MemoryStorage::default());
    let ExpirationData { not_before, not_after } = bobs_leaf.payload().expiration_data;
    let credential_with_key = CredentialWithKey {
        credential: Credential::new(CredentialType::Other(LEAF_CREDENTIAL_TYPE), bobs_leaf.to_bytes()),
        signature_key: own_key.verifying_key().as_bytes().to_vec().into(),
    };
    let signer = MlsSigner::from(&own_key);
    let mut group = MlsGroup::builder()
        .ciphersuite(CIPHERSUITE)
        .lifetime(Lifetime::init(not_before.seconds(), not_after.seconds()))
        .with_capabilities(leaf_capabilities())
        .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .build(&provider, &signer, credential_with_key)
        .unwrap();
    let (_, welcome, _) = group.add_members_without_update(&provider, &signer, &[package]).unwrap();
    group.merge_pending_commit(&provider).unwrap();
    let said = group.create_message(&provider, &signer, &content(&bob, encryption_key)).unwrap();
    let [welcome, said] = [welcome, said].map(|message| message.tls_serialize_detached().unwrap());
    let message = TestMessage::of(welcome, said).unwrap();
    let refused = message.open(&private, deployment.trust(), *NOW).unwrap_err();
    assert_eq!(refused, OpeningError::Sender(CredentialError::Signed(SignedError::Malformed)));
}

#[test]
fn a_sender_of_another_deployment_is_refused() {
    let mut impostor = Client::new(&Deployment::new(8), "bob@localhost", 3);
    let (leaf, key, encryption_key) = leaf(&mut impostor);
    let refused = opened(&leaf, &key, content(&impostor, encryption_key)).unwrap_err();
    assert_eq!(refused, OpeningError::Sender(CredentialError::UnknownSigner));
}

#[test]
fn a_content_that_is_none_is_refused() {
    let (_, _, mut bob) = alice_and_bob();
    let (leaf, key, encryption_key) = leaf(&mut bob);
    let whole = content(&bob, encryption_key);
    for bytes in [Vec::new(), b"hello".to_vec(), whole[..whole.len() - 1].to_vec(), [&whole[..], &[0]].concat()] {
        assert_eq!(opened(&leaf, &key, Zeroizing::new(bytes)).unwrap_err(), OpeningError::Content);
    }
}

#[test]
fn what_another_member_says_in_the_group_is_refused() {
    let (deployment, mut alice, mut bob) = alice_and_bob();
    let mut laptop = Client::new(&deployment, "alice@localhost", 4);
    let (package, private) = alice.package(false);
    let (laptop_package, of_laptop) = laptop.package(false);
    let message = bob.send("hello", &[package, laptop_package]);

    let empty = Provider::deterministic(MemoryStorage::default());
    let (mut group, _) = message.join(&of_laptop, &empty).unwrap();
    let storage = MemoryStorage::default();
    storage.values.write().unwrap().extend(empty.storage().values.read().unwrap().clone());
    let provider = Provider::new(&mut laptop.rng, storage);
    let signer = MlsSigner::from(&of_laptop.signature_key);
    let said = group.create_message(
        &provider,
        &signer,
        &content(&bob, SignatureEncryptionKey::generate(&mut bob.rng.clone())),
    );
    let said = said.unwrap().tls_serialize_detached().unwrap();
    let replaced = TestMessage::of(message.parts.welcome.0.clone(), said).unwrap();
    let refused = replaced.open(&private, deployment.trust(), *NOW).unwrap_err();
    assert_eq!(refused, OpeningError::NotForThisPackage);
}
