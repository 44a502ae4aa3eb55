//! Logins at the authentication service: what proves, for one operation, that a client's person knows the password.
//!
//! The state between the two halves goes, sealed, into the client's hands.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::endpoint::InitiateLoginRequest;
use vestibule_protocol::key_server::{PasswordOwner, SessionUser};
use vestibule_protocol::limits::LOGIN_LIFETIME;
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::opaque::{OpaqueError, Parameters, ServerLogin, ServerSetup};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroize as _;

use rand::{CryptoRng, RngCore};

use crate::metrics::{self, Metric};
use crate::sealing::{Sealable, SealingKeys};

/// Length of a login's state in bytes.
const LOGIN_STATE_LENGTH: usize = 128;

/// The state between the two halves of a login. It is a secret: the `KE3` that it waits for follows from it. Zeroized on
/// drop.
#[derive(TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedLogin {
    client_id: ClientId,
    operation: LoginOperation,
    user: SessionUser,
    expires_at: Timestamp,
    login_state: [u8; LOGIN_STATE_LENGTH],
}

impl Sealable for SealedLogin {
    const TYPE_NAME: &'static str = "SealedLogin";
}

impl Drop for SealedLogin {
    fn drop(&mut self) {
        self.login_state.zeroize();
    }
}

impl SealedLogin {
    /// Begins a login of the client in the request: the state, and the `KE2` (320 bytes) to answer with.
    ///
    /// # Errors
    /// [`OpaqueError::MalformedMessage`].
    pub fn start(
        request: &InitiateLoginRequest,
        setup: &ServerSetup,
        owner: &PasswordOwner<'_>,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Bytes), OpaqueError> {
        let InitiateLoginRequest { client_id, operation, ke1 } = request;
        let context = operation.opaque_context(client_id);
        let parameters = Parameters::of_user(&client_id.user_name).with_context(&context);
        let identifier = owner.credential_identifier.as_ref();
        let (login, ke2) = setup.start_login(owner.record, identifier, &ke1.0, &parameters, rng)?;
        let login = Self {
            client_id: client_id.clone(),
            operation: *operation,
            user: owner.user,
            expires_at: now.saturating_add(LOGIN_LIFETIME),
            login_state: login.to_secret_bytes().as_slice().try_into().expect("it has one length"),
        };
        Ok((login, ke2))
    }

    fn is_for(&self, client_id: &ClientId, operation: &LoginOperation, now: Timestamp) -> bool {
        self.client_id == *client_id && self.operation == *operation && now < self.expires_at
    }

    fn finish(&self, ke3: &Bytes) -> Result<(), OpaqueError> {
        let login = ServerLogin::from_secret_bytes(&self.login_state).ok_or(OpaqueError::MalformedMessage)?;
        let context = self.operation.opaque_context(&self.client_id);
        let parameters = Parameters::of_user(&self.client_id.user_name).with_context(&context);
        login.finish(&ke3.0, &parameters).map(drop)
    }
}

/// The right to do what a login is for, as long as the password stays what it was.
pub struct VerifiedLogin(SessionUser);

impl VerifiedLogin {
    /// Checks that `proof` finishes a login of this client for this operation, and counts what comes of it.
    ///
    /// # Errors
    /// [`ProblemType::LoginInvalid`] if it was begun for something or somebody else, or is over,
    /// [`ProblemType::InvalidOpaqueMessage`], or [`ProblemType::PasswordRefused`].
    pub fn check(
        proof: &LoginProof,
        client_id: &ClientId,
        operation: &LoginOperation,
        sealing_keys: &SealingKeys,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let verified = Self::verify(proof, client_id, operation, sealing_keys, now);
        let refusal = verified.as_ref().err().map(|problem| problem.problem_type.slug());
        metrics::count(Metric::Logins, refusal.unwrap_or("finished"), 1);
        verified
    }

    fn verify(
        proof: &LoginProof,
        client_id: &ClientId,
        operation: &LoginOperation,
        sealing_keys: &SealingKeys,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let login = sealing_keys.open::<SealedLogin>(&proof.sealed_login.0);
        let login = login.filter(|login| login.is_for(client_id, operation, now)).ok_or_else(login_invalid)?;
        login.finish(&proof.ke3).map_err(|error| match error {
            OpaqueError::NotAuthenticated => {
                Problem::new(ProblemType::PasswordRefused, "ke3 does not prove that the password is known")
            }
            error => Problem::new(ProblemType::InvalidOpaqueMessage, error),
        })?;
        Ok(Self(login.user))
    }

    /// Whose login it is, and with which password. It counts only in a transaction that checks that the user still has it.
    pub(super) fn user(&self) -> &SessionUser {
        &self.0
    }
}

/// The problem of a login that is not, or not any more, one for what it is used for.
pub(super) fn login_invalid() -> Problem {
    let seconds = LOGIN_LIFETIME.as_secs();
    Problem::new(ProblemType::LoginInvalid, format!("log in for this operation, and use it within {seconds} seconds"))
}
