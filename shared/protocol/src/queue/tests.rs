use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

use super::message::QueueContext;
use super::*;
use crate::keys::HpkePrivateKey;
use crate::limits::{MAX_QUEUE_MESSAGE_LENGTH, QUEUE_KEY_UPDATE_INTERVAL};

const QUEUE_ID: QueueId = QueueId([7; 32]);

/// A new queue, as its service and its owner know it.
fn new_queue(rng: &mut StdRng) -> (QueueRatchet, QueueReader) {
    let decryption_key = HpkePrivateKey::generate(rng);
    let ratchet_key = RatchetKey::generate(rng);
    let ratchet = QueueRatchet::new(QUEUE_ID, decryption_key.public_key(), ratchet_key.clone(), 0);
    (ratchet, QueueReader::new(decryption_key, ratchet_key))
}

/// A queue's table: what the service stores.
struct Table {
    ratchet: QueueRatchet,
    messages: Vec<QueueMessage>,
}

impl Table {
    fn enqueue(&mut self, message: &[u8], rng: &mut StdRng) {
        let enqueued = self.ratchet.enqueue(message, rng).unwrap();
        self.messages.extend(enqueued.messages);
        self.ratchet = enqueued.ratchet;
    }
}

/// A queue with so many messages of somebody's in it.
fn filled_queue(count: u8, rng: &mut StdRng) -> (Table, QueueReader) {
    let (ratchet, reader) = new_queue(rng);
    let mut table = Table { ratchet, messages: Vec::new() };
    for number in 0..count {
        table.enqueue(&[number], rng);
    }
    (table, reader)
}

fn contents(reading: &Reading) -> Vec<u8> {
    reading.messages.iter().map(|message| message.content[0]).collect()
}

/// Which of `messages` open for someone who holds a ratchet key, if it is the one before each of them in turn, and those
/// that follow from it, key updates apart.
fn opened_with(ratchet: &QueueRatchet, messages: &[QueueMessage]) -> Vec<u64> {
    let opens = |message: &&QueueMessage| {
        let context = QueueContext { queue_id: QUEUE_ID, sequence: message.sequence };
        let mut key = ratchet.ratchet_key().clone();
        (0..100).any(|_| {
            let opens = context.open(&key.message_key(), &message.ciphertext.0).is_some();
            key = key.next();
            opens
        })
    };
    messages.iter().filter(opens).map(|message| message.sequence).collect()
}

#[test]
fn what_was_enqueued_before_a_leak_stays_closed() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (table, _) = filled_queue(40, rng);
    assert_eq!(opened_with(&table.ratchet, &table.messages), Vec::<u64>::new());
}

#[test]
fn what_is_enqueued_after_a_leak_stays_closed_from_the_next_key_update_on() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (mut table, reader) = filled_queue(20, rng);
    let leaked = table.ratchet.clone();
    for number in 20..40 {
        table.enqueue(&[number], rng);
    }
    // The key update itself opens, as the last message; what is in it is for the owner.
    let first_safe = leaked.next_sequence().next_multiple_of(QUEUE_KEY_UPDATE_INTERVAL) + 1;
    assert_eq!(opened_with(&leaked, &table.messages), (leaked.next_sequence()..first_safe).collect::<Vec<_>>());
    assert_eq!(contents(&reader.read(QUEUE_ID, &table.messages).unwrap()), (0..40).collect::<Vec<_>>());
}

#[test]
fn the_ratchet_key_that_a_queue_is_created_with_opens_no_message() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (new, _) = new_queue(rng);
    let mut table = Table { ratchet: new.clone(), messages: Vec::new() };
    table.enqueue(b"first", rng);
    assert_eq!(opened_with(&new, &table.messages), [0], "the key update");
}

#[test]
fn a_reader_that_has_read_opens_nothing_of_it_any_more() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (table, reader) = filled_queue(10, rng);
    let reader = serde_json::to_value(reader.read(QUEUE_ID, &table.messages).unwrap().reader).unwrap();
    assert_eq!(reader["ratchet_key"], crate::encoding::encode(&table.ratchet.ratchet_key().0), "the service's own");
    assert_eq!(opened_with(&table.ratchet, &table.messages), Vec::<u64>::new());
}

#[test]
fn a_page_with_a_gap_is_refused_and_read_when_the_gap_is_filled() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (table, reader) = filled_queue(10, rng);
    let gap = reader.read(QUEUE_ID, &table.messages[3..]).unwrap_err();
    assert_eq!(gap, ReadingError::Gap { expected: 0, found: 3 });
    let holed: Vec<_> = table.messages.iter().filter(|message| message.sequence != 5).cloned().collect();
    assert_eq!(reader.read(QUEUE_ID, &holed).unwrap_err(), ReadingError::Gap { expected: 5, found: 6 });
    let first = reader.read(QUEUE_ID, &table.messages[..3]).unwrap();
    let second = first.reader.read(QUEUE_ID, &table.messages[3..]).unwrap();
    assert_eq!([contents(&first), contents(&second)].concat(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_message_in_another_place_or_queue_is_refused() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (table, reader) = filled_queue(4, rng);
    let moved = |from: usize, to: usize| {
        let mut messages = table.messages.clone();
        messages[to].ciphertext = messages[from].ciphertext.clone();
        reader.read(QUEUE_ID, &messages).unwrap_err()
    };
    assert_eq!(moved(1, 2), ReadingError::Unreadable { sequence: 2 });
    assert_eq!(moved(0, 1), ReadingError::Unreadable { sequence: 1 });
    assert_eq!(moved(1, 0), ReadingError::Unreadable { sequence: 0 });
    let elsewhere = reader.read(QueueId([8; 32]), &table.messages).unwrap_err();
    assert_eq!(elsewhere, ReadingError::Unreadable { sequence: 0 });
}

#[test]
fn a_message_that_was_read_is_not_read_again_even_if_it_has_changed() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (table, reader) = filled_queue(4, rng);
    let reader = reader.read(QUEUE_ID, &table.messages[..3]).unwrap().reader;
    let mut page = table.messages.clone();
    page[1].ciphertext.0[9] ^= 1;
    assert_eq!(contents(&reader.read(QUEUE_ID, &page).unwrap()), [2, 3]);
}

#[test]
fn the_queues_of_one_client_at_two_services_are_different() {
    let client_id: ClientId = "alice@localhost/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap();
    let qs_client_id = QsClientId::of(&crate::keys::VerifyingKey::from_bytes(&[1; 32]).unwrap());
    assert_ne!(QueueId::of_client(&client_id), QueueId::of_qs_client(&qs_client_id));
}

#[test]
fn the_longest_message_is_taken_and_a_longer_one_is_not() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (ratchet, reader) = new_queue(rng);
    let longest = vec![1; MAX_QUEUE_MESSAGE_LENGTH];
    let enqueued = ratchet.enqueue(&longest, rng).unwrap();
    assert_eq!(*reader.read(QUEUE_ID, &enqueued.messages).unwrap().messages[0].content, longest);
    assert_eq!(ratchet.enqueue(&[longest, vec![1]].concat(), rng).unwrap_err(), MessageTooLarge);
}

#[test]
fn neither_end_of_a_queue_prints_its_secrets() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (table, reader) = filled_queue(3, rng);
    let reading = reader.read(QUEUE_ID, &table.messages).unwrap();
    let key = format!("{:?}", table.ratchet.ratchet_key().0);
    let printed = format!("{:?} {reader:?} {reading:?}", table.ratchet);
    assert!(!printed.contains(&key) && printed.contains("RatchetKey"), "{printed}");
    assert!(printed.contains("ReadMessage(1, 1 bytes)"), "{printed}");
}

/// Something that happens to a queue.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody enqueues a message of this length.
    Enqueue(usize),
    /// The service encrypts a message and fails before it is stored.
    EnqueueAndCrash,
    /// The owner fetches at most so many messages from where the reader is.
    Read(usize),
    /// The owner fetches, and fails before anything is kept.
    ReadAndCrash(usize),
    /// A page of long ago arrives, from this message on.
    ReadOldPage(usize, usize),
    /// A page arrives before the one that comes before it.
    ReadPageAhead(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..1500usize).prop_map(Step::Enqueue),
        1 => Just(Step::EnqueueAndCrash),
        2 => (1..30usize).prop_map(Step::Read),
        1 => (1..30usize).prop_map(Step::ReadAndCrash),
        1 => (0..100usize, 1..30usize).prop_map(|(from, count)| Step::ReadOldPage(from, count)),
        1 => (1..5usize).prop_map(Step::ReadPageAhead),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_every_message_is_read_once_and_in_order(seed: u64, steps in steps()) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (ratchet, mut reader) = new_queue(rng);
        let mut table = Table { ratchet, messages: Vec::new() };
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let page = |table: &Table, from: usize, count: usize| {
            table.messages.iter().skip(from).take(count).cloned().collect::<Vec<_>>()
        };
        for step in steps.into_iter().chain([Step::Read(usize::MAX)]) {
            let position = usize::try_from(reader.next_sequence()).unwrap();
            match step {
                Step::Enqueue(length) => {
                    let mut message = vec![0; length];
                    rng.fill_bytes(&mut message);
                    table.enqueue(&message, rng);
                    sent.push(message);
                }
                Step::EnqueueAndCrash => drop(table.ratchet.enqueue(b"lost", rng).unwrap()),
                Step::Read(count) => {
                    let reading = reader.read(QUEUE_ID, &page(&table, position, count)).unwrap();
                    received.extend(reading.messages.into_iter().map(|message| message.content.to_vec()));
                    // It is kept in a file in between.
                    reader = serde_json::from_str(&serde_json::to_string(&reading.reader).unwrap()).unwrap();
                }
                Step::ReadAndCrash(count) => {
                    drop(reader.read(QUEUE_ID, &page(&table, position, count)).unwrap());
                }
                Step::ReadOldPage(from, count) => {
                    let from = from.min(position);
                    let reading = reader.read(QUEUE_ID, &page(&table, from, count)).unwrap();
                    received.extend(reading.messages.into_iter().map(|message| message.content.to_vec()));
                    reader = reading.reader;
                }
                Step::ReadPageAhead(skipped) => {
                    let ahead = page(&table, position + skipped, 5);
                    let expected = reader.next_sequence();
                    match ahead.first() {
                        Some(first) => prop_assert_eq!(
                            reader.read(QUEUE_ID, &ahead).unwrap_err(),
                            ReadingError::Gap { expected, found: first.sequence }
                        ),
                        None => prop_assert!(reader.read(QUEUE_ID, &ahead).unwrap().messages.is_empty()),
                    }
                }
            }
        }
        prop_assert_eq!(received, sent);
        let numbers: Vec<_> = table.messages.iter().map(|message| message.sequence).collect();
        prop_assert_eq!(numbers, (0..table.ratchet.next_sequence()).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_but_what_the_service_made_is_read(
        seed: u64,
        number in 0..17usize,
        ciphertext in prop::collection::vec(any::<u8>(), 256),
        flipped in any::<prop::sample::Index>(),
    ) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (table, reader) = filled_queue(16, rng);
        let mut forged = table.messages.clone();
        forged[number].ciphertext = Bytes(ciphertext);
        let unreadable = ReadingError::Unreadable { sequence: number as u64 };
        prop_assert_eq!(reader.read(QUEUE_ID, &forged).unwrap_err(), unreadable);
        let mut altered = table.messages.clone();
        altered[number].ciphertext.0[flipped.index(256)] ^= 1;
        prop_assert_eq!(reader.read(QUEUE_ID, &altered).unwrap_err(), unreadable);
        altered[number].ciphertext.0.truncate(flipped.index(256));
        prop_assert_eq!(reader.read(QUEUE_ID, &altered).unwrap_err(), unreadable);
    }
}
