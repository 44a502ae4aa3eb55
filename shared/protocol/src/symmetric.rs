//! Symmetric secrets of 32 random bytes, one type per purpose.

use std::fmt;

use rand::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoding::SecretBytes;

/// Length of every secret of this module, in bytes.
pub const SYMMETRIC_SECRET_LENGTH: usize = 32;

macro_rules! symmetric_secrets {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        ///
        /// 32 random bytes. Zeroized on drop, not printable.
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; SYMMETRIC_SECRET_LENGTH]);

        impl $name {
            /// A fresh one.
            pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
                let mut secret = Self([0; SYMMETRIC_SECRET_LENGTH]);
                rng.fill_bytes(&mut secret.0);
                secret
            }

            /// The secret with these bytes.
            #[allow(dead_code, reason = "most secrets are generated")]
            pub(crate) fn from_bytes(bytes: [u8; SYMMETRIC_SECRET_LENGTH]) -> Self {
                Self(bytes)
            }

            /// The secret's bytes.
            #[allow(dead_code, reason = "some secrets are only kept and handed on")]
            pub(crate) fn as_bytes(&self) -> &[u8; SYMMETRIC_SECRET_LENGTH] {
                &self.0
            }
        }

        impl SecretBytes for $name {
            fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
                Zeroizing::new(self.0.to_vec())
            }

            fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(stringify!($name))
            }
        }
    )* };
}

symmetric_secrets! {
    /// What a user gives friends so that they can claim KeyPackages: the queuing service keeps its hash.
    FriendshipToken;
    /// Under what the identity beside a KeyPackage is encrypted to friends. The queuing service never sees it.
    FriendshipEncryptionKey;
    /// Under what the sender of a Welcome says who it is (`user-creation.md`, "Finish AS registration").
    WelcomeAttributionInfoKey;
    /// Under what a client's push token is stored at the queuing service, which learns the key with each message.
    PushTokenKey;
    /// Under what the names of a user's devices are encrypted: the user's clients share it, and nobody else has it.
    DeviceLabelKey;
    /// Under what a commit of the user's identity tells the other clients what they all have in common: for one epoch.
    UserSecretsKey;
    /// Under what one leaf credential's signature is encrypted: for one use.
    SignatureEncryptionKey;
    /// What opens one side of a rendezvous mailbox: each device chooses its own, the relay keeps its hash.
    RendezvousTicket;
    /// What the two devices of a rendezvous agree on with SPAKE2, and derive everything else from.
    RendezvousSharedKey;
    /// With what one device of a rendezvous proves to the other that it has the same key.
    RendezvousConfirmationKey;
    /// Under what one device of a rendezvous encrypts to the other.
    RendezvousRecordKey;
}
