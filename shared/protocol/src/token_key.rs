//! The public keys of the issuer of tokens, as the queuing service publishes them. What they do is in the crate
//! `vestibule-tokens`.

use serde::{Deserialize, Serialize};

use crate::encoding::Bytes;
use crate::time::ExpirationData;

/// A public key under which tokens are issued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishedTokenKey {
    /// The key: an element of ristretto255, 32 bytes.
    pub public_key: Bytes,
    /// When its tokens are good. The newest that has begun is the one to ask for tokens under.
    #[serde(flatten)]
    pub validity: ExpirationData,
}
