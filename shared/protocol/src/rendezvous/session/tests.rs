use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::encoding::Bytes;
use crate::problem::{Problem, ProblemType};
use crate::rendezvous::frame::DeviceFrame;

const EXPIRES_AT: Timestamp = Timestamp::from_seconds(1_800_000_600);

fn rendezvous(words: &str) -> Rendezvous {
    Rendezvous {
        pairing: words.parse().unwrap(),
        domain: "example.org".parse().unwrap(),
        mailbox_id: MailboxId::from_bytes([7; 32]),
        ticket: RendezvousTicket::generate(&mut StdRng::seed_from_u64(3)),
        expires_at: EXPIRES_AT,
    }
}

fn sessions(words: [&str; 2]) -> [Session; 2] {
    let mut sessions = [
        Session::new_device(rendezvous(words[0]), &mut StdRng::seed_from_u64(1)),
        Session::existing_device(rendezvous(words[1]), &mut StdRng::seed_from_u64(2)),
    ];
    sessions.iter_mut().for_each(Session::connected);
    sessions
}

const WORDS: &str = "27182-aardvark-breakaway";

fn saved_frames(session: &mut Session) -> Vec<DeviceFrame> {
    session.save(|_| Ok::<_, ()>(())).unwrap();
    session.frames().into_iter().map(|frame| frame.frame).collect()
}

/// Carries messages, and confirms that they are stored, until there are no more. Gives the events of both.
fn exchange(sessions: &mut [Session; 2]) -> [Vec<String>; 2] {
    let mut events = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        for side in 0..2 {
            for frame in saved_frames(&mut sessions[side]) {
                if let DeviceFrame::Message { number, payload } = frame {
                    let to_self = sessions[side].receive(RelayFrame::Stored { number });
                    let to_peer = sessions[1 - side].receive(RelayFrame::Message { number, payload });
                    events[side].extend(to_self.iter().map(|event| format!("{event:?}")));
                    events[1 - side].extend(to_peer.iter().map(|event| format!("{event:?}")));
                }
            }
        }
    }
    events
}

fn restarted(session: &Session) -> Session {
    serde_json::from_str(&serde_json::to_string(session).unwrap()).unwrap()
}

#[test]
fn two_sessions_secure_each_other_talk_and_finish() {
    let mut sessions = sessions([WORDS, WORDS]);
    assert!(sessions.iter_mut().all(|session| session.secured().is_none()));
    assert_eq!(exchange(&mut sessions), [["Secured"], ["Secured"]]);
    sessions[1].secured().unwrap().send(b"alice@example.org").unwrap();
    assert_eq!(exchange(&mut sessions)[0], ["Message(ChannelMessage of 17 bytes)"]);
    sessions[0].secured().unwrap().close().unwrap();
    assert_eq!(exchange(&mut sessions)[1], ["PeerClosed"]);
    sessions[1].secured().unwrap().close().unwrap();
    let events = exchange(&mut sessions);
    assert_eq!(
        events,
        [vec!["PeerClosed", "Finished"], vec!["Finished"]]
            .map(|events| events.iter().map(|event| (*event).to_owned()).collect::<Vec<_>>())
    );
    for session in &mut sessions {
        assert_eq!(session.progress(), Progress::Finished);
        assert!(session.secured().is_none());
        session.connected();
        assert!(saved_frames(session).contains(&DeviceFrame::Finish {}));
        assert!(session.tick(EXPIRES_AT).is_empty());
    }
}

#[test]
fn a_session_says_that_it_is_finished_only_once_that_is_saved() {
    let mut sessions = sessions([WORDS, WORDS]);
    exchange(&mut sessions);
    for session in &mut sessions {
        session.secured().unwrap().close().unwrap();
    }
    let closes = sessions.each_mut().map(saved_frames);
    let [mut session, _] = sessions;
    let DeviceFrame::Message { number, payload } = closes[1][0].clone() else { panic!("it is the close") };
    session.receive(RelayFrame::Message { number, payload });
    assert!(matches!(&session.receive(RelayFrame::Stored { number: 2 })[..], [Event::Finished]));
    assert!(session.frames().is_empty());
    assert!(saved_frames(&mut session).contains(&DeviceFrame::Finish {}));
}

#[test]
fn wrong_words_read_as_an_ended_connection_on_both_sides() {
    let mut sessions = sessions([WORDS, "27182-aardvark-yucatan"]);
    let events = exchange(&mut sessions);
    assert_eq!(events, [vec![], vec!["Ended(ConnectionEnded)".to_owned()]]);
    assert_eq!(EndReason::ConnectionEnded.to_string(), "the connection ended");
    sessions[1].connected();
    assert_eq!(saved_frames(&mut sessions[1]), [DeviceFrame::Abort {}]);
    let told = sessions[0].receive(RelayFrame::Ended { outcome: MailboxOutcome::Aborted });
    assert_eq!(format!("{told:?}"), "[Ended(ConnectionEnded)]");
}

#[test]
fn a_session_restarted_before_it_had_keys_gives_up() {
    for mut session in sessions([WORDS, WORDS]) {
        saved_frames(&mut session);
        let mut resumed = restarted(&session);
        assert_eq!(resumed.progress(), Progress::Ended(&EndReason::StateLost));
        resumed.connected();
        assert_eq!(saved_frames(&mut resumed), [DeviceFrame::Abort {}]);
    }
}

#[test]
fn a_restarted_session_sends_the_same_bytes_again() {
    let mut sessions = sessions([WORDS, WORDS]);
    exchange(&mut sessions);
    let [mut session, _] = sessions;
    session.secured().unwrap().send(b"once").unwrap();
    let message = saved_frames(&mut session);
    let mut resumed = restarted(&session);
    resumed.connected();
    let again = resumed.frames().into_iter().map(|frame| frame.frame).collect::<Vec<_>>();
    assert_eq!(again[0], DeviceFrame::Resume { received: 2 });
    assert_eq!(again[1..], message);
}

#[test]
fn nothing_is_sent_that_could_not_be_saved() {
    let [mut session, _] = sessions([WORDS, WORDS]);
    assert!(session.save(|_| Err("the disk is full")).is_err());
    let frames: Vec<_> = session.frames().into_iter().map(|frame| frame.frame).collect();
    assert_eq!(frames, [DeviceFrame::Resume { received: 0 }]);
}

#[test]
fn a_session_ends_when_time_is_up_however_far_the_relay_puts_it_off() {
    let [mut session, _] = sessions([WORDS, WORDS]);
    let later = EXPIRES_AT.saturating_add(RENDEZVOUS_LIFETIME);
    session.receive(RelayFrame::PeerArrived { expires_at: later.saturating_add(RENDEZVOUS_LIFETIME) });
    assert_eq!(session.expires_at(), later);
    session.receive(RelayFrame::PeerArrived { expires_at: EXPIRES_AT });
    assert!(session.tick(later.saturating_sub(std::time::Duration::from_secs(1))).is_empty());
    assert_eq!(format!("{:?}", session.tick(later)), "[Ended(Expired)]");
    assert!(session.tick(later).is_empty());
}

#[test]
fn what_the_relay_refuses_for_now_is_sent_again_and_anything_else_ends_the_session() {
    let refused =
        |number, problem_type| RelayFrame::Refused { number, problem: Problem::new(problem_type, "no").document() };
    let [mut session, _] = sessions([WORDS, WORDS]);
    let sent = saved_frames(&mut session);
    session.receive(refused(Some(0), ProblemType::TemporarilyUnavailable));
    assert_eq!(saved_frames(&mut session), sent[1..]);
    session.receive(refused(None, ProblemType::RateLimited));
    assert_eq!(saved_frames(&mut session), sent);
    let events = session.receive(refused(None, ProblemType::MailboxTicketRefused));
    assert!(matches!(&events[..], [Event::Ended(EndReason::Refused(_))]));
    assert_eq!(saved_frames(&mut session), [DeviceFrame::Abort {}]);
    session.receive(refused(None, ProblemType::TemporarilyUnavailable));
    assert_eq!(saved_frames(&mut session), [DeviceFrame::Abort {}]);
}

#[test]
fn every_end_is_told_to_the_relay_and_is_for_ever() {
    let frames = [
        RelayFrame::Ended { outcome: MailboxOutcome::Linked },
        RelayFrame::Stored { number: 7 },
        RelayFrame::Message { number: 0, payload: Bytes(vec![1; 33]) },
        RelayFrame::Message { number: 256, payload: Bytes(vec![1; 33]) },
    ];
    for frame in frames {
        let [mut session, _] = sessions([WORDS, WORDS]);
        saved_frames(&mut session);
        assert!(matches!(&session.receive(frame)[..], [Event::Ended(_)]));
        assert_eq!(saved_frames(&mut session), [DeviceFrame::Abort {}]);
        assert_eq!(saved_frames(&mut session), []);
        assert!(session.receive(RelayFrame::PeerLeft {}).is_empty() && session.cancel().is_empty());
        assert!(session.secured().is_none());
        assert!(matches!(restarted(&session).progress(), Progress::Ended(_)));
    }
    let [mut session, _] = sessions([WORDS, WORDS]);
    assert_eq!(format!("{:?}", session.receive_text("{")), "[Ended(RelayMisbehaved)]");
    let [mut session, _] = sessions([WORDS, WORDS]);
    assert_eq!(format!("{:?}", session.cancel()), "[Ended(Cancelled)]");
}

#[test]
fn what_a_session_came_to_it_stays_whatever_the_relay_says() {
    let mut finished = sessions([WORDS, WORDS]);
    exchange(&mut finished);
    for session in &mut finished {
        session.secured().unwrap().close().unwrap();
    }
    exchange(&mut finished);
    let [mut finished, _] = finished;
    let [mut ended, _] = sessions([WORDS, WORDS]);
    ended.cancel();
    let nonsense = || {
        [
            RelayFrame::Stored { number: 99 },
            RelayFrame::Resumed { stored: 99, peer_connected: false, expires_at: EXPIRES_AT },
            RelayFrame::Message { number: 256, payload: Bytes(vec![1; 33]) },
            RelayFrame::Ended { outcome: MailboxOutcome::Aborted },
        ]
    };
    for (session, farewell) in [(&mut finished, DeviceFrame::Finish {}), (&mut ended, DeviceFrame::Abort {})] {
        let before = format!("{:?}", session.progress());
        for frame in nonsense() {
            assert!(session.receive(frame).is_empty());
        }
        assert!(session.receive_text("{").is_empty() && session.tick(EXPIRES_AT).is_empty());
        assert_eq!(format!("{:?}", session.progress()), before);
        session.connected();
        let frames = saved_frames(session);
        let farewells = frames.iter().filter(|frame| matches!(frame, DeviceFrame::Finish {} | DeviceFrame::Abort {}));
        assert_eq!(farewells.collect::<Vec<_>>(), [&farewell]);
    }
}

#[test]
fn a_refusal_that_comes_after_the_connection_is_gone_begins_none() {
    let [mut session, _] = sessions([WORDS, WORDS]);
    session.disconnected();
    let problem = Problem::new(ProblemType::TemporarilyUnavailable, "later").document();
    assert!(matches!(&session.receive(RelayFrame::Refused { number: None, problem })[..], [Event::TryLater(_)]));
    assert_eq!(saved_frames(&mut session), []);
}

#[test]
fn a_session_prints_no_secret() {
    let mut sessions = sessions([WORDS, WORDS]);
    exchange(&mut sessions);
    let printed = format!("{sessions:?} {:?}", rendezvous(WORDS));
    for secret in ["breakaway", "aardvark"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(printed.contains("RendezvousRecordKey") && printed.contains("RendezvousTicket"));
}
