//! Taking a batch of tokens.

use std::time::Duration;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{GetQsKeys, IssueTokens, IssueTokensRequest};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::request_signature::Service;
use vestibule_tokens::{TokenBatch, TokenChallenge, TokenKeys};

use super::TokensError;
use super::wallet::{AwaitedBatch, Wallet};
use crate::api::ApiError;
use crate::error::Error;
use crate::home::KeptRequest;
use crate::session::Session;

/// How long a client waits that was told to, but not how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(60 * 60);

/// Asks for a batch, or once more for the one that was asked for, and puts the tokens into the wallet, on disk too. Gives
/// `false` if the client has had its allowance of this time-frame.
///
/// # Errors
/// [`Error`]; what was asked for stays asked for, unless the answer can never be accepted.
pub(super) async fn take(session: &Session<'_>, wallet: &mut Wallet) -> Result<bool, Error> {
    // The key that an earlier run asked under may have been replaced meanwhile: then it is asked once more, under the new one.
    for is_last in [false, true] {
        if !wallet.is_waiting_for_a_batch() {
            wallet.await_batch(prepare(session).await?);
            session.home.store_wallet(wallet)?;
        }
        match send(session, wallet).await {
            Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::TokenAllowanceUsedUp) => {
                let wait = error.retry_after().map_or(DEFAULT_WAIT, Duration::from_secs);
                wallet.set_next_allowance_at(session.now().saturating_add(wait));
                // It was not answered, and is not worth keeping: by then there may be another key.
                wallet.give_up_batch();
                session.home.store_wallet(wallet)?;
                return Ok(false);
            }
            Err(error) if is_final(&error) => {
                wallet.give_up_batch();
                session.home.store_wallet(wallet)?;
                if is_last || !is_outdated(&error) {
                    return Err(error);
                }
            }
            result => return result.map(|()| true),
        }
    }
    unreachable!("the last round returns")
}

/// Makes the request for a batch under the key that the queuing service, asked by nobody in particular, names to everybody.
async fn prepare(session: &Session<'_>) -> Result<AwaitedBatch, Error> {
    let published = session.queuing_service.call::<GetQsKeys>(&(), &[]).await?;
    if published.token_challenge.0 != challenge(session).as_bytes() {
        return Err(TokensError::AnotherChallenge.into());
    }
    let keys = TokenKeys::read(&published.token_keys).map_err(TokensError::from)?;
    let key = keys.current(session.now()).ok_or(TokensError::NoCurrentKey)?;
    let not_after = keys.not_after(&key.id()).ok_or(TokensError::NoCurrentKey)?;
    let batch = TokenBatch::new(key, &mut session.connection.randomness.clone());
    let token_request = Bytes(batch.request(&challenge(session)));
    let request = KeptRequest::new(&IssueTokensRequest { client_id: session.account().client_id(), token_request });
    Ok(AwaitedBatch { batch, request, not_after })
}

/// Sends the request as it was kept, and checks that all tokens of the answer are made with the key that was asked for.
async fn send(session: &Session<'_>, wallet: &mut Wallet) -> Result<(), Error> {
    let awaited = wallet.awaited().expect("a batch was asked for");
    let service = &session.authentication_service;
    let signer = session.account().signer();
    let answer = service.call_signed::<IssueTokens, _>(&(), awaited.request.as_bytes(), &signer).await?;
    let tokens = awaited.batch.finish(&challenge(session), &answer.token_response.0).map_err(TokensError::from)?;
    wallet.receive(tokens);
    wallet.set_next_allowance_at(answer.next_allowance_at);
    Ok(session.home.store_wallet(wallet)?)
}

/// What tokens for the queuing service answer.
fn challenge(session: &Session<'_>) -> TokenChallenge {
    TokenChallenge::of(Service::Queuing, session.account().user_name.domain())
}

/// Whether the same request will have the same outcome for ever.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Tokens(_) => true,
        Error::Api(ApiError::Problem { problem_type, .. }) => matches!(
            problem_type,
            Some(ProblemType::TokenKeyNotCurrent | ProblemType::TokenRequestInvalid | ProblemType::ClientUnknown)
        ),
        _ => false,
    }
}

fn is_outdated(error: &Error) -> bool {
    matches!(error, Error::Api(error) if error.problem_type() == Some(ProblemType::TokenKeyNotCurrent))
}
