//! The second stage: the user comes into being.

use vestibule_protocol::credential::{ClientCredential, ClientCredentialCsr};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{FinishRegistration, UserPath};
use vestibule_protocol::problem::ProblemType;

use super::Registration;
use crate::chain::{Chain, CredentialsError};
use crate::error::Error;
use crate::home::{Account, AuthenticationServiceState, KeptRequest};

pub(super) async fn run(registration: &mut Registration<'_>) -> Result<(), Error> {
    let account = registration.session.account();
    let AuthenticationServiceState::Finishing { request, client_credential_csr } = &account.authentication_service
    else {
        return Ok(());
    };
    let client_credential = send(registration, account, request).await?;
    let chain = trusted_chain(registration, account)?;
    check_client_credential(registration, &chain, client_credential_csr, &client_credential)?;

    let authentication_service = AuthenticationServiceState::Registered { client_credential };
    registration.session.trusted_root = Some(chain.root.fingerprint());
    registration.session.change_account(|account| account.authentication_service = authentication_service)
}

/// Sends the request as it was kept. The key of the credential to be is the key of the provisional one.
async fn send(registration: &Registration<'_>, account: &Account, request: &KeptRequest) -> Result<Bytes, Error> {
    let user_name = account.user_name.clone();
    let path = UserPath { user_name };
    let service = &registration.session.authentication_service;
    let answer = service.call_signed::<FinishRegistration, _>(&path, request.as_bytes(), &account.signer()).await;
    match answer {
        Ok(answer) => Ok(answer.client_credential),
        Err(error) if error.problem_type() == Some(ProblemType::UserNameTaken) => {
            Err(Error::UserNameTaken(path.user_name))
        }
        Err(error) => Err(error.into()),
    }
}

/// The chain that the registration was initiated under, if it is still the one to trust.
fn trusted_chain(registration: &Registration<'_>, account: &Account) -> Result<Chain, CredentialsError> {
    let chain = Chain::of_account(account, registration.session.now())?;
    match registration.session.trusted_root {
        Some(trusted) if trusted != chain.root.fingerprint() => Err(CredentialsError::RootChanged { trusted }),
        _ => Ok(chain),
    }
}

/// Checks that the credential is the one that was asked for, and a client's: a provisional one is not.
fn check_client_credential(
    registration: &Registration<'_>,
    chain: &Chain,
    csr: &Bytes,
    credential: &Bytes,
) -> Result<(), Error> {
    let now = registration.session.now();
    let csr = ClientCredentialCsr::verify_self_signed(&csr.0).map_err(Error::ClientCredentialRefused)?;
    let credential = ClientCredential::verify_chain(&credential.0, &chain.intermediate, now)
        .map_err(Error::ClientCredentialRefused)?;
    if *credential.payload() == csr.payload().0 { Ok(()) } else { Err(Error::CredentialForAnotherRequest) }
}
