//! How far a session has come, with what belongs to it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{EndReason, Event, Progress};
use crate::rendezvous::channel::{Channel, Received};
use crate::rendezvous::frame::DeviceFrame;
use crate::rendezvous::handshake::{
    AwaitsConfirmation, AwaitsKeyExchange, ExistingDevice, HandshakeFailed, NewDevice, OwesConfirmation,
};

/// A session's stage.
#[derive(Debug)]
pub(super) enum Stage {
    NewDeviceAwaitsKeyExchange(NewDevice<AwaitsKeyExchange>),
    NewDeviceAwaitsConfirmation(NewDevice<AwaitsConfirmation>),
    ExistingDeviceAwaitsKeyExchange(ExistingDevice<AwaitsKeyExchange>),
    ExistingDeviceOwesConfirmation(ExistingDevice<OwesConfirmation>),
    Secured(Channel),
    Finished,
    Ended(EndReason),
}

/// What follows from a message of the peer.
pub(super) struct Step {
    /// The next stage.
    pub(super) stage: Stage,
    /// What the handshake says to the peer.
    pub(super) own_message: Option<Vec<u8>>,
    /// What the session tells.
    pub(super) event: Option<Event>,
}

impl Stage {
    /// Takes the peer's next message.
    pub(super) fn receive(self, message: &[u8]) -> Result<Step, EndReason> {
        let failed = |_: HandshakeFailed| EndReason::ConnectionEnded;
        let (stage, own_message, event) = match self {
            Self::NewDeviceAwaitsKeyExchange(device) => {
                let (device, own_message) = device.receive(message).map_err(failed)?;
                (Self::NewDeviceAwaitsConfirmation(device), Some(own_message), None)
            }
            Self::NewDeviceAwaitsConfirmation(device) => {
                let channel = device.receive(message).map_err(failed)?;
                (Self::Secured(channel), None, Some(Event::Secured))
            }
            Self::ExistingDeviceAwaitsKeyExchange(device) => {
                let (device, own_message) = device.receive(message).map_err(failed)?;
                (Self::ExistingDeviceOwesConfirmation(device), Some(own_message), None)
            }
            Self::ExistingDeviceOwesConfirmation(device) => {
                let (channel, own_message) = device.receive(message).map_err(failed)?;
                (Self::Secured(channel), Some(own_message), Some(Event::Secured))
            }
            Self::Secured(channel) => {
                let (channel, received) = channel.receive(message).map_err(|_| EndReason::Tampered)?;
                let event = match received {
                    Received::Part => None,
                    Received::Message(message) => Some(Event::Message(message)),
                    Received::Close => Some(Event::PeerClosed),
                };
                (Self::Secured(channel), None, event)
            }
            // What comes after both have closed changes nothing any more.
            Self::Finished => (Self::Finished, None, None),
            Self::Ended(reason) => return Err(reason),
        };
        Ok(Step { stage, own_message, event })
    }

    pub(super) fn progress(&self) -> Progress<'_> {
        match self {
            Self::NewDeviceAwaitsKeyExchange(_)
            | Self::NewDeviceAwaitsConfirmation(_)
            | Self::ExistingDeviceAwaitsKeyExchange(_)
            | Self::ExistingDeviceOwesConfirmation(_) => Progress::Handshaking,
            Self::Secured(_) => Progress::Secured,
            Self::Finished => Progress::Finished,
            Self::Ended(reason) => Progress::Ended(reason),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self, Self::Finished)
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> Option<[[u8; 32]; 2]> {
        match self {
            Self::NewDeviceAwaitsConfirmation(device) => Some(device.keys()),
            Self::ExistingDeviceOwesConfirmation(device) => Some(device.keys()),
            Self::Secured(channel) => Some(channel.keys()),
            _ => None,
        }
    }

    /// The last frame of this device, if it is time for it.
    pub(super) fn farewell(&self) -> Option<DeviceFrame> {
        match self {
            Self::Finished => Some(DeviceFrame::Finish {}),
            Self::Ended(_) => Some(DeviceFrame::Abort {}),
            _ => None,
        }
    }
}

/// A stage on disk. One with a SPAKE2 run under way is not written: whoever resumes it has lost it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Written<'a> {
    Lost,
    NewDeviceAwaitsConfirmation(&'a NewDevice<AwaitsConfirmation>),
    ExistingDeviceOwesConfirmation(&'a ExistingDevice<OwesConfirmation>),
    Secured(&'a Channel),
    Finished,
    Ended(&'a EndReason),
}

/// The same, read.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Read {
    Lost,
    NewDeviceAwaitsConfirmation(NewDevice<AwaitsConfirmation>),
    ExistingDeviceOwesConfirmation(ExistingDevice<OwesConfirmation>),
    Secured(Channel),
    Finished,
    Ended(EndReason),
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::NewDeviceAwaitsKeyExchange(_) | Self::ExistingDeviceAwaitsKeyExchange(_) => Written::Lost,
            Self::NewDeviceAwaitsConfirmation(device) => Written::NewDeviceAwaitsConfirmation(device),
            Self::ExistingDeviceOwesConfirmation(device) => Written::ExistingDeviceOwesConfirmation(device),
            Self::Secured(channel) => Written::Secured(channel),
            Self::Finished => Written::Finished,
            Self::Ended(reason) => Written::Ended(reason),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Read::deserialize(deserializer)? {
            Read::Lost => Self::Ended(EndReason::StateLost),
            Read::NewDeviceAwaitsConfirmation(device) => Self::NewDeviceAwaitsConfirmation(device),
            Read::ExistingDeviceOwesConfirmation(device) => Self::ExistingDeviceOwesConfirmation(device),
            Read::Secured(channel) => Self::Secured(channel),
            Read::Finished => Self::Finished,
            Read::Ended(reason) => Self::Ended(reason),
        })
    }
}
