//! One of the two devices of a world.

use super::Application;
use crate::rendezvous::frame::RelayFrame;
use crate::rendezvous::{EndReason, Event, Progress, Session};

/// One device with its disk.
pub(crate) struct Device<A> {
    pub(crate) session: Session,
    pub(crate) application: A,
    disk: Option<String>,
    pub(super) is_connected: bool,
    /// The keys it derived, confirmed or not, as soon as it had some.
    pub(crate) keys: Option<[[u8; 32]; 2]>,
    /// Whether it was ever secured.
    pub(crate) was_secured: bool,
    /// Whether it was killed.
    pub(crate) was_killed: bool,
}

impl<A: Application> Device<A> {
    /// A device in whose session nothing has happened. One that can be killed has a disk.
    pub(super) fn new(session: Session, application: A, disk: Option<String>) -> Self {
        Self { session, application, disk, is_connected: false, keys: None, was_secured: false, was_killed: false }
    }

    pub(super) fn receive(&mut self, frame: RelayFrame, is_textual: bool) {
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
    pub(super) fn act_after_saving(&mut self) -> bool {
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

    pub(super) fn tell_end(&mut self) {
        if matches!(self.session.progress(), Progress::Ended(_)) {
            self.application.ended();
        }
    }

    /// What a person reads before the handshake is done does not tell whether the words matched.
    fn check_reason(&self, reason: &EndReason) {
        let tells = matches!(reason, EndReason::Tampered | EndReason::PeerCancelled);
        assert!(self.was_secured || !tells, "{reason:?}");
    }

    pub(super) fn save(&mut self) {
        let (application, disk) = (&self.application, &mut self.disk);
        let write = |session: &Session| -> serde_json::Result<()> {
            if let Some(disk) = disk {
                *disk = serde_json::to_string(&(session, application))?;
            }
            Ok(())
        };
        self.session.save(write).expect("a session can be written");
    }

    pub(super) fn restart(&mut self) {
        let disk = self.disk.as_ref().expect("who is killed has a disk");
        (self.session, self.application) = serde_json::from_str(disk).expect("what was written can be read");
        self.was_killed = true;
        if let Progress::Ended(reason) = self.session.progress() {
            self.check_reason(reason);
        }
        self.tell_end();
    }
}
