use proptest::prelude::*;
use tls_codec::Serialize as _;
use zeroize::Zeroizing;

use super::*;
use crate::limits::{MAX_CHANNEL_MESSAGE_LENGTH, MAX_STATE_BUNDLES_LENGTH, STATE_BUNDLES_CHUNK_LENGTH};
use crate::linking::handover::{SecretOpaque, StateBundles, StateBundlesUnderWay};
use crate::linking::message::{LinkingMessage, StateBundlesChunk};
use crate::linking::*;

/// The messages that hand over these bundles, received by a new device.
fn receive(bundles: Vec<StateBundle>) -> Conversation {
    let mut conversation = Conversation::at(Step::KeyPackageReceived);
    let messages = conversation.existing.added(conversation::handover(), bundles).unwrap();
    for message in messages {
        assert!(message.as_bytes().len() <= MAX_CHANNEL_MESSAGE_LENGTH);
        assert!(matches!(conversation.new.progress(), NewDeviceProgress::Waiting));
        conversation.new.receive(message.as_bytes(), NOW).unwrap();
        conversation.restart();
    }
    conversation
}

#[test]
fn state_bundles_of_any_number_arrive_whole() {
    let chunk = STATE_BUNDLES_CHUNK_LENGTH;
    let lengths: [&[usize]; 6] =
        [&[], &[0], &[40, 0, 70_000], &[chunk - 50], &[2 * chunk - 50, 1], &[MAX_STATE_BUNDLES_LENGTH - 60]];
    for lengths in lengths {
        let bundles: Vec<_> = lengths.iter().map(|length| conversation::state_bundle(*length)).collect();
        let conversation = receive(bundles.clone());
        match conversation.new.progress() {
            NewDeviceProgress::JoiningWanted { state_bundles, .. } => assert_eq!(state_bundles, bundles),
            progress => panic!("{progress:?}"),
        }
    }
}

#[test]
fn a_length_that_no_state_bundles_have_is_refused() {
    let refused = |length: usize| StateBundlesUnderWay::announced(u32::try_from(length).unwrap()).err();
    assert_eq!(refused(0), Some(LinkingError::StateBundlesRefused));
    assert_eq!(refused(1), None);
    assert_eq!(refused(MAX_STATE_BUNDLES_LENGTH), None);
    assert_eq!(refused(MAX_STATE_BUNDLES_LENGTH + 1), Some(LinkingError::StateBundlesRefused));
    assert_eq!(refused(u32::MAX as usize), Some(LinkingError::StateBundlesRefused));
}

#[test]
fn a_chunk_that_is_not_the_next_one_is_refused() {
    let chunk = |index, length| StateBundlesChunk { index, bytes: SecretOpaque(Zeroizing::new(vec![0; length])) };
    let full = STATE_BUNDLES_CHUNK_LENGTH;
    let mut bundles = StateBundlesUnderWay::announced(u32::try_from(full + 10).unwrap()).unwrap();
    for wrong in [chunk(1, full), chunk(0, full - 1), chunk(0, full + 1), chunk(0, full + 10), chunk(0, 0)] {
        assert_eq!(bundles.receive(&wrong), Err(LinkingError::StateBundlesRefused));
    }
    bundles.receive(&chunk(0, full)).unwrap();
    for wrong in [chunk(0, full), chunk(0, 10), chunk(2, 10), chunk(1, 9), chunk(1, 11)] {
        assert_eq!(bundles.receive(&wrong), Err(LinkingError::StateBundlesRefused));
    }
    bundles.receive(&chunk(1, 10)).unwrap();
    assert_eq!(bundles.finish().err(), Some(LinkingError::StateBundlesRefused), "zeros are no list with this length");
}

#[test]
fn a_reason_of_a_later_version_reads_as_a_failure() {
    for byte in 0..=u8::MAX {
        let mut conversation = Conversation::at(Step::Agreed);
        conversation.new.receive(&[8, byte], NOW).unwrap();
        let Some(Ending::PeerDeclined(reason)) = conversation.new_ending() else { panic!("it has ended") };
        let is_known = (1..=12).contains(&byte);
        assert_eq!(reason.tls_serialize_detached().unwrap(), [if is_known { byte } else { 12 }]);
    }
}

#[test]
fn no_machine_and_no_message_prints_a_secret() {
    for step in Step::ALL {
        let conversation = Conversation::at(step);
        let Conversation { new, existing, under_way, .. } = &conversation;
        let printed = format!("{new:?} {existing:?} {under_way:?} {:?}", new.progress());
        // The secrets of the handover are repetitions of one byte.
        for secret in ["[2, 2", "[3, 3", "[4, 4", "[5, 5", "[6, 6", "[7, 7", "0202", "0303", "AgIC", "AwMD"] {
            assert!(!printed.contains(secret), "{step:?}: {printed}");
        }
    }
    let printed = format!("{:?}", LinkingMessage::from_bytes(Conversation::at(Step::Added).under_way[0].as_bytes()));
    assert!(printed.contains("FriendshipToken,") && !printed.contains("[3, 3"), "{printed}");
}

#[test]
fn state_bundles_on_disk_are_secret() {
    let bundles = StateBundles(vec![conversation::state_bundle(3)]);
    let printed = format!("{bundles:?}");
    assert!(printed.contains("MemberEarSecrets") && !printed.contains("[7"), "{printed}");
}

/// What a device of either kind makes of a message at a step: it takes it, or has ended.
fn check_robust(step: Step, message: &[u8]) {
    let mut conversation = Conversation::at(step);
    if let Err(error) = conversation.new.receive(message, NOW) {
        assert!(error.message().is_some());
        assert!(step == Step::Joined || conversation.new_ending().is_some(), "{error} at {step:?}");
    }
    if let Err(error) = conversation.existing.receive(message, NOW) {
        assert!(error.message().is_some());
        assert!(conversation.existing_ending().is_some(), "{error} at {step:?}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop::sample::select(&Step::ALL[..])
}

proptest! {
    #[test]
    fn no_bytes_bring_a_machine_down(step in step(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check_robust(step, &bytes);
    }

    #[test]
    fn no_bytes_after_a_type_bring_a_machine_down(
        step in step(),
        kind in 1..=8u8,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        check_robust(step, &[&[kind][..], &bytes].concat());
    }

    #[test]
    fn no_altered_message_brings_a_machine_down(step in step(), position: prop::sample::Index, byte: u8, cut: bool) {
        for message in Conversation::at(step).under_way {
            let mut message = message.as_bytes().to_vec();
            let position = position.index(message.len());
            message[position] = byte;
            message.truncate(if cut { position } else { message.len() });
            check_robust(step, &message);
        }
    }
}
