//! OPAQUE (RFC 9807): OPAQUE-3DH over ristretto255 with SHA-512, HKDF-SHA-512, HMAC-SHA-512 and Argon2id.
//!
//! The client identity is the user name, the server identity the domain. The password never leaves the client, and the
//! client never keeps it.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use opaque_ke::{CipherSuite, Identifiers, Ristretto255, TripleDh};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::name::UserName;

mod login;
mod registration;
#[cfg(test)]
mod rfc9807_vectors;
mod server_setup;

pub use login::{ClientLogin, FinishedLogin, ServerLogin, SessionKey};
pub use registration::{ClientRegistration, FinishedRegistration, RegistrationRecord};
pub use server_setup::{CREDENTIAL_IDENTIFIER_LENGTH, CredentialIdentifier, ServerSetup};

/// Length of a `RegistrationRequest` in bytes.
pub const REGISTRATION_REQUEST_LENGTH: usize = 32;
/// Length of a `RegistrationResponse` in bytes.
pub const REGISTRATION_RESPONSE_LENGTH: usize = 64;
/// Length of a `RegistrationRecord` in bytes.
pub const REGISTRATION_RECORD_LENGTH: usize = 192;
/// Length of a `KE1` in bytes.
pub const KE1_LENGTH: usize = 96;
/// Length of a `KE2` in bytes.
pub const KE2_LENGTH: usize = 320;
/// Length of a `KE3` in bytes.
pub const KE3_LENGTH: usize = 64;
/// Length of a [`ServerLogin`] in bytes.
pub const SERVER_LOGIN_LENGTH: usize = 128;
/// Length of an [`ExportKey`] and of a [`SessionKey`] in bytes.
const KEY_LENGTH: usize = 64;

/// Memory of the client's Argon2id, in KiB.
const ARGON2_MEMORY: u32 = 19 * 1024;
/// Passes of the client's Argon2id.
const ARGON2_ITERATIONS: u32 = 2;
/// Lanes of the client's Argon2id.
const ARGON2_PARALLELISM: u32 = 1;

/// The configuration, for the library's type parameters.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = KeyStretching;
}

/// Why a step of OPAQUE failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpaqueError {
    /// A message has the wrong length or is not a valid element.
    #[error("the OPAQUE message is malformed")]
    MalformedMessage,
    /// The server sent the client's own message back.
    #[error("the OPAQUE message is the client's own, reflected")]
    Reflected,
    /// The two sides do not agree: on the password, or on who they are and what for. Which it is, nobody can tell.
    #[error("the password is wrong, or the other side is not who it should be")]
    NotAuthenticated,
}

/// What both sides must agree on for a login to succeed (RFC 9807, sections 2 and 6.1), and how the client stretches the
/// password.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// Who the client is; its public key if it is not named.
    pub client_identity: Option<&'a [u8]>,
    /// Who the server is; its public key if it is not named.
    pub server_identity: Option<&'a [u8]>,
    /// What the login is for. A registration has none.
    pub context: &'a [u8],
    /// What the client does to make a dictionary expensive.
    pub key_stretching: KeyStretching,
}

impl<'a> Parameters<'a> {
    /// A user of Vestibule: the identities are the user name and the domain in it, the password is stretched by Argon2id.
    pub fn of_user(user_name: &'a UserName) -> Self {
        let (_, domain) = user_name.as_str().split_once('@').expect("a user name has a domain");
        Self {
            client_identity: Some(user_name.as_str().as_bytes()),
            server_identity: Some(domain.as_bytes()),
            context: &[],
            key_stretching: KeyStretching::Argon2id,
        }
    }

    /// The same for a login with this context.
    pub fn with_context(self, context: &'a [u8]) -> Self {
        Self { context, ..self }
    }

    fn identifiers(&self) -> Identifiers<'a> {
        Identifiers { client: self.client_identity, server: self.server_identity }
    }
}

/// The key stretching function, which the client applies to the OPRF's output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyStretching {
    /// Argon2id (RFC 9106) with 19 MiB of memory, two passes and one lane, and a salt of zeros: the OPRF has salted its
    /// input already.
    #[default]
    Argon2id,
    /// None at all, as the RFC's test vectors have it. Whoever steals a server's secrets and records then tries
    /// passwords as fast as it can hash.
    #[cfg(test)]
    Identity,
}

impl Ksf for KeyStretching {
    fn hash<L: ArrayLength<u8>>(&self, input: GenericArray<u8, L>) -> Result<GenericArray<u8, L>, InternalError> {
        match self {
            Self::Argon2id => {
                let parameters = Params::new(ARGON2_MEMORY, ARGON2_ITERATIONS, ARGON2_PARALLELISM, None)
                    .expect("the parameters are within Argon2's bounds");
                Ksf::hash(&Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters), input)
            }
            #[cfg(test)]
            Self::Identity => Ok(input),
        }
    }
}

/// A user's password. Zeroized on drop, not printable.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// The password with this text, used as the UTF-8 bytes of its normalization form C: what looks the same is the same
    /// password, on whichever system it is typed (as in RFC 8265, section 4.2.2, which has more rules; these are not to
    /// refuse or fold anything).
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(ComposingNormalizerBorrowed::new_nfc().normalize(&text).into_owned())
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        crate::encoding::equal_in_constant_time(self.as_bytes(), other.as_bytes())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password")
    }
}

/// What a password gives the client and nobody else (RFC 9807, section 3.2): 64 bytes that follow from password and
/// record, and that the server cannot compute. Zeroized on drop, not printable.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ExportKey([u8; KEY_LENGTH]);

impl ExportKey {
    /// A key of known bytes.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    /// The key's 64 bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for ExportKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ExportKey")
    }
}

/// The library takes what it needs from the front of a message and ignores the rest; a message has one length.
fn check_length(message: &[u8], length: usize) -> Result<(), OpaqueError> {
    if message.len() == length { Ok(()) } else { Err(OpaqueError::MalformedMessage) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_however_a_system_writes_it() {
        let password = |text: &str| Password::new(text.to_owned());
        assert_eq!(password("caf\u{e9}"), password("cafe\u{301}"));
        assert_ne!(password("cafe"), password("caf\u{e9}"));
        assert_ne!(password("ﬁ"), password("fi"), "what looks different is different");
        assert_ne!(password("a "), password("a"));
    }
}
