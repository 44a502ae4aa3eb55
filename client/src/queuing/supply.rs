//! How many KeyPackages friends can still claim.

use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::endpoint::{GetKeyPackages, GetKeyPackagesResponse};
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::{DAY, Timestamp};

use super::OwnClient;
use super::publication::{is_overtaken, publish, resume};
use crate::error::Error;
use crate::home::Account;
use crate::session::Session;

/// A supply of fewer ordinary KeyPackages than this is low: enough for a client that looks after it once a week.
pub const LOW_SUPPLY: usize = 25;

/// A supply that ends within so many days is low too.
const LOW_DAYS: u32 = 14;

/// How often the service is asked: whoever only wants to see the number should not wait long for it.
const ATTEMPTS: u32 = 2;

/// A client's supply of KeyPackages at the queuing service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPackageSupply {
    /// The generation that is published; 0 if none is.
    pub generation: u64,
    /// How many ordinary ones can still be claimed.
    pub remaining: u64,
    /// How often the last-resort one was claimed.
    pub last_resort_uses: u64,
    /// When the first of them expires.
    pub not_after: Timestamp,
}

/// Asks for the supply.
pub(crate) async fn supply(session: &Session<'_>) -> Result<KeyPackageSupply, Error> {
    let client = OwnClient::of(session.account())?;
    let service = session.queuing_service.with_attempts(ATTEMPTS);
    let GetKeyPackagesResponse { generation, remaining, last_resort_uses, not_after } =
        service.call_signed::<GetKeyPackages, _>(&client.path(), &[], &client.signer()).await?;
    Ok(KeyPackageSupply { generation, remaining, last_resort_uses, not_after })
}

/// Asks for the supply and, if it is low or friends may not be able to use it any more, publishes the next generation, of
/// `count` ordinary packages. A publication under way is completed first.
pub(crate) async fn refill(session: &mut Session<'_>, count: usize) -> Result<KeyPackageSupply, Error> {
    resume(session).await?;
    let found = supply(session).await?;
    if !is_low(&found, count, session) && !is_overtaken(session.account()) {
        return Ok(found);
    }
    publish(session, count).await?;
    supply(session).await
}

fn is_low(supply: &KeyPackageSupply, count: usize, session: &Session<'_>) -> bool {
    // No package outlives its client's credential: when that ends soon, fresh ones would be no better.
    let could_last_longer = credential_not_after(session.account()).is_some_and(|end| end > supply.not_after);
    let ends_soon = supply.not_after <= session.now().saturating_add(DAY * LOW_DAYS);
    // Whoever publishes few has few.
    supply.remaining < LOW_SUPPLY.min(count) as u64 || (ends_soon && could_last_longer)
}

fn credential_not_after(account: &Account) -> Option<Timestamp> {
    let credential = Unverified::<ClientCredentialPayload>::from_bytes(&account.client_credential()?.0).ok()?;
    Some(credential.claim().expiration_data.not_after)
}
