//! What goes between a device and the relay: JSON in WebSocket text frames of at most
//! [`MAX_RELAY_FRAME_LENGTH`] bytes.
//!
//! A mailbox is durable. Each device numbers its messages from 0; the relay stores them, sends them to the other device
//! when that is connected, and sends them again after it reconnected. So a device, as soon as it is connected, says with
//! [`DeviceFrame::Resume`] how many messages it has; the relay answers with [`RelayFrame::Resumed`] and the messages
//! from that number on. (API Gateway lets a relay send nothing before it was sent something.) Every frame may be sent
//! again without a second effect, and frames may arrive in another order than they were sent.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::MailboxId;
use crate::encoding::{Bytes, secret};
use crate::limits::MAX_RELAY_FRAME_LENGTH;
use crate::problem::ProblemDocument;
use crate::symmetric::RendezvousTicket;
use crate::time::Timestamp;

/// More than the JSON of a device's frame has in bytes, its payload apart.
const FRAME_OVERHEAD: usize = 256;

/// A text is not a frame: too long, not JSON, or without what the frame must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is not a frame of the relay")]
pub struct FrameError;

/// A frame from a device, with what proves that it may send it.
///
/// ```json
/// {"mailbox_id": "…", "ticket": "…", "frame": {"type": "message", "number": 0, "payload": "…"}}
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AuthenticatedFrame {
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// The ticket of the device's side of it.
    #[serde(with = "secret")]
    #[cfg_attr(feature = "schema", schemars(with = "Bytes"))]
    pub ticket: RendezvousTicket,
    /// The frame.
    pub frame: DeviceFrame,
}

/// A frame from a device to the relay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeviceFrame {
    /// The first frame of a connection.
    Resume {
        /// How many of the other device's messages this one has, without a gap: the number of the first it lacks.
        received: u32,
    },
    /// A message for the other device.
    Message {
        /// The message's number, from 0 on. Under a number that is used the relay takes only the same message again.
        number: u32,
        /// The message, at most [`MAX_RELAY_MESSAGE_LENGTH`](crate::limits::MAX_RELAY_MESSAGE_LENGTH) bytes.
        payload: Bytes,
    },
    /// The relay need not keep the messages below `received` any longer.
    Acknowledge {
        /// How many of the other device's messages this one has, without a gap.
        received: u32,
    },
    /// This device is content: it has all that it wanted, and the relay all that it sent.
    Finish {},
    /// This device gives up. The mailbox ends.
    Abort {},
}

/// A frame from the relay to a device. A device ignores fields and types that it does not know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RelayFrame {
    /// The answer to [`DeviceFrame::Resume`]. The messages that the device lacks follow.
    Resumed {
        /// How many of this device's messages the relay has, without a gap.
        stored: u32,
        /// Whether the other device is connected.
        peer_connected: bool,
        /// When the mailbox ends if nobody ends it before. Joining it moves this.
        expires_at: Timestamp,
    },
    /// The relay has this device's message with this number, and will not lose it.
    Stored {
        /// The message's number.
        number: u32,
    },
    /// A message from the other device.
    Message {
        /// The message's number.
        number: u32,
        /// The message.
        payload: Bytes,
    },
    /// The other device has connected.
    PeerArrived {
        /// When the mailbox ends if nobody ends it before. Joining it moves this.
        expires_at: Timestamp,
    },
    /// The other device's connection is gone. It may come back.
    PeerLeft {},
    /// The mailbox has ended: nothing more is taken and nothing more comes.
    Ended {
        /// How.
        outcome: MailboxOutcome,
    },
    /// A frame was refused. It changed nothing.
    Refused {
        /// The number of the message that was refused, if it was a message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
        /// Why.
        problem: ProblemDocument,
    },
    /// A frame of a later version of the relay.
    #[serde(other)]
    Unknown,
}

/// How a mailbox ended. All that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MailboxOutcome {
    /// Both devices finished.
    Linked,
    /// Nobody joined in time.
    Lonely,
    /// A device gave up.
    Aborted,
    /// It was joined, but the devices did not come to an end in time.
    Expired,
}

impl AuthenticatedFrame {
    /// The frame's JSON, which has the ticket in it.
    pub fn to_json(&self) -> Zeroizing<String> {
        // A buffer that had to grow would leave copies of the ticket behind.
        let mut json = Zeroizing::new(Vec::with_capacity(self.longest_json()));
        serde_json::to_writer(&mut *json, self).expect("a frame has nothing that JSON has not");
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *json)).expect("JSON is UTF-8"))
    }

    /// As many bytes as the frame's JSON has at most.
    fn longest_json(&self) -> usize {
        match &self.frame {
            DeviceFrame::Message { payload, .. } => FRAME_OVERHEAD + payload.0.len().div_ceil(3) * 4,
            _ => FRAME_OVERHEAD,
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn from_json(text: &str) -> Result<Self, FrameError> {
        from_json(text)
    }
}

impl RelayFrame {
    /// Whether a text is no frame but what API Gateway itself tells a device whose frame the relay could not handle: a
    /// function failed or took too long. Nothing is wrong with the mailbox; the device connects again and resumes.
    pub fn is_gateway_failure(text: &str) -> bool {
        let message = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
        message.get("type").is_none() && message["connectionId"].is_string() && message["requestId"].is_string()
    }

    /// The frame's JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a frame has nothing that JSON has not")
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn from_json(text: &str) -> Result<Self, FrameError> {
        from_json(text)
    }
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, FrameError> {
    if text.len() > MAX_RELAY_FRAME_LENGTH {
        return Err(FrameError);
    }
    serde_json::from_str(text).map_err(|_| FrameError)
}

#[cfg(test)]
mod tests;
