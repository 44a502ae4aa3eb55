//! Tokens as payment: who asks stays unknown, how often somebody can ask does not.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `TOKEN#<nonce>` | `TOKEN` | `request_mac` B, `expires_at` N |
//!
//! A token is spent by an item where none was. It goes into the transaction with what it pays for, so that neither happens
//! without the other; where the work cannot be one transaction, it is spent alone and first. The item knows the request that
//! it paid for, which is how the same request is recognised when it comes again; but it does so under the token, of which it
//! has no more than the nonce, so that the table says of no request that was seen elsewhere that it was paid for. It lasts
//! until the token's key ends and the token is refused anyway: the same time for all tokens of a key.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::encoding;
use vestibule_protocol::endpoint::Endpoint;
use vestibule_protocol::problem::{Problem, ProblemType, TokenChallengeMembers};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::Timestamp;
use vestibule_tokens::http::{challenge_members, read_authorization};
use vestibule_tokens::{CheckedToken, IssuerKeys, IssuerKeysDocument, RedemptionError, TokenChallenge};

use crate::dynamodb::{
    EXPIRES_AT, Item, PARTITION_KEY, TransactionPart as _, corrupt_item, failed_call, is_condition_failed, put_new,
    without_retries,
};
use crate::keyed_hash::keyed_hash;
use crate::metrics::{self, Metric};
use crate::secret::Secret;
use crate::{EndpointRequest, Environment, StartError};

const REQUEST_MAC: &str = "request_mac";

/// What takes the tokens of one service.
pub struct Redemption {
    client: aws_sdk_dynamodb::Client,
    table: String,
    challenge: TokenChallenge,
    issuer: Secret<IssuerKeysDocument>,
}

/// A token that is genuine, and what it is to pay for. Nothing is stored yet.
#[derive(Clone)]
pub struct Payment {
    table: String,
    token: CheckedToken,
    request_mac: [u8; 32],
    challenge: Option<TokenChallengeMembers>,
}

impl Redemption {
    /// Takes the tokens of `service` with the keys in the secret `TOKENS_SECRET`; the spent ones are in the table named by
    /// the environment variable `table_variable`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing or the secret unreadable.
    pub async fn new(
        environment: &Environment,
        service: Service,
        table_variable: &'static str,
    ) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable(table_variable)?.to_owned(),
            challenge: TokenChallenge::of(service, &environment.domain()?),
            issuer: Secret::read(environment, "TOKENS_SECRET").await?,
        })
    }

    /// The token that a request brings, if it is genuine and for this service. No call to DynamoDB.
    ///
    /// # Errors
    /// The problem of a token that is missing, malformed or not good here, with the challenge that one must answer.
    pub async fn check<E: Endpoint>(&self, request: &EndpointRequest<E>, now: Timestamp) -> Result<Payment, Problem> {
        let issuer = self.issuer.current_unmeasured().await;
        let challenge = self.challenge_members(&issuer, now);
        let refused = |problem_type, detail: &dyn std::fmt::Display| {
            let problem = Problem::new(problem_type, detail);
            match &challenge {
                Some(challenge) if problem_type.status() == 401 => problem.token_challenge(challenge.clone()),
                _ => problem,
            }
        };
        let missing =
            || refused(ProblemType::TokenMissing, &"present a token: Authorization: PrivateToken token=\"…\"");
        let header = request.authorization().ok_or_else(missing)?;
        let token = header.to_str().ok().and_then(|value| read_authorization(value).ok());
        let token = token.ok_or_else(|| {
            refused(ProblemType::TokenMalformed, &"Authorization must present one token of type 5 (RFC 9577)")
        })?;
        let token = token.ok_or_else(missing)?;
        let checked = issuer.check(&token, &self.challenge, now).map_err(|error| {
            let problem_type = match error {
                RedemptionError::ForAnotherService => ProblemType::TokenForAnotherService,
                RedemptionError::KeyUnknown => ProblemType::TokenKeyUnknown,
                RedemptionError::NotGenuine => ProblemType::TokenInvalid,
            };
            refused(problem_type, &error)
        })?;
        let request_mac = keyed_hash(&Sha256::digest(token.as_bytes()).into(), &request.identifying_parts());
        Ok(Payment { table: self.table.clone(), token: checked, request_mac, challenge })
    }

    /// Spends a token before the work that it pays for, which has another effect every time: one write. If the work then
    /// fails, the token is gone; and the same request with the same token is refused, or one token would pay for any number.
    ///
    /// # Errors
    /// [`ProblemType::TokenSpent`] if it was spent before, be it by the same request; the problem of a failed call, by which
    /// it may be spent.
    pub async fn spend(&self, payment: &Payment) -> Result<(), Problem> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(payment.item().into()))
            .condition_expression(format!("attribute_not_exists({PARTITION_KEY})"))
            .customize()
            // The second attempt would find the token spent, and could not tell by whom.
            .config_override(without_retries());
        let Err(error) = put.send().await else {
            metrics::count(Metric::Tokens, "redeemed", 1);
            return Ok(());
        };
        if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) {
            return Err(payment.spent());
        }
        Err(failed_call("PutItem", &error))
    }

    fn challenge_members(&self, issuer: &IssuerKeys, now: Timestamp) -> Option<TokenChallengeMembers> {
        issuer.current(now).map(|key| challenge_members(&self.challenge, &key))
    }
}

impl Payment {
    /// The part of a transaction that spends the token.
    pub fn put(&self) -> TransactWriteItem {
        metrics::count_with_transaction(Metric::Tokens, "redeemed", 1);
        put_new(&self.table, self.item()).part()
    }

    /// Whether the token is why a transaction with [`Payment::put`] was canceled, given the reason at its place: then the same
    /// request had been paid for with it.
    ///
    /// # Errors
    /// [`ProblemType::TokenSpent`] if it paid for another request.
    pub fn is_repeated(&self, reason: Option<&CancellationReason>) -> Result<bool, Problem> {
        if !is_condition_failed(reason) {
            return Ok(false);
        }
        self.check_spent_item(reason.and_then(|reason| reason.item.clone()).map(Item::from))?;
        Ok(true)
    }

    /// The same of a transaction whose repetitions are known by what it has stored, and not by the token.
    ///
    /// # Errors
    /// [`ProblemType::TokenSpent`] if it paid for another request.
    pub(crate) fn check_reason(&self, reason: Option<&CancellationReason>) -> Result<(), Problem> {
        self.is_repeated(reason).map(drop)
    }

    fn check_spent_item(&self, item: Option<Item>) -> Result<(), Problem> {
        let item = item.unwrap_or_default();
        let request_mac = item.get_bytes(REQUEST_MAC).ok_or_else(|| corrupt_item("a spent token"))?;
        if request_mac == self.request_mac { Ok(()) } else { Err(self.spent()) }
    }

    fn spent(&self) -> Problem {
        let problem = Problem::new(ProblemType::TokenSpent, "present another token: this one has paid already");
        match &self.challenge {
            Some(challenge) => problem.token_challenge(challenge.clone()),
            None => problem,
        }
    }

    fn item(&self) -> Item {
        Item::keyed(format!("TOKEN#{}", encoding::encode(&self.token.nonce)), "TOKEN")
            .bytes(REQUEST_MAC, self.request_mac)
            .time(EXPIRES_AT, self.token.not_after)
    }
}
