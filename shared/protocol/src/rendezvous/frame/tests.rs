use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::encoding::SecretBytes as _;
use crate::limits::MAX_RELAY_MESSAGE_LENGTH;
use crate::problem::{Problem, ProblemType};

fn authenticated(frame: DeviceFrame) -> AuthenticatedFrame {
    AuthenticatedFrame {
        mailbox_id: MailboxId::from_bytes([0; 32]),
        ticket: RendezvousTicket::from_secret_bytes(&[0; 32]).unwrap(),
        frame,
    }
}

#[test]
fn the_frames_of_a_device_are_those_of_the_document() {
    let zeros = "A".repeat(43);
    for (frame, json) in [
        (DeviceFrame::Resume { received: 2 }, r#"{"type":"resume","received":2}"#),
        (
            DeviceFrame::Message { number: 1, payload: Bytes(vec![1, 2, 3]) },
            r#"{"type":"message","number":1,"payload":"AQID"}"#,
        ),
        (DeviceFrame::Acknowledge { received: 2 }, r#"{"type":"acknowledge","received":2}"#),
        (DeviceFrame::Finish {}, r#"{"type":"finish"}"#),
        (DeviceFrame::Abort {}, r#"{"type":"abort"}"#),
    ] {
        let json = format!(r#"{{"mailbox_id":"{zeros}","ticket":"{zeros}","frame":{json}}}"#);
        assert_eq!(*authenticated(frame.clone()).to_json(), json);
        assert_eq!(AuthenticatedFrame::from_json(&json).unwrap().frame, frame);
    }
}

#[test]
fn the_frames_of_the_relay_are_those_of_the_document() {
    let problem = Problem::new(ProblemType::MessageNumberTaken, "number 1 is taken").document();
    for (frame, json) in [
        (
            RelayFrame::Resumed { stored: 1, peer_connected: true, expires_at: Timestamp::from_seconds(1_800_000_600) },
            r#"{"type":"resumed","stored":1,"peer_connected":true,"expires_at":1800000600}"#,
        ),
        (RelayFrame::Stored { number: 1 }, r#"{"type":"stored","number":1}"#),
        (
            RelayFrame::Message { number: 0, payload: Bytes(vec![255]) },
            r#"{"type":"message","number":0,"payload":"_w"}"#,
        ),
        (
            RelayFrame::PeerArrived { expires_at: Timestamp::from_seconds(1_800_000_600) },
            r#"{"type":"peer-arrived","expires_at":1800000600}"#,
        ),
        (RelayFrame::PeerLeft {}, r#"{"type":"peer-left"}"#),
        (RelayFrame::Ended { outcome: MailboxOutcome::Linked }, r#"{"type":"ended","outcome":"linked"}"#),
        (
            RelayFrame::Refused { number: Some(1), problem: problem.clone() },
            r#"{"type":"refused","number":1,"problem":{"type":"urn:vestibule:problem:message-number-taken","title":"Another message has this number","status":409,"detail":"number 1 is taken"}}"#,
        ),
    ] {
        assert_eq!(frame.to_json(), json);
        assert_eq!(RelayFrame::from_json(json).unwrap(), frame);
    }
    assert_eq!(RelayFrame::from_json(r#"{"type":"news","from":"tomorrow"}"#), Ok(RelayFrame::Unknown));
    assert_eq!(RelayFrame::from_json(r#"{"type":"peer-left","more":1}"#), Ok(RelayFrame::PeerLeft {}));
}

#[test]
fn a_frame_without_all_it_must_have_is_refused() {
    let json = authenticated(DeviceFrame::Resume { received: 2 }).to_json();
    assert!(AuthenticatedFrame::from_json(&json).is_ok());
    for altered in [
        json.replace("ticket", "tickets"),
        json.replace("resume", "news"),
        json.replace("received", "retrieved"),
        json.replace('2', "-1"),
        json.replace('2', "4294967296"),
        json.replace("2}", r#"2,"more":1}"#),
        json.replace("AAA", "A"),
        format!("{0}{0}", json.as_str()),
        format!("{}{}", json.as_str(), " ".repeat(MAX_RELAY_FRAME_LENGTH)),
        json[1..].to_owned(),
        String::new(),
    ] {
        assert!(AuthenticatedFrame::from_json(&altered).is_err(), "{altered}");
    }
    for refused in ["{}", "[]", r#"{"type":"stored"}"#, r#"{"type":"message","number":0,"payload":"!"}"#] {
        assert_eq!(RelayFrame::from_json(refused), Err(FrameError), "{refused}");
    }
}

#[test]
fn the_largest_message_fits_a_frame_in_both_directions() {
    let payload = Bytes(vec![0xff; MAX_RELAY_MESSAGE_LENGTH]);
    let sent = authenticated(DeviceFrame::Message { number: u32::MAX, payload: payload.clone() }).to_json();
    let delivered = RelayFrame::Message { number: u32::MAX, payload }.to_json();
    assert!(sent.len() < MAX_RELAY_FRAME_LENGTH && delivered.len() < sent.len(), "{}", sent.len());
}

#[test]
fn a_frame_does_not_print_its_ticket() {
    let rng = &mut StdRng::seed_from_u64(1);
    let ticket = RendezvousTicket::generate(rng);
    let frame = AuthenticatedFrame { ticket: ticket.clone(), ..authenticated(DeviceFrame::Finish {}) };
    let text = crate::encoding::encode(&ticket.to_secret_bytes());
    assert!(frame.to_json().contains(&text) && !format!("{frame:?}").contains(&text));
}

#[test]
fn what_api_gateway_says_by_itself_is_no_frame_and_no_misbehaviour() {
    let failure = r#"{"message": "Internal server error", "connectionId": "AAAA1234=", "requestId": "BBBB"}"#;
    assert!(RelayFrame::is_gateway_failure(failure) && RelayFrame::from_json(failure).is_err());
    for text in ["", "{", "{}", "[]", r#"{"message": "Internal server error"}"#, &RelayFrame::PeerLeft {}.to_json()] {
        assert!(!RelayFrame::is_gateway_failure(text), "{text}");
    }
    let frame = r#"{"type": "peer-left", "connectionId": "AAAA1234=", "requestId": "BBBB"}"#;
    assert!(!RelayFrame::is_gateway_failure(frame));
}

#[test]
fn the_json_of_a_frame_fits_into_the_room_that_is_made_for_it() {
    let longest = Bytes(vec![0xff; MAX_RELAY_MESSAGE_LENGTH]);
    for frame in [
        DeviceFrame::Resume { received: u32::MAX },
        DeviceFrame::Message { number: u32::MAX, payload: Bytes(Vec::new()) },
        DeviceFrame::Message { number: u32::MAX, payload: longest },
        DeviceFrame::Acknowledge { received: u32::MAX },
        DeviceFrame::Finish {},
        DeviceFrame::Abort {},
    ] {
        let frame = authenticated(frame);
        assert_eq!(frame.to_json().capacity(), frame.longest_json());
    }
}
