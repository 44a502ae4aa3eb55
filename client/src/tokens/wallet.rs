//! What a client has of tokens. No I/O.

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::time::{DAY, Timestamp};
use vestibule_tokens::{Token, TokenBatch};

use super::{LOW_TOKENS, Tokens};
use crate::error::Error;
use crate::home::KeptRequest;
use crate::session::Session;

/// The version of [`Wallet`]'s form.
const VERSION: u16 = 1;

/// How long a token waits for the request that it is to pay for to be sent again.
const RESERVATION_DAYS: u32 = 1;

/// The tokens of a client, and those that it is about to have.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wallet {
    version: u16,
    /// Whose tokens they are.
    client_id: ClientId,
    /// Those that can be paid with, the next one first.
    tokens: Vec<KeptToken>,
    /// Those that pay for requests whose outcome is not known.
    reserved: Vec<Reservation>,
    /// What was asked for and has not come.
    awaited: Option<AwaitedBatch>,
    /// When the service said that there are more.
    next_allowance_at: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptToken {
    #[serde(with = "secret")]
    token: Token,
    /// When its key ends.
    not_after: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reservation {
    /// The digest of the request.
    request: Bytes,
    token: KeptToken,
    since: Timestamp,
}

/// A batch that was asked for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AwaitedBatch {
    pub(super) batch: TokenBatch,
    /// The body of the request.
    #[serde(with = "secret")]
    pub(super) request: KeptRequest,
    /// When the tokens' key ends.
    pub(super) not_after: Timestamp,
}

impl Wallet {
    /// The wallet of the account's client, as it is on disk; an empty one if there is none, or another client's.
    pub(crate) fn of(session: &Session<'_>) -> Result<Self, Error> {
        let client_id = session.account().client_id();
        let kept = session.home.load_wallet()?.filter(|wallet| wallet.client_id == client_id);
        let mut wallet = kept.unwrap_or_else(|| Self::empty(client_id));
        wallet.tidy(session.now());
        Ok(wallet)
    }

    fn empty(client_id: ClientId) -> Self {
        Self {
            version: VERSION,
            client_id,
            tokens: Vec::new(),
            reserved: Vec::new(),
            awaited: None,
            next_allowance_at: None,
        }
    }

    /// Whether this program can read it.
    pub(crate) fn is_of_known_version(&self) -> bool {
        self.version <= VERSION
    }

    /// Forgets tokens whose key has ended, and gives up waiting for requests that nobody sends again. Their tokens may have
    /// been spent, so they come last.
    fn tidy(&mut self, now: Timestamp) {
        let (waiting, given_up) = std::mem::take(&mut self.reserved)
            .into_iter()
            .partition(|reservation| now < reservation.since.saturating_add(DAY * RESERVATION_DAYS));
        self.reserved = waiting;
        self.tokens.extend(given_up.into_iter().map(|reservation: Reservation| reservation.token));
        self.tokens.retain(|kept| now < kept.not_after);
        self.reserved.retain(|reservation| now < reservation.token.not_after);
    }

    pub(super) fn holdings(&self, now: Timestamp) -> Tokens {
        Tokens { available: self.available(now), next_allowance_at: self.next_allowance_at.filter(|at| now < *at) }
    }

    fn available(&self, now: Timestamp) -> usize {
        self.tokens.iter().filter(|kept| now < kept.not_after).count()
    }

    pub(super) fn is_low(&self, now: Timestamp) -> bool {
        self.available(now) < LOW_TOKENS
    }

    /// Whether the service has not said that it is too early.
    pub(super) fn may_take(&self, now: Timestamp) -> bool {
        self.next_allowance_at.is_none_or(|at| at <= now) || self.awaited.is_some()
    }

    pub(super) fn next_allowance_at(&self) -> Option<Timestamp> {
        self.next_allowance_at
    }

    pub(super) fn set_next_allowance_at(&mut self, at: Timestamp) {
        self.next_allowance_at = Some(at);
    }

    pub(super) fn is_waiting_for_a_batch(&self) -> bool {
        self.awaited.is_some()
    }

    pub(super) fn awaited(&self) -> Option<&AwaitedBatch> {
        self.awaited.as_ref()
    }

    pub(super) fn await_batch(&mut self, batch: AwaitedBatch) {
        self.awaited = Some(batch);
    }

    /// Takes the tokens of the batch that was awaited.
    pub(super) fn receive(&mut self, tokens: Vec<Token>) {
        let Some(AwaitedBatch { not_after, .. }) = self.awaited.take() else { return };
        self.tokens.extend(tokens.into_iter().map(|token| KeptToken { token, not_after }));
    }

    /// Gives up the batch that was awaited.
    pub(super) fn give_up_batch(&mut self) {
        self.awaited = None;
    }

    /// The token that pays for a request: the one that it was sent with before, else the next one. `None` if there is none.
    pub(super) fn reserve(&mut self, request: &[u8; 32], now: Timestamp) -> Option<Token> {
        self.tidy(now);
        if let Some(reservation) = self.reserved.iter().find(|reservation| reservation.request.0 == request) {
            return Some(reservation.token.token.clone());
        }
        if self.tokens.is_empty() {
            return None;
        }
        let kept = self.tokens.remove(0);
        let token = kept.token.clone();
        self.reserved.push(Reservation { request: Bytes(request.to_vec()), token: kept, since: now });
        Some(token)
    }

    /// Forgets the token of a request: it is spent, or good for nothing.
    pub(super) fn forget(&mut self, request: &[u8; 32]) {
        self.reserved.retain(|reservation| reservation.request.0 != request);
    }

    /// Takes the token of a request back: the request did nothing.
    pub(super) fn take_back(&mut self, request: &[u8; 32]) {
        if let Some(at) = self.reserved.iter().position(|reservation| reservation.request.0 == request) {
            self.tokens.insert(0, self.reserved.swap_remove(at).token);
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_tokens::TOKEN_LENGTH;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn token(number: u8) -> Token {
        let mut bytes = [number; TOKEN_LENGTH];
        bytes[..2].copy_from_slice(&[0, 5]);
        Token::from_bytes(&bytes).unwrap()
    }

    fn wallet(tokens: &[u8]) -> Wallet {
        let client_id = "alice@localhost/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap();
        let mut wallet = Wallet::empty(client_id);
        let kept = |number: &u8| KeptToken { token: token(*number), not_after: NOW.saturating_add(DAY * 3) };
        wallet.tokens = tokens.iter().map(kept).collect();
        wallet
    }

    fn number_of(token: Option<Token>) -> Option<u8> {
        token.map(|token| token.nonce()[0])
    }

    #[test]
    fn a_request_has_one_token_however_often_it_is_sent() {
        let mut wallet = wallet(&[1, 2]);
        assert_eq!(number_of(wallet.reserve(&[7; 32], NOW)), Some(1));
        assert_eq!(number_of(wallet.reserve(&[7; 32], NOW)), Some(1));
        assert_eq!(number_of(wallet.reserve(&[8; 32], NOW)), Some(2));
        assert_eq!(number_of(wallet.reserve(&[9; 32], NOW)), None);
        assert_eq!(number_of(wallet.reserve(&[7; 32], NOW)), Some(1));
    }

    #[test]
    fn a_token_comes_back_from_a_request_that_did_nothing_and_not_from_one_that_did() {
        let mut wallet = wallet(&[1, 2]);
        wallet.reserve(&[7; 32], NOW);
        wallet.take_back(&[7; 32]);
        assert_eq!(number_of(wallet.reserve(&[8; 32], NOW)), Some(1));
        wallet.forget(&[8; 32]);
        wallet.take_back(&[8; 32]);
        assert_eq!(wallet.available(NOW), 1);
        assert_eq!(number_of(wallet.reserve(&[8; 32], NOW)), Some(2));
    }

    #[test]
    fn a_request_that_is_not_sent_again_gives_its_token_back_after_a_day() {
        let mut wallet = wallet(&[1, 2]);
        wallet.reserve(&[7; 32], NOW);
        assert_eq!(number_of(wallet.reserve(&[8; 32], NOW.saturating_add(DAY))), Some(2));
        assert_eq!(number_of(wallet.reserve(&[9; 32], NOW.saturating_add(DAY))), Some(1));
    }

    #[test]
    fn tokens_go_with_their_key() {
        let mut wallet = wallet(&[1, 2]);
        wallet.reserve(&[7; 32], NOW.saturating_add(DAY * 3 - DAY / 2));
        let end = NOW.saturating_add(DAY * 3);
        assert_eq!(wallet.available(end), 0);
        assert!(wallet.reserve(&[7; 32], end).is_none());
    }

    #[test]
    fn a_wallet_is_the_same_after_it_was_kept() {
        let mut kept = wallet(&[1, 2, 3]);
        kept.reserve(&[7; 32], NOW);
        kept.set_next_allowance_at(NOW);
        let json = serde_json::to_string(&kept).unwrap();
        let mut read: Wallet = serde_json::from_str(&json).unwrap();
        assert!(read.is_of_known_version());
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert_eq!(number_of(read.reserve(&[7; 32], NOW)), Some(1));
        assert_eq!(number_of(read.reserve(&[8; 32], NOW)), Some(2));
    }
}
