//! Connection packages, with which strangers find the client: those of a registration, and those that take their place.
//!
//! The keys of packages are on disk before the request that publishes them is first sent, and so is the request: no package
//! is handed out whose key is not kept, whatever becomes of the process. Each publication names the index behind the last
//! package that there ever was, so that the server makes it once.

use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClientPath, Endpoint as _, PublishConnectionPackages, PublishConnectionPackagesRequest,
};
use vestibule_protocol::keys::{ClientCredentialKey, HpkePrivateKey, SigningKey};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::time::{DAY, Timestamp};

use crate::error::Error;
use crate::home::{ConnectionBatch, ConnectionKey, ConnectionPublication, KeptRequest, OwnQueue};
use crate::session::Session;

#[cfg(test)]
mod tests;

/// How many connection packages a client publishes: so many strangers can make contact before the last one is used again
/// and again.
const COUNT: usize = 20;

/// Packages that last no longer than so many days are replaced.
const LOW_DAYS: u32 = 30;

/// How often one run tries other indexes, where another copy of this home has used some.
const ATTEMPTS: usize = 4;

/// Makes connection packages, and what is to be kept of them.
pub(crate) fn make(
    client_id: &ClientId,
    key: &SigningKey<ClientCredentialKey>,
    first_index: u64,
    now: Timestamp,
    randomness: &mut Randomness,
) -> (Vec<Bytes>, ConnectionBatch) {
    let keys: Vec<_> = (0..COUNT).map(|_| ConnectionKey(HpkePrivateKey::generate(randomness))).collect();
    let issue = |of: &ConnectionKey| ConnectionPackage::issue(client_id.clone(), of.0.public_key(), key, now);
    let packages: Vec<_> = keys.iter().map(issue).collect();
    let not_after = packages.iter().map(|package| package.payload().expiration_data.not_after).min();
    let packages = packages.iter().map(ConnectionPackage::to_bytes).collect();
    (packages, ConnectionBatch { first_index, not_after, keys })
}

/// Sees to it that strangers have connection packages of this client to claim that last for a while, and gives the time
/// when they expire. A client that never had any gets its direct queue with them. Whatever an earlier run began is
/// completed first.
///
/// The authentication service must have the client, confirmed. Nobody is asked if nothing is to be done.
pub(crate) async fn refill(session: &mut Session<'_>) -> Result<Timestamp, Error> {
    let now = session.now();
    if session.account().connection_packages.can_be_tidied(now) {
        session.change_account(|account| account.connection_packages.tidy(now))?;
    }
    if session.account().connection_packages.under_way.is_some() {
        match send(session, true).await {
            // They are too old by now, or others came first: others are made.
            Err(error) if is_final(&error) => {}
            outcome => outcome?,
        }
    }
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        if let Some(not_after) = lasting(session) {
            return Ok(not_after);
        }
        begin(session)?;
        match send(session, false).await {
            Err(error) if is_outdated(&error) => refused = Some(error),
            outcome => outcome?,
        }
    }
    match (lasting(session), refused) {
        (None, Some(error)) => Err(error),
        (not_after, _) => Ok(not_after.unwrap_or(now)),
    }
}

/// When the packages expire that are handed out, if that is not soon.
fn lasting(session: &Session<'_>) -> Option<Timestamp> {
    let soon = session.now().saturating_add(DAY * LOW_DAYS);
    session.account().connection_packages.not_after.filter(|not_after| *not_after > soon)
}

/// Makes packages, and the queue if there is none, and keeps all that with the request.
fn begin(session: &mut Session<'_>) -> Result<(), Error> {
    let (now, mut randomness) = (session.now(), session.connection.randomness.clone());
    session.change_account(|account| {
        let first_index = account.connection_packages.next_index;
        let key = &account.client_credential_key;
        let (connection_packages, batch) = make(&account.client_id(), key, first_index, now, &mut randomness);
        let queue = (first_index == 0)
            .then(|| account.as_queue.get_or_insert_with(|| OwnQueue::generate(&mut randomness)).keys());
        let request = KeptRequest::new(&PublishConnectionPackagesRequest { first_index, connection_packages, queue });
        account.connection_packages.under_way = Some(ConnectionPublication { batch, request });
    })
}

/// Sends the request that was kept. Whatever comes of it is kept too, unless it is still open. `is_repetition` says that it
/// may have been sent before.
async fn send(session: &mut Session<'_>, is_repetition: bool) -> Result<(), Error> {
    let account = session.account();
    let ClientId { user_name, uuid } = account.client_id();
    let path = ClientPath { user_name, client_uuid: uuid };
    let under_way = account.connection_packages.under_way.as_ref().expect("there are some under way");
    let (request, service) = (under_way.request.as_bytes(), &session.authentication_service);
    let answer = service.call_signed::<PublishConnectionPackages, _>(&path, request, &account.signer()).await;
    let Err(error) = answer.map(drop) else {
        return session.change_account(|account| account.connection_packages.complete());
    };
    let error = session.refusal(error);
    if is_outdated(&error) {
        session.change_account(|account| account.connection_packages.pass_over(is_repetition))?;
    } else if is_final(&error) {
        session.change_account(|account| account.connection_packages.under_way = None)?;
    }
    Err(error)
}

/// Whether the server has other packages of this client than it knows of.
fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::Api(error) if error.problem_type() == Some(ProblemType::ConnectionPackagesOutdated))
}

/// Whether the server has said that the very same request will never be accepted, and was not before.
fn is_final(error: &Error) -> bool {
    let Error::Api(error) = error else { return false };
    error.problem_type().is_some_and(|problem_type| {
        PublishConnectionPackages::DESCRIPTION.problems.contains(&problem_type)
            && !matches!(
                problem_type,
                ProblemType::InvalidUserName
                    | ProblemType::InvalidClientUuid
                    | ProblemType::ClientUnknown
                    | ProblemType::ClientUnconfirmed
            )
    })
}
