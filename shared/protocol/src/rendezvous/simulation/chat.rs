//! The simplest application: each device has a few things to say, in reply to each other, and then closes.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::Application;
use super::dice::Dice;
use crate::rendezvous::SecuredSession;

/// One device's part of a chat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Chat {
    /// What it says, in this order.
    pub(crate) lines: Vec<Vec<u8>>,
    /// How many lines it says whenever something has happened.
    at_once: usize,
    said: usize,
    has_closed: bool,
    /// What the other device said.
    pub(crate) heard: Vec<Vec<u8>>,
}

impl Chat {
    /// A few lines, most of them short.
    pub(crate) fn generate(rng: &mut Dice) -> Self {
        let lines = (0..rng.gen_range(0..4)).map(|_| {
            let length = if rng.gen_ratio(1, 40) { rng.gen_range(300..20_000) } else { rng.gen_range(0..40) };
            vec![rng.r#gen(); length]
        });
        let lines: Vec<_> = lines.collect();
        Self { lines, at_once: rng.gen_range(1..4), said: 0, has_closed: false, heard: Vec::new() }
    }
}

impl Application for Chat {
    fn receive(&mut self, message: &[u8]) {
        self.heard.push(message.to_vec());
    }

    fn act(&mut self, session: &mut SecuredSession<'_>) {
        for line in self.lines.iter().skip(self.said).take(self.at_once) {
            session.send(line).expect("there is room");
            self.said += 1;
        }
        if self.said == self.lines.len() && !self.has_closed {
            session.close().expect("it is closed once");
            self.has_closed = true;
        }
    }
}
