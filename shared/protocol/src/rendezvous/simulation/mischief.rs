//! What a hostile relay does, beside what networks do.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use super::dice::Dice;
use super::relay::Relay;
use super::{BEGINNINGS, NOW, beginning};
use crate::encoding::Bytes;
use crate::limits::RENDEZVOUS_LIFETIME;
use crate::problem::{Problem, ProblemType};
use crate::rendezvous::Session;
use crate::rendezvous::frame::{DeviceFrame, MailboxOutcome, RelayFrame};

/// A kind of mischief.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mischief {
    /// A message of the peer loses its end.
    Truncate,
    /// A bit of a message of the peer is not what it was.
    FlipBit,
    /// A message of the peer comes under another number.
    Renumber,
    /// The device gets a message of its own.
    Reflect,
    /// The device gets a message of an old session with the same words: the peer's or its own.
    Replay,
    /// The device gets a message that nobody sent.
    Invent,
    /// The relay says what is not so.
    Lie,
    /// The next frame never comes.
    Lose,
}

impl Mischief {
    pub(crate) fn choose(rng: &mut Dice) -> Self {
        use Mischief::{FlipBit, Invent, Lie, Lose, Reflect, Renumber, Replay, Truncate};
        *[Truncate, FlipBit, Renumber, Reflect, Replay, Invent, Lie, Lose].choose(rng).expect("there are some")
    }

    /// The frames that the device on `side` gets.
    pub(crate) fn frames(
        self,
        side: usize,
        relay: &Relay,
        old_session: Option<&OldSession>,
        rng: &mut Dice,
    ) -> Vec<RelayFrame> {
        let from_peer = relay.messages_of(1 - side).choose(rng).cloned();
        let own = relay.messages_of(side).choose(rng).cloned();
        let altered = match self {
            Self::Truncate => from_peer.map(|(number, message)| {
                let length = rng.gen_range(0..message.len());
                (number, message[..length].to_vec())
            }),
            Self::FlipBit => from_peer.map(|(number, mut message)| {
                let at = rng.gen_range(0..message.len());
                message[at] ^= 1 << rng.gen_range(0..8);
                (number, message)
            }),
            Self::Renumber => from_peer.map(|(number, message)| {
                let shift = rng.gen_range(1..3);
                let lower = number.saturating_sub(shift);
                (if rng.r#gen() { number + shift } else { lower }, message)
            }),
            Self::Reflect => own,
            Self::Replay => old_session.map(|old_session| {
                let messages = &old_session.0[rng.gen_range(0..2)];
                let number = rng.gen_range(0..messages.len());
                (u32::try_from(number).expect("there are few"), messages[number].clone())
            }),
            Self::Invent => {
                let length = *[0, 32, 33, 256, 1024].choose(rng).expect("there are some");
                Some((rng.gen_range(0..8), (0..length).map(|_| rng.r#gen()).collect()))
            }
            Self::Lie => return vec![lie(rng)],
            Self::Lose => None,
        };
        let frame = |(number, message)| RelayFrame::Message { number, payload: Bytes(message) };
        altered.map(frame).into_iter().collect()
    }
}

fn lie(rng: &mut Dice) -> RelayFrame {
    let number = rng.gen_range(0..4);
    let refused = |problem_type| RelayFrame::Refused {
        number: Some(number),
        problem: Problem::new(problem_type, "a lie").document(),
    };
    match rng.gen_range(0..24) {
        0..6 => RelayFrame::Stored { number },
        6..10 => RelayFrame::Resumed {
            stored: number,
            peer_connected: true,
            expires_at: NOW.saturating_add(1000 * RENDEZVOUS_LIFETIME),
        },
        10..13 => refused(ProblemType::TemporarilyUnavailable),
        13..16 => RelayFrame::PeerLeft {},
        16..19 => RelayFrame::PeerArrived { expires_at: NOW },
        19 => refused(ProblemType::MessageNumberTaken),
        20 => RelayFrame::Ended { outcome: MailboxOutcome::Linked },
        21 => RelayFrame::Ended { outcome: MailboxOutcome::Lonely },
        22 => RelayFrame::Ended { outcome: MailboxOutcome::Aborted },
        _ => RelayFrame::Unknown,
    }
}

/// All messages of a session that went well, of the new device and of the existing one.
#[derive(Clone)]
pub(crate) struct OldSession(Rc<[Vec<Vec<u8>>; 2]>);

impl OldSession {
    /// A session with the same words as those of the seed.
    pub(crate) fn of(seed: u64) -> Self {
        thread_local! {
            static OLD_SESSIONS: RefCell<HashMap<u64, OldSession>> = RefCell::default();
        }
        let record = || Self::record(seed);
        OLD_SESSIONS.with_borrow_mut(|sessions| sessions.entry(seed % BEGINNINGS).or_insert_with(record).clone())
    }

    fn record(seed: u64) -> Self {
        let [(new, mut new_rng), (existing, mut existing_rng)] = beginning(seed, 1);
        let mut sessions =
            [Session::new_device(new, &mut new_rng), Session::existing_device(existing, &mut existing_rng)];
        sessions.iter_mut().for_each(Session::connected);
        let mut messages = [Vec::new(), Vec::new()];
        for round in 0..8 {
            for side in 0..2 {
                if let Some(mut secured) = sessions[side].secured() {
                    secured.send(format!("message {round}").as_bytes()).expect("there is room");
                }
                sessions[side].save(|_| Ok::<_, ()>(())).expect("nothing is written");
                for frame in sessions[side].frames() {
                    if let DeviceFrame::Message { number, payload } = frame.frame {
                        messages[side].push(payload.0.clone());
                        sessions[1 - side].receive(RelayFrame::Message { number, payload });
                    }
                }
            }
        }
        assert!(sessions.iter_mut().all(|session| session.secured().is_some()));
        Self(Rc::new(messages))
    }
}
