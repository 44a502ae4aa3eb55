//! Deleting a user's account: the pseudonym at the queuing service, the storage key at the key server, the user at the
//! authentication service, and then what this device has of it.
//!
//! The authentication service comes last, because it is by what it keeps that the key server knows the password. Nothing is
//! touched before it has said that the password is right. From then on the account is marked as one that is being deleted,
//! so that a run which ends early is completed by the next; what is done already is found done.

use vestibule_protocol::endpoint::{DeleteQsUser, DeleteUser, DeleteUserRequest, QsUserPath, UserPath};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;

use crate::api::RequestSigner;
use crate::error::Error;
use crate::home::{Deletion, KeptRequest};
use crate::identity;
use crate::key_server::KeyServer;
use crate::login::log_in;
use crate::password::{PasswordSource, PasswordUse};
use crate::queuing::learn_record_key;
use crate::session::Session;

const OPERATION: LoginOperation = LoginOperation::DeleteUser {};

/// An account that was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedAccount {
    /// Whose it was.
    pub user_name: UserName,
    /// Whether the pseudonym at the queuing service is left, because another device has changed the key of its record and
    /// did not get to telling this one. Nobody can be led from it to the user.
    pub is_pseudonym_left: bool,
}

/// Deletes the account, or goes on with it where an earlier run stopped. `password` is called once at most.
///
/// # Errors
/// [`Error`]; [`Error::WrongPassword`] and [`Error::Password`] with nothing changed, if nothing was before.
pub(crate) async fn delete_account(
    session: &mut Session<'_>,
    password: &mut PasswordSource<'_>,
) -> Result<DeletedAccount, Error> {
    let user_name = session.account().user_name.clone();
    let is_pseudonym_deleted = match delete_everywhere(session, password).await {
        Err(error @ Error::DeviceRemoved(_)) => {
            // It is not this client alone that is gone if another device has deleted the account.
            if identity::exists(session).await? {
                return Err(error);
            }
            delete_pseudonym(session).await?
        }
        outcome => outcome?,
    };
    session.home.remove_account_files()?;
    session.forget_account()?;
    Ok(DeletedAccount { user_name, is_pseudonym_left: !is_pseudonym_deleted })
}

/// Deletes what the services have. Gives whether the pseudonym is gone too.
async fn delete_everywhere(session: &mut Session<'_>, source: &mut PasswordSource<'_>) -> Result<bool, Error> {
    if let Some(Deletion::Finishing { is_pseudonym_deleted, .. }) = &session.account().deletion {
        let is_pseudonym_deleted = *is_pseudonym_deleted;
        match send(session).await {
            // It was never accepted, and its minute is over.
            Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::LoginInvalid) => {}
            outcome => return outcome.map(|()| is_pseudonym_deleted),
        }
    }
    let password = source(PasswordUse::Current)?;
    log_in(session, OPERATION, password.clone()).await?;
    session.change_account(|account| account.deletion = Some(Deletion::Begun))?;

    let is_pseudonym_deleted = delete_pseudonym(session).await?;
    delete_storage_key(session, password.clone()).await?;
    let login = log_in(session, OPERATION, password).await?;
    keep(session, login, is_pseudonym_deleted)?;
    send(session).await?;
    Ok(is_pseudonym_deleted)
}

/// Deletes the pseudonym with the KeyPackages and queues of all the user's devices. Gives `false` if its record has a key
/// that this device was not told.
async fn delete_pseudonym(session: &mut Session<'_>) -> Result<bool, Error> {
    loop {
        let account = session.account();
        let Some(secrets) = account.own_secrets() else { return Ok(true) };
        let path = QsUserPath { qs_user_id: secrets.qs_user_id() };
        // A rotation that this device has begun may have changed the key already.
        let rotation = account.identity.as_ref().and_then(|identity| identity.sharing.rotation.as_ref());
        let next = rotation.and_then(|rotation| rotation.next.as_ref()).map(|next| &next.user_secrets);
        for secrets in [Some(secrets), next].into_iter().flatten() {
            let signer = RequestSigner {
                key: &secrets.user_record_key,
                key_id: path.qs_user_id.to_string(),
                domain: account.user_name.domain().clone(),
            };
            let answer = session.queuing_service.call_signed::<DeleteQsUser, _>(&path, &[], &signer).await;
            let Err(error) = answer else { return Ok(true) };
            match error.problem_type() {
                Some(ProblemType::QsUserUnknown) => return Ok(true),
                Some(ProblemType::SignatureInvalid) => {}
                _ => return Err(error.into()),
            }
        }
        match learn_record_key(session).await {
            Ok(true) => {}
            Ok(false) | Err(Error::Identity(_) | Error::AccountDeleted(_) | Error::DeviceRemoved(_)) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Deletes the storage key, if the key server has one.
async fn delete_storage_key(session: &Session<'_>, password: Password) -> Result<(), Error> {
    let account = session.account();
    let key_server = KeyServer::new(&session.connection, account.user_name.clone(), Some(account));
    match key_server.delete_storage_key(password.clone()).await {
        Err(Error::Api(error))
            if matches!(
                error.problem_type(),
                Some(ProblemType::StorageKeyMissing | ProblemType::StorageKeyDeleted)
            ) =>
        {
            Ok(())
        }
        // A moment ago it was right. If there is no such user any more, that is what the next login says.
        Err(Error::WrongPassword) => {
            log_in(session, OPERATION, password).await?;
            Err(Error::WrongPassword)
        }
        outcome => outcome,
    }
}

/// Writes the request to delete the user down. There will be nobody left who could make another.
fn keep(session: &mut Session<'_>, login: LoginProof, is_pseudonym_deleted: bool) -> Result<(), Error> {
    let request = KeptRequest::new(&DeleteUserRequest { login });
    session.change_account(|account| account.deletion = Some(Deletion::Finishing { request, is_pseudonym_deleted }))
}

/// Sends it as it was kept.
async fn send(session: &Session<'_>) -> Result<(), Error> {
    let account = session.account();
    let Some(Deletion::Finishing { request, .. }) = &account.deletion else { panic!("it was kept before") };
    let path = UserPath { user_name: account.user_name.clone() };
    match session
        .authentication_service
        .call_signed::<DeleteUser, _>(&path, request.as_bytes(), &account.signer())
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.problem_type() == Some(ProblemType::PasswordRefused) => Err(Error::WrongPassword),
        Err(error) => Err(session.refusal(error)),
    }
}

#[cfg(test)]
mod tests;
