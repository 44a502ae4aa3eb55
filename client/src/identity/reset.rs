//! Starting the identity over, where a member has made a commit that nobody can follow.

use vestibule_identity::Identity;
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;

use super::catch_up::follow;
use super::change::{Sent, keep_pending, send_pending};
use super::generations::newest_epoch;
use super::removal::remove_client;
use super::{Device, IdentityFailure, OwnKeys, catch_up, note};
use crate::error::Error;
use crate::home::PendingChange;
use crate::login::log_in;
use crate::session::Session;

/// An identity that was started over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityReset {
    /// The generation that has begun.
    pub generation: u64,
    /// The device whose commit could not be followed, which was removed.
    pub removed: Option<Device>,
}

/// Removes the device whose commit cannot be followed, if there is one, and starts the next generation of the identity, which
/// the user's other clients enter by themselves.
pub(crate) async fn reset(session: &mut Session<'_>, password: Password) -> Result<IdentityReset, Error> {
    let before = generation(session);
    let removed = match catch_up(session).await {
        Ok(()) => None,
        Err(Error::Identity(IdentityFailure::Stuck { device })) if device.is_this => {
            return Err(IdentityFailure::Copied.into());
        }
        Err(Error::Identity(IdentityFailure::Stuck { device })) => Some(device),
        // There is no way in, but one past it.
        Err(Error::Identity(IdentityFailure::LeftBehind)) => None,
        Err(error) => return Err(error),
    };
    // An earlier run may have got as far, or another device.
    let is_done = before.is_some_and(|before| generation(session).is_some_and(|generation| generation > before));
    if let Some(device) = &removed {
        remove_client(session, device, password.clone()).await?;
    }
    if !is_done {
        start_over(session, password).await?;
    }
    session.change_account(|account| {
        let identity = account.identity.as_mut().expect("it was followed");
        if let Some(Device { client_id, .. }) = &removed {
            identity.leaving.retain(|leaving| *leaving != client_id.uuid);
            identity.excluded.push(client_id.uuid);
            note(account, client_id.uuid);
        }
    })?;
    let generation = generation(session).expect("it was followed");
    Ok(IdentityReset { generation, removed })
}

fn generation(session: &Session<'_>) -> Option<u64> {
    let identity = session.account().identity.as_ref()?;
    Some(identity.member.as_ref()?.follower().generation())
}

/// Starts the generation after the current one. If another device was faster, enters that one's.
async fn start_over(session: &mut Session<'_>, password: Password) -> Result<(), Error> {
    let last = newest_epoch(session).await?;
    let generation = last.generation() + 1;
    let login = log_in(session, LoginOperation::ResetIdentity { generation }, password).await?;

    let account = session.account();
    let mut randomness = session.connection.randomness.clone();
    let own = OwnKeys::of(account, &mut randomness)?;
    let started = Identity::start(&account.user_name, generation, Some(&last), &own.keys(account), &mut randomness);
    let (identity, group_info) = started.map_err(IdentityFailure::NotMade)?;
    keep_pending(session, PendingChange::reset(identity, group_info, login))?;
    match send_pending(session).await {
        Ok(Sent::Accepted) => Ok(()),
        Ok(Sent::Superseded) => follow(session).await,
        Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::PasswordRefused) => {
            Err(Error::WrongPassword)
        }
        Err(error) => Err(error),
    }
}
