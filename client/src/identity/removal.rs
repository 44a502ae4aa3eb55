//! Removing devices: at the authentication service, which refuses them from then on, and then from the identity.

use vestibule_identity::{ClientKeys, Identity, IdentityError, PreparedCommit};
use vestibule_protocol::endpoint::{ClientPath, RemoveClient, RemoveClientRequest};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::randomness::Randomness;

use super::renewal::update_leaf;
use super::rotation::{KeyRotation, rotate_against, state_of};
use super::{Device, catch_up, commit, list, note};
use crate::api::ApiError;
use crate::error::Error;
use crate::home::KeptRequest;
use crate::login::log_in;
use crate::session::Session;

/// A device that was removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removal {
    /// The device.
    pub device: Device,
    /// What has become of the keys that it knew.
    pub keys: KeyRotation,
}

/// Removes the device with this name or client id.
pub(crate) async fn remove_device(
    session: &mut Session<'_>,
    device: &str,
    password: Password,
) -> Result<Removal, Error> {
    catch_up(session).await?;
    let device = find(session, device)?;
    remove_client(session, &device, password).await?;
    remove_leaf(session, device.client_id.uuid).await?;
    update_leaf(session).await?;
    Ok(Removal { device, keys: state_of(session.account()) })
}

fn find(session: &Session<'_>, wanted: &str) -> Result<Device, Error> {
    let is_wanted = |device: &Device| {
        let is_name = device.name.as_ref().is_some_and(|name| name.as_str() == wanted);
        is_name || device.client_id.to_string() == wanted || device.client_id.uuid.to_string() == wanted
    };
    let mut found = list(session.account()).into_iter().filter(is_wanted);
    match (found.next(), found.next()) {
        (None, _) => Err(Error::NoSuchDevice),
        (Some(_), Some(_)) => Err(Error::SeveralSuchDevices),
        (Some(device), None) if device.is_this => Err(Error::ThisDevice),
        (Some(device), None) => Ok(device),
    }
}

/// Removes a client with the password: what it knows at the queuing service is rotated, and then the authentication service
/// refuses it. That it has been removed already is fine.
pub(super) async fn remove_client(session: &mut Session<'_>, device: &Device, password: Password) -> Result<(), Error> {
    let client_uuid = device.client_id.uuid;
    let operation = LoginOperation::RemoveClient { client_uuid };
    // Nothing is done with a wrong password.
    let login = log_in(session, operation, password.clone()).await?;
    rotate_against(session, client_uuid).await?;
    // Whatever comes of it, the leaf is looked after from now on.
    session.change_account(|account| {
        let leaving = &mut account.identity.as_mut().expect("it was followed").leaving;
        if !leaving.contains(&client_uuid) {
            leaving.push(client_uuid);
        }
    })?;
    let mut outcome = send_removal(session, client_uuid, Some(login)).await;
    if outcome.as_ref().is_err_and(|error| error.problem_type() == Some(ProblemType::LoginInvalid)) {
        // The queuing service took longer than a login lasts.
        let login = log_in(session, operation, password).await?;
        outcome = send_removal(session, client_uuid, Some(login)).await;
    }
    match outcome {
        // It had lapsed.
        Err(error) if error.problem_type() == Some(ProblemType::ClientNotFound) => Ok(()),
        Err(error) if error.problem_type() == Some(ProblemType::PasswordRefused) => Err(Error::WrongPassword),
        outcome => outcome.map_err(|error| session.refusal(error)),
    }
}

/// Asks for a client to be removed; without a login, for one that is unconfirmed to be withdrawn.
pub(crate) async fn send_removal(
    session: &Session<'_>,
    client_uuid: ClientUuid,
    login: Option<LoginProof>,
) -> Result<(), ApiError> {
    let account = session.account();
    let path = ClientPath { user_name: account.user_name.clone(), client_uuid };
    let request = KeptRequest::new(&RemoveClientRequest { login });
    let service = &session.authentication_service;
    service.call_signed::<RemoveClient, _>(&path, request.as_bytes(), &account.signer()).await.map(|_| ())
}

/// Takes a client that was removed out of the identity, if it is in there.
pub(crate) async fn remove_leaf(session: &mut Session<'_>, client_uuid: ClientUuid) -> Result<(), Error> {
    commit(session, move |identity, keys, randomness| without(identity, keys, client_uuid, randomness)).await?;
    session.change_account(|account| {
        account.identity.as_mut().expect("it was followed").leaving.retain(|leaving| *leaving != client_uuid);
        note(account, client_uuid);
    })
}

fn without(
    identity: &Identity,
    keys: &ClientKeys<'_>,
    client_uuid: ClientUuid,
    randomness: &mut Randomness,
) -> Result<Option<PreparedCommit>, IdentityError> {
    match identity.follower().member(client_uuid) {
        Some(_) => identity.prepare_remove(keys, &[client_uuid], randomness).map(Some),
        None => Ok(None),
    }
}

/// Takes out of the identity who is not a client any more: whom this device has removed, and who was added and may have
/// lapsed. Which of these are still clients, the server knows: it refuses then.
pub(crate) async fn tidy(session: &mut Session<'_>) -> Result<(), Error> {
    let account = session.account();
    let identity = account.identity.as_ref().expect("it was followed");
    let approved = account.approval.as_ref().map(|approval| approval.client_uuid);
    let unconfirmed = identity.member().follower().members().into_iter().filter(|member| !member.is_confirmed);
    let unconfirmed = unconfirmed.map(|member| member.client_id.uuid).filter(|uuid| Some(*uuid) != approved);
    let leaving: Vec<_> = identity.leaving.iter().copied().chain(unconfirmed).collect();
    for client_uuid in leaving {
        match remove_leaf(session, client_uuid).await {
            Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::CommitRefused) => {
                session.change_account(|account| {
                    account.identity.as_mut().expect("it was followed").leaving.retain(|uuid| *uuid != client_uuid);
                })?;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}
