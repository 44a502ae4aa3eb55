//! A user's identity: the MLS group (RFC 9420) of the user's clients, whose leaves carry the client credentials and whose
//! handshakes everybody can read ("EID", `docs/protocol.md`).
//!
//! The authentication service and every client follow it with a [`Follower`], which needs no secrets and knows all the rules
//! that can be checked without any. A client changes it, and has secrets in common with the user's other clients, as a
//! member: [`Identity`]. What only the authentication service knows (which clients are live, which credentials it has
//! issued) is for its own code to check. No I/O: randomness is given, and time plays no part.
#![deny(missing_docs)]

mod commit;
mod error;
mod follower;
mod group_info;
mod identity;
mod joining;
mod leaf;
mod preparing;
mod private_group;
mod public_storage;

pub use commit::{Change, CheckedCommit};
pub use error::{IdentityError, ProcessError};
pub use follower::Follower;
pub use identity::Identity;
pub use joining::PrivateIdentityKeyPackage;
pub use leaf::{ClientKeys, Member};
pub use preparing::PreparedCommit;

/// The type of the MLS credentials of an identity's leaves, from the range for private use (RFC 9420, section 17.5). The
/// content is a signed `ClientCredential`.
pub const CLIENT_CREDENTIAL_TYPE: u16 = 0xf003;

/// The type of the leaf extension with the encrypted device label, from the range for private use (RFC 9420, section
/// 17.3).
pub const DEVICE_LABEL_EXTENSION_TYPE: u16 = 0xf004;

#[cfg(test)]
mod tests;
