//! KeyPackages (RFC 9420, section 10) with what Vestibule puts into and around them: leaf credential, queue config,
//! encrypted identity.
//!
//! Clients make them, the queuing service checks them when they are published, friends check them when they have claimed
//! them. This is all that needs an MLS implementation, so it stands apart from the protocol crate: functions that have
//! nothing to do with KeyPackages do not link one. Like there, no I/O: time and randomness are given.
#![deny(missing_docs)]

mod batch;
mod claim;
mod making;
mod publication;
mod queue_config;
mod rules;

pub use batch::{BatchError, SignatureBatch};
pub use claim::{ClaimError, ClaimedPackage, TrustedCredentials, verify_claim};
pub use making::{KeyPackageMaker, MakingError, NewPackage, PrivateKeyPackage, leaf_capabilities, leaf_validity};
pub use publication::{Position, Publication, PublicationError, PublishedPackage};
pub use queue_config::seal_queue_config;
pub use rules::{CheckedKeyPackage, PackageError};

#[cfg(test)]
mod tests;
