//! What openmls stores of secrets, in its own form.

use std::fmt;

use vestibule_protocol::encoding::SecretBytes;
use zeroize::Zeroizing;

/// Bytes that are openmls' own form of something secret, which has no accessors for all its parts. Zeroized on drop, not
/// printable.
#[derive(Clone)]
pub struct StoredSecret(Zeroizing<Vec<u8>>);

impl StoredSecret {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for StoredSecret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl SecretBytes for StoredSecret {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.clone()
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StoredSecret")
    }
}
