//! What the private keys do: issue batches, and check the tokens that come back.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use privacypass::amortized_tokens::server::Server;
use privacypass::amortized_tokens::{AmortizedBatchTokenRequest, AmortizedToken};
use privacypass::common::errors::IssueTokenResponseError;
use privacypass::common::store::PrivateKeyStore;
use privacypass::{Deserialize as _, Nonce, NonceStore, Serialize as _, TruncatedTokenKeyId, VoprfServer};
use vestibule_protocol::encoding::equal_in_constant_time;
use vestibule_protocol::limits::{CLOCK_TOLERANCE, TOKEN_BATCH_SIZE};
use vestibule_protocol::time::{ExpirationData, Timestamp};

use crate::{
    IssuerKeyDocument, Suite, TOKEN_REQUEST_LENGTH, TOKEN_RESPONSE_LENGTH, TOKEN_TYPE, Token, TokenChallenge,
    TokenKeyId, TokenPublicKey,
};

/// The issuer's keys, ready for use.
pub struct IssuerKeys(Vec<IssuerKey>);

struct IssuerKey {
    id: TokenKeyId,
    public_key: TokenPublicKey,
    validity: ExpirationData,
    server: VoprfServer<Suite>,
}

/// Why no batch is issued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IssueError {
    /// It is not a request for a batch of [`TOKEN_BATCH_SIZE`] tokens of our type.
    #[error("a request for {TOKEN_BATCH_SIZE} tokens of type 5, in {TOKEN_REQUEST_LENGTH} bytes, is wanted")]
    Malformed,
    /// It is made with a key under which no tokens are issued now.
    #[error("tokens are issued under the newest of the published keys that has begun")]
    KeyNotCurrent,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RedemptionError {
    /// It answers another challenge: another service's, or another deployment's.
    #[error("the token is for another service or deployment")]
    ForAnotherService,
    /// There is no such key, or it has ended.
    #[error("the token's key is not in use, or not any more")]
    KeyUnknown,
    /// It was not issued here.
    #[error("the token is not genuine")]
    NotGenuine,
}

/// A token that is genuine and may have been spent before: what is to be stored to spend it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedToken {
    /// What must be new.
    pub nonce: [u8; 32],
    /// From when on the token is refused anyway, whatever is stored.
    pub not_after: Timestamp,
}

impl IssuerKeys {
    pub(crate) fn new(documents: Vec<IssuerKeyDocument>) -> Self {
        let key = |document: IssuerKeyDocument| {
            let public_key = document.private_key.public_key();
            let (validity, server) = (document.validity, document.private_key.server());
            IssuerKey { id: public_key.id(), public_key, validity, server }
        };
        Self(documents.into_iter().map(key).collect())
    }

    /// When the last of the keys ends.
    pub fn end(&self) -> Option<Timestamp> {
        self.0.iter().map(|key| key.validity.not_after).max()
    }

    /// Answers a request for a batch. The proof in the answer is randomized: another call gives other bytes, and whoever wants
    /// the same answer to the same request stores it.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(&self, request: &[u8], now: Timestamp) -> Result<Vec<u8>, IssueError> {
        if request.len() != TOKEN_REQUEST_LENGTH || request[..2] != (TOKEN_TYPE as u16).to_be_bytes() {
            return Err(IssueError::Malformed);
        }
        let mut rest = request;
        let request = AmortizedBatchTokenRequest::tls_deserialize(&mut rest).map_err(|_| IssueError::Malformed)?;
        if request.nr() != TOKEN_BATCH_SIZE || !rest.is_empty() {
            return Err(IssueError::Malformed);
        }
        let key = self.issuing_key(request.truncated_token_key_id(), now).ok_or(IssueError::KeyNotCurrent)?;
        let response = Server::with_max_batch_size(TOKEN_BATCH_SIZE)
            .issue_token_response(&OneKey(&key.server), request)
            .now_or_never()
            .expect("nothing in it waits")
            .map_err(|error| match error {
                IssueTokenResponseError::KeyIdNotFound => IssueError::KeyNotCurrent,
                _ => IssueError::Malformed,
            })?;
        let response = response.tls_serialize_detached().expect("it is shorter than 64 KiB");
        debug_assert_eq!(response.len(), TOKEN_RESPONSE_LENGTH);
        Ok(response)
    }

    /// Checks a token for the service with this challenge, cheapest first and without storing anything: the challenge, the
    /// key, and only then the authenticator.
    ///
    /// # Errors
    /// [`RedemptionError`].
    pub fn check(
        &self,
        token: &Token,
        challenge: &TokenChallenge,
        now: Timestamp,
    ) -> Result<CheckedToken, RedemptionError> {
        if !equal_in_constant_time(&token.challenge_digest(), &challenge.digest()) {
            return Err(RedemptionError::ForAnotherService);
        }
        let key = self.0.iter().find(|key| key.id == token.key_id()).ok_or(RedemptionError::KeyUnknown)?;
        // A client whose clock is ahead may have its first tokens a little early.
        if now.saturating_add(CLOCK_TOLERANCE) < key.validity.not_before || now >= key.validity.not_after {
            return Err(RedemptionError::KeyUnknown);
        }
        let amortized = AmortizedToken::<Suite>::tls_deserialize(&mut token.as_bytes().as_slice())
            .map_err(|_| RedemptionError::NotGenuine)?;
        Server::<Suite>::new()
            .redeem_token(&OneKey(&key.server), &SpentElsewhere, amortized)
            .now_or_never()
            .expect("nothing in it waits")
            .map_err(|_| RedemptionError::NotGenuine)?;
        Ok(CheckedToken { nonce: token.nonce(), not_after: key.validity.not_after })
    }

    /// The public key under which tokens are issued at `now`, for a challenge.
    pub fn current(&self, now: Timestamp) -> Option<TokenPublicKey> {
        let newest = self.0.iter().find(|key| key.validity.not_before <= now)?;
        newest.validity.contains(now).then_some(newest.public_key)
    }

    /// The key that a request names, if it is the current one by a clock that may be a little wrong.
    fn issuing_key(&self, truncated_id: u8, now: Timestamp) -> Option<&IssuerKey> {
        let key = self.0.iter().find(|key| key.id.truncated() == truncated_id)?;
        let clocks = [now.saturating_sub(CLOCK_TOLERANCE), now, now.saturating_add(CLOCK_TOLERANCE)];
        clocks.into_iter().any(|clock| self.current(clock) == Some(key.public_key)).then_some(key)
    }
}

/// The one key that was chosen for what is to be done.
struct OneKey<'a>(&'a VoprfServer<Suite>);

#[async_trait]
impl PrivateKeyStore for OneKey<'_> {
    type CS = Suite;

    async fn insert(&self, _: TruncatedTokenKeyId, _: VoprfServer<Suite>) -> bool {
        false
    }

    async fn get(&self, _: &TruncatedTokenKeyId) -> Option<VoprfServer<Suite>> {
        Some(self.0.clone())
    }

    async fn remove(&self, _: &TruncatedTokenKeyId) -> bool {
        false
    }
}

/// Tokens are spent where the work that they pay for is stored, in one transaction with it.
struct SpentElsewhere;

#[async_trait]
impl NonceStore for SpentElsewhere {
    async fn reserve(&self, _: &Nonce) -> bool {
        true
    }

    async fn commit(&self, _: &Nonce) {}

    async fn release(&self, _: &Nonce) {}
}

#[cfg(test)]
mod tests;
