//! OPAQUE (RFC 9807): OPAQUE-3DH over ristretto255 with SHA-512, HKDF-SHA-512, HMAC-SHA-512 and Argon2id.
//!
//! The client identity is the user name, the server identity the domain. The password never leaves the client, and the
//! client never keeps it.

use std::fmt;

use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::{
    CipherSuite, ClientRegistration as OpaqueClientRegistration, ClientRegistrationFinishParameters, Identifiers,
    RegistrationRequest, RegistrationResponse, RegistrationUpload, Ristretto255, ServerRegistration,
    ServerSetup as OpaqueServerSetup, TripleDh,
};
use rand::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoding::{Bytes, SecretBytes};
use crate::name::UserName;

/// Length of a [`CredentialIdentifier`] in bytes.
pub const CREDENTIAL_IDENTIFIER_LENGTH: usize = 32;

/// Length of a `RegistrationRequest` in bytes.
pub const REGISTRATION_REQUEST_LENGTH: usize = 32;
/// Length of a `RegistrationResponse` in bytes.
pub const REGISTRATION_RESPONSE_LENGTH: usize = 64;
/// Length of a `RegistrationRecord` in bytes.
pub const REGISTRATION_RECORD_LENGTH: usize = 192;

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
    type Ksf = Argon2<'static>;
}

/// The library takes what it needs from the front of a message and ignores the rest; a message has one length.
fn check_length(message: &[u8], length: usize) -> Result<(), OpaqueError> {
    if message.len() == length { Ok(()) } else { Err(OpaqueError::MalformedMessage) }
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
}

/// A user's password. Zeroized on drop, not printable.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// The password with this text, used as its UTF-8 bytes.
    pub fn new(text: String) -> Self {
        Self(text)
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

/// The client's side of a registration, between its request and the server's response. It holds the blind and the
/// password, so it cannot be copied or written down.
pub struct ClientRegistration {
    state: OpaqueClientRegistration<Suite>,
    password: Password,
}

impl ClientRegistration {
    /// Starts a registration: the state and the `RegistrationRequest` (32 bytes) to send.
    pub fn start(password: Password, rng: &mut (impl RngCore + CryptoRng)) -> (Self, Bytes) {
        let start = OpaqueClientRegistration::start(rng, password.as_bytes())
            .expect("blinding fails only for a password that hashes to the identity");
        (Self { state: start.state, password }, Bytes(start.message.serialize().to_vec()))
    }

    /// Finishes it with the server's `RegistrationResponse` (64 bytes): the `RegistrationRecord` (192 bytes) to upload.
    ///
    /// # Errors
    /// [`OpaqueError`].
    pub fn finish(
        self,
        response: &[u8],
        user_name: &UserName,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Bytes, OpaqueError> {
        check_length(response, REGISTRATION_RESPONSE_LENGTH)?;
        let response = RegistrationResponse::deserialize(response).map_err(|_| OpaqueError::MalformedMessage)?;
        let domain = user_name.domain().to_string();
        let identifiers = Identifiers { client: Some(user_name.as_str().as_bytes()), server: Some(domain.as_bytes()) };
        let key_stretching = key_stretching();
        let parameters = ClientRegistrationFinishParameters::new(identifiers, Some(&key_stretching));
        let finish = self
            .state
            .finish(rng, self.password.as_bytes(), response, parameters)
            .map_err(|_| OpaqueError::Reflected)?;
        Ok(Bytes(finish.message.serialize().to_vec()))
    }
}

fn key_stretching() -> Argon2<'static> {
    let parameters = Params::new(ARGON2_MEMORY, ARGON2_ITERATIONS, ARGON2_PARALLELISM, None)
        .expect("the parameters are within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
}

/// Names the OPRF key under which a password is registered. A fresh random one for every registration response: were it
/// the user name, anybody could evaluate a name's OPRF before the name exists and prepare a dictionary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CredentialIdentifier(pub [u8; CREDENTIAL_IDENTIFIER_LENGTH]);

impl CredentialIdentifier {
    /// A fresh one.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut identifier = [0; CREDENTIAL_IDENTIFIER_LENGTH];
        rng.fill_bytes(&mut identifier);
        Self(identifier)
    }
}

/// The server's long-term secrets: OPRF seed and key pair (128 bytes). Zeroized on drop, not printable.
pub struct ServerSetup(OpaqueServerSetup<Suite>);

impl ServerSetup {
    /// A fresh setup. A deployment has one, for ever: its passwords cannot be verified with another.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(OpaqueServerSetup::new(rng))
    }

    /// Answers a `RegistrationRequest` with a `RegistrationResponse` (64 bytes).
    ///
    /// # Errors
    /// [`OpaqueError::MalformedMessage`].
    pub fn respond_to_registration(
        &self,
        request: &[u8],
        credential_identifier: &CredentialIdentifier,
    ) -> Result<Bytes, OpaqueError> {
        check_length(request, REGISTRATION_REQUEST_LENGTH)?;
        let request = RegistrationRequest::deserialize(request).map_err(|_| OpaqueError::MalformedMessage)?;
        let start = ServerRegistration::<Suite>::start(&self.0, request, &credential_identifier.0)
            .map_err(|_| OpaqueError::MalformedMessage)?;
        Ok(Bytes(start.message.serialize().to_vec()))
    }
}

impl SecretBytes for ServerSetup {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize().to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        OpaqueServerSetup::deserialize(bytes).ok().map(Self)
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerSetup")
    }
}

/// What the server keeps of a password: the `RegistrationRecord` (192 bytes) that the client uploaded. It opens an
/// offline dictionary attack to whoever also holds the [`ServerSetup`], so it is not printable either.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrationRecord(Vec<u8>);

impl RegistrationRecord {
    /// Checks an upload.
    ///
    /// # Errors
    /// [`OpaqueError::MalformedMessage`].
    pub fn from_upload(bytes: &[u8]) -> Result<Self, OpaqueError> {
        check_length(bytes, REGISTRATION_RECORD_LENGTH)?;
        RegistrationUpload::<Suite>::deserialize(bytes).map_err(|_| OpaqueError::MalformedMessage)?;
        Ok(Self(bytes.to_vec()))
    }

    /// The record's 192 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RegistrationRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RegistrationRecord")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn alice() -> UserName {
        "alice@localhost".parse().unwrap()
    }

    #[test]
    fn a_registration_has_the_sizes_of_the_rfc() {
        let rng = &mut StdRng::seed_from_u64(1);
        let setup = ServerSetup::generate(rng);
        assert_eq!(setup.to_secret_bytes().len(), 128);
        let (registration, request) = ClientRegistration::start(Password::new("correct horse".into()), rng);
        assert_eq!(request.0.len(), 32);
        let response = setup.respond_to_registration(&request.0, &CredentialIdentifier::generate(rng)).unwrap();
        assert_eq!(response.0.len(), 64);
        let upload = registration.finish(&response.0, &alice(), rng).unwrap();
        assert_eq!(RegistrationRecord::from_upload(&upload.0).unwrap().as_bytes().len(), 192);
    }

    #[test]
    fn what_follows_a_message_makes_it_malformed() {
        let rng = &mut StdRng::seed_from_u64(4);
        let setup = ServerSetup::generate(rng);
        let identifier = CredentialIdentifier::generate(rng);
        let longer = |message: &Bytes| [message.0.as_slice(), &[0]].concat();
        let start = |rng: &mut StdRng| ClientRegistration::start(Password::new("correct horse".into()), rng);

        let (registration, request) = start(rng);
        assert!(setup.respond_to_registration(&longer(&request), &identifier).is_err());
        let response = setup.respond_to_registration(&request.0, &identifier).unwrap();
        let upload = registration.finish(&response.0, &alice(), rng).unwrap();
        assert!(RegistrationRecord::from_upload(&upload.0).is_ok());
        assert!(RegistrationRecord::from_upload(&longer(&upload)).is_err());
        assert!(RegistrationRecord::from_upload(&upload.0[1..]).is_err());
        let (registration, _) = start(rng);
        assert!(registration.finish(&longer(&response), &alice(), rng).is_err());
    }

    #[test]
    fn another_credential_identifier_gives_another_oprf_key() {
        let rng = &mut StdRng::seed_from_u64(2);
        let setup = ServerSetup::generate(rng);
        let (_, request) = ClientRegistration::start(Password::new("correct horse".into()), rng);
        let mut respond = || setup.respond_to_registration(&request.0, &CredentialIdentifier::generate(rng)).unwrap();
        assert_ne!(respond(), respond());
    }

    #[test]
    fn malformed_and_reflected_messages_are_refused() {
        let rng = &mut StdRng::seed_from_u64(3);
        let setup = ServerSetup::generate(rng);
        let identifier = CredentialIdentifier::generate(rng);
        for request in [&[][..], &[0; 32], &[0xff; 32], &[1; 31], &[1; 33]] {
            assert_eq!(setup.respond_to_registration(request, &identifier), Err(OpaqueError::MalformedMessage));
        }
        let (registration, request) = ClientRegistration::start(Password::new("correct horse".into()), rng);
        let mut reflected = setup.respond_to_registration(&request.0, &identifier).unwrap();
        reflected.0[..32].copy_from_slice(&request.0);
        assert_eq!(registration.finish(&reflected.0, &alice(), rng), Err(OpaqueError::Reflected));
        assert!(RegistrationRecord::from_upload(&[0; 192]).is_err());
    }
}
