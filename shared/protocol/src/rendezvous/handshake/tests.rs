use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::channel::Received;
use super::super::remembered_exchange::Entropy;
use super::*;

const MAILBOX: MailboxId = MailboxId::from_bytes([7; 32]);

fn domain() -> Domain {
    "example.org".parse().unwrap()
}

fn pairing() -> Pairing {
    "27182-aardvark-breakaway".parse().unwrap()
}

fn start(
    pairings: [&Pairing; 2],
    mailboxes: [MailboxId; 2],
) -> (NewDevice<AwaitsKeyExchange>, ExistingDevice<AwaitsKeyExchange>, Vec<u8>) {
    let rng = &mut StdRng::seed_from_u64(1);
    let (new, message) = NewDevice::start(pairings[0], &domain(), mailboxes[0], rng);
    let existing = ExistingDevice::start(pairings[1], &domain(), mailboxes[1], rng);
    (new, existing, message)
}

#[test]
fn two_devices_with_the_same_words_get_a_channel() {
    let (new, existing, message) = start([&pairing(), &pairing()], [MAILBOX; 2]);
    let (existing, message) = existing.receive(&message).unwrap();
    let (new, message) = new.receive(&message).unwrap();
    let (existing, message) = existing.receive(&message).unwrap();
    let new = new.receive(&message).unwrap();
    assert_eq!(new.keys(), existing.keys());
    assert_ne!(new.keys()[0], new.keys()[1]);
}

#[test]
fn another_word_or_mailbox_fails_at_the_confirmation_and_does_not_say_why() {
    let other: Pairing = "27182-aardvark-yucatan".parse().unwrap();
    for (pairings, mailboxes) in
        [([&pairing(), &other], [MAILBOX; 2]), ([&pairing(), &pairing()], [MAILBOX, MailboxId::from_bytes([8; 32])])]
    {
        let (new, existing, message) = start(pairings, mailboxes);
        let (existing, message) = existing.receive(&message).unwrap();
        let (_, message) = new.receive(&message).unwrap();
        let failed = existing.receive(&message).map(|_| ()).unwrap_err();
        assert_eq!(failed.to_string(), "the connection ended");
    }
}

#[test]
fn neither_device_takes_its_own_messages() {
    let (new, _, message) = start([&pairing(), &pairing()], [MAILBOX; 2]);
    assert!(new.receive(&message).is_err());
    let (new, existing, message) = start([&pairing(), &pairing()], [MAILBOX; 2]);
    let (existing, message) = existing.receive(&message).unwrap();
    let (new, confirmation) = new.receive(&message).unwrap();
    assert!(new.receive(&confirmation).is_err());
    assert!(existing.receive(&message).is_err());
}

#[test]
fn what_waits_for_a_confirmation_survives_the_disk_and_prints_no_secret() {
    let (new, existing, message) = start([&pairing(), &pairing()], [MAILBOX; 2]);
    let (existing, message) = existing.receive(&message).unwrap();
    let (new, message) = new.receive(&message).unwrap();
    let printed = format!("{new:?} {existing:?}");
    assert!(printed.contains("Confirmation") && !printed.contains('['), "{printed}");
    let new: NewDevice<AwaitsConfirmation> = serde_json::from_str(&serde_json::to_string(&new).unwrap()).unwrap();
    let existing: ExistingDevice<OwesConfirmation> =
        serde_json::from_str(&serde_json::to_string(&existing).unwrap()).unwrap();
    let (existing, message) = existing.receive(&message).unwrap();
    assert_eq!(new.receive(&message).unwrap().keys(), existing.keys());
}

/// The whole channel, with an implementation that shares no code with this one (docs/vectors/rendezvous.py).
#[test]
fn a_channel_is_byte_for_byte_that_of_the_vectors() {
    let vectors = include_str!("../../../../../docs/vectors/rendezvous-channel.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let (from_new, from_existing) = (&vectors["new_device_messages"], &vectors["existing_device_messages"]);
    let mailbox = MailboxId::from_bytes(unhex(&vectors["mailbox_id"]).try_into().unwrap());
    let entropy = |name: &str| {
        let mut entropy = [0; 64];
        entropy[..32].copy_from_slice(&unhex(&vectors["spake2"][name]));
        Entropy(entropy)
    };

    let (new, message) = NewDevice::start(&pairing(), &domain(), mailbox, &mut entropy("new_device_scalar"));
    assert_eq!(show(&message), from_new[0]);
    let existing = ExistingDevice::start(&pairing(), &domain(), mailbox, &mut entropy("existing_device_scalar"));
    let (existing, message) = existing.receive(&message).unwrap();
    assert_eq!(show(&message), from_existing[0]);
    let (new, message) = new.receive(&message).unwrap();
    assert_eq!(show(&message), from_new[1]);
    let (existing, message) = existing.receive(&message).unwrap();
    assert_eq!(show(&message), from_existing[1]);
    let new = new.receive(&message).unwrap();
    let keys = ["new_device_record_key", "existing_device_record_key"].map(|name| unhex(&vectors[name]));
    assert_eq!(new.keys().map(|key| key.to_vec()), keys);

    let long: Vec<u8> = (0..=250).cycle().take(20000).collect();
    exchange(new, existing, &[b"Is this device in your hands?".to_vec(), long], &vectors, "new");
    let (existing, new) = secured_again(&vectors, mailbox);
    exchange(existing, new, &[Vec::new()], &vectors, "existing");
}

/// Sends what is to be sent and compares what comes out, on both sides.
fn exchange(mut sender: Channel, mut receiver: Channel, messages: &[Vec<u8>], vectors: &Value, side: &str) {
    let shown: Vec<_> = messages.iter().map(|message| show(message)).collect();
    assert_eq!(json!(shown), vectors[format!("{side}_device_application_messages")]);
    let mut records: Vec<_> = messages.iter().flat_map(|message| sender.send(message).unwrap()).collect();
    records.push(sender.close().unwrap());
    let shown: Vec<_> = records.iter().map(|record| show(record)).collect();
    assert_eq!(shown, vectors[format!("{side}_device_messages")].as_array().unwrap()[2..]);
    let mut received = Vec::new();
    for record in &records {
        let (next, outcome) = receiver.receive(record).unwrap();
        receiver = next;
        if let Received::Message(message) = outcome {
            received.push(message.as_bytes().to_vec());
        }
    }
    assert_eq!(received, messages);
}

/// As the vectors have it: in full, or if that is long, its hash.
fn show(message: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if message.len() <= 1024 { hex(message) } else { format!("sha256:{}", hex(&Sha256::digest(message))) }
}

/// The channel of the vectors again: the existing device's end, then the new one's.
fn secured_again(vectors: &Value, mailbox: MailboxId) -> (Channel, Channel) {
    let key = |name: &str| {
        let bytes: [u8; 32] = unhex(&vectors[name]).try_into().unwrap();
        RendezvousRecordKey::from_bytes(bytes)
    };
    let (new, existing) = ("new_device_record_key", "existing_device_record_key");
    (
        Channel::new(Role::ExistingDevice, mailbox, key(existing), key(new)),
        Channel::new(Role::NewDevice, mailbox, key(new), key(existing)),
    )
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
