//! Tokens: clients that take them, request by request, and requests that are paid for with them.

use std::sync::{Mutex, PoisonError};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use vestibule_backend::secret::read_document;
use vestibule_keys::{Deployment, SecretDocumentJson};
use vestibule_protocol::encoding::{Bytes, encode};
use vestibule_protocol::endpoint::{
    GetQsKeys, GetQsKeysResponse, IssueTokens, IssueTokensRequest, IssueTokensResponse,
};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::DAY;
use vestibule_tokens::http::{authorization, read_authorization};
use vestibule_tokens::{IssuerKeysDocument, Token, TokenBatch, TokenChallenge, TokenKeys};

use crate::{Applicant, Call, TestCloud, json_body};

impl Applicant {
    /// The call that asks for this batch, signed.
    pub fn issuing_call(&self, cloud: &TestCloud, batch: &TokenBatch) -> Call {
        self.token_call(cloud, batch.request(&cloud.token_challenge()))
    }

    /// The call that asks for tokens with these bytes, signed.
    pub fn token_call(&self, cloud: &TestCloud, token_request: Vec<u8>) -> Call {
        let request = IssueTokensRequest { client_id: self.client_id.clone(), token_request: Bytes(token_request) };
        self.sign(cloud, &Call::new::<IssueTokens>(&(), json_body(&request)))
    }

    /// Takes a batch.
    pub async fn take_tokens(&self, cloud: &TestCloud, seed: u64) -> Vec<Token> {
        let batch = cloud.token_batch(seed).await;
        let response: IssueTokensResponse = cloud.send(&self.issuing_call(cloud, &batch)).await.success();
        batch.finish(&cloud.token_challenge(), &response.token_response.0).expect("the tokens are good")
    }
}

impl TestCloud {
    /// What tokens for the queuing service answer.
    pub fn token_challenge(&self) -> TokenChallenge {
        TokenChallenge::of(Service::Queuing, &self.domain())
    }

    /// A token that was given to nobody yet, and that nobody has taken: it comes right from the issuer's private key, which
    /// all test clouds have in common. So it is good in each of them, once.
    pub fn token() -> Token {
        static TOKENS: Mutex<Vec<Token>> = Mutex::new(Vec::new());
        let mut tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.is_empty() {
            *tokens = Self::tokens_for(&TokenChallenge::of(Service::Queuing, &domain()));
        }
        tokens.pop().expect("a batch is not empty")
    }

    /// A batch of such tokens that answer this challenge, whosever it is.
    pub fn tokens_for(challenge: &TokenChallenge) -> Vec<Token> {
        let document = read_document::<IssuerKeysDocument>(&token_secret().json).expect("the document decodes");
        mint(document, challenge)
    }

    /// A batch of tokens under a key that no deployment has.
    pub fn forged_tokens(&self) -> Vec<Token> {
        let document = IssuerKeysDocument::generate(self.now(), &mut StdRng::from_entropy());
        mint(document, &self.token_challenge())
    }

    /// The nonces of all tokens that are spent, as they are stored.
    pub async fn spent_tokens(&self) -> Vec<String> {
        let items = self.cloud.items("QsTable").await.expect("the table can be read");
        let nonce = |item: &Value| item["pk"]["S"].as_str()?.strip_prefix("TOKEN#").map(str::to_owned);
        items.iter().filter_map(nonce).collect()
    }

    /// Sends a call that is refused, and checks that it changes nothing; but a claim has spent its token before it is looked
    /// for packages.
    pub async fn problem_with(&self, call: &Call) -> ProblemType {
        let before = self.state().await;
        let answer = self.send(call).await;
        let mut after = self.state().await;
        if matches!(answer.problem(), ProblemType::FriendshipTokenUnknown | ProblemType::NoKeyPackages) {
            let nonce = encode(&call.token().expect("it is paid for").nonce());
            let spent = after.iter().position(|item| item["pk"]["S"] == format!("TOKEN#{nonce}"));
            after.remove(spent.expect("a claim spends its token"));
        }
        assert_eq!(after, before, "{}", answer.text());
        answer.problem()
    }

    /// Lets tokens last, for a test in which more time goes by than they do.
    pub fn prolong_token_key(&self) {
        let mut document: Value = serde_json::from_str(&token_secret().json).expect("JSON");
        document["keys"][0]["not_after"] = self.now().saturating_add(3650 * DAY).seconds().into();
        let text = document.to_string();
        self.cloud.secrets().put(token_secret().logical_id, &text).expect("the secret is replaced");
    }

    /// The keys under which tokens are issued, as they are published.
    pub async fn token_keys(&self) -> TokenKeys {
        let keys: GetQsKeysResponse = self.send(&Call::new::<GetQsKeys>(&(), Vec::new())).await.success();
        assert_eq!(keys.token_challenge.0, self.token_challenge().as_bytes());
        TokenKeys::read(&keys.token_keys).expect("the token keys are good")
    }

    /// A batch to be asked for under the current key. It follows from the seed.
    pub async fn token_batch(&self, seed: u64) -> TokenBatch {
        let key = self.token_keys().await.current(self.now()).expect("a key is current");
        TokenBatch::new(key, &mut StdRng::seed_from_u64(seed))
    }
}

impl Call {
    /// The same request, not signed yet, with a token that pays for it.
    pub fn paid(self) -> Self {
        self.paid_with(&TestCloud::token())
    }

    /// The same request, not signed yet, with this token.
    pub fn paid_with(self, token: &Token) -> Self {
        self.with_header("authorization", &authorization(token))
    }

    /// The token that the request comes with, if it comes with one.
    pub fn token(&self) -> Option<Token> {
        read_authorization(self.headers.get("authorization")?).expect("it is well-formed")
    }
}

/// A batch under the newest of these keys, without a client that takes it.
fn mint(document: IssuerKeysDocument, challenge: &TokenChallenge) -> Vec<Token> {
    let now = TestCloud::common_clock().now();
    let issuer = document.open().expect("the keys are good");
    let batch = TokenBatch::new(issuer.current(now).expect("a key is current"), &mut StdRng::from_entropy());
    let response = issuer.issue(&batch.request(challenge), now).expect("the request is right");
    batch.finish(challenge, &response).expect("the tokens are good")
}

/// The secret of the issuer that test clouds start with, which follows from a seed.
fn token_secret() -> SecretDocumentJson {
    let rng = &mut StdRng::seed_from_u64(TestCloud::KEY_SEED);
    Deployment::generate(domain(), TestCloud::common_clock().now(), rng).token_issuer.secret
}

fn domain() -> Domain {
    "localhost".parse().expect("a domain")
}
