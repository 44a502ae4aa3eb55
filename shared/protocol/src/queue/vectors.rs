//! `docs/vectors/queues.json`: what another implementation checks its queues with. `VESTIBULE_BLESS=1` writes it.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::*;
use crate::keys::{HpkePrivateKey, QsClientRecordKey, SigningKey};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/queues.json");

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn qs_client_id() -> QsClientId {
    let key = SigningKey::<QsClientRecordKey>::from_secret_bytes(&[1; 32]).unwrap();
    QsClientId::of(&key.verifying_key())
}

fn queue_ids() -> Value {
    let client_id: ClientId = "alice@localhost/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap();
    json!([
        { "client_id": client_id, "queue_id": hex(QueueId::of_client(&client_id).as_bytes()) },
        { "qs_client_id": qs_client_id(), "queue_id": hex(QueueId::of_qs_client(&qs_client_id()).as_bytes()) },
    ])
}

/// A queue from its first message to one behind its second key update.
fn queue() -> Value {
    let rng = &mut StdRng::seed_from_u64(1);
    let queue_id = QueueId::of_qs_client(&qs_client_id());
    let decryption_key = HpkePrivateKey::from_secret_bytes(&[2; 32]).unwrap();
    let ratchet_key = RatchetKey::from_secret_bytes(&[3; 32]).unwrap();
    let mut ratchet = QueueRatchet::new(queue_id, decryption_key.public_key(), ratchet_key.clone(), 0);
    let mut stored = Vec::new();
    let mut steps = Vec::new();
    for number in 0..17u8 {
        let content = vec![number; usize::from(number) * 20];
        let enqueued = ratchet.enqueue(&content, rng).unwrap();
        let messages: Vec<_> = enqueued
            .messages
            .iter()
            .map(|message| json!({ "sequence": message.sequence, "ciphertext": hex(&message.ciphertext) }))
            .collect();
        steps.push(json!({
            "content": hex(content),
            "messages": messages,
            "ratchet_key": hex(enqueued.ratchet.ratchet_key().0),
        }));
        stored.extend(enqueued.messages);
        ratchet = enqueued.ratchet;
    }
    let reader = QueueReader::new(decryption_key.clone(), ratchet_key.clone());
    let reading = reader.read(queue_id, &stored).unwrap();
    assert_eq!(reading.messages.len(), 17);
    json!({
        "queue_id": hex(queue_id.as_bytes()),
        "private_key": hex(decryption_key.to_secret_bytes()),
        "encryption_key": hex(decryption_key.public_key().as_bytes()),
        "ratchet_key": hex(ratchet_key.0),
        "enqueued": steps,
    })
}

#[test]
fn the_vectors_of_queues_are_current() {
    let current = json!({ "queue_ids": queue_ids(), "queue": queue() });
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        std::fs::write(PATH, format!("{}\n", serde_json::to_string_pretty(&current).unwrap())).unwrap();
    }
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    let is_current = serde_json::from_str::<Value>(&written).is_ok_and(|written| written == current);
    assert!(is_current, "VESTIBULE_BLESS=1 cargo test -p vestibule-protocol vectors writes {PATH}");
}
