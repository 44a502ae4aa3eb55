//! `POST /v1/qs/users`: a pseudonymous user with a first client and its queue (`user-creation.md`, "QS registration").
//!
//! It costs a token. The same request again gets the same answer, and costs none.
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::queuing_service::records::{NewQsClient, NewQsUser, QsRecords, record_invalid};
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::redemption::Redemption;
use vestibule_backend::secret::{SealingQsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError, signature_problem};
use vestibule_protocol::endpoint::{CreateQsUser, CreateQsUserRequest, CreateQsUserResponse};
use vestibule_protocol::friendship::FriendshipTokenHash;
use vestibule_protocol::keys::{QsUserRecordKey, VerifyingKey};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::queuing::QsUserId;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsCreateUser {
    tag: String,
    clock: Clock,
    records: QsRecords,
    queue_table: String,
    redemption: Redemption,
    sealing: Secret<SealingQsDocument>,
    rate_limiter: RateLimiter,
    limit: Limit,
}

impl HttpFunction for QsCreateUser {
    type Endpoint = CreateQsUser;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            records: QsRecords::new(environment)?,
            queue_table: environment.variable("QS_QUEUE_TABLE")?.to_owned(),
            redemption: Redemption::new(environment, Service::Queuing, "QS_TABLE").await?,
            sealing: Secret::read(environment, "SEALING_QS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "QS_TABLE")?,
            limit: Limit {
                name: "QS users per source and hour",
                allowed: environment.positive_number("QS_USERS_PER_SOURCE_AND_HOUR")?,
                window: Duration::from_secs(60 * 60),
            },
        })
    }

    async fn handle(&self, request: EndpointRequest<CreateQsUser>) -> Result<CreateQsUserResponse, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let CreateQsUserRequest { user_record_verifying_key, client_record, friendship_token_hash, queue } =
            &request.body;
        let verifying_key = VerifyingKey::<QsUserRecordKey>::from_bytes(&user_record_verifying_key.0)
            .ok_or_else(|| record_invalid("user_record_verifying_key is an Ed25519 public key of 32 bytes"))?;
        signature.verify(&verifying_key).map_err(signature_problem)?;

        let user = NewQsUser {
            verifying_key,
            client: NewQsClient::check(client_record, &QsUserId::of(&verifying_key), queue, request.body_hash)?,
            friendship_token_hash: FriendshipTokenHash::from_bytes(&friendship_token_hash.0)
                .ok_or_else(|| record_invalid("friendship_token_hash is a hash of 32 bytes"))?,
        };
        let payment = self.redemption.check(&request, now).await?;
        let bucket_key = self.sealing.current().await;
        self.rate_limiter.count(&bucket_key, &self.limit, &request.source.prefix(), now).await?;
        self.records.create(&self.queue_table, &user, &payment, now).await
    }
}
