//! What the table tells whoever reads it.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_protocol::encoding::{self, Bytes};
use vestibule_protocol::keys::HpkePrivateKey;
use vestibule_protocol::queue::{QueueId, QueueMessage, QueueReader};
use vestibule_tests::{Pseudonym, TestCloud};

use super::{alice, messages};

/// Somebody who has read the table: the queue's keys as they were then, and not the owner's private key.
struct Thief {
    queue_id: QueueId,
    ratchet_key: String,
    next_sequence: u64,
}

impl Thief {
    async fn of(cloud: &TestCloud, alice: &Pseudonym) -> Self {
        let items = cloud.cloud.items("QsQueueTable").await.unwrap();
        let queue = items.iter().find(|item| item["sk"]["S"] == "QUEUE").unwrap();
        Self {
            queue_id: QueueId::of_qs_client(&alice.qs_client_id()),
            ratchet_key: base64url(&queue["ratchet_key"]["B"]),
            next_sequence: queue["next_sequence"]["N"].as_str().unwrap().parse().unwrap(),
        }
    }

    /// Which messages open with the stolen ratchet key, or with one that follows from it, wherever it is tried.
    fn opened(&self, stored: &[QueueMessage]) -> Vec<u64> {
        let opens = |start: usize| {
            let mut reader = self.reader(stored[start].sequence);
            let mut opened = Vec::new();
            for message in &stored[start..] {
                let Ok(reading) = reader.read(self.queue_id, std::slice::from_ref(message)) else { break };
                opened.push(message.sequence);
                reader = reading.reader;
            }
            opened
        };
        let mut opened: Vec<_> = (0..stored.len()).flat_map(opens).collect();
        opened.sort_unstable();
        opened.dedup();
        opened
    }

    fn reader(&self, position: u64) -> QueueReader {
        let another_key = HpkePrivateKey::generate(&mut StdRng::seed_from_u64(9));
        let another_key = encoding::SecretBytes::to_secret_bytes(&another_key);
        let reader = json!({
            "decryption_key": encoding::encode(&another_key),
            "ratchet_key": self.ratchet_key,
            "next_sequence": position,
        });
        serde_json::from_value(reader).unwrap()
    }
}

fn base64url(value: &Value) -> String {
    value.as_str().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// The messages that the table has.
async fn stored(cloud: &TestCloud) -> Vec<QueueMessage> {
    let read = |item: &Value| {
        let sequence = item["sk"]["S"].as_str()?.strip_prefix("MESSAGE#")?.parse().ok()?;
        let ciphertext = Bytes(encoding::decode(&base64url(&item["ciphertext"]["B"])).unwrap());
        Some(QueueMessage { sequence, ciphertext })
    };
    let mut messages: Vec<_> = cloud.cloud.items("QsQueueTable").await.unwrap().iter().filter_map(read).collect();
    messages.sort_by_key(|message| message.sequence);
    messages
}

#[tokio::test]
async fn with_all_that_the_table_has_no_message_in_it_opens() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    for message in messages(20) {
        alice.receive(&cloud, [message]).await;
        let thief = Thief::of(&cloud, &alice).await;
        assert_eq!(thief.opened(&stored(&cloud).await), Vec::<u64>::new());
    }
}

#[tokio::test]
async fn with_all_that_the_table_had_no_message_opens_that_comes_after_the_next_key_update() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.receive(&cloud, messages(9)).await;
    let thief = Thief::of(&cloud, &alice).await;
    alice.receive(&cloud, messages(30)[10..].to_vec()).await;
    // From the moment of the theft to the key update with number 16.
    assert_eq!(thief.opened(&stored(&cloud).await), (thief.next_sequence..16).collect::<Vec<_>>());
    let mut inbox = alice.inbox();
    alice.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages.len(), 29);
}

#[tokio::test]
async fn what_a_client_sends_to_create_its_queue_opens_no_message() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let thief = Thief::of(&cloud, &alice).await;
    alice.receive(&cloud, messages(20)).await;
    assert_eq!(thief.opened(&stored(&cloud).await), Vec::<u64>::new());
}

#[tokio::test]
async fn all_short_messages_have_one_length() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.receive(&cloud, (0..=235usize).step_by(47).map(|length| vec![1; length])).await;
    assert!(stored(&cloud).await.iter().all(|message| message.ciphertext.0.len() == 256));
}
