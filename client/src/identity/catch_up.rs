//! Following the identity to where the server has it.

use vestibule_identity::{Change, IdentityError, Member, ProcessError};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{GetIdentityResponse, IdentityPosition};
use vestibule_protocol::name::ClientUuid;

use super::change::send_pending;
use super::generations::{enter_next, get_page};
use super::sharing::hear;
use super::{Device, IdentityFailure, ensure_started, verify_members};
use crate::error::Error;
use crate::home::IdentityState;
use crate::session::Session;

/// Brings the membership to where the server has the identity. A change that was under way is sent first; an identity that
/// was never started is.
pub(crate) async fn catch_up(session: &mut Session<'_>) -> Result<(), Error> {
    ensure_started(session).await?;
    if identity(session).pending.is_some() {
        match send_pending(session).await {
            // It is too late for it, and it is forgotten: whoever still wants it makes it anew.
            Err(Error::Api(error)) if error.problem_type().is_some() && !error.may_pass() => {}
            outcome => {
                outcome?;
            }
        }
    }
    // On the heap: there is much of it, and much that calls it.
    Box::pin(follow(session)).await
}

/// The same, with nothing under way.
pub(crate) async fn follow(session: &mut Session<'_>) -> Result<(), Error> {
    loop {
        let position = position(session);
        let page = get_page(session, position).await?;
        let GetIdentityResponse { current_generation, last_epoch, commits, encrypted_user_secrets, .. } = page;
        let is_empty = commits.is_empty();
        let told = encrypted_user_secrets.into_iter().chain(std::iter::repeat(None));
        match process(session, commits.into_iter().zip(told).collect()).await {
            // What nobody can follow is over.
            Err(Error::Identity(IdentityFailure::Stuck { device })) if current_generation > position.generation => {
                exclude(session, device.client_id.uuid)?;
                Box::pin(enter_next(session)).await?;
                continue;
            }
            outcome => outcome?,
        }
        if self::position(session).epoch < last_epoch {
            if is_empty {
                return Err(IdentityFailure::HistoryIncomplete.into());
            }
        } else if current_generation > position.generation {
            Box::pin(enter_next(session)).await?;
        } else {
            return Ok(());
        }
    }
}

/// Expects a client not to be there any more.
fn exclude(session: &mut Session<'_>, client_uuid: ClientUuid) -> Result<(), Error> {
    session.change_account(|account| {
        let excluded = &mut account.identity.as_mut().expect("it was started").excluded;
        if !excluded.contains(&client_uuid) {
            excluded.push(client_uuid);
        }
    })
}

fn identity<'s>(session: &'s Session<'_>) -> &'s IdentityState {
    session.account().identity.as_ref().expect("it was started")
}

fn position(session: &Session<'_>) -> IdentityPosition {
    let follower = identity(session).member().follower();
    IdentityPosition { generation: follower.generation(), epoch: follower.epoch() }
}

/// Follows commits as far as they can be followed.
async fn process(session: &mut Session<'_>, commits: Vec<(Bytes, Option<Bytes>)>) -> Result<(), Error> {
    if commits.is_empty() {
        return Ok(());
    }
    let mut newcomers = Vec::new();
    let mut outcome = Ok(());
    for (commit, encrypted_user_secrets) in commits {
        match process_one(session, &commit, encrypted_user_secrets.as_ref()) {
            Ok(change) => newcomers.extend(members_with_new_credentials(change)),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if let Err(error) = verify_members(session, &newcomers).await {
        session.reload()?;
        return Err(error);
    }
    session.keep()?;
    outcome
}

fn process_one(
    session: &mut Session<'_>,
    commit: &Bytes,
    encrypted_user_secrets: Option<&Bytes>,
) -> Result<Change, Error> {
    let account = session.account.as_mut().expect("this is done for an account alone");
    let (user_name, client_uuid) = (account.user_name.clone(), account.client_uuid);
    let identity = account.identity.as_mut().expect("it was started");
    let member = identity.member.as_mut().expect("it was started");
    let checked = member.follower().check(&commit.0).map_err(IdentityFailure::HistoryRefused)?;
    if checked.change().removed.iter().any(|removed| removed.uuid == client_uuid) {
        return Err(Error::DeviceRemoved(user_name));
    }
    match member.process(&commit.0) {
        Ok(change) => {
            hear(account, &change, encrypted_user_secrets);
            Ok(change)
        }
        Err(ProcessError::Unfollowable { by }) => {
            let device = Device::in_identity(account, by.uuid).unwrap_or_else(|| Device::unknown(by));
            Err(IdentityFailure::Stuck { device }.into())
        }
        Err(ProcessError::Own) => Err(IdentityFailure::Copied.into()),
        Err(ProcessError::Refused(IdentityError::Removed)) => Err(Error::DeviceRemoved(user_name)),
        Err(ProcessError::Refused(error)) => Err(IdentityFailure::HistoryRefused(error).into()),
    }
}

/// Whose credentials nobody here has seen before.
fn members_with_new_credentials(change: Change) -> Vec<Member> {
    let is_new = change.has_new_credential();
    change.added.into_iter().chain(is_new.then_some(change.committer)).collect()
}
