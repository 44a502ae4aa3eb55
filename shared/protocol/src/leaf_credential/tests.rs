use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::credential::{AsCredential, AsIntermediateCredential, ClientCredentialPayload};
use crate::time::DAY;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Client {
    credential: ClientCredential,
    key: SigningKey<ClientCredentialKey>,
    rng: StdRng,
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let root_key = SigningKey::generate(&mut rng);
        let root = AsCredential::issue("localhost".parse().unwrap(), &root_key, NOW, 3652);
        let issuer_key = SigningKey::generate(&mut rng);
        let issuer = AsIntermediateCredential::issue(issuer_key.verifying_key(), &root, &root_key, NOW, 365);
        let key = SigningKey::generate(&mut rng);
        let client_id = "alice@localhost/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap();
        let payload = ClientCredentialPayload::requesting(client_id, key.verifying_key(), &issuer, NOW);
        Self { credential: Verified::sign(payload, &issuer_key), key, rng }
    }

    fn leaf(&mut self, days: u32) -> (LeafCredential, SignatureEncryptionKey) {
        let verifying_key = SigningKey::generate(&mut self.rng).verifying_key();
        let expiration_data = ExpirationData::starting(NOW.start_of_day(), DAY * days);
        LeafCredential::issue(verifying_key, expiration_data, &self.credential, &self.key, &mut self.rng)
    }
}

#[test]
fn a_leaf_credential_is_its_clients_for_whoever_has_the_key() {
    let mut client = Client::new(1);
    let (leaf, key) = client.leaf(84);
    let leaf = LeafCredential::from_bytes(&leaf.to_bytes()).unwrap();
    assert_eq!(leaf.verify(&key, &client.credential, NOW), Ok(()));
    let (_, another_key) = client.leaf(84);
    let refused = Err(CredentialError::Signed(SignedError::SignatureInvalid));
    assert_eq!(leaf.verify(&another_key, &client.credential, NOW), refused);
}

#[test]
fn a_leaf_credential_of_another_client_is_refused() {
    let (mut client, other) = (Client::new(1), Client::new(2));
    let (leaf, key) = client.leaf(84);
    assert_eq!(leaf.verify(&key, &other.credential, NOW), Err(CredentialError::UnknownSigner));
    // Whoever claims a foreign credential as the signer cannot make the signature for it.
    let verifying_key = SigningKey::generate(&mut client.rng).verifying_key();
    let expiration_data = ExpirationData::starting(NOW.start_of_day(), DAY);
    let (forged, key) =
        LeafCredential::issue(verifying_key, expiration_data, &client.credential, &other.key, &mut client.rng);
    let refused = Err(CredentialError::Signed(SignedError::SignatureInvalid));
    assert_eq!(forged.verify(&key, &client.credential, NOW), refused);
}

#[test]
fn a_leaf_credential_outside_its_signers_validity_or_its_own_is_refused() {
    let mut client = Client::new(1);
    let (leaf, key) = client.leaf(84);
    let refused = |now| leaf.verify(&key, &client.credential, now).unwrap_err();
    assert_eq!(refused(NOW.saturating_add(84 * DAY)), CredentialError::NotValidNow);
    assert_eq!(refused(NOW.saturating_sub(DAY)), CredentialError::NotValidNow);
    let (too_long, key) = client.leaf(85);
    assert_eq!(too_long.verify(&key, &client.credential, NOW), Err(CredentialError::ValidityRefused));

    let later = NOW.saturating_add(10 * DAY);
    let outlives = ExpirationData::starting(later.start_of_day(), 84 * DAY);
    let verifying_key = SigningKey::generate(&mut client.rng).verifying_key();
    let (leaf, key) = LeafCredential::issue(verifying_key, outlives, &client.credential, &client.key, &mut client.rng);
    assert_eq!(leaf.verify(&key, &client.credential, later), Err(CredentialError::ValidityRefused));
}

#[test]
fn no_flipped_or_missing_byte_goes_unnoticed() {
    let mut client = Client::new(1);
    let (leaf, key) = client.leaf(84);
    let bytes = leaf.to_bytes();
    let verifies = |bytes: &[u8]| {
        LeafCredential::from_bytes(bytes).is_ok_and(|leaf| leaf.verify(&key, &client.credential, NOW).is_ok())
    };
    assert!(verifies(&bytes));
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        assert!(!verifies(&altered), "{position}");
        assert!(!verifies(&bytes[..position]), "{position}");
    }
    assert!(!verifies(&[&bytes[..], &[0]].concat()));
}

#[test]
fn two_leaf_credentials_of_a_client_have_nothing_but_their_days_in_common() {
    let mut client = Client::new(1);
    let (one, two) = (client.leaf(84).0, client.leaf(84).0);
    assert_eq!(one.to_bytes().len(), two.to_bytes().len());
    assert_ne!(one.payload.verifying_key, two.payload.verifying_key);
    let pairs = one.encrypted_signature.chunks(16).zip(two.encrypted_signature.chunks(16));
    assert!(pairs.into_iter().all(|(one, two)| one != two));
    let fingerprint = client.credential.fingerprint();
    assert!(one.to_bytes().windows(32).all(|window| window != fingerprint.as_bytes()));
}
