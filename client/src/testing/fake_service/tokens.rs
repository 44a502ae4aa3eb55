//! The issuer of tokens, and those who take them, in this process.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{GetQsKeysResponse, IssueTokensRequest, IssueTokensResponse};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::{DAY, Timestamp};
use vestibule_protocol::token_key::PublishedTokenKey;
use vestibule_tokens::http::read_authorization;
use vestibule_tokens::{IssueError, IssuerKeys, IssuerKeysDocument, TokenChallenge};

use crate::transport::Request;

/// How many batches a client may take in a day.
const BATCHES: usize = 2;

pub(crate) struct FakeTokens {
    pub(crate) keys: IssuerKeys,
    pub(crate) published: Vec<PublishedTokenKey>,
    pub(crate) challenge: TokenChallenge,
    /// How many batches each client may take.
    pub(crate) allowance: usize,
    /// How many each has taken.
    taken: BTreeMap<String, usize>,
    /// The answers, by the digests of the requests.
    answers: BTreeMap<[u8; 32], Value>,
    /// The requests that were paid for, by the nonces of the tokens.
    pub(crate) spent: BTreeMap<[u8; 32], [u8; 32]>,
    /// What is answered instead of redeeming the next tokens.
    pub(crate) refusals: Vec<ProblemType>,
}

impl FakeTokens {
    pub(super) fn new(domain: &Domain, now: Timestamp, rng: &mut StdRng) -> Self {
        let document = IssuerKeysDocument::generate(now, rng);
        Self {
            published: document.published(),
            keys: document.open().unwrap(),
            challenge: TokenChallenge::of(Service::Queuing, domain),
            allowance: BATCHES,
            taken: BTreeMap::new(),
            answers: BTreeMap::new(),
            spent: BTreeMap::new(),
            refusals: Vec::new(),
        }
    }

    /// Gives everybody a new allowance, and takes every token for one that was not spent.
    pub(crate) fn forget_everybody(&mut self) {
        self.taken.clear();
        self.spent.clear();
    }

    /// Replaces the keys by others.
    pub(crate) fn replace_keys(&mut self, now: Timestamp, rng: &mut StdRng) {
        let document = IssuerKeysDocument::generate(now, rng);
        self.published = document.published();
        self.keys = document.open().unwrap();
    }

    pub(super) fn publish(&self, keys: GetQsKeysResponse) -> Value {
        let token_challenge = Bytes(self.challenge.as_bytes().to_vec());
        json!(GetQsKeysResponse { token_keys: self.published.clone(), token_challenge, ..keys })
    }

    /// How many batches were taken, by all clients together.
    pub(crate) fn batches_taken(&self) -> usize {
        self.taken.values().sum()
    }

    pub(super) fn issue(&mut self, request: &Request, now: Timestamp) -> Result<Value, Problem> {
        let body: IssueTokensRequest = serde_json::from_slice(&request.body).unwrap();
        let digest = Sha256::digest(&request.body).into();
        if let Some(answer) = self.answers.get(&digest) {
            return Ok(answer.clone());
        }
        let taken = self.taken.entry(body.client_id.to_string()).or_default();
        if *taken >= self.allowance {
            let problem = Problem::new(ProblemType::TokenAllowanceUsedUp, "no more");
            return Err(problem.retry_after(DAY.as_secs()));
        }
        let token_response = self.keys.issue(&body.token_request.0, now).map_err(|error| match error {
            IssueError::Malformed => Problem::new(ProblemType::TokenRequestInvalid, error),
            IssueError::KeyNotCurrent => Problem::new(ProblemType::TokenKeyNotCurrent, error),
        })?;
        *taken += 1;
        let next_allowance_at = if *taken < self.allowance { now } else { now.saturating_add(DAY) };
        let answer = json!(IssueTokensResponse { token_response: Bytes(token_response), next_allowance_at });
        self.answers.insert(digest, answer.clone());
        Ok(answer)
    }

    /// Takes the token that a request must come with. The same request may come with it again.
    pub(super) fn redeem(&mut self, request: &Request, now: Timestamp) -> Result<(), Problem> {
        let nonce = self.check(request, now)?;
        let digest = Sha256::digest(&request.body).into();
        if *self.spent.entry(nonce).or_insert(digest) == digest {
            Ok(())
        } else {
            Err(Problem::new(ProblemType::TokenSpent, "spent"))
        }
    }

    /// Takes the token that a request must come with, which none may come with again.
    pub(super) fn redeem_first(&mut self, request: &Request, now: Timestamp) -> Result<(), Problem> {
        let nonce = self.check(request, now)?;
        match self.spent.insert(nonce, Sha256::digest(&request.body).into()) {
            None => Ok(()),
            Some(_) => Err(Problem::new(ProblemType::TokenSpent, "spent")),
        }
    }

    /// The nonce of the token that a request comes with, which is genuine.
    fn check(&mut self, request: &Request, now: Timestamp) -> Result<[u8; 32], Problem> {
        let header = request.headers.iter().find(|(name, _)| *name == "authorization");
        let (_, value) = header.ok_or_else(|| Problem::new(ProblemType::TokenMissing, "missing"))?;
        if let Some(refusal) = self.refusals.pop() {
            return Err(Problem::new(refusal, "refused"));
        }
        let token = read_authorization(value).unwrap().unwrap();
        let checked = self.keys.check(&token, &self.challenge, now);
        let checked = checked.map_err(|error| Problem::new(ProblemType::TokenKeyUnknown, error))?;
        Ok(checked.nonce)
    }
}
