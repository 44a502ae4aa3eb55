use proptest::prelude::*;

use super::super::record::CIPHERTEXT_LENGTHS;
use super::*;

const MAILBOX: MailboxId = MailboxId::from_bytes([7; 32]);

fn ends() -> (Channel, Channel) {
    let key = |byte| RendezvousRecordKey::from_bytes([byte; 32]);
    (
        Channel::new(Role::NewDevice, MAILBOX, key(1), key(2)),
        Channel::new(Role::ExistingDevice, MAILBOX, key(2), key(1)),
    )
}

/// Receives all, and gives the whole messages.
fn receive_all(mut channel: Channel, records: &[Vec<u8>]) -> Result<(Channel, Vec<Vec<u8>>), Tampered> {
    let mut messages = Vec::new();
    for record in records {
        let (next, received) = channel.receive(record)?;
        channel = next;
        if let Received::Message(message) = received {
            messages.push(message.as_bytes().to_vec());
        }
    }
    Ok((channel, messages))
}

#[test]
fn messages_of_similar_length_cannot_be_told_apart_by_it() {
    let (mut new, _) = ends();
    let mut lengths =
        |length: usize| -> Vec<usize> { new.send(&vec![1; length]).unwrap().iter().map(Vec::len).collect() };
    for (length, expected) in [
        (0, vec![256]),
        (237, vec![256]),
        (238, vec![1024]),
        (1005, vec![1024]),
        (1006, vec![4096]),
        (4077, vec![4096]),
        (4078, vec![16384]),
        (16365, vec![16384]),
        (16366, vec![16384, 256]),
        (2 * 16365, vec![16384, 16384]),
    ] {
        assert_eq!(lengths(length), expected, "{length} bytes");
    }
}

#[test]
fn the_largest_message_arrives_whole_and_a_larger_one_is_refused() {
    let (mut new, existing) = ends();
    let largest = vec![3; MAX_CHANNEL_MESSAGE_LENGTH];
    let records = new.send(&largest).unwrap();
    assert_eq!(records.len(), 65);
    let (_, messages) = receive_all(existing, &records).unwrap();
    assert!(messages == [largest.clone()]);
    assert_eq!(new.send(&[&largest[..], &[3]].concat()).unwrap_err(), SendError::TooLong);
}

#[test]
fn a_message_beyond_the_bound_is_not_put_together() {
    let (_, mut existing) = ends();
    let key = RendezvousRecordKey::from_bytes([1; 32]);
    let part = [0; MAX_CONTENT_LENGTH];
    for counter in 0..64 {
        let context = RecordContext { sender: Role::NewDevice, mailbox_id: MAILBOX, counter };
        existing = existing.receive(&context.seal(&key, RecordKind::Part, &part)).unwrap().0;
    }
    let context = RecordContext { sender: Role::NewDevice, mailbox_id: MAILBOX, counter: 64 };
    assert!(existing.receive(&context.seal(&key, RecordKind::Last, &part)).is_err());
}

#[test]
fn a_full_mailbox_is_said_before_anything_changes_and_has_room_for_the_end() {
    let (mut new, existing) = ends();
    let mut records = Vec::new();
    for number in 0..MAX_RECORDS {
        records.extend(new.send(&number.to_be_bytes()).unwrap());
    }
    assert_eq!(new.send(b"more").unwrap_err(), SendError::MailboxFull);
    records.push(new.close().unwrap());
    assert_eq!(records.len(), usize::try_from(MAX_MAILBOX_MESSAGES - HANDSHAKE_MESSAGES).unwrap());
    let (_, messages) = receive_all(existing, &records).unwrap();
    assert_eq!(messages.last().unwrap(), &(MAX_RECORDS - 1).to_be_bytes());

    let (mut new, _) = ends();
    let mut length = 0;
    let large = vec![0; MAX_CONTENT_LENGTH];
    while let Ok(records) = new.send(&large) {
        length += records.iter().map(Vec::len).sum::<usize>();
    }
    assert!(length + 256 + 33 + 32 <= MAX_MAILBOX_LENGTH && length + 2 * 16384 > MAX_MAILBOX_LENGTH);
    assert!(new.close().is_ok());
}

#[test]
fn nothing_follows_a_close() {
    let (mut new, existing) = ends();
    let close = new.close().unwrap();
    assert_eq!(new.send(b"more").unwrap_err(), SendError::Closed);
    assert_eq!(new.close().unwrap_err(), SendError::Closed);
    let (existing, _) = receive_all(existing, &[close]).unwrap();
    let key = RendezvousRecordKey::from_bytes([1; 32]);
    let context = RecordContext { sender: Role::NewDevice, mailbox_id: MAILBOX, counter: 1 };
    assert!(existing.receive(&context.seal(&key, RecordKind::Last, b"more")).is_err());
}

#[test]
fn a_record_elsewhere_than_in_its_place_is_refused() {
    let (mut new, existing) = ends();
    let records: Vec<_> = [b"one", b"two"].iter().flat_map(|message| new.send(*message).unwrap()).collect();
    // Left out, twice, to oneself, in another mailbox.
    assert!(existing.receive(&records[1]).is_err());
    assert!(receive_all(ends().1, &[records[0].clone(), records[0].clone()]).is_err());
    assert!(ends().0.receive(&records[0]).is_err());
    let key = |byte| RendezvousRecordKey::from_bytes([byte; 32]);
    let elsewhere = Channel::new(Role::ExistingDevice, MailboxId::from_bytes([8; 32]), key(2), key(1));
    assert!(elsewhere.receive(&records[0]).is_err());
    assert!(receive_all(ends().1, &records).is_ok());
}

#[test]
fn a_record_that_nobody_would_make_is_refused() {
    let key = RendezvousRecordKey::from_bytes([1; 32]);
    let context = RecordContext { sender: Role::NewDevice, mailbox_id: MAILBOX, counter: 0 };
    // A part that does not fill its record, and a close with content or inside a message.
    assert!(ends().1.receive(&context.seal(&key, RecordKind::Part, b"short")).is_err());
    assert!(ends().1.receive(&context.seal(&key, RecordKind::Close, b"content")).is_err());
    let part = context.seal(&key, RecordKind::Part, &[0; MAX_CONTENT_LENGTH]);
    let close = RecordContext { counter: 1, ..context }.seal(&key, RecordKind::Close, &[]);
    assert!(receive_all(ends().1, &[part, close]).is_err());
}

#[test]
fn a_channel_prints_no_secret() {
    let (mut new, existing) = ends();
    let record = new.send(b"secret").unwrap().remove(0);
    let (existing, received) = existing.receive(&record).unwrap();
    let printed = format!("{new:?} {existing:?} {received:?}");
    assert!(
        printed.contains("RendezvousRecordKey") && !printed.contains("[1") && !printed.contains("115"),
        "{printed}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn messages_arrive_as_they_were_sent_across_restarts_in_both_directions(
        messages in prop::collection::vec((any::<bool>(), any::<u8>(), 0..40_000usize), 1..8),
        restart in 0..20usize,
    ) {
        let restarted = |channel: Channel| -> Channel {
            serde_json::from_str(&serde_json::to_string(&channel).unwrap()).unwrap()
        };
        let (mut new, mut existing) = ends();
        let mut records = 0;
        for (is_from_new, byte, length) in messages {
            let message = vec![byte; length];
            let (sender, receiver) = if is_from_new { (&mut new, &mut existing) } else { (&mut existing, &mut new) };
            let sent = sender.send(&message).unwrap();
            let last = sent.len() - 1;
            for (at, record) in sent.into_iter().enumerate() {
                prop_assert!(CIPHERTEXT_LENGTHS.contains(&record.len()));
                let channel = std::mem::replace(receiver, ends().0);
                let (channel, received) = channel.receive(&record).unwrap();
                *receiver = if records % 20 == restart { restarted(channel) } else { channel };
                records += 1;
                match received {
                    Received::Message(whole) if at == last => prop_assert_eq!(whole.as_bytes(), &message[..]),
                    Received::Part if at < last => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }

    #[test]
    fn a_record_with_any_bit_changed_or_cut_is_refused(length in 0..300usize, place: prop::sample::Index, bit in 0..8u32) {
        let (mut new, existing) = ends();
        let mut record = new.send(&vec![1; length]).unwrap().remove(0);
        prop_assert!(ends().1.receive(&record[..place.index(record.len())]).is_err());
        let at = place.index(record.len());
        record[at] ^= 1 << bit;
        prop_assert!(existing.receive(&record).is_err());
    }
}
