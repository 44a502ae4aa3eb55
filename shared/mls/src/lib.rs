//! How Vestibule uses openmls: its one ciphersuite, cryptography with randomness that is given, its own keys as signers.
//!
//! What KeyPackages and identities have in common, and nothing else. No I/O.
#![deny(missing_docs)]

mod encryption_key;
mod provider;
mod signer;
mod stored_secret;

pub use encryption_key::encryption_key_bytes;
pub use provider::{GivenRandomness, NoRandomness, Provider};
pub use signer::MlsSigner;
pub use stored_secret::StoredSecret;

use openmls_traits::types::Ciphersuite;

/// The one ciphersuite, as openmls names it.
pub const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
