//! Rotating what a removed device knew (`docs/protocol.md`, section 23): first the queuing service takes the new keys from
//! this device and forgets the client of the removed one, then the removed device goes, and then the others are told.

use vestibule_identity::{Follower, Member};
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::symmetric::DeviceLabelKey;

use super::devices::label_of;
use super::generations::newest_epoch;
use super::{Device, IdentityFailure, catch_up};
use crate::error::Error;
use crate::home::{Account, IdentityState, NextSecrets, QueuingServiceState, Rotation};
use crate::queuing::{UserRecord, is_not_ours, update_request};
use crate::session::Session;

/// How often new secrets are made because another device's came first.
const ATTEMPTS: usize = 3;

/// What has become of the keys that a removed device knew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRotation {
    /// There are none: the user is not at the queuing service.
    NotNeeded,
    /// All are new. Friends need the new friendship code.
    Done,
    /// The user's record could not be changed: another device has just done so and has not told this one yet, or a device that
    /// was removed had done so before. It is tried again whenever this device catches up.
    Pending,
}

/// How the rotation that this device has begun stands.
pub(crate) fn state_of(account: &Account) -> KeyRotation {
    match (&account.identity, account.shared_secrets()) {
        (Some(identity), Some(_)) if identity.sharing.rotation.is_some() => KeyRotation::Pending,
        (Some(_), Some(_)) => KeyRotation::Done,
        _ => KeyRotation::NotNeeded,
    }
}

/// The device that this one has begun to remove, and has not: its keys at the queuing service are dead, and it is a device
/// of the user's still.
pub(crate) fn half_removed(account: &Account) -> Option<Device> {
    let against = &account.identity.as_ref()?.sharing.rotation.as_ref()?.against;
    against.iter().find_map(|client| Device::in_identity(account, *client))
}

/// Rotates what a client knows that is about to be removed, at the queuing service. The others are told with the commit that
/// takes it out of the identity.
pub(super) async fn rotate_against(session: &mut Session<'_>, client: ClientUuid) -> Result<(), Error> {
    if session.account().shared_secrets().is_none() {
        return Ok(());
    }
    session.change_account(|account| {
        let state = account.identity.as_mut().expect("it was followed");
        let mut against = vec![client];
        // Whom an earlier run has removed, but not from the identity, is not to be told what is kept of that run.
        let next = state.sharing.rotation.take().and_then(|rotation| {
            let former = rotation.against.into_iter();
            against.extend(former.filter(|other| *other != client && state.leaving.contains(other)));
            rotation.next
        });
        state.sharing.rotation = Some(Rotation { against, next });
    })?;
    advance(session).await
}

/// Goes on with a rotation whose removal is done, and with what it has left.
pub(crate) async fn go_on(session: &mut Session<'_>) -> Result<(), Error> {
    let account = session.account();
    let sharing = &account.identity.as_ref().expect("it was followed").sharing;
    let is_open = sharing.rotation.is_some() && half_removed(account).is_none();
    let is_sweep_due = sharing.rotation.is_none() && sharing.is_sweep_due;
    let outcome = match (is_open, is_sweep_due) {
        (true, _) => advance(session).await,
        (_, true) => sweep(session).await,
        _ => Ok(()),
    };
    match outcome {
        Err(error) if error.is_stopped() || matches!(error, Error::Home(_)) => Err(error),
        // There will be a next time, and what else there is to do does not wait for the queuing service.
        _ => Ok(()),
    }
}

/// Brings the rotation as far as the queuing service lets it come.
async fn advance(session: &mut Session<'_>) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        if update_record(session).await? {
            return sweep(session).await;
        }
        let before = rotation(session);
        pass_over_stuck(catch_up(session).await)?;
        if state(session).sharing.rotation.is_none() || rotation(session) == before {
            return Ok(());
        }
    }
    Ok(())
}

/// Makes the user's record that of the new secrets. Gives whether it is; if not, there are none any more.
async fn update_record(session: &mut Session<'_>) -> Result<bool, Error> {
    if next(session).is_none() {
        prepare(session)?;
    }
    let Some(NextSecrets { user_secrets, previous_record_key, request, is_accepted: false, .. }) = next(session) else {
        return Ok(true);
    };
    let record = UserRecord::new(session, user_secrets.qs_user_id(), previous_record_key);
    match record.update(request).await {
        Ok(()) => {
            session.change_account(|account| {
                let sharing = &mut account.identity.as_mut().expect("it was followed").sharing;
                // Until a sweep has said otherwise: the others may be told before one succeeds.
                sharing.is_sweep_due = true;
                let rotation = sharing.rotation.as_mut().expect("there is one under way");
                rotation.next.as_mut().expect("it was sent").is_accepted = true;
            })?;
            Ok(true)
        }
        Err(error) if is_not_ours(&error) => {
            let is_gone = error.problem_type() == Some(ProblemType::QsUserUnknown);
            session.change_account(|account| {
                let sharing = &mut account.identity.as_mut().expect("it was followed").sharing;
                let rotation = sharing.rotation.as_mut().expect("there is one under way");
                rotation.next = None;
                if is_gone {
                    // With the record, all that anybody could do with its keys is gone.
                    sharing.rotation = None;
                }
            })?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes new secrets, and keeps them with the request before it is first sent.
fn prepare(session: &mut Session<'_>) -> Result<(), Error> {
    let randomness = &mut session.connection.randomness.clone();
    let current = session.account().shared_secrets().expect("there is something to rotate");
    let user_secrets = current.rotated(randomness);
    let next = NextSecrets {
        request: update_request(&user_secrets),
        user_secrets,
        device_label_key: DeviceLabelKey::generate(randomness),
        previous_record_key: current.clone().user_record_key,
        is_accepted: false,
    };
    change_rotation(session, |rotation| rotation.next = Some(next))
}

/// Deletes the clients at the queuing service that are of no device of the user's. Whoever makes a client puts it into its
/// label first: so the record is asked before the labels are looked at.
async fn sweep(session: &mut Session<'_>) -> Result<(), Error> {
    let listed = match record(session).clients().await {
        Err(error) if error.problem_type() == Some(ProblemType::QsUserUnknown) => {
            return session.change_account(|account| {
                account.identity.as_mut().expect("it was followed").sharing.is_sweep_due = false;
            });
        }
        Err(error) if is_not_ours(&error) => return Ok(()),
        listed => listed?,
    };
    let last = match pass_over_stuck(catch_up(session).await)? {
        true => state(session).member().follower().to_bytes(),
        false => newest_epoch(session).await?.to_bytes(),
    };
    let last = Follower::from_bytes(&last).expect("what was written can be read");
    let (strangers, is_complete) = strangers(session.account(), &last, &listed);
    for stranger in strangers {
        record(session).delete_client(stranger).await?;
    }
    session.change_account(|account| {
        account.identity.as_mut().expect("it was followed").sharing.is_sweep_due = !is_complete;
    })
}

/// The clients of a record that are of no device of the user's, and whether there may be more of them.
fn strangers(account: &Account, last: &Follower, listed: &[QsClientId]) -> (Vec<QsClientId>, bool) {
    let state = account.identity.as_ref().expect("it was followed");
    let against = state.sharing.rotation.iter().flat_map(|rotation| &rotation.against);
    let gone: Vec<ClientUuid> = against.chain(&state.leaving).chain(&state.excluded).copied().collect();
    let is_gone = |client: &ClientUuid| gone.contains(client);
    let (removed, staying): (Vec<_>, Vec<_>) =
        last.members().into_iter().partition(|member| is_gone(&member.client_id.uuid));
    let clients_of = |members: &[Member]| -> Vec<QsClientId> {
        members.iter().filter_map(|member| label_of(member, state)?.qs_client_id).collect()
    };
    let own = own_client(account);
    let known: Vec<_> = clients_of(&staying).into_iter().chain(own).collect();
    let mut strangers: Vec<_> = listed.iter().copied().filter(|client| !known.contains(client)).collect();

    let is_hidden = |member: &Member| {
        member.is_confirmed && member.client_id.uuid != account.client_uuid && label_of(member, state).is_none()
    };
    let is_awaited = |client: &ClientUuid| *client != account.client_uuid && !is_gone(client);
    let mut is_complete = !staying.iter().any(is_hidden) && !last.may_enter().iter().any(is_awaited);
    if !is_complete {
        // One of them may be a device's whose label this one cannot read. That the removed ones say of theirs is all it knows.
        let claimed = clients_of(&removed);
        strangers.retain(|client| claimed.contains(client));
    }
    if strangers.len() == listed.len() && strangers.pop().is_some() {
        // With the last client the user would go, before this device has one.
        is_complete = false;
    }
    (strangers, is_complete)
}

fn own_client(account: &Account) -> Option<QsClientId> {
    match account.pseudonym.as_ref()?.queuing_service {
        QueuingServiceState::Created { qs_client_id, .. } => Some(qs_client_id),
        QueuingServiceState::Creating { .. } => None,
    }
}

/// The user's record, by the key that it has as far as this client knows.
fn record<'a>(session: &'a Session<'_>) -> UserRecord<'a> {
    let current = session.account().shared_secrets().expect("there is something to rotate");
    let secrets = next(session).filter(|next| next.is_accepted).map_or(current, |next| &next.user_secrets);
    UserRecord::new(session, secrets.qs_user_id(), &secrets.user_record_key)
}

/// Whether the identity was followed to its end. Where a commit cannot be followed, the way is past it.
fn pass_over_stuck(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Error::Identity(IdentityFailure::Stuck { .. } | IdentityFailure::LeftBehind)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn state<'s>(session: &'s Session<'_>) -> &'s IdentityState {
    session.account().identity.as_ref().expect("it was followed")
}

fn next<'s>(session: &'s Session<'_>) -> Option<&'s NextSecrets> {
    state(session).sharing.rotation.as_ref()?.next.as_ref()
}

fn rotation(session: &Session<'_>) -> Option<u64> {
    session.account().shared_secrets().map(|secrets| secrets.rotation)
}

fn change_rotation(session: &mut Session<'_>, change: impl FnOnce(&mut Rotation)) -> Result<(), Error> {
    session.change_account(|account| {
        let sharing = &mut account.identity.as_mut().expect("it was followed").sharing;
        change(sharing.rotation.as_mut().expect("there is one under way"));
    })
}
