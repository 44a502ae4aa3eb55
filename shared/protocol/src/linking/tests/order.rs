//! What comes when it should not.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::encoding::Bytes;
use crate::linking::message::LinkingMessage;
use crate::linking::*;

/// One message of each type but `declined`, with its type's number: as one linking has them.
fn messages() -> Vec<(u8, OutgoingMessage)> {
    let mut all = Vec::new();
    for step in Step::ALL {
        for message in Conversation::at(step).under_way {
            if all.iter().all(|(kind, _)| *kind != message.as_bytes()[0]) {
                all.push((message.as_bytes()[0], message));
            }
        }
    }
    assert_eq!(all.len(), 7);
    all
}

/// The type of message that a device waits for at this step: the new one, the existing one.
fn awaited(step: Step) -> [Option<u8>; 2] {
    match step {
        Step::Started => [Some(1), Some(2)],
        Step::UserNamed => [None, Some(2)],
        Step::Agreed => [Some(3), Some(2)],
        Step::Requested | Step::Approved => [Some(3), None],
        Step::Issued => [Some(3), Some(4)],
        Step::Certified => [None, Some(4)],
        Step::KeyPackageMade => [Some(5), Some(4)],
        Step::KeyPackageReceived => [Some(5), None],
        Step::Added => [Some(5), Some(7)],
        Step::HandoverBegun => [Some(6), Some(7)],
        Step::HandedOver | Step::Joined | Step::Confirmed => [None, Some(7)],
        Step::ConfirmationReceived | Step::Settled => [None, None],
    }
}

#[test]
fn a_message_that_is_not_the_next_one_ends_the_linking() {
    let violation = Ending::Declined(DeclineReason::ProtocolViolation);
    for step in Step::ALL {
        for (kind, message) in messages() {
            let [new_awaits, existing_awaits] = awaited(step);
            if new_awaits != Some(kind) && step < Step::Joined {
                let mut conversation = Conversation::at(step);
                let refused = conversation.new.receive(message.as_bytes(), NOW);
                assert_eq!(refused, Err(LinkingError::OutOfOrder), "{kind} at {step:?}");
                assert_eq!(conversation.new_ending(), Some(violation));
            }
            if existing_awaits != Some(kind) && step < Step::ConfirmationReceived {
                let mut conversation = Conversation::at(step);
                let refused = conversation.existing.receive(message.as_bytes(), NOW);
                assert_eq!(refused, Err(LinkingError::OutOfOrder), "{kind} at {step:?}");
                assert_eq!(conversation.existing_ending(), Some(violation));
            }
        }
    }
}

#[test]
fn what_comes_when_the_linking_is_over_changes_nothing() {
    let mut ended = Conversation::at(Step::Requested);
    ended.new.decline(DeclineReason::Person).unwrap();
    ended.existing.decline(DeclineReason::Person).unwrap();
    for mut conversation in [ended, Conversation::at(Step::ConfirmationReceived), Conversation::at(Step::Settled)] {
        let before = conversation.written();
        for message in messages().iter().map(|(_, message)| message.as_bytes()).chain([&b"nonsense"[..], &[8, 1]]) {
            conversation.new.receive(message, NOW).unwrap();
            conversation.existing.receive(message, NOW).unwrap();
        }
        conversation.new.connection_ended();
        conversation.existing.connection_ended();
        assert_eq!(conversation.written(), before);
    }
}

/// Everything that can be asked of a new device but to decline, with the step after which it is due.
fn try_new(conversation: &mut Conversation, action: Step) -> Result<(), LinkingError> {
    let Deployment { root, intermediate, .. } = &conversation.deployment;
    let device = &mut conversation.new;
    match action {
        Step::Agreed => device.agree(root, intermediate, NOW, &mut StdRng::seed_from_u64(1)).map(|_| ()),
        Step::KeyPackageMade => device.key_package_made(Bytes(Vec::new())).map(|_| ()),
        Step::Joined => device.joined(),
        Step::Confirmed => device.confirmed().map(|_| ()),
        _ => device.refused().map(|_| ()),
    }
}

fn try_existing(conversation: &mut Conversation, action: Step) -> Result<(), LinkingError> {
    let device = &mut conversation.existing;
    match action {
        Step::Approved => device.approve(),
        Step::Issued => device.credential_issued(Bytes(Vec::new()), NOW).map(|_| ()),
        Step::Added => device.added(conversation::handover(), Vec::new()).map(|_| ()),
        _ => device.settle(Fate::Linked),
    }
}

#[test]
fn a_step_that_is_not_due_is_refused_and_changes_nothing() {
    let new_actions = [
        (Step::Agreed, Step::UserNamed..=Step::UserNamed),
        (Step::KeyPackageMade, Step::Certified..=Step::Certified),
        (Step::Joined, Step::HandedOver..=Step::HandedOver),
        (Step::Confirmed, Step::Joined..=Step::Joined),
        (Step::Settled, Step::Joined..=Step::Joined),
    ];
    let existing_actions = [
        (Step::Approved, Step::Requested..=Step::Requested),
        (Step::Issued, Step::Approved..=Step::Approved),
        (Step::Added, Step::KeyPackageReceived..=Step::KeyPackageReceived),
        (Step::Settled, Step::ConfirmationReceived..=Step::ConfirmationReceived),
    ];
    for step in Step::ALL {
        for (action, due) in &new_actions {
            let mut conversation = Conversation::at(step);
            let before = conversation.written();
            let result = try_new(&mut conversation, *action);
            assert_eq!(result == Err(LinkingError::NotDue), !due.contains(&step), "{action:?} at {step:?}");
            assert!(due.contains(&step) || conversation.written() == before);
        }
        for (action, due) in &existing_actions {
            let mut conversation = Conversation::at(step);
            let before = conversation.written();
            let result = try_existing(&mut conversation, *action);
            assert_eq!(result == Err(LinkingError::NotDue), !due.contains(&step), "{action:?} at {step:?}");
            assert!(due.contains(&step) || conversation.written() == before);
        }
    }
    assert_eq!(LinkingError::NotDue.reason(), None);
    assert!(LinkingError::NotDue.message().is_none());
}

#[test]
fn either_device_can_decline_and_the_other_one_learns_why() {
    for step in Step::ALL {
        let mut conversation = Conversation::at(step);
        let declined = conversation.new.decline(DeclineReason::Person);
        assert_eq!(declined.is_ok(), step < Step::Joined, "{step:?}");
        if let Ok(declined) = declined {
            assert_eq!(conversation.new_ending(), Some(Ending::Declined(DeclineReason::Person)));
            conversation.existing.receive(declined.as_bytes(), NOW).unwrap();
            assert_eq!(conversation.existing_ending(), Some(Ending::PeerDeclined(DeclineReason::Person)));
        }
        let mut conversation = Conversation::at(step);
        let declined = conversation.existing.decline(DeclineReason::ClientLimit);
        assert_eq!(declined.is_ok(), step < Step::ConfirmationReceived, "{step:?}");
        if let Ok(declined) = declined {
            assert_eq!(conversation.existing_ending(), Some(Ending::Declined(DeclineReason::ClientLimit)));
            conversation.new.receive(declined.as_bytes(), NOW).unwrap();
            let ending = Ending::PeerDeclined(DeclineReason::ClientLimit);
            assert_eq!(conversation.new_ending(), (step < Step::Joined).then_some(ending), "{step:?}");
        }
    }
}

#[test]
fn a_lost_connection_ends_the_linking_where_it_can_be_ended() {
    for step in Step::ALL {
        let mut conversation = Conversation::at(step);
        conversation.new.connection_ended();
        conversation.existing.connection_ended();
        let ended = Some(Ending::ConnectionEnded);
        assert_eq!(conversation.new_ending(), ended.filter(|_| step < Step::Joined), "{step:?}");
        assert_eq!(conversation.existing_ending(), ended.filter(|_| step < Step::ConfirmationReceived), "{step:?}");
    }
}

#[test]
fn a_device_that_is_restarted_goes_on_where_it_was() {
    let mut conversation = Conversation::start();
    for step in Step::ALL {
        conversation.go_on_to(step);
        let before = conversation.written();
        conversation.restart();
        assert_eq!(conversation.written(), before);
    }
    assert!(matches!(conversation.new.progress(), NewDeviceProgress::Linked { .. }));
    assert!(matches!(conversation.existing.progress(), ExistingDeviceProgress::Linked { .. }));
}

#[test]
fn every_refusal_is_told_to_the_other_device() {
    let mut conversation = Conversation::at(Step::Requested);
    let refused = conversation.new.receive(b"nonsense", NOW).unwrap_err();
    let message = refused.message().unwrap();
    assert_eq!(message.as_bytes(), LinkingMessage::Declined(DeclineReason::ProtocolViolation).to_outgoing().as_bytes());
    conversation.existing.receive(message.as_bytes(), NOW).unwrap();
    let ending = conversation.existing_ending().unwrap();
    assert_eq!(ending, Ending::PeerDeclined(DeclineReason::ProtocolViolation));
    assert_eq!(
        ending.to_string(),
        "ended by the other device: a message came that the protocol does not know or not expect"
    );
}
