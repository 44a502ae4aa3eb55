//! The registration of a password (RFC 9807, section 5).

use std::fmt;

use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    ClientRegistration as OpaqueClientRegistration, ClientRegistrationFinishParameters, RegistrationRequest,
    RegistrationResponse, RegistrationUpload, ServerRegistration,
};
use rand::{CryptoRng, RngCore};

use super::{
    ExportKey, OpaqueError, Parameters, Password, REGISTRATION_RECORD_LENGTH, REGISTRATION_REQUEST_LENGTH,
    REGISTRATION_RESPONSE_LENGTH, ServerSetup, Suite, check_length,
};
use crate::encoding::Bytes;

/// The client's side of a registration, between its request and the server's response. It holds the blind and the
/// password, so it cannot be copied or written down.
pub struct ClientRegistration {
    state: OpaqueClientRegistration<Suite>,
    password: Password,
}

/// What a registration gives the client.
pub struct FinishedRegistration {
    /// The `RegistrationRecord` (192 bytes) to upload.
    pub record: Bytes,
    /// What the password will give at every login under this record.
    pub export_key: ExportKey,
}

impl ClientRegistration {
    /// Starts a registration: the state and the `RegistrationRequest` (32 bytes) to send.
    pub fn start(password: Password, rng: &mut (impl RngCore + CryptoRng)) -> (Self, Bytes) {
        let start = OpaqueClientRegistration::start(rng, password.as_bytes())
            .expect("blinding fails only for a password that hashes to the identity");
        (Self { state: start.state, password }, Bytes(start.message.serialize().to_vec()))
    }

    /// Finishes it with the server's `RegistrationResponse` (64 bytes).
    ///
    /// # Errors
    /// [`OpaqueError`].
    pub fn finish(
        self,
        response: &[u8],
        parameters: &Parameters<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<FinishedRegistration, OpaqueError> {
        check_length(response, REGISTRATION_RESPONSE_LENGTH)?;
        let response = RegistrationResponse::deserialize(response).map_err(|_| OpaqueError::MalformedMessage)?;
        let finish_parameters =
            ClientRegistrationFinishParameters::new(parameters.identifiers(), Some(&parameters.key_stretching));
        let finish = self.state.finish(rng, self.password.as_bytes(), response, finish_parameters).map_err(
            |error| match error {
                ProtocolError::ReflectedValueError => OpaqueError::Reflected,
                _ => OpaqueError::MalformedMessage,
            },
        )?;
        Ok(FinishedRegistration {
            record: Bytes(finish.message.serialize().to_vec()),
            export_key: ExportKey(finish.export_key.into()),
        })
    }
}

impl ServerSetup {
    /// Answers a `RegistrationRequest` (32 bytes) with a `RegistrationResponse` (64 bytes).
    ///
    /// # Errors
    /// [`OpaqueError::MalformedMessage`].
    pub fn respond_to_registration(&self, request: &[u8], credential_identifier: &[u8]) -> Result<Bytes, OpaqueError> {
        check_length(request, REGISTRATION_REQUEST_LENGTH)?;
        let request = RegistrationRequest::deserialize(request).map_err(|_| OpaqueError::MalformedMessage)?;
        let start = ServerRegistration::<Suite>::start(&self.0, request, credential_identifier)
            .map_err(|_| OpaqueError::MalformedMessage)?;
        Ok(Bytes(start.message.serialize().to_vec()))
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

    /// The record as the library has it.
    pub(super) fn open(&self) -> ServerRegistration<Suite> {
        ServerRegistration::deserialize(&self.0).expect("it was checked when it was made")
    }
}

impl fmt::Debug for RegistrationRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RegistrationRecord")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::encoding::SecretBytes as _;
    use crate::name::UserName;
    use crate::opaque::{CredentialIdentifier, KeyStretching};

    fn alice() -> UserName {
        "alice@localhost".parse().unwrap()
    }

    fn fast() -> Parameters<'static> {
        let key_stretching = KeyStretching::Identity;
        Parameters { client_identity: None, server_identity: None, context: &[], key_stretching }
    }

    fn start(rng: &mut StdRng) -> (ClientRegistration, Bytes) {
        ClientRegistration::start(Password::new("correct horse".into()), rng)
    }

    #[test]
    fn a_registration_has_the_sizes_of_the_rfc() {
        let rng = &mut StdRng::seed_from_u64(1);
        let setup = ServerSetup::generate(rng);
        assert_eq!(setup.to_secret_bytes().len(), 128);
        let (registration, request) = start(rng);
        assert_eq!(request.0.len(), 32);
        let response = setup.respond_to_registration(&request.0, CredentialIdentifier::generate(rng).as_ref()).unwrap();
        assert_eq!(response.0.len(), 64);
        let finished = registration.finish(&response.0, &Parameters::of_user(&alice()), rng).unwrap();
        assert_eq!(RegistrationRecord::from_upload(&finished.record.0).unwrap().as_bytes().len(), 192);
    }

    #[test]
    fn what_follows_a_message_makes_it_malformed() {
        let rng = &mut StdRng::seed_from_u64(4);
        let (alice, setup) = (alice(), ServerSetup::generate(rng));
        let identifier = CredentialIdentifier::generate(rng);
        let longer = |message: &Bytes| [message.0.as_slice(), &[0]].concat();

        let (registration, request) = start(rng);
        assert!(setup.respond_to_registration(&longer(&request), identifier.as_ref()).is_err());
        let response = setup.respond_to_registration(&request.0, identifier.as_ref()).unwrap();
        let record = registration.finish(&response.0, &Parameters::of_user(&alice), rng).unwrap().record;
        assert!(RegistrationRecord::from_upload(&record.0).is_ok());
        assert!(RegistrationRecord::from_upload(&longer(&record)).is_err());
        assert!(RegistrationRecord::from_upload(&record.0[1..]).is_err());
        let (registration, _) = start(rng);
        assert!(registration.finish(&longer(&response), &Parameters::of_user(&alice), rng).is_err());
    }

    #[test]
    fn another_credential_identifier_gives_another_oprf_key() {
        let rng = &mut StdRng::seed_from_u64(2);
        let setup = ServerSetup::generate(rng);
        let (_, request) = start(rng);
        let mut respond =
            || setup.respond_to_registration(&request.0, CredentialIdentifier::generate(rng).as_ref()).unwrap();
        assert_ne!(respond(), respond());
    }

    #[test]
    fn an_altered_response_is_malformed_or_gives_another_record_and_is_never_called_reflected() {
        let rng = &mut StdRng::seed_from_u64(5);
        let setup = ServerSetup::generate(rng);
        let identifier = CredentialIdentifier::generate(rng);
        let finish = |alter: &dyn Fn(&mut Vec<u8>)| {
            let rng = &mut StdRng::seed_from_u64(6);
            let (registration, request) = start(rng);
            let mut response = setup.respond_to_registration(&request.0, identifier.as_ref()).unwrap().0;
            alter(&mut response);
            registration.finish(&response, &fast(), rng).map(|finished| finished.record)
        };
        let unaltered = finish(&|_| {}).unwrap();
        for position in 0..REGISTRATION_RESPONSE_LENGTH {
            match finish(&|response| response[position] ^= 4) {
                Ok(record) => assert_ne!(record, unaltered, "{position}"),
                Err(error) => assert_eq!(error, OpaqueError::MalformedMessage, "{position}"),
            }
        }
        // The element that reveals nothing.
        assert_eq!(finish(&|response| response[..32].fill(0)), Err(OpaqueError::MalformedMessage));
    }

    #[test]
    fn malformed_and_reflected_messages_are_refused() {
        let rng = &mut StdRng::seed_from_u64(3);
        let setup = ServerSetup::generate(rng);
        let identifier = CredentialIdentifier::generate(rng);
        for request in [&[][..], &[0; 32], &[0xff; 32], &[1; 31], &[1; 33]] {
            let refused = setup.respond_to_registration(request, identifier.as_ref());
            assert_eq!(refused, Err(OpaqueError::MalformedMessage));
        }
        let (registration, request) = start(rng);
        let mut reflected = setup.respond_to_registration(&request.0, identifier.as_ref()).unwrap();
        reflected.0[..32].copy_from_slice(&request.0);
        let refused = registration.finish(&reflected.0, &Parameters::of_user(&alice()), rng);
        assert_eq!(refused.err(), Some(OpaqueError::Reflected));
        assert!(RegistrationRecord::from_upload(&[0; 192]).is_err());
    }
}
