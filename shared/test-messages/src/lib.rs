//! Test messages: a text, end-to-end encrypted to all devices of a friend (docs/protocol.md, section 27).
//!
//! Each has an MLS group (RFC 9420) of its own. The sender makes it, adds the KeyPackages that it claimed with one commit, and
//! sends everybody the Welcome and one PrivateMessage; then it forgets the group. Nobody else is ever in it, and nothing else
//! is ever said in it.
//!
//! ```text
//! struct {
//!     opaque label<V> = "Vestibule 1.0 TestMessage";
//!     opaque content<V>;                       // TestMessageParts
//! } TestMessage;
//!
//! struct {
//!     opaque welcome<V>;                       // an MLSMessage with a Welcome
//!     opaque private_message<V>;               // an MLSMessage with a PrivateMessage
//! } TestMessageParts;
//!
//! struct {
//!     ProtocolVersion version;
//!     opaque client_credential<V>;             // the sender's ClientCredential
//!     opaque as_intermediate_credential<V>;    // the AsIntermediateCredential that signed it
//!     opaque signature_encryption_key[32];     // of the sender's leaf credential
//!     opaque text<V>;                          // 1 to 4096 bytes of UTF-8
//! } TestMessageContent;                        // what the PrivateMessage says
//! ```
//!
//! The sender's leaf has a leaf credential like that of a KeyPackage, which is a pseudonym; who is behind it is inside the
//! PrivateMessage. So whoever carries a message learns neither the text nor the sender. No I/O: time and randomness are given.
#![deny(missing_docs)]

mod content;
mod envelope;
mod opening;
mod sealing;
mod text;

pub use envelope::{Malformed, TestMessage};
pub use opening::{MessageName, OpenedMessage, OpeningError, SenderTrust};
pub use sealing::{SealingError, Sender};
pub use text::{MessageText, MessageTextError};

#[cfg(test)]
mod tests;
