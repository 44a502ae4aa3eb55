//! A login (RFC 9807, section 6): three messages, after which both sides have a session key and know that the other has
//! it.

use std::fmt;

use opaque_ke::{
    ClientLogin as OpaqueClientLogin, ClientLoginFinishParameters, CredentialFinalization, CredentialRequest,
    CredentialResponse, ServerLogin as OpaqueServerLogin, ServerLoginParameters,
};
use rand::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    ExportKey, KE1_LENGTH, KE2_LENGTH, KE3_LENGTH, KEY_LENGTH, OpaqueError, Parameters, Password, RegistrationRecord,
    SERVER_LOGIN_LENGTH, ServerSetup, Suite, check_length,
};
use crate::encoding::{Bytes, SecretBytes};

/// What a login leaves both sides with: 64 bytes. Zeroized on drop, not printable.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SessionKey([u8; KEY_LENGTH]);

impl SessionKey {
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

impl fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionKey")
    }
}

/// The client's side of a login, between its first message and the server's. It holds the blind and the password, so it
/// cannot be copied or written down.
pub struct ClientLogin {
    state: OpaqueClientLogin<Suite>,
    password: Password,
}

/// What a login gives the client, which knows now that it speaks with the server of its registration.
pub struct FinishedLogin {
    /// The `KE3` (64 bytes) to send.
    pub ke3: Bytes,
    /// What both sides have.
    pub session_key: SessionKey,
    /// What the password gives the client alone: the same as at its registration.
    pub export_key: ExportKey,
}

impl ClientLogin {
    /// Starts a login: the state and the `KE1` (96 bytes) to send.
    pub fn start(password: Password, rng: &mut (impl RngCore + CryptoRng)) -> (Self, Bytes) {
        let start = OpaqueClientLogin::start(rng, password.as_bytes())
            .expect("blinding fails only for a password that hashes to the identity");
        (Self { state: start.state, password }, Bytes(start.message.serialize().to_vec()))
    }

    /// Finishes it with the server's `KE2` (320 bytes).
    ///
    /// # Errors
    /// [`OpaqueError`]: [`OpaqueError::NotAuthenticated`] if the password is wrong, if there is no such user, or if the
    /// server has other parameters. Nothing is to be sent then.
    pub fn finish(
        self,
        ke2: &[u8],
        parameters: &Parameters<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<FinishedLogin, OpaqueError> {
        check_length(ke2, KE2_LENGTH)?;
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| OpaqueError::MalformedMessage)?;
        let finish_parameters = ClientLoginFinishParameters::new(
            Some(parameters.context),
            parameters.identifiers(),
            Some(&parameters.key_stretching),
        );
        let finish =
            self.state.finish(rng, self.password.as_bytes(), ke2, finish_parameters).map_err(|error| match error {
                opaque_ke::errors::ProtocolError::ReflectedValueError => OpaqueError::Reflected,
                _ => OpaqueError::NotAuthenticated,
            })?;
        Ok(FinishedLogin {
            ke3: Bytes(finish.message.serialize().to_vec()),
            session_key: SessionKey(finish.session_key.into()),
            export_key: ExportKey(finish.export_key.into()),
        })
    }
}

/// The server's side of a login, between its message and the client's last: 128 bytes, from which together with the
/// `KE3` the session key follows. Zeroized on drop, not printable.
pub struct ServerLogin(OpaqueServerLogin<Suite>);

impl ServerSetup {
    /// Answers a `KE1` (96 bytes) with a `KE2` (320 bytes).
    ///
    /// Without a record the answer is one that no password fits, made with the same work and of the same size (RFC 9807,
    /// section 6.3.2.2); the credential identifier must then be the same for the same name every time.
    ///
    /// # Errors
    /// [`OpaqueError::MalformedMessage`].
    pub fn start_login(
        &self,
        record: Option<&RegistrationRecord>,
        credential_identifier: &[u8],
        ke1: &[u8],
        parameters: &Parameters<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(ServerLogin, Bytes), OpaqueError> {
        check_length(ke1, KE1_LENGTH)?;
        let ke1 = CredentialRequest::deserialize(ke1).map_err(|_| OpaqueError::MalformedMessage)?;
        let record = record.map(RegistrationRecord::open);
        let start =
            OpaqueServerLogin::start(rng, &self.0, record, ke1, credential_identifier, login_parameters(parameters))
                .map_err(|_| OpaqueError::MalformedMessage)?;
        Ok((ServerLogin(start.state), Bytes(start.message.serialize().to_vec())))
    }
}

impl ServerLogin {
    /// Finishes a login with the client's `KE3` (64 bytes). The parameters must be those with which it was started.
    ///
    /// # Errors
    /// [`OpaqueError::MalformedMessage`], [`OpaqueError::NotAuthenticated`].
    pub fn finish(self, ke3: &[u8], parameters: &Parameters<'_>) -> Result<SessionKey, OpaqueError> {
        check_length(ke3, KE3_LENGTH)?;
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| OpaqueError::MalformedMessage)?;
        let finish = self.0.finish(ke3, login_parameters(parameters)).map_err(|_| OpaqueError::NotAuthenticated)?;
        Ok(SessionKey(finish.session_key.into()))
    }
}

fn login_parameters<'a>(parameters: &Parameters<'a>) -> ServerLoginParameters<'a, 'a> {
    ServerLoginParameters { context: Some(parameters.context), identifiers: parameters.identifiers() }
}

impl SecretBytes for ServerLogin {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize().to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        check_length(bytes, SERVER_LOGIN_LENGTH).ok()?;
        OpaqueServerLogin::deserialize(bytes).ok().map(Self)
    }
}

impl fmt::Debug for ServerLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerLogin")
    }
}
