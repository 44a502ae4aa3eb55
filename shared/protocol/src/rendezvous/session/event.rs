//! What a session tells whoever drives it.

use serde::{Deserialize, Serialize};

use crate::problem::ProblemDocument;
use crate::rendezvous::channel::ChannelMessage;

/// Why a session ended before both devices were content. `Display` gives what a person is to read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// It ended before the devices had confirmed their keys to each other: because the words did not match, the other
    /// device gave up, or somebody interfered. Which of these is not known, here or to anybody who watches the screen.
    #[error("the connection ended")]
    ConnectionEnded,
    /// This device gave up.
    #[error("cancelled on this device")]
    Cancelled,
    /// The other device gave up after the keys were confirmed; or so the relay says.
    #[error("cancelled on the other device")]
    PeerCancelled,
    /// Nobody joined in time, or the two devices did not finish in time.
    #[error("the devices did not come together in time: begin again with a new code")]
    Expired,
    /// This device was restarted before it had the keys, or set back to an earlier state.
    #[error("this device was restarted at the wrong moment")]
    StateLost,
    /// After the keys were confirmed, something came that the other device did not send.
    #[error("somebody interfered with the connection")]
    Tampered,
    /// The relay does not do what a relay does.
    #[error("the server does not behave as it should")]
    RelayMisbehaved,
    /// The relay refuses to go on.
    #[error("the server refuses: {}", .0.detail)]
    Refused(ProblemDocument),
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The other device has connected, or so the relay says.
    PeerArrived,
    /// The other device's connection is gone, or so the relay says. It may come back.
    PeerLeft,
    /// The handshake is done: [`Session::secured`](super::Session::secured) gives what sends.
    Secured,
    /// A message of the other device: the next in order, once.
    Message(ChannelMessage),
    /// The other device sends nothing more.
    PeerClosed,
    /// Both devices have closed, and the relay has all that this device sent.
    Finished,
    /// The relay could not take a frame. It is sent again: wait a while before asking for frames.
    TryLater(ProblemDocument),
    /// The session is over.
    Ended(EndReason),
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<'a> {
    /// The devices have not confirmed their keys.
    Handshaking,
    /// They have.
    Secured,
    /// Both have said all.
    Finished,
    /// It is over, and they have not.
    Ended(&'a EndReason),
}
