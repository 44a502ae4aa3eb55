//! Logins at the authentication service: for what takes the user's password beside the client's own key.

use vestibule_protocol::endpoint::{InitiateLogin, InitiateLoginRequest};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::opaque::{ClientLogin, OpaqueError, Parameters, Password};

use crate::error::Error;
use crate::session::Session;

/// Logs this device's client in for one operation: gives the proof that the password is known, good for a minute.
pub(crate) async fn log_in(
    session: &Session<'_>,
    operation: LoginOperation,
    password: Password,
) -> Result<LoginProof, Error> {
    let account = session.account();
    let client_id = account.client_id();
    let (login, ke1) = ClientLogin::start(password, &mut session.connection.randomness.clone());
    let request = InitiateLoginRequest { client_id: client_id.clone(), operation, ke1 };
    let body = serde_json::to_vec(&request).expect("a request is made of what JSON can say");
    let service = &session.authentication_service;
    // If the answer is lost, the same request begins another login.
    let answer = service.call_signed::<InitiateLogin, _>(&(), &body, &account.signer()).await;
    let answer = answer.map_err(|error| session.refusal(error))?;

    let mut randomness = session.connection.randomness.clone();
    // Argon2 takes a while and all of a core, so it does not run where other tasks do.
    let finished = tokio::task::spawn_blocking(move || {
        let context = operation.opaque_context(&client_id);
        let parameters = Parameters::of_user(&client_id.user_name).with_context(&context);
        login.finish(&answer.ke2.0, &parameters, &mut randomness)
    })
    .await;
    match finished.expect("OPAQUE does not panic") {
        Ok(finished) => Ok(LoginProof { sealed_login: answer.sealed_login, ke3: finished.ke3 }),
        Err(OpaqueError::NotAuthenticated) => Err(Error::WrongPassword),
        Err(error) => Err(Error::OpaqueResponseRefused(error)),
    }
}
