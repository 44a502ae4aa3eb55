//! Finding out from the authentication service whether a device is linked, which it decides: whoever asks for a client that
//! has not confirmed itself to be withdrawn is told that it is gone, or that it has.

use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::problem::ProblemType;

use super::Linked;
use crate::api::ApiError;
use crate::error::Error;
use crate::home::Approval;
use crate::identity::{IdentityFailure, Sent, catch_up, commit, follow, note, remove_leaf, send_pending, send_removal};
use crate::rendezvous::RendezvousError;
use crate::session::Session;

/// Settles what has become of the device that an earlier run was letting in, if there is one: gives it if it is linked.
pub(crate) async fn settle_approval(session: &mut Session<'_>) -> Result<Option<Linked>, Error> {
    let approval = session.account().approval.as_ref();
    let Some(Approval { client_uuid, device_name, .. }) = approval else { return Ok(None) };
    let (client_uuid, device_name) = (*client_uuid, device_name.clone());
    let client_id = ClientId { user_name: session.account().user_name.clone(), uuid: client_uuid };
    let is_linked = settle(session, client_uuid).await?;
    Ok(is_linked.then(|| Linked::of(client_id, device_name)))
}

/// Settles what has become of a client that this device was letting in: gives whether it is linked. If it is not, it is
/// withdrawn, and nothing is left of it.
pub(super) async fn settle(session: &mut Session<'_>, client_uuid: ClientUuid) -> Result<bool, Error> {
    match Withdrawal::of(send_removal(session, client_uuid, None).await) {
        Withdrawal::TooLate => {
            catch_up(session).await?;
            session.change_account(|account| {
                account.approval = None;
                note(account, client_uuid);
            })?;
            Ok(true)
        }
        Withdrawal::Done => {
            session.change_account(|account| {
                account.approval = None;
                if let Some(identity) = &mut account.identity {
                    identity.leaving.push(client_uuid);
                }
            })?;
            remove_traces(session, client_uuid).await?;
            Ok(false)
        }
        Withdrawal::Failed(error) => {
            let error = session.refusal(error);
            if matches!(error, Error::DeviceRemoved(_)) {
                // This device has no say in it any more.
                session.change_account(|account| account.approval = None)?;
            }
            Err(error)
        }
    }
}

/// Takes the client's leaf out of the identity. What cannot be done now, the next `status` does.
async fn remove_traces(session: &mut Session<'_>, client_uuid: ClientUuid) -> Result<(), Error> {
    let removed = match catch_up(session).await {
        Ok(()) => remove_leaf(session, client_uuid).await,
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.is_stopped() || matches!(error, Error::Home(_)) => Err(error),
        _ => Ok(()),
    }
}

/// What came of a request to withdraw a client.
enum Withdrawal {
    /// It is gone, or was never there.
    Done,
    /// It has confirmed itself.
    TooLate,
    Failed(ApiError),
}

impl Withdrawal {
    fn of(answer: Result<(), ApiError>) -> Self {
        match answer {
            Ok(()) => Self::Done,
            Err(error) => match error.problem_type() {
                Some(ProblemType::ClientNotFound) => Self::Done,
                Some(ProblemType::LoginMissing | ProblemType::ClientRemovesItself) => Self::TooLate,
                _ => Self::Failed(error),
            },
        }
    }
}

/// Has this device, which is new, confirm itself in the identity that it has joined. Gives whether it is linked then; if it
/// is not, it never will be.
pub(crate) async fn confirm(session: &mut Session<'_>) -> Result<bool, Error> {
    match try_to_confirm(session).await {
        Ok(()) => Ok(true),
        Err(Error::DeviceRemoved(_)) => Ok(false),
        Err(error) if may_pass(&error) => Err(error),
        // Whatever it is that does not go, it must not be half done.
        Err(_) => withdraw_itself(session).await.map(|is_gone| !is_gone),
    }
}

async fn try_to_confirm(session: &mut Session<'_>) -> Result<(), Error> {
    let identity = session.account().identity.as_ref().expect("it has joined");
    if identity.pending.is_some() && send_pending(session).await? == Sent::Accepted {
        return Ok(());
    }
    follow(session).await?;
    commit(session, |identity, keys, randomness| {
        let own = identity.follower().member(keys.client_id().uuid);
        let is_confirmed = own.is_some_and(|own| own.is_confirmed);
        if is_confirmed { Ok(None) } else { identity.prepare_update(keys, randomness).map(Some) }
    })
    .await?;
    Ok(())
}

/// Has this device, which is new, withdraw from the identity that it has joined. Gives whether it is gone; if not, it is
/// linked.
pub(crate) async fn withdraw_itself(session: &Session<'_>) -> Result<bool, Error> {
    match Withdrawal::of(send_removal(session, session.account().client_uuid, None).await) {
        Withdrawal::Done => Ok(true),
        Withdrawal::TooLate => Ok(false),
        Withdrawal::Failed(error) if error.problem_type() == Some(ProblemType::ClientUnknown) => Ok(true),
        Withdrawal::Failed(error) => Err(error.into()),
    }
}

/// Whether another attempt may have another outcome.
pub(super) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Api(error) => error.may_pass() || matches!(error, ApiError::Stopped(_)),
        Error::Home(_) => true,
        Error::Rendezvous(RendezvousError::RelayUnreachable { .. }) => true,
        Error::Identity(failure) => *failure == IdentityFailure::Busy,
        _ => false,
    }
}
