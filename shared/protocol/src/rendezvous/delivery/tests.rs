use super::*;

fn connected() -> Delivery {
    let mut delivery = Delivery::default();
    delivery.connected();
    delivery
}

fn message(number: u32, byte: u8) -> DeviceFrame {
    DeviceFrame::Message { number, payload: Bytes(vec![byte]) }
}

#[test]
fn nothing_leaves_before_it_is_saved() {
    let mut delivery = connected();
    delivery.queue(vec![1]).unwrap();
    delivery.receive(0, vec![9]).unwrap();
    assert_eq!(delivery.frames(), [DeviceFrame::Resume { received: 0 }]);
    delivery.saved();
    assert_eq!(delivery.frames(), [message(0, 1), DeviceFrame::Acknowledge { received: 1 }]);
    assert_eq!(delivery.frames(), []);
}

#[test]
fn what_the_relay_does_not_have_is_sent_again_on_every_connection() {
    let mut delivery = connected();
    for byte in 0..4 {
        delivery.queue(vec![byte]).unwrap();
    }
    delivery.saved();
    assert_eq!(delivery.frames().len(), 5);
    delivery.stored(1).unwrap();
    delivery.disconnected();
    assert_eq!(delivery.frames(), []);
    delivery.connected();
    let resume = DeviceFrame::Resume { received: 0 };
    assert_eq!(delivery.frames(), [resume.clone(), message(0, 0), message(2, 2), message(3, 3)]);
    delivery.resumed(3).unwrap();
    delivery.connected();
    assert_eq!(delivery.frames(), [resume, message(3, 3)]);
    delivery.stored(3).unwrap();
    assert!(delivery.is_all_stored());
}

#[test]
fn a_message_refused_for_now_is_sent_again() {
    let mut delivery = connected();
    for byte in 0..3 {
        delivery.queue(vec![byte]).unwrap();
    }
    delivery.saved();
    delivery.frames();
    delivery.stored(2).unwrap();
    delivery.refused_for_now(1);
    assert_eq!(delivery.frames(), [message(1, 1)]);
}

#[test]
fn what_was_sent_awaits_its_answer() {
    let mut delivery = connected();
    assert!(!delivery.awaits_answer());
    delivery.frames();
    assert!(delivery.awaits_answer());
    delivery.resumed(0).unwrap();
    assert!(!delivery.awaits_answer());
    delivery.queue(vec![1]).unwrap();
    delivery.saved();
    assert!(!delivery.awaits_answer(), "it has not been sent");
    delivery.frames();
    assert!(delivery.awaits_answer());
    delivery.stored(0).unwrap();
    delivery.receive(0, vec![9]).unwrap();
    delivery.saved();
    delivery.frames();
    assert!(!delivery.awaits_answer(), "an acknowledgement is not answered");
    delivery.connected();
    delivery.frames();
    assert!(delivery.awaits_answer());
    delivery.disconnected();
    assert!(!delivery.awaits_answer());
}

#[test]
fn messages_are_handed_on_in_order_and_once() {
    let mut delivery = connected();
    assert_eq!(delivery.receive(2, vec![2]).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(delivery.receive(0, vec![0]).unwrap(), [[0]]);
    assert_eq!(delivery.receive(0, vec![0]).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(delivery.receive(1, vec![1]).unwrap(), [[1], [2]]);
    assert_eq!(delivery.receive(2, vec![7]).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_process_that_begins_again_goes_on_where_it_was_saved() {
    let mut delivery = connected();
    delivery.queue(vec![1]).unwrap();
    delivery.receive(0, vec![9]).unwrap();
    delivery.receive(2, vec![7]).unwrap();
    let written = serde_json::to_string(&delivery).unwrap();
    let mut resumed: Delivery = serde_json::from_str(&written).unwrap();
    assert_eq!(resumed.frames(), []);
    resumed.connected();
    assert_eq!(resumed.frames(), [DeviceFrame::Resume { received: 1 }, message(0, 1)]);
    assert_eq!(resumed.receive(1, vec![8]).unwrap(), [[8]]);
    assert_eq!(resumed.receive(2, vec![7]).unwrap(), [[7]]);
    assert_eq!(resumed.queue(vec![2]), Ok(1));
}

#[test]
fn a_relay_that_speaks_of_what_was_never_sent_is_found_out() {
    let mut delivery = connected();
    delivery.queue(vec![1]).unwrap();
    assert_eq!(delivery.stored(0), Err(DeliveryError::LimitExceeded), "not saved, so not sent");
    assert_eq!(delivery.resumed(1), Err(DeliveryError::StateLost));
    delivery.saved();
    assert_eq!(delivery.stored(0), Ok(()));
    assert_eq!(delivery.stored(0), Ok(()));
    assert_eq!(delivery.stored(1), Err(DeliveryError::LimitExceeded));
    assert_eq!(delivery.resumed(2), Err(DeliveryError::StateLost));
}

#[test]
fn a_mailbox_has_limits_in_both_directions() {
    let exceeded = Err(DeliveryError::LimitExceeded);
    let mut delivery = connected();
    assert_eq!(delivery.queue(vec![0; MAX_RELAY_MESSAGE_LENGTH + 1]), exceeded);
    for number in 0..MAX_MAILBOX_MESSAGES {
        assert_eq!(delivery.queue(vec![1]), Ok(number));
    }
    assert_eq!(delivery.queue(vec![1]), exceeded);
    assert!(delivery.receive(MAX_MAILBOX_MESSAGES, vec![1]).is_err());
    assert!(delivery.receive(0, vec![0; MAX_RELAY_MESSAGE_LENGTH + 1]).is_err());

    let (mut sender, mut receiver) = (connected(), connected());
    let full = u32::try_from(MAX_MAILBOX_LENGTH / MAX_RELAY_MESSAGE_LENGTH).unwrap();
    for number in 0..full {
        sender.queue(vec![0; MAX_RELAY_MESSAGE_LENGTH]).unwrap();
        // Early or in order, it counts.
        receiver.receive(number + number / 64, vec![0; MAX_RELAY_MESSAGE_LENGTH]).unwrap();
    }
    assert_eq!(sender.queue(vec![1]), exceeded);
    assert!(receiver.receive(200, vec![1]).is_err());
}
