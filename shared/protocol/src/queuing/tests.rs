use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::credential::{AsCredential, CredentialError};
use crate::encoding::Bytes;
use crate::keys::HpkePrivateKey;
use crate::queue_config::{QUEUE_CONFIG_LENGTH, QueueConfig};
use crate::symmetric::PushTokenKey;
use crate::time::{DAY, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

#[test]
fn a_user_and_a_client_of_one_key_have_different_ids() {
    let key = [7; 32];
    let user = QsUserId::of(&VerifyingKey::from_bytes(&key).unwrap());
    let client = QsClientId::of(&VerifyingKey::from_bytes(&key).unwrap());
    assert_ne!(user.as_bytes(), client.as_bytes());
}

#[test]
fn a_client_record_is_signed_by_its_own_key() {
    let rng = &mut rng(1);
    let key = SigningKey::generate(rng);
    let user_id = QsUserId::of(&SigningKey::generate(rng).verifying_key());
    let record = QsClientRecord::issue(user_id, &key);
    let read = QsClientRecord::verify_self_signed(&record.to_bytes().0).unwrap();
    assert_eq!((read.payload(), read.qs_client_id()), (record.payload(), QsClientId::of(&key.verifying_key())));
    let forged = Verified::sign(record.payload().clone(), &SigningKey::generate(rng));
    assert_eq!(QsClientRecord::verify_self_signed(&forged.to_bytes().0).unwrap_err(), SignedError::SignatureInvalid);
}

#[test]
fn a_new_key_for_a_record_is_signed_by_itself_and_for_its_kind_of_record() {
    let rng = &mut rng(1);
    let (user_key, client_key) = (SigningKey::generate(rng), SigningKey::generate(rng));
    let (user_id, client_id) = (QsUserId::of(&user_key.verifying_key()), QsClientId::of(&client_key.verifying_key()));
    let (new_user_key, new_client_key) = (SigningKey::generate(rng), SigningKey::generate(rng));
    let of_user = QsUserRekey::issue(user_id, &new_user_key);
    let of_client = QsClientRekey::issue(client_id, &new_client_key);
    assert_eq!(QsUserRekey::verify_self_signed(&of_user.to_bytes().0).unwrap().payload(), of_user.payload());
    assert_eq!(QsClientRekey::verify_self_signed(&of_client.to_bytes().0).unwrap().payload(), of_client.payload());
    let refused = SignedError::SignatureInvalid;
    assert_eq!(QsClientRekey::verify_self_signed(&of_user.to_bytes().0).unwrap_err(), refused);
    let forged = Verified::sign(of_user.payload().clone(), &user_key);
    assert_eq!(QsUserRekey::verify_self_signed(&forged.to_bytes().0).unwrap_err(), refused);
}

#[test]
fn the_services_keys_are_the_roots_for_its_domain_and_time() {
    let rng = &mut rng(1);
    let (root_key, other_key) = (SigningKey::generate(rng), SigningKey::generate(rng));
    let root = AsCredential::issue("localhost".parse().unwrap(), &root_key, NOW, 3652);
    let (verifying_key, hpke_key) = (SigningKey::generate(rng).verifying_key(), HpkePrivateKey::generate(rng));
    let issue = |key: &_, days| QsKeys::issue(verifying_key, hpke_key.public_key(), &root, key, NOW, days);
    let verify = |keys: &QsKeys, now| QsKeys::verify_chain(&keys.to_bytes().0, &root, now).map(|_| ());
    let keys = issue(&root_key, 365);
    assert_eq!(verify(&keys, NOW), Ok(()));
    assert_eq!(verify(&keys, NOW.saturating_add(365 * DAY)), Err(CredentialError::NotValidNow));
    assert_eq!(verify(&issue(&root_key, 367), NOW), Err(CredentialError::ValidityRefused));
    let forged = CredentialError::Signed(SignedError::SignatureInvalid);
    assert_eq!(verify(&issue(&other_key, 365), NOW), Err(forged));
    let elsewhere = QsKeysPayload { domain: "example.org".parse().unwrap(), ..keys.payload().clone() };
    assert_eq!(verify(&Verified::sign(elsewhere, &root_key), NOW), Err(CredentialError::ForeignDomain));
}

#[test]
fn an_answer_to_another_claim_or_with_other_packages_is_refused() {
    let rng = &mut rng(1);
    let key = SigningKey::generate(rng);
    let packages = [Bytes(vec![1, 2]), Bytes(vec![3])];
    let request_hash = <sha2::Sha256 as sha2::Digest>::digest(b"request").into();
    let answer = ClaimAnswer::issue(request_hash, &packages, &key).to_bytes().0;
    let verify = |request: &[u8], packages: &[Bytes]| {
        ClaimAnswer::verify(&answer, request, packages, &key.verifying_key()).map(|_| ())
    };
    assert_eq!(verify(b"request", &packages), Ok(()));
    let refused = Err(SignedError::SignatureInvalid);
    assert_eq!(verify(b"another", &packages), refused);
    assert_eq!(verify(b"request", &packages[..1]), refused);
    assert_eq!(verify(b"request", &[packages[1].clone(), packages[0].clone()]), refused);
    assert_eq!(verify(b"request", &[Bytes(vec![1, 2, 1, 3])]), refused);
}

#[test]
fn every_queue_config_has_the_length_that_the_extension_has_room_for() {
    let rng = &mut rng(1);
    let key = SigningKey::generate(rng);
    let config =
        QueueConfig::issue(QsClientId::of(&key.verifying_key()), &PushTokenKey::generate(rng), &key).to_bytes();
    assert_eq!(1 + 32 + 2 + config.0.len() + 16, QUEUE_CONFIG_LENGTH);
}

proptest! {
    #[test]
    fn an_id_has_one_text(bytes: [u8; 32], noise in ".{0,60}") {
        let id = QsUserId(bytes);
        prop_assert_eq!(id.to_string().parse::<QsUserId>(), Ok(id));
        prop_assert_eq!(id.to_string().len(), 43);
        if let Ok(id) = noise.parse::<QsClientId>() {
            prop_assert_eq!(id.to_string(), noise);
        }
    }
}
