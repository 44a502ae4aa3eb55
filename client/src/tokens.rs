//! Tokens: taken from the authentication service, which knows the client, and paid with at the queuing service, which does
//! not (`docs/protocol.md`, section 25).
//!
//! Everything that a crash must not lose is on disk first: the request for a batch before it is sent, the tokens of the
//! answer, and which token pays for which request, so that the same request is sent again with the same token. A token comes
//! back if the request that it was for did nothing.
//!
//! Tokens are taken when the application has time ([`refill`]), long before they run out. Were they taken whenever one is
//! needed, whoever sees both services could tell by the time whose it is.

pub(crate) mod paying;
mod taking;
mod wallet;

use vestibule_protocol::time::Timestamp;
use vestibule_tokens::{BatchError, TokenKeysError};

use crate::error::Error;
use crate::session::Session;

pub(crate) use wallet::Wallet;

/// A wallet with fewer tokens than this is filled up when there is time.
pub const LOW_TOKENS: usize = 40;

/// Why no tokens can be taken or paid with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokensError {
    /// The published keys are not acceptable.
    #[error("the keys for tokens that the server publishes are refused: {0}")]
    Keys(#[from] TokenKeysError),
    /// No published key is current.
    #[error("the server publishes no key for tokens that is valid now")]
    NoCurrentKey,
    /// The published challenge is another service's or deployment's.
    #[error("the server asks for tokens of another service or deployment")]
    AnotherChallenge,
    /// The answer to the request for a batch is not acceptable.
    #[error("the tokens that the server issued are refused: {0}")]
    Batch(#[from] BatchError),
    /// The wallet is empty, and no more are to be had before the next allowance.
    #[error("there are no tokens left{}", next(*.0))]
    NoneLeft(Option<Timestamp>),
}

fn next(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!(": the next can be taken at {}", crate::text::rfc_3339(at)))
}

/// What a wallet holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tokens {
    /// How many tokens can be paid with.
    pub available: usize,
    /// From when on more can be taken, if that is not yet.
    pub next_allowance_at: Option<Timestamp>,
}

/// What the wallet holds.
pub(crate) fn holdings(session: &Session<'_>) -> Result<Tokens, Error> {
    Ok(Wallet::of(session)?.holdings(session.now()))
}

/// Fills the wallet up if it is low, as far as the allowance goes. A batch that was asked for and not received is received
/// first, whatever there is.
pub(crate) async fn refill(session: &Session<'_>) -> Result<Tokens, Error> {
    let mut wallet = Wallet::of(session)?;
    while wallet.is_waiting_for_a_batch() || wallet.is_low(session.now()) {
        if !wallet.may_take(session.now()) {
            break;
        }
        let taken = taking::take(session, &mut wallet).await.map_err(|error| match error {
            Error::Api(error) => session.refusal(error),
            error => error,
        });
        if !taken? {
            break;
        }
    }
    Ok(wallet.holdings(session.now()))
}

#[cfg(test)]
mod tests;
