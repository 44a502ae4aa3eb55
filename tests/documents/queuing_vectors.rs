//! The test vectors of the queuing service.

use openmls::prelude::tls_codec::Serialize as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_key_packages::seal_queue_config;
use vestibule_protocol::add_package::{AddPackage, PackageIdentity};
use vestibule_protocol::credential::{AsCredential, AsIntermediateCredential, ClientCredentialPayload};
use vestibule_protocol::encoding::{Bytes, SecretBytes};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::keys::{HpkePrivateKey, QsClientRecordKey, QsUserRecordKey, SigningKey};
use vestibule_protocol::leaf_credential::LeafCredential;
use vestibule_protocol::queue_config::{QueueConfig, open_queue_config};
use vestibule_protocol::queuing::{
    ClaimAnswer, ListenRequest, QsClientId, QsClientRecord, QsKeys, QsUserId, packages_hash,
};
use vestibule_protocol::signed::Verified;
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, FriendshipToken, PushTokenKey};
use vestibule_protocol::time::{DAY, ExpirationData};

use super::vectors::{NOW, client_id, domain, hex, secret_hex, signing_key, structure};
use super::{assert_current, repository};

fn secret<T: SecretBytes>(byte: u8) -> T {
    T::from_secret_bytes(&[byte; 32]).unwrap()
}

#[test]
fn the_vectors_of_the_queuing_service_are_current() {
    let rng = &mut StdRng::seed_from_u64(12);
    let root_key = signing_key(1);
    let root = AsCredential::issue(domain(), &root_key, NOW, 3652);
    let queue_config_key: HpkePrivateKey = secret(13);
    let qs_key = signing_key(14);
    let qs_keys = QsKeys::issue(qs_key.verifying_key(), queue_config_key.public_key(), &root, &root_key, NOW, 365);
    let user_record_key: SigningKey<QsUserRecordKey> = signing_key(15);
    let client_record_key: SigningKey<QsClientRecordKey> = signing_key(16);
    let qs_user_id = QsUserId::of(&user_record_key.verifying_key());
    let qs_client_id = QsClientId::of(&client_record_key.verifying_key());
    let record = QsClientRecord::issue(qs_user_id, &client_record_key);
    let packages = [Bytes(vec![1, 2, 3]), Bytes(vec![4])];
    let answer = ClaimAnswer::issue([9; 32], &packages, &qs_key);
    let push_token_key: PushTokenKey = secret(17);
    let queue_config = QueueConfig::issue(qs_client_id, &push_token_key, &client_record_key);
    let listen_request = ListenRequest::issue(domain(), qs_client_id, NOW, &client_record_key);

    let intermediate_key = signing_key(2);
    let intermediate = AsIntermediateCredential::issue(intermediate_key.verifying_key(), &root, &root_key, NOW, 365);
    let client_key = signing_key(3);
    let payload = ClientCredentialPayload::requesting(client_id(), client_key.verifying_key(), &intermediate, NOW);
    let client_credential = Verified::sign(payload, &intermediate_key);
    let lifetime = ExpirationData::starting(NOW.start_of_day(), 84 * DAY);
    let leaf_key = signing_key(18);
    let (leaf, signature_encryption_key) =
        LeafCredential::issue(leaf_key.verifying_key(), lifetime, &client_credential, &client_key, rng);
    leaf.verify(&signature_encryption_key, &client_credential, NOW).unwrap();

    let code = FriendshipCode {
        token: secret::<FriendshipToken>(19),
        encryption_key: secret::<FriendshipEncryptionKey>(20),
        user_name: client_id().user_name,
    };
    let identity = PackageIdentity {
        client_credential: client_credential.to_bytes(),
        signature_encryption_key: signature_encryption_key.clone(),
    };
    let key_package = b"stands for a KeyPackage".to_vec();
    let package = AddPackage::seal(key_package.clone(), &identity, &code.encryption_key, rng).unwrap();

    let vectors = json!({
        "now": NOW,
        "qs_user_id": { "public_key": hex(user_record_key.verifying_key().as_bytes()), "id": qs_user_id },
        "qs_client_id": { "public_key": hex(client_record_key.verifying_key().as_bytes()), "id": qs_client_id },
        "QsKeys": structure(&qs_keys, &root_key),
        "QsClientRecord": structure(&record, &client_record_key),
        "ListenRequest": {
            "structure": structure(&listen_request, &client_record_key),
            "sec_websocket_protocol": listen_request.to_subprotocols(),
        },
        "ClaimAnswer": {
            "structure": structure(&answer, &qs_key),
            "add_packages": packages.each_ref().map(hex),
            "packages_hash": hex(packages_hash(&packages)),
        },
        "QueueConfig": {
            "structure": structure(&queue_config, &client_record_key),
            "queue_config_private_key": secret_hex(&queue_config_key),
            "hpke_info": hex(QueueConfig::hpke_info()),
            "encrypted": encrypted_queue_config(&queue_config, &queue_config_key),
        },
        "leaf_credential": {
            "client_credential": hex(client_credential.to_bytes()),
            "client_private_key": secret_hex(&client_key),
            "signature_encryption_key": secret_hex(&signature_encryption_key),
            "payload": hex(leaf.payload().tls_serialize_detached().unwrap()),
            "leaf_credential": hex(leaf.to_bytes()),
        },
        "add_package": {
            "key_package": hex(key_package),
            "key_package_ref": hex(package.reference().as_bytes()),
            "friendship_encryption_key": secret_hex(&code.encryption_key),
            "add_package": hex(package.to_bytes()),
        },
        "friendship": {
            "token": secret_hex(&code.token),
            "token_hash": hex(code.token.hash().as_bytes()),
            "encryption_key": secret_hex(&code.encryption_key),
            "user_name": code.user_name,
            "code": code.to_text().as_str(),
        },
    });
    assert_current("docs/vectors/queuing-service.json", &vectors);
}

/// HPKE draws its own randomness, so the committed ciphertext stays if it opens to the right thing.
fn encrypted_queue_config(queue_config: &QueueConfig, key: &HpkePrivateKey) -> Value {
    let committed = std::fs::read_to_string(repository().join("docs/vectors/queuing-service.json")).unwrap_or_default();
    let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
    let committed = &committed["QueueConfig"]["encrypted"];
    let bytes = committed.as_str().and_then(unhex).unwrap_or_default();
    let opens = open_queue_config(&bytes, key).is_some_and(|opened| {
        let client_record_key: SigningKey<QsClientRecordKey> = signing_key(16);
        opened
            .verify(&client_record_key.verifying_key())
            .is_ok_and(|opened| opened.to_bytes() == queue_config.to_bytes())
    });
    if opens { committed.clone() } else { hex(seal_queue_config(queue_config, &key.public_key()).unwrap()).into() }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
