//! Starting the identity over, where a member has made a commit that nobody can follow.

use vestibule_identity::Identity;
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;

use super::catch_up::follow;
use super::change::{Sent, keep_pending, send_pending};
use super::generations::newest_epoch;
use super::removal::{Removal, remove_client};
use super::rotation::state_of;
use super::sharing::rotates_to;
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
    /// The device whose commit could not be followed, which was removed, and what has become of the keys that it knew.
    pub removed: Option<Removal>,
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
    let keys = state_of(session.account());
    Ok(IdentityReset { generation, removed: removed.map(|device| Removal { device, keys }) })
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
    let state = account.identity.as_ref().expect("it was followed");
    // The generation begins with this client alone: with nobody who is not to know what the queuing service has by now.
    let next = state.sharing.rotation.as_ref().and_then(|rotation| rotation.next.as_ref());
    let next = next.filter(|next| next.is_accepted);
    let label_key = next.map_or(&state.device_label_key, |next| &next.device_label_key);
    let own = OwnKeys::with_label_under(account, label_key, &mut randomness)?;
    let started = Identity::start(&account.user_name, generation, Some(&last), &own.keys(account), &mut randomness);
    let (identity, group_info) = started.map_err(IdentityFailure::NotMade)?;
    let rotates_to = rotates_to(account, identity.follower());
    keep_pending(session, PendingChange::reset(identity, group_info, login, rotates_to))?;
    match send_pending(session).await {
        Ok(Sent::Accepted) => Ok(()),
        Ok(Sent::Superseded) => follow(session).await,
        Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::PasswordRefused) => {
            Err(Error::WrongPassword)
        }
        Err(error) => Err(error),
    }
}
