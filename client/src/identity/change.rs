//! Changes of the identity that this client makes.

use vestibule_identity::{ClientKeys, Identity, IdentityError, PreparedCommit};
use vestibule_protocol::endpoint::{CommitIdentity, ResetIdentity, ResetIdentityPath, UserPath};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::randomness::Randomness;

use super::catch_up::follow;
use super::sharing::{adopt_next, tell_with, told_with};
use super::{IdentityFailure, OwnKeys};
use crate::api::ApiError;
use crate::error::Error;
use crate::home::{Account, AddedClient, ChangeKind, PendingChange};
use crate::session::Session;

/// How often a change is made anew because others came first.
const REBASES: usize = 20;

/// What came of a change that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// The server has it.
    Accepted,
    /// Another one came first.
    Superseded,
}

/// Commits what `prepare` makes of the membership as it is; if another commit came first, again of what it has become.
/// `prepare` makes nothing if there is nothing to do (any more). Gives whether something was committed.
///
/// The membership must be known to be up to date as far as this device knows, with nothing pending: see
/// [`catch_up`](super::catch_up).
pub(crate) async fn commit(
    session: &mut Session<'_>,
    prepare: impl Fn(&Identity, &ClientKeys<'_>, &mut Randomness) -> Result<Option<PreparedCommit>, IdentityError>
    + Send
    + Sync,
) -> Result<bool, Error> {
    for _ in 0..REBASES {
        let Some(change) = make(session.account(), &mut session.connection.randomness.clone(), &prepare)? else {
            return Ok(false);
        };
        keep_pending(session, change)?;
        match send_pending(session).await? {
            Sent::Accepted => return Ok(true),
            Sent::Superseded => follow(session).await?,
        }
    }
    Err(IdentityFailure::Busy.into())
}

fn make(
    account: &Account,
    randomness: &mut Randomness,
    prepare: impl Fn(&Identity, &ClientKeys<'_>, &mut Randomness) -> Result<Option<PreparedCommit>, IdentityError>,
) -> Result<Option<PendingChange>, Error> {
    let state = account.identity.as_ref().expect("there is an identity to change");
    let own = OwnKeys::of(account, randomness)?;
    let prepared = prepare(state.member(), &own.keys(account), randomness).map_err(IdentityFailure::NotMade)?;
    let Some(mut prepared) = prepared else { return Ok(None) };
    if let Some(next) = told_with(state, prepared.next.follower()) {
        // Whom it removes is not to read the label either that comes with it.
        let own = OwnKeys::with_label_under(account, &next.device_label_key, randomness)?;
        let anew = prepare(state.member(), &own.keys(account), randomness).map_err(IdentityFailure::NotMade)?;
        prepared = anew.unwrap_or(prepared);
    }
    tell_with(account, prepared, randomness).map(Some)
}

/// Prepares the commit that changes nothing but the client's own leaf, to be kept with the account.
pub(crate) fn prepare_update(account: &mut Account, randomness: &mut Randomness) -> Result<(), Error> {
    let update =
        make(account, randomness, |identity, keys, randomness| identity.prepare_update(keys, randomness).map(Some))?;
    account.identity.as_mut().expect("there is an identity to change").pending = update;
    Ok(())
}

/// Writes a change down, before it is first sent.
pub(super) fn keep_pending(session: &mut Session<'_>, change: PendingChange) -> Result<(), Error> {
    session.change_account(|account| {
        account.identity.as_mut().expect("there is an identity to change").pending = Some(change);
    })
}

/// Sends the change that was kept. What is known of it afterwards is kept too.
pub(crate) async fn send_pending(session: &mut Session<'_>) -> Result<Sent, Error> {
    match send(session).await {
        Ok(()) => {
            accept(session)?;
            Ok(Sent::Accepted)
        }
        Err(error) => match error.problem_type() {
            Some(ProblemType::IdentitySuperseded) => {
                drop_pending(session)?;
                Ok(Sent::Superseded)
            }
            // It will never be accepted, and was not before.
            Some(_) if !error.may_pass() => {
                drop_pending(session)?;
                Err(session.refusal(error))
            }
            _ => Err(error.into()),
        },
    }
}

async fn send(session: &Session<'_>) -> Result<(), ApiError> {
    let account = session.account();
    let pending = account.identity.as_ref().and_then(|identity| identity.pending.as_ref());
    let PendingChange { kind, request, next, .. } = pending.expect("there is a change to send");
    let (service, signer) = (&session.authentication_service, account.signer());
    let user_name = account.user_name.clone();
    match kind {
        ChangeKind::Commit => {
            service.call_signed::<CommitIdentity, _>(&UserPath { user_name }, request.as_bytes(), &signer).await?;
        }
        ChangeKind::Reset => {
            let path = ResetIdentityPath { user_name, generation: next.follower().generation() };
            service.call_signed::<ResetIdentity, _>(&path, request.as_bytes(), &signer).await?;
        }
    }
    Ok(())
}

/// The change is made. Whom it has added will be told so from what is on disk.
fn accept(session: &mut Session<'_>) -> Result<(), Error> {
    session.change_account(|account| {
        let identity = account.identity.as_mut().expect("there is an identity to change");
        let Some(PendingChange { kind, next, welcome, rotates_to, .. }) = identity.pending.take() else { return };
        // A generation begins with nobody to tell.
        identity.sharing.must_tell &= kind == ChangeKind::Reset;
        if let (Some(approval), Some(welcome)) = (&mut account.approval, welcome) {
            let (generation, epoch) = (next.follower().generation(), next.follower().epoch());
            approval.added = Some(AddedClient { generation, epoch, welcome });
        }
        identity.member = Some(next);
        if let Some(rotation) = rotates_to {
            adopt_next(account, rotation);
        }
    })
}

fn drop_pending(session: &mut Session<'_>) -> Result<(), Error> {
    session.change_account(|account| {
        account.identity.as_mut().expect("there is an identity to change").pending = None;
    })
}
