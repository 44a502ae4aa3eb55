//! Linking a device: what the two devices say to each other once their channel is secured (`new-device-sequence.md`, rows
//! 6 to 10 and what follows). No I/O: messages go in, messages come out.
//!
//! ```text
//!       NewDevice                                         ExistingDevice
//!           │ ◄──────────────── 6 user name ────────────────── │ start
//!     agree │ ───────────── 7 credential request ────────────► │ approve (then the AS signs)
//!           │ ◄──────────── 8 issued credential ────────────── │ credential_issued
//! key_package_made ──────── 9 identity KeyPackage ───────────► │ (then the AS takes the commit)
//!           │ ◄────── 10 handover, state bundles ───────────── │ added
//!    joined │ (then the AS takes the confirmation)             │
//! confirmed │ ───────────────── confirmed ───────────────────► │ settle
//! ```
//!
//! Each device has a state machine that says what is due ([`NewDevice::progress`], [`ExistingDevice::progress`]), so that
//! a device that was restarted goes on where it was. They check all that there is to check without MLS: what concerns
//! KeyPackage, commit and Welcome, the client checks and tells.
//!
//! **Whether the device is linked, the authentication service decides**, by having accepted the new client's own commit or
//! not. From [`NewDevice::joined`] on the new device asks it until it gets an answer; the existing one asks it, and
//! withdraws the new client if it can, whenever a linking ends after [`ExistingDevice::approve`]
//! ([`ExistingDeviceProgress::SettlementWanted`]). So they are linked on both sides or on neither, whatever happens to the
//! connection between them.
//!
//! Messages are sent in the order in which they are given, over one channel; what a machine has given is part of its state,
//! so machine and session are saved together ([`Session::save`](crate::rendezvous::Session::save)).

mod ending;
mod existing_device;
mod handover;
mod message;
mod new_device;
mod trust;

pub use ending::{DeclineReason, Ending, LinkingError};
pub use existing_device::{ExistingDevice, ExistingDeviceProgress, Fate, Settlement, Standing};
pub use handover::{Handover, MemberEarSecrets, StateBundle};
pub use message::OutgoingMessage;
pub use new_device::{Expectation, NewClient, NewDevice, NewDeviceProgress};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
