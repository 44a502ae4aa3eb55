//! Anonymous tokens: a client takes them in batches from the authentication service, which knows it, and pays with one at
//! a time at a service that must not know it. Nobody can tell from a token who took it.
//!
//! Privacy Pass, privately verifiable and issued in batches: the architecture of RFC 9576, the HTTP scheme of RFC 9577,
//! token type 5 (VOPRF of RFC 9497 with ristretto255 and SHA-512) of draft-ietf-privacypass-batched-tokens. The `privacypass`
//! crate does the cryptography; this one decides which keys, challenges and sizes there are, and in which order a token is
//! checked. No I/O: whatever needs the time or randomness is given them.
#![deny(missing_docs)]

mod batch;
mod challenge;
pub mod http;
mod issuer;
mod issuer_keys;
mod public_key;
mod token;

pub use batch::{BatchError, TokenBatch};
pub use challenge::TokenChallenge;
pub use issuer::{CheckedToken, IssueError, IssuerKeys, RedemptionError};
pub use issuer_keys::{IssuerKeyDocument, IssuerKeysDocument, IssuerPrivateKey, RotationError};
pub use public_key::{TokenKeyId, TokenKeys, TokenKeysError, TokenPublicKey};
pub use token::{TOKEN_LENGTH, Token};

#[cfg(test)]
mod vectors;

/// Group and hash of every token.
type Suite = privacypass::private_tokens::Ristretto255;

/// The token type of [`Suite`].
const TOKEN_TYPE: privacypass::TokenType = privacypass::TokenType::PrivateRistretto255;

/// Length of an element of the group, and of a scalar, in bytes.
const ELEMENT_LENGTH: usize = 32;

/// Length of a batch's elements with the two bytes that say how long they are (RFC 9000, section 16).
const BATCH_LENGTH: usize = 2 + vestibule_protocol::limits::TOKEN_BATCH_SIZE * ELEMENT_LENGTH;

/// Length of a request for a batch: token type, truncated key id, the elements.
pub const TOKEN_REQUEST_LENGTH: usize = 2 + 1 + BATCH_LENGTH;

/// Length of the answer: the elements, and a proof of two scalars.
pub const TOKEN_RESPONSE_LENGTH: usize = BATCH_LENGTH + 2 * ELEMENT_LENGTH;
