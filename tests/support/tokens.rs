//! A client that takes tokens, request by request.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    GetQsKeys, GetQsKeysResponse, IssueTokens, IssueTokensRequest, IssueTokensResponse,
};
use vestibule_protocol::request_signature::Service;
use vestibule_tokens::{Token, TokenBatch, TokenChallenge, TokenKeys};

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
