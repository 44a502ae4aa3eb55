//! `POST /v1/qs/key-packages/claim`: one KeyPackage of each of a user's clients, for whoever has the friendship token.
//!
//! Every package is handed out once, the last-resort ones apart. A claim costs a token, found or not: the same request again
//! takes other packages, and needs another token.
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::queuing_service::key_packages::KeyPackages;
use vestibule_backend::queuing_service::records::QsRecords;
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::redemption::Redemption;
use vestibule_backend::secret::{QsDocument, SealingQsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{ClaimKeyPackages, ClaimKeyPackagesRequest, ClaimKeyPackagesResponse};
use vestibule_protocol::limits::CLAIM_NONCE_LENGTHS;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::ClaimAnswer;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsClaimKeyPackages {
    clock: Clock,
    records: QsRecords,
    key_packages: KeyPackages,
    redemption: Redemption,
    signing: Secret<QsDocument>,
    sealing: Secret<SealingQsDocument>,
    rate_limiter: RateLimiter,
    limit_per_source: Limit,
    limit_per_friendship_token: Limit,
}

impl HttpFunction for QsClaimKeyPackages {
    type Endpoint = ClaimKeyPackages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let window = Duration::from_secs(60 * 60);
        Ok(Self {
            clock: environment.clock().clone(),
            records: QsRecords::new(environment)?,
            key_packages: KeyPackages::new(environment)?,
            redemption: Redemption::new(environment, Service::Queuing, "QS_TABLE").await?,
            signing: Secret::read(environment, "QS_SECRET").await?,
            sealing: Secret::read(environment, "SEALING_QS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "QS_TABLE")?,
            limit_per_source: Limit {
                name: "claims per source and hour",
                allowed: environment.positive_number("CLAIMS_PER_SOURCE_AND_HOUR")?,
                window,
            },
            limit_per_friendship_token: Limit {
                name: "claims per friendship token and hour",
                allowed: environment.positive_number("CLAIMS_PER_FRIENDSHIP_TOKEN_AND_HOUR")?,
                window,
            },
        })
    }

    async fn handle(&self, request: EndpointRequest<ClaimKeyPackages>) -> Result<ClaimKeyPackagesResponse, Problem> {
        let now = self.clock.now();
        let ClaimKeyPackagesRequest { friendship_token, nonce } = &request.body;
        if !CLAIM_NONCE_LENGTHS.contains(&nonce.0.len()) {
            return Err(Problem::new(ProblemType::InvalidField, "nonce has 16 to 32 random bytes"));
        }
        let payment = self.redemption.check(&request, now).await?;
        let friendship = friendship_token.hash();
        // Misses count like hits: nobody is to try tokens.
        let bucket_key = self.sealing.current().await;
        self.rate_limiter.count(&bucket_key, &self.limit_per_source, &request.source.prefix(), now).await?;
        self.rate_limiter.count(&bucket_key, &self.limit_per_friendship_token, friendship.as_bytes(), now).await?;
        // Packages are taken one by one, and none is given back: whatever comes of it, a claim costs a token.
        self.redemption.spend(&payment).await?;

        let mut add_packages = Vec::new();
        for client in self.records.clients_of_friend(&friendship).await? {
            add_packages.extend(self.key_packages.claim(&client, now).await?);
        }
        if add_packages.is_empty() {
            let detail = "the user has published none that is valid now; try again when a client of theirs was online";
            return Err(Problem::new(ProblemType::NoKeyPackages, detail));
        }
        let signing_key = &self.signing.current().await.signing_key;
        let claim_answer = ClaimAnswer::issue(request.body_hash, &add_packages, signing_key).to_bytes();
        Ok(ClaimKeyPackagesResponse { add_packages, claim_answer })
    }
}
