//! For tests: two sessions, what runs on top of them, and all that can happen in between, driven from a seed.
//!
//! A [`World`] has two devices and a relay, with frames under way between them. [`Behaviour`] says how bad the network,
//! the devices' batteries and the relay are. [`Application`] is what runs on top: the linking of a device, or a chat.

use std::collections::VecDeque;

use rand::Rng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{AuthenticatedFrame, RelayFrame};
use super::{EndReason, Event, MailboxId, Pairing, Progress, Rendezvous, RendezvousTicket, SecuredSession, Session};
use crate::limits::RENDEZVOUS_LIFETIME;
use crate::problem::{Problem, ProblemType};
use crate::time::Timestamp;

mod chat;
pub(crate) mod dice;
mod mischief;
mod relay;
mod tests;

use dice::Dice;
use mischief::{Mischief, OldSession};
use relay::{Addressed, Relay};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// From how many different beginnings the runs of all seeds start. SPAKE2 is computed once for each.
pub(crate) const BEGINNINGS: u64 = 16;

/// After how many steps without mischief everything must have come to an end.
const MAX_SETTLING_STEPS: usize = 2000;

/// What runs on top of a session. It is written to disk with the session.
pub(crate) trait Application: Serialize + DeserializeOwned {
    /// Takes a message of the other device.
    fn receive(&mut self, message: &[u8]);

    /// Sends what there is to send now. Called whenever something has happened and the session is secured.
    fn act(&mut self, session: &mut SecuredSession<'_>);

    /// Whether there is more to do, for which what has been done must be on the disk.
    fn awaits_saving(&self) -> bool {
        false
    }

    /// The session has ended before both devices had said all. Called again after every restart.
    fn ended(&mut self) {}
}

/// What can happen in a world, as chances in a thousand for each step.
#[derive(Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// A connection is lost, with all frames on it.
    pub(crate) disconnect: u32,
    /// A process is killed and begins again from what it saved last.
    pub(crate) kill: u32,
    /// A process with a secured session is killed after it has acted, and before it has saved that.
    pub(crate) kill_before_saving: u32,
    /// A frame is delivered twice.
    pub(crate) duplicate: u32,
    /// A frame overtakes others.
    pub(crate) reorder: u32,
    /// The relay refuses a message with a problem that passes.
    pub(crate) refuse: u32,
    /// The relay does something that a relay does not.
    pub(crate) mischief: u32,
    /// How many steps this goes on.
    pub(crate) steps: usize,
}

/// One device with its disk.
pub(crate) struct Device<A> {
    pub(crate) session: Session,
    pub(crate) application: A,
    disk: Option<String>,
    is_connected: bool,
    /// The keys it derived, confirmed or not, as soon as it had some.
    pub(crate) keys: Option<[[u8; 32]; 2]>,
    /// Whether it was ever secured.
    pub(crate) was_secured: bool,
    /// Whether it was killed.
    pub(crate) was_killed: bool,
}

/// Two devices, the relay, and what is under way.
pub(crate) struct World<A> {
    pub(crate) devices: [Device<A>; 2],
    pub(crate) relay: Relay,
    to_relay: [VecDeque<AuthenticatedFrame>; 2],
    to_device: [VecDeque<RelayFrame>; 2],
    behaviour: Behaviour,
    old_session: Option<OldSession>,
    /// Whether frames go through their JSON. It is most of the time of a run that has it.
    is_textual: bool,
    rng: Dice,
}

/// The beginning that belongs to a seed: for the new device, then the existing one. Sessions of one beginning have the
/// same code and words, and with `take` differ in everything that is random.
fn beginning(seed: u64, take: u64) -> [(Rendezvous, Dice); 2] {
    let rng = &mut Dice::of(seed % BEGINNINGS);
    let pairing =
        Pairing { code: super::RendezvousCode::generate(16, rng), random_string: super::RandomString::generate(rng) };
    let rng = &mut Dice::of(seed % BEGINNINGS + BEGINNINGS * (1 + take));
    let mailbox_id = MailboxId::generate(rng);
    [(); 2].map(|()| {
        let rendezvous = Rendezvous {
            pairing: pairing.clone(),
            domain: "example.org".parse().expect("it is a domain"),
            mailbox_id,
            ticket: RendezvousTicket::generate(rng),
            expires_at: NOW.saturating_add(RENDEZVOUS_LIFETIME),
        };
        (rendezvous, Dice::of(rng.r#gen()))
    })
}

impl<A: Application> World<A> {
    /// A world in which nothing has happened. The devices have the same words, or with `has_wrong_words` not: which is
    /// also how a relay in the middle looks that has guessed wrong.
    pub(crate) fn new(seed: u64, applications: [A; 2], behaviour: Behaviour, has_wrong_words: bool) -> Self {
        let [(new, mut new_rng), (mut existing, mut existing_rng)] = beginning(seed, 0);
        let mut relay = Relay::new(new.mailbox_id, [new.ticket.hash(), existing.ticket.hash()], new.expires_at);
        if has_wrong_words {
            let [first, second] = *existing.pairing.random_string.as_bytes();
            existing.pairing.random_string = super::RandomString::from_bytes([first, second ^ 1]);
        }
        let sessions = [Session::new_device(new, &mut new_rng), Session::existing_device(existing, &mut existing_rng)];
        let keeps_disk = behaviour.kill + behaviour.kill_before_saving > 0;
        let mut devices = sessions.into_iter().zip(applications).map(|(session, application)| {
            let disk = keeps_disk.then(String::new);
            let mut device = Device {
                session,
                application,
                disk,
                is_connected: false,
                keys: None,
                was_secured: false,
                was_killed: false,
            };
            device.save();
            device
        });
        let devices = [(); 2].map(|()| devices.next().expect("there are two"));
        relay.is_strict = behaviour.mischief == 0;
        let mut rng = Dice::of(seed);
        Self {
            devices,
            relay,
            to_relay: Default::default(),
            to_device: Default::default(),
            old_session: (behaviour.mischief > 0).then(|| OldSession::of(seed)),
            behaviour,
            is_textual: rng.gen_ratio(1, 32),
            rng,
        }
    }

    /// Lets everything happen that the behaviour allows, then nothing bad any more, until there is nothing left to do.
    /// Then time is up.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.behaviour.steps {
            self.step();
        }
        self.settle();
        for device in &mut self.devices {
            device.session.tick(NOW.saturating_add(2 * RENDEZVOUS_LIFETIME));
            device.tell_end();
        }
    }

    /// What must hold after a run whatever anybody did: nobody waits any more, and who was secured has the same keys as
    /// the true peer.
    pub(crate) fn check_safety(&self) {
        let [new, existing] = &self.devices;
        for (device, peer) in [(new, existing), (existing, new)] {
            let is_over = matches!(device.session.progress(), Progress::Finished | Progress::Ended(_));
            assert!(is_over, "a device hangs: {:?}", device.session.progress());
            let has_keys_of_peer = device.keys.is_some() && device.keys == peer.keys;
            assert!(!device.was_secured || has_keys_of_peer, "secured with somebody else");
        }
    }

    fn step(&mut self) {
        let side = self.rng.gen_range(0..2);
        if !self.devices[side].is_connected {
            if self.rng.gen_ratio(1, 2) {
                self.connect(side);
            }
            return;
        }
        if self.happens(self.behaviour.kill) {
            self.kill(side);
        } else if self.happens(self.behaviour.disconnect) {
            self.disconnect(side);
        } else if self.happens(self.behaviour.mischief) {
            let mischief = Mischief::choose(&mut self.rng);
            for frame in mischief.frames(side, &self.relay, self.old_session.as_ref(), &mut self.rng) {
                self.deliver_to_device(side, frame);
            }
            if mischief == Mischief::Lose {
                self.to_device[side].pop_front();
            }
        } else if self.rng.r#gen() {
            self.deliver_one_to_relay(side);
        } else {
            self.deliver_one_to_device(side);
        }
    }

    fn settle(&mut self) {
        self.behaviour = Behaviour::default();
        for _ in 0..MAX_SETTLING_STEPS {
            let mut is_quiet = true;
            for side in 0..2 {
                if !self.devices[side].is_connected {
                    self.connect(side);
                    is_quiet = false;
                }
                is_quiet &= self.to_relay[side].is_empty() && self.to_device[side].is_empty();
                self.deliver_one_to_relay(side);
                self.deliver_one_to_device(side);
            }
            if is_quiet {
                return;
            }
        }
        panic!("the devices do not come to rest");
    }

    fn connect(&mut self, side: usize) {
        self.devices[side].is_connected = true;
        self.devices[side].session.connected();
        self.pump(side);
    }

    fn disconnect(&mut self, side: usize) {
        // Some of what was sent may have arrived.
        for _ in 0..self.rng.gen_range(0..=self.to_relay[side].len()) {
            self.deliver_one_to_relay(side);
        }
        self.devices[side].is_connected = false;
        self.devices[side].session.disconnected();
        self.to_relay[side].clear();
        self.to_device[side].clear();
        let frames = self.relay.disconnect(side);
        self.send(frames);
    }

    fn deliver_one_to_relay(&mut self, side: usize) {
        let at = self.which(self.to_relay[side].len());
        let Some(frame) = self.to_relay[side].remove(at) else { return };
        if self.happens(self.behaviour.duplicate) {
            self.to_relay[side].push_back(frame.clone());
        }
        let frame = if self.is_textual { AuthenticatedFrame::from_json(&frame.to_json()).unwrap() } else { frame };
        if self.happens(self.behaviour.refuse) {
            let problem = Problem::new(ProblemType::TemporarilyUnavailable, "try again").document();
            let number = match frame.frame {
                super::frame::DeviceFrame::Message { number, .. } => Some(number),
                _ => None,
            };
            return self.send(vec![(side, RelayFrame::Refused { number, problem })]);
        }
        let frames = self.relay.receive(side, frame);
        self.send(frames);
    }

    fn deliver_one_to_device(&mut self, side: usize) {
        let at = self.which(self.to_device[side].len());
        let Some(frame) = self.to_device[side].remove(at) else { return };
        if self.happens(self.behaviour.duplicate) {
            self.to_device[side].push_back(frame.clone());
        }
        self.deliver_to_device(side, frame);
    }

    fn deliver_to_device(&mut self, side: usize, frame: RelayFrame) {
        let is_killed = self.happens(self.behaviour.kill);
        let device = &mut self.devices[side];
        device.receive(frame, self.is_textual);
        // A session that has not been saved gives nothing that follows from the frame.
        self.pump(side);
        if is_killed || self.dies_before_saving(side) {
            // After it took the frame, before it wrote that down.
            return self.kill(side);
        }
        self.devices[side].save();
        self.pump(side);
        while self.devices[side].act_after_saving() {
            if self.dies_before_saving(side) {
                return self.kill(side);
            }
            self.devices[side].save();
            self.pump(side);
        }
    }

    fn dies_before_saving(&mut self, side: usize) -> bool {
        self.devices[side].was_secured && self.happens(self.behaviour.kill_before_saving)
    }

    fn kill(&mut self, side: usize) {
        self.disconnect(side);
        self.devices[side].restart();
    }

    fn pump(&mut self, side: usize) {
        self.to_relay[side].extend(self.devices[side].session.frames());
    }

    fn send(&mut self, frames: Vec<Addressed>) {
        for (side, frame) in frames {
            if self.devices[side].is_connected {
                self.to_device[side].push_back(frame);
            }
        }
    }

    fn which(&mut self, length: usize) -> usize {
        if length > 1 && self.happens(self.behaviour.reorder) { self.rng.gen_range(0..length) } else { 0 }
    }

    fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.rng.gen_ratio(chance, 1000)
    }
}

impl<A: Application> Device<A> {
    fn receive(&mut self, frame: RelayFrame, is_textual: bool) {
        let events = if is_textual { self.session.receive_text(&frame.to_json()) } else { self.session.receive(frame) };
        if self.keys.is_none() {
            self.keys = self.session.keys();
        }
        for event in events {
            match event {
                Event::Secured => self.was_secured = true,
                Event::Message(message) => {
                    assert!(self.was_secured, "a message before the handshake was done");
                    self.application.receive(message.as_bytes());
                }
                Event::Ended(reason) => {
                    self.check_reason(&reason);
                    self.application.ended();
                }
                Event::PeerArrived | Event::PeerLeft | Event::PeerClosed | Event::Finished | Event::TryLater(_) => {}
            }
        }
        self.act();
    }

    /// Does what had to wait for the saving, if there is anything.
    fn act_after_saving(&mut self) -> bool {
        let is_wanted = self.application.awaits_saving() && self.session.secured().is_some();
        if is_wanted {
            self.act();
        }
        is_wanted
    }

    fn act(&mut self) {
        if let Some(mut secured) = self.session.secured() {
            self.application.act(&mut secured);
        }
    }

    fn tell_end(&mut self) {
        if matches!(self.session.progress(), Progress::Ended(_)) {
            self.application.ended();
        }
    }

    /// What a person reads before the handshake is done does not tell whether the words matched.
    fn check_reason(&self, reason: &EndReason) {
        let tells = matches!(reason, EndReason::Tampered | EndReason::PeerCancelled);
        assert!(self.was_secured || !tells, "{reason:?}");
    }

    fn save(&mut self) {
        let (application, disk) = (&self.application, &mut self.disk);
        let write = |session: &Session| -> serde_json::Result<()> {
            if let Some(disk) = disk {
                *disk = serde_json::to_string(&(session, application))?;
            }
            Ok(())
        };
        self.session.save(write).expect("a session can be written");
    }

    fn restart(&mut self) {
        let disk = self.disk.as_ref().expect("who is killed has a disk");
        (self.session, self.application) = serde_json::from_str(disk).expect("what was written can be read");
        self.was_killed = true;
        if let Progress::Ended(reason) = self.session.progress() {
            self.check_reason(reason);
        }
        self.tell_end();
    }
}
