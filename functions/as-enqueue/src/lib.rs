//! `POST /v1/as/users/{user_name}/messages`: a message of a stranger, who wants to make contact, into the direct queue of a
//! user's client.
//!
//! The same request again puts it there no second time.
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::queues::{QueueName, Queues};
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::secret::{SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{EnqueueMessage, EnqueueMessageRequest, NoBody};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::Problem;

/// The function.
pub struct AsEnqueue {
    clock: Clock,
    queues: Queues,
    sealing: Secret<SealingAsDocument>,
    rate_limiter: RateLimiter,
    limit: Limit,
}

impl HttpFunction for AsEnqueue {
    type Endpoint = EnqueueMessage;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            clock: environment.clock().clone(),
            queues: Queues::new(environment, "AS_QUEUE_TABLE")?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "AS_TABLE")?,
            limit: Limit {
                name: "direct messages per source and hour",
                allowed: environment.positive_number("DIRECT_MESSAGES_PER_SOURCE_AND_HOUR")?,
                window: Duration::from_secs(60 * 60),
            },
        })
    }

    async fn handle(&self, request: EndpointRequest<EnqueueMessage>) -> Result<NoBody, Problem> {
        let now = self.clock.now();
        let bucket_key = &self.sealing.current().await.bucket_key;
        self.rate_limiter.count(bucket_key, &self.limit, &request.source.prefix(), now).await?;
        let EnqueueMessageRequest { client_uuid, message } = &request.body;
        let client_id = ClientId { user_name: request.path.user_name, uuid: *client_uuid };
        let name = QueueName::of_client(&client_id);
        let queue = self.queues.read(&name, now).await?;
        self.queues.enqueue(&name, queue, &message.0, &request.body_hash, None, now).await?;
        Ok(NoBody {})
    }
}
