//! Paying for a request with a token.

use sha2::{Digest as _, Sha256};
use vestibule_protocol::endpoint::{Authentication, Endpoint, Path as _};
use vestibule_protocol::keys::{ClientCredentialKey, KeyPurpose};
use vestibule_protocol::problem::ProblemType;

use super::wallet::Wallet;
use super::{TokensError, taking};
use crate::api::{ApiError, RequestSigner};
use crate::error::Error;
use crate::session::Session;

/// How many tokens are tried for one request, if the service has no use for one after the other.
const MOST_TOKENS: usize = 3;

/// Calls an endpoint of the queuing service that takes a token and no signature.
///
/// # Errors
/// [`Error`]. The token comes back if the request did nothing.
pub(crate) async fn pay<E: Endpoint>(session: &Session<'_>, path: &E::Path, body: &[u8]) -> Result<E::Response, Error> {
    paying::<E, ClientCredentialKey>(session, path, body, None).await
}

/// Calls an endpoint of the queuing service that takes a token and a signature.
///
/// # Errors
/// As [`pay`].
pub(crate) async fn pay_signed<E: Endpoint, P: KeyPurpose>(
    session: &Session<'_>,
    path: &E::Path,
    body: &[u8],
    signer: &RequestSigner<'_, P>,
) -> Result<E::Response, Error> {
    paying::<E, P>(session, path, body, Some(signer)).await
}

async fn paying<E: Endpoint, P: KeyPurpose>(
    session: &Session<'_>,
    path: &E::Path,
    body: &[u8],
    signer: Option<&RequestSigner<'_, P>>,
) -> Result<E::Response, Error> {
    let request = digest::<E>(path, body);
    let mut wallet = Wallet::of(session)?;
    for tokens_left in (0..MOST_TOKENS).rev() {
        let token = match wallet.reserve(&request, session.now()) {
            Some(token) => token,
            None => {
                let none_left = |wallet: &Wallet| TokensError::NoneLeft(wallet.next_allowance_at());
                if !wallet.may_take(session.now()) || !taking::take(session, &mut wallet).await? {
                    return Err(none_left(&wallet).into());
                }
                wallet.reserve(&request, session.now()).ok_or_else(|| none_left(&wallet))?
            }
        };
        session.home.store_wallet(&wallet)?;
        let service = session.queuing_service.with_token(&token);
        let result = service.attempt_repeatedly::<E, P>(path, body, signer).await;
        let fate = fate::<E>(&result);
        match fate {
            Fate::Spent | Fate::Useless => wallet.forget(&request),
            Fate::Unspent => wallet.take_back(&request),
            Fate::Unknown => {}
        }
        session.home.store_wallet(&wallet)?;
        if fate != Fate::Useless || tokens_left == 0 {
            return Ok(result?);
        }
    }
    unreachable!("the last round returns")
}

/// What became of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It has paid for the request.
    Spent,
    /// It is good for nothing.
    Useless,
    /// The request did nothing.
    Unspent,
    /// The request may have been answered, or will be when it is sent again.
    Unknown,
}

fn fate<E: Endpoint>(result: &Result<E::Response, ApiError>) -> Fate {
    let error = match result {
        Ok(_) => return Fate::Spent,
        Err(error) => error,
    };
    match error.problem_type() {
        Some(
            ProblemType::TokenMalformed
            | ProblemType::TokenForAnotherService
            | ProblemType::TokenKeyUnknown
            | ProblemType::TokenInvalid
            | ProblemType::TokenSpent,
        ) => Fate::Useless,
        // A claim spends its token before it looks for packages.
        Some(ProblemType::FriendshipTokenUnknown | ProblemType::NoKeyPackages) if spends_first::<E>() => Fate::Spent,
        Some(ProblemType::RateLimited) => Fate::Unspent,
        Some(_) if !error.may_pass() => Fate::Unspent,
        _ => Fate::Unknown,
    }
}

fn spends_first<E: Endpoint>() -> bool {
    E::DESCRIPTION.authentication == Authentication::FriendshipTokenAndToken
}

/// By what the same request is known when it is sent again.
fn digest<E: Endpoint>(path: &E::Path, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [E::DESCRIPTION.function.as_bytes(), path.expand(E::DESCRIPTION.path).as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
