//! The history of an identity, and its later generations: each starts with one client, and the others enter by themselves.

use vestibule_identity::{Follower, Identity};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{GetIdentity, GetIdentityResponse, IdentityPath, IdentityPosition};
use vestibule_protocol::name::UserName;
use vestibule_protocol::problem::ProblemType;

use super::change::{Sent, keep_pending, send_pending};
use super::sharing::tell_with;
use super::{IdentityFailure, OwnKeys, verify_members};
use crate::api::Api;
use crate::error::Error;
use crate::session::Session;

/// How often this client tries to enter a generation while others do too.
const ENTRIES: usize = 20;

/// A part of the history of the user's identity.
pub(super) async fn get_page(session: &Session<'_>, from: IdentityPosition) -> Result<GetIdentityResponse, Error> {
    let user_name = &session.account().user_name;
    page(&session.authentication_service, user_name, from).await.map_err(|error| match error {
        // It was there when this client became a member, and goes with the user alone.
        Error::Api(error) if error.problem_type() == Some(ProblemType::IdentityUnknown) => {
            Error::AccountDeleted(user_name.clone())
        }
        error => error,
    })
}

/// Whether there is (still) an identity of the user's.
pub(crate) async fn exists(session: &Session<'_>) -> Result<bool, Error> {
    match get_page(session, IdentityPosition { generation: 1, epoch: 0 }).await {
        Ok(_) => Ok(true),
        Err(Error::AccountDeleted(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn page(
    authentication_service: &Api,
    user_name: &UserName,
    from: IdentityPosition,
) -> Result<GetIdentityResponse, Error> {
    let path = IdentityPath { user_name: user_name.clone(), from };
    Ok(authentication_service.call::<GetIdentity>(&path, &[]).await?)
}

/// A generation, followed from its start to its last epoch.
struct FollowedGeneration {
    follower: Follower,
    /// The GroupInfo of the last epoch.
    group_info: Bytes,
    current_generation: u64,
}

/// Follows a generation from the outside, from its start or from where `follower` is, to its end or until `is_enough`.
async fn follow_generation(
    authentication_service: &Api,
    user_name: &UserName,
    previous: Option<&Follower>,
    is_enough: impl Fn(&Follower) -> bool + Send,
) -> Result<FollowedGeneration, Error> {
    let refused = IdentityFailure::HistoryRefused;
    let generation = previous.map_or(0, Follower::generation) + 1;
    let page_from = async |epoch| page(authentication_service, user_name, IdentityPosition { generation, epoch }).await;
    let mut page = page_from(0).await?;
    let start = page.start.take().ok_or(IdentityFailure::HistoryIncomplete)?;
    let mut follower = Follower::start(user_name, generation, &start.0, previous).map_err(refused)?;
    loop {
        let epoch = follower.epoch();
        for commit in &page.commits {
            if is_enough(&follower) {
                break;
            }
            let checked = follower.check(&commit.0).map_err(refused)?;
            follower.merge(checked);
        }
        if is_enough(&follower) || follower.epoch() >= page.last_epoch {
            let GetIdentityResponse { current_generation, group_info, .. } = page;
            return Ok(FollowedGeneration { follower, group_info, current_generation });
        }
        if follower.epoch() == epoch {
            return Err(IdentityFailure::HistoryIncomplete.into());
        }
        page = page_from(follower.epoch()).await?;
    }
}

/// Follows the whole history of a user's identity from the outside, to a position that it has reached.
pub(crate) async fn replay(
    authentication_service: &Api,
    user_name: &UserName,
    to: IdentityPosition,
) -> Result<Follower, Error> {
    let mut previous = None;
    loop {
        let is_enough = |follower: &Follower| follower.generation() == to.generation && follower.epoch() >= to.epoch;
        let FollowedGeneration { follower, current_generation, .. } =
            follow_generation(authentication_service, user_name, previous.as_ref(), is_enough).await?;
        let (generation, epoch) = (follower.generation(), follower.epoch());
        if (generation, epoch) == (to.generation, to.epoch) {
            return Ok(follower);
        }
        if generation >= to.generation || current_generation <= generation {
            return Err(IdentityFailure::HistoryIncomplete.into());
        }
        previous = Some(follower);
    }
}

/// Enters the generation after the one that this client is in.
pub(super) async fn enter_next(session: &mut Session<'_>) -> Result<(), Error> {
    for _ in 0..ENTRIES {
        let (previous, _) = last_epoch(session).await?;
        let account = session.account();
        let (service, user_name) = (&session.authentication_service, &account.user_name);
        let FollowedGeneration { follower, group_info, current_generation } =
            follow_generation(service, user_name, Some(&previous), |_| false).await?;
        if current_generation > follower.generation() || !follower.may_enter().contains(&account.client_uuid) {
            return Err(IdentityFailure::LeftBehind.into());
        }
        verify_members(session, &follower.members()).await?;

        let mut randomness = session.connection.randomness.clone();
        let own = OwnKeys::of(account, &mut randomness)?;
        let prepared = Identity::prepare_entry(&follower, &group_info.0, &own.keys(account), &mut randomness);
        let prepared = prepared.map_err(IdentityFailure::NotMade)?;
        let entry = tell_with(account, prepared, &mut randomness)?;
        keep_pending(session, entry)?;
        if send_pending(session).await? == Sent::Accepted {
            return Ok(());
        }
    }
    Err(IdentityFailure::Busy.into())
}

/// The newest epoch of the identity, followed from the outside from where this client is.
pub(super) async fn newest_epoch(session: &Session<'_>) -> Result<Follower, Error> {
    let (mut last, mut current_generation) = last_epoch(session).await?;
    while current_generation > last.generation() {
        let (service, user_name) = (&session.authentication_service, &session.account().user_name);
        let next = follow_generation(service, user_name, Some(&last), |_| false).await?;
        (last, current_generation) = (next.follower, next.current_generation);
    }
    Ok(last)
}

/// The last epoch of the generation that this client is in, with the number of the current one: followed from the
/// outside, past what a member may not be able to follow.
async fn last_epoch(session: &Session<'_>) -> Result<(Follower, u64), Error> {
    let member = session.account().identity.as_ref().expect("it was started").member();
    let mut follower = Follower::from_bytes(&member.follower().to_bytes()).expect("what was written can be read");
    loop {
        let from = IdentityPosition { generation: follower.generation(), epoch: follower.epoch() };
        let page = get_page(session, from).await?;
        for commit in &page.commits {
            let checked = follower.check(&commit.0).map_err(IdentityFailure::HistoryRefused)?;
            follower.merge(checked);
        }
        if follower.epoch() >= page.last_epoch {
            return Ok((follower, page.current_generation));
        }
        if page.commits.is_empty() {
            return Err(IdentityFailure::HistoryIncomplete.into());
        }
    }
}
