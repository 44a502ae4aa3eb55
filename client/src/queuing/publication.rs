//! Publishing KeyPackages, one generation after the other.
//!
//! The private parts of a generation are on disk before the request that publishes it, and that is on disk before it is
//! first sent. A generation that may be published is therefore never without its private parts, and is never replaced
//! before it is known whether it was.

use vestibule_key_packages::{KeyPackageMaker, NewPackage};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::endpoint::{Endpoint as _, PublishKeyPackages, PublishKeyPackagesRequest};
use vestibule_protocol::limits::MAX_KEY_PACKAGES;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::{DAY, Timestamp};

use super::{OwnClient, get_keys, supply};
use crate::chain::Chain;
use crate::error::Error;
use crate::home::{Account, Generation, KeptRequest, PrivateKeyPackages, PublicationUnderWay, Publications};
use crate::session::Session;

/// How many ordinary KeyPackages a client publishes, unless it is told otherwise: as many as it may.
pub const DEFAULT_KEY_PACKAGES: usize = MAX_KEY_PACKAGES;

/// For how many days the private parts of KeyPackages are kept after these have expired: who was added to a group in the
/// last minute may have been away since.
pub(crate) const DAYS_KEPT_AFTER_EXPIRY: u32 = 30;

/// KeyPackages that were published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// The generation's number.
    pub generation: u64,
    /// How many of them can be claimed once each, beside the last-resort one.
    pub count: usize,
}

/// Publishes the first generation, of `count` ordinary packages, or completes the one under way.
pub(crate) async fn ensure_published(session: &mut Session<'_>, count: usize) -> Result<(), Error> {
    if resume(session).await?.is_none() {
        publish(session, count).await?;
    }
    Ok(())
}

/// Publishes a generation of `count` ordinary packages and a last-resort one. One that is under way is completed first.
pub(crate) async fn publish(session: &mut Session<'_>, count: usize) -> Result<Published, Error> {
    if count > MAX_KEY_PACKAGES {
        return Err(Error::KeyPackageCount);
    }
    OwnClient::of(session.account())?;
    resume(session).await?;
    begin(session, count, 0).await?;
    match send(session).await {
        // Another copy of this home has published since: its generations count too.
        Err(error) if is_outdated(&error) => {
            let newest = supply(session).await?.generation;
            begin(session, count, newest).await?;
            send(session).await
        }
        outcome => outcome,
    }
}

/// Publishes the next generation if friends may not be able to use the last one any more.
pub(crate) async fn publish_if_overtaken(session: &mut Session<'_>, count: usize) -> Result<(), Error> {
    if is_overtaken(session.account()) {
        // The one under way may be the one that is wanted.
        resume(session).await?;
    }
    if is_overtaken(session.account()) {
        publish(session, count).await?;
    }
    Ok(())
}

/// Whether the last generation is encrypted to friends under a key that was replaced since, so that with the new friendship
/// code they cannot tell whose its packages are; or whether it has a credential of a former signer, which may be revoked.
pub(super) fn is_overtaken(account: &Account) -> bool {
    let Ok(OwnClient { pseudonym, .. }) = OwnClient::of(account) else { return false };
    let rotation = pseudonym.user_secrets.rotation;
    let is_current = |generation: &Generation| generation.rotation >= rotation && !generation.has_former_signer;
    !pseudonym.publications.published.last().is_none_or(is_current)
}

/// Completes the publication under way, if there is one that can be completed.
pub(super) async fn resume(session: &mut Session<'_>) -> Result<Option<Published>, Error> {
    let pseudonym = session.account().pseudonym.as_ref();
    if pseudonym.is_none_or(|pseudonym| pseudonym.publications.under_way.is_none()) {
        return Ok(None);
    }
    match send(session).await {
        Err(error) if is_final(&error) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Makes a generation above all known ones and above `newest`, and keeps it.
async fn begin(session: &mut Session<'_>, count: usize, newest: u64) -> Result<(), Error> {
    let known = publications(session).published.iter().map(|generation| generation.number).max();
    let number = newest.max(known.unwrap_or_default()) + 1;
    let rotation = OwnClient::of(session.account())?.pseudonym.user_secrets.rotation;
    let mut packages = make(session, count).await?;

    let last_resort = packages.pop().expect("the last-resort package is always made");
    let (add_packages, mut private): (Vec<_>, Vec<_>) =
        packages.into_iter().map(|package| (package.add_package, package.private)).unzip();
    private.push(last_resort.private);
    let not_after = private.iter().map(|package| package.not_after).min().expect("there is one at least");
    let request = KeptRequest::new(&PublishKeyPackagesRequest {
        generation: number,
        add_packages,
        last_resort_add_package: Some(last_resort.add_package),
    });

    session.home.store_key_packages(&PrivateKeyPackages::new(number, private))?;
    let generation = Generation { number, rotation, has_former_signer: false, not_after };
    let under_way = PublicationUnderWay { generation, count, request };
    change_publications(session, |publications| publications.under_way = Some(under_way))
}

/// Makes `count` ordinary packages and, last, a last-resort one.
async fn make(session: &Session<'_>, count: usize) -> Result<Vec<NewPackage>, Error> {
    let account = session.account();
    let OwnClient { pseudonym, .. } = OwnClient::of(account)?;
    let chain = Chain::of_account(account, session.now())?;
    let client_credential = client_credential(account, &chain, session.now())?;
    // The service's keys change; those from the day of the registration may be gone.
    let qs_keys = get_keys(session, &chain.root).await?;
    let maker = KeyPackageMaker {
        client_credential: &client_credential,
        client_key: &account.client_credential_key,
        friendship_encryption_key: &pseudonym.user_secrets.friendship_encryption_key,
        client_record_key: &pseudonym.client_record_key,
        push_token_key: &pseudonym.push_token_key,
        queue_config_key: &qs_keys[0].payload().queue_config_key,
    };
    let mut randomness = session.connection.randomness.clone();
    let mut packages = Vec::with_capacity(count + 1);
    for index in 0..=count {
        let is_last_resort = index == count;
        packages.push(maker.make(is_last_resort, session.now(), &mut randomness)?);
        // Each takes its time, and other tasks may run here too.
        tokio::task::yield_now().await;
    }
    Ok(packages)
}

/// The client's own credential, as long as it holds.
pub(crate) fn client_credential(account: &Account, chain: &Chain, now: Timestamp) -> Result<ClientCredential, Error> {
    let credential = account.client_credential().ok_or_else(|| account.incomplete())?;
    ClientCredential::verify_chain(&credential.0, &chain.intermediate, now).map_err(Error::OwnCredentialUnusable)
}

/// Sends the request that was kept. Whatever comes of it is kept too, unless it is still open.
async fn send(session: &mut Session<'_>) -> Result<Published, Error> {
    let client = OwnClient::of(session.account())?;
    let PublicationUnderWay { generation, count, request } =
        client.pseudonym.publications.under_way.as_ref().expect("there is one under way");
    let (generation, count) = (*generation, *count);
    let service = &session.queuing_service;
    let answer =
        service.call_signed::<PublishKeyPackages, _>(&client.path(), request.as_bytes(), &client.signer()).await;
    match answer.map_err(Error::from) {
        Ok(_) => {
            let now = session.now();
            change_publications(session, |publications| publications.complete(generation, now))?;
            tidy(session)?;
            Ok(Published { generation: generation.number, count })
        }
        Err(error) => {
            if is_final(&error) {
                change_publications(session, |publications| publications.under_way = None)?;
            }
            Err(error)
        }
    }
}

/// Whether the server has said that the very same request will never be accepted, and was not before: something is wrong
/// with its generation or its packages.
fn is_final(error: &Error) -> bool {
    let Error::Api(error) = error else { return false };
    error.problem_type().is_some_and(|problem_type| {
        PublishKeyPackages::DESCRIPTION.problems.contains(&problem_type)
            && !matches!(problem_type, ProblemType::InvalidQsClientId | ProblemType::QsClientUnknown)
    })
}

/// Whether the server has a newer generation, or another one of the same number.
fn is_outdated(error: &Error) -> bool {
    let Error::Api(error) = error else { return false };
    matches!(error.problem_type(), Some(ProblemType::GenerationOutdated | ProblemType::GenerationTaken))
}

/// Removes the private parts of generations that are not kept any more.
fn tidy(session: &Session<'_>) -> Result<(), Error> {
    let kept: Vec<_> = publications(session).published.iter().map(|generation| generation.number).collect();
    Ok(session.home.remove_key_packages_except(&kept)?)
}

fn publications<'a>(session: &'a Session<'_>) -> &'a Publications {
    &session.account().pseudonym.as_ref().expect("only a pseudonym publishes").publications
}

fn change_publications(session: &mut Session<'_>, change: impl FnOnce(&mut Publications)) -> Result<(), Error> {
    session.change_account(|account| {
        change(&mut account.pseudonym.as_mut().expect("only a pseudonym publishes").publications);
    })
}

impl Publications {
    fn complete(&mut self, generation: Generation, now: Timestamp) {
        self.published.retain(|old| now < old.not_after.saturating_add(DAY * DAYS_KEPT_AFTER_EXPIRY));
        self.published.push(generation);
        self.under_way = None;
    }
}
