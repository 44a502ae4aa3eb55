//! What both devices' applications have in common.

use serde::{Deserialize, Serialize};

use super::{ExistingParty, NewParty, around};
use crate::linking::OutgoingMessage;
use crate::rendezvous::SecuredSession;
use crate::rendezvous::simulation::Application;

/// After how many tries the service has answered.
const MAX_TRIES: usize = 10;

/// What a device does when it is asked what is due.
pub(super) enum Act {
    /// It waits for a message, or for the service to be available.
    Wait,
    /// It does the next thing at once.
    GoOn,
    /// It does the next thing once this is on the disk.
    Save,
    /// It has nothing more to say.
    Close,
}

/// The application of one device.
#[derive(Serialize, Deserialize)]
pub(super) struct Party {
    pub(super) side: Side,
    /// Said already, but for the sending.
    outgoing: Vec<Vec<u8>>,
    awaits_saving: bool,
    has_closed: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Side {
    New(Box<NewParty>),
    Existing(Box<ExistingParty>),
}

impl Party {
    pub(super) fn new(side: Side, first: Option<OutgoingMessage>) -> Self {
        let outgoing = first.iter().map(|message| message.as_bytes().to_vec()).collect();
        Self { side, outgoing, awaits_saving: false, has_closed: false }
    }

    /// Does what is due until there is nothing more to do now. Whether everything has been said.
    fn work(&mut self) -> bool {
        self.awaits_saving = false;
        loop {
            let mut said = Vec::new();
            let act = match &mut self.side {
                Side::New(party) => party.act(&mut said),
                Side::Existing(party) => party.act(&mut said),
            };
            for message in said {
                let twice = around(|around| around.happens(around.circumstances.repeats_itself, 3));
                self.outgoing.extend(vec![message.as_bytes().to_vec(); 1 + usize::from(twice)]);
            }
            match act {
                Act::GoOn => {}
                Act::Wait => return false,
                Act::Save => {
                    self.awaits_saving = true;
                    return false;
                }
                Act::Close => return true,
            }
        }
    }
}

impl Application for Party {
    fn receive(&mut self, message: &[u8]) {
        let received = match &mut self.side {
            Side::New(party) => party.receive(message),
            Side::Existing(party) => party.receive(message),
        };
        if let Err(error) = received {
            self.outgoing.extend(error.message().iter().map(|message| message.as_bytes().to_vec()));
        }
    }

    fn act(&mut self, session: &mut SecuredSession<'_>) {
        if self.has_closed {
            return;
        }
        let is_done = self.work();
        for message in self.outgoing.drain(..) {
            session.send(&message).expect("there is room");
        }
        if is_done {
            session.close().expect("it is closed once");
            self.has_closed = true;
        }
    }

    fn awaits_saving(&self) -> bool {
        self.awaits_saving
    }

    fn ended(&mut self) {
        match &mut self.side {
            Side::New(party) => party.connection_ended(),
            Side::Existing(party) => party.connection_ended(),
        }
        // The service is asked until it answers; there is nothing else that could be waited for.
        let is_done = (0..MAX_TRIES).any(|_| self.work());
        assert!(is_done, "a device waits for a device that is gone");
    }
}
