//! Linking a device: the two state machines of `vestibule_protocol::linking`, each run over the channel of a rendezvous, with
//! what they ask for: of the person at the device, of the authentication service, and of the identity.
//!
//! Whether the device is linked, the authentication service decides: it has accepted the new client's own commit, or never
//! will. So what a device needs to ask it is on disk before it matters, in the state and not with the rendezvous, which is
//! gone as soon as it has ended. Whatever else is lost with a process comes again, because the message that it follows from
//! does.

mod existing_device;
mod joining;
mod new_device;
mod settlement;

#[cfg(test)]
mod tests;

pub(crate) use existing_device::ExistingDeviceRun;
pub(crate) use joining::join_queuing_service;
pub(crate) use new_device::{NewDeviceRun, forget, register};
pub(crate) use settlement::{confirm, settle_approval, withdraw_itself};

use std::pin::Pin;
use std::time::Duration;

use vestibule_protocol::clock::Clock;
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::linking::{DeclineReason, Ending, LinkingError, OutgoingMessage, StateBundle};
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::rendezvous::{ChannelMessage, Pairing};
use vestibule_protocol::time::Timestamp;

use crate::api::Waiting;
use crate::error::Error;
use crate::home::to_secret_json;
use crate::registration::Progress;
use crate::rendezvous::{Incoming, PeerPresence, Rendezvous, RendezvousError, SecuredChannel};

/// How long a device that has nothing more to say waits for the other to take note.
const PARTING_PATIENCE: Duration = Duration::from_secs(5);

/// A device that was linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linked {
    /// Whose device it is.
    pub user_name: UserName,
    /// Its client.
    pub client_id: ClientId,
    /// What it is called.
    pub device_name: DeviceName,
}

impl Linked {
    fn of(client_id: ClientId, device_name: DeviceName) -> Self {
        Self { user_name: client_id.user_name.clone(), client_id, device_name }
    }
}

/// What is put to the person at a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkingQuestion {
    /// At the new device: is it to be one of this user's?
    Join {
        /// The user.
        user_name: UserName,
        /// What this device is called.
        device_name: DeviceName,
    },
    /// At the existing device: is the new one in the person's hands, and is it to have full access?
    Approve {
        /// The user.
        user_name: UserName,
        /// What the new device calls itself. Nobody vouches for it.
        device_name: DeviceName,
    },
}

/// How far two devices have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkingStep {
    /// The other device is there, or so the relay says.
    PeerJoined,
    /// Both devices have confirmed their keys to each other.
    Secured,
}

/// What [`LinkingInteraction::decide`] promises.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Result<bool, Error>> + Send + 'a>>;

/// The person at a device that is linking, and the application on it.
pub trait LinkingInteraction: Send {
    /// Shows what is to be typed into the existing device, until `expires_at`. At the new device alone.
    fn show_code(&mut self, pairing: &Pairing, expires_at: Timestamp);

    /// Tells how far it has come.
    fn step(&mut self, step: LinkingStep);

    /// Asks. While nobody answers, the devices stay connected; if the other one ends the linking, the future is dropped.
    fn decide<'a>(&'a mut self, question: &'a LinkingQuestion) -> Deciding<'a>;

    /// At the new device: it is linked. What follows makes it known to the queuing service, and can be gone on with later.
    fn linked(&mut self, linked: &Linked) {
        let _ = linked;
    }

    /// At the new device: tells about every stage of that which remains to be done.
    fn progress(&mut self, progress: Progress) {
        let _ = progress;
    }

    /// At the existing device: the user's groups, which the new one is to enter.
    fn state_bundles(&mut self) -> Vec<StateBundle> {
        Vec::new()
    }

    /// At the new device: the same, when it is linked. May be called again after a crash.
    fn take_state_bundles(&mut self, state_bundles: &[StateBundle]) {
        let _ = state_bundles;
    }
}

/// Waits until the channel is secured, and tells of it.
async fn secured<'a, 'c>(
    rendezvous: &'a mut Rendezvous<'c>,
    interaction: &mut dyn LinkingInteraction,
) -> Result<SecuredChannel<'a, 'c>, Error> {
    let mut has_joined = false;
    let channel = rendezvous
        .secured(|presence| {
            // After a reconnection it arrives again.
            if presence == PeerPresence::Arrived && !std::mem::replace(&mut has_joined, true) {
                interaction.step(LinkingStep::PeerJoined);
            }
        })
        .await?;
    interaction.step(LinkingStep::Secured);
    Ok(channel)
}

/// A state machine of a linking, as far as both are alike.
trait Machine: serde::Serialize + Send {
    fn receive(&mut self, message: &[u8], now: Timestamp) -> Result<(), LinkingError>;
    fn connection_ended(&mut self);
}

/// Keeps the machine with the channel, as of the last message.
fn remember(channel: &mut SecuredChannel<'_, '_>, machine: &impl Machine) {
    channel.remember(&to_secret_json(machine));
}

/// Waits for the other device and gives the machine what comes.
async fn listen(machine: &mut impl Machine, channel: &mut SecuredChannel<'_, '_>, clock: &Clock) -> Result<(), Error> {
    remember(channel, machine);
    let message = next_message(channel).await?;
    take(machine, channel, message, clock);
    Ok(())
}

/// Waits for what the person decides, and for the other device meanwhile. Gives nothing if that has ended it: the question
/// is not `is_asked` any more then.
async fn decide<M: Machine>(
    mut decision: Deciding<'_>,
    machine: &mut M,
    channel: &mut SecuredChannel<'_, '_>,
    clock: &Clock,
    is_asked: fn(&M) -> bool,
) -> Result<Option<bool>, Error> {
    remember(channel, machine);
    while is_asked(machine) {
        let message = tokio::select! {
            biased;
            decision = &mut decision => return decision.map(Some),
            message = next_message(channel) => message?,
        };
        take(machine, channel, message, clock);
        remember(channel, machine);
    }
    Ok(None)
}

fn take(
    machine: &mut impl Machine,
    channel: &mut SecuredChannel<'_, '_>,
    message: Option<ChannelMessage>,
    clock: &Clock,
) {
    let Some(message) = message else { return machine.connection_ended() };
    if let Err(error) = machine.receive(message.as_bytes(), clock.now()) {
        send(channel, error.message());
    }
}

/// What comes next from the other device: a message, or nothing any more.
async fn next_message(channel: &mut SecuredChannel<'_, '_>) -> Result<Option<ChannelMessage>, Error> {
    match channel.receive().await? {
        Incoming::Message(message) => Ok(Some(message)),
        Incoming::PeerClosed | Incoming::Finished => Ok(None),
    }
}

/// Puts messages in line.
fn send(channel: &mut SecuredChannel<'_, '_>, messages: impl IntoIterator<Item = OutgoingMessage>) {
    for message in messages {
        // Refused only by a channel that is over, which the next call says.
        let _ = channel.send(message.as_bytes());
    }
}

/// Takes leave of the other device: what is in line goes out, and if it does not take leave too, the rendezvous is
/// cancelled.
async fn part(rendezvous: &mut Rendezvous<'_>, waiting: &Waiting) -> Result<(), Error> {
    // A handshake that is not done, or a connection that is gone, is left to be cancelled.
    if rendezvous.is_secured() {
        let mut channel = rendezvous.secured(|_| {}).await?;
        let _ = channel.close();
        tokio::select! {
            biased;
            drained = drain(&mut channel) => drained?,
            () = waiting.wait(PARTING_PATIENCE) => {}
        }
    }
    rendezvous.cancel().await
}

async fn drain(channel: &mut SecuredChannel<'_, '_>) -> Result<(), Error> {
    loop {
        match channel.receive().await {
            Ok(Incoming::Finished) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.is_stopped() => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}

/// Whether the connection between the devices is over with this. Otherwise a next run goes on.
fn is_end_of_connection(error: &Error) -> bool {
    matches!(error, Error::Rendezvous(RendezvousError::Ended(_) | RendezvousError::RelayRefused(_)))
}

/// Why devices were not linked, for scripts.
pub(crate) fn ending_name(ending: Ending) -> &'static str {
    let (reason, is_own) = match ending {
        Ending::ConnectionEnded => return "connection-ended",
        Ending::Declined(reason) => (reason, true),
        Ending::PeerDeclined(reason) => (reason, false),
    };
    match reason {
        DeclineReason::Person if is_own => "declined",
        DeclineReason::Person => "peer-declined",
        DeclineReason::AnotherUser => "another-user",
        DeclineReason::AnotherRoot => "another-root",
        DeclineReason::RequestRefused => "request-refused",
        DeclineReason::CredentialRefused => "credential-refused",
        DeclineReason::KeyPackageRefused => "key-package-refused",
        DeclineReason::HandoverRefused => "handover-refused",
        DeclineReason::ClientLimit => "client-limit",
        DeclineReason::ApproverRemoved => "approver-removed",
        DeclineReason::NotConfirmed => "not-confirmed",
        DeclineReason::ProtocolViolation => "protocol-violation",
        DeclineReason::Failed => "failed",
    }
}
