//! `POST /v1/rendezvous`: gives a new device a rendezvous code and a mailbox (`new-device-sequence.md`, row 1).
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::rendezvous_service::{Created, Meetings};
use vestibule_backend::secret::{SealingRsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{CreateRendezvous, CreateRendezvousResponse};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::randomness::Randomness;

/// The function.
pub struct RsCreate {
    clock: Clock,
    randomness: Randomness,
    meetings: Meetings,
    relay_url: String,
    sealing: Secret<SealingRsDocument>,
    rate_limiter: RateLimiter,
    limit: Limit,
}

impl HttpFunction for RsCreate {
    type Endpoint = CreateRendezvous;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            clock: environment.clock().clone(),
            randomness: environment.randomness().clone(),
            meetings: Meetings::new(environment)?,
            relay_url: environment.variable("RELAY_URL")?.to_owned(),
            sealing: Secret::read(environment, "SEALING_RS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "RS_TABLE")?,
            limit: Limit {
                name: "rendezvous per source and hour",
                allowed: environment.positive_number("RENDEZVOUS_PER_SOURCE_AND_HOUR")?,
                window: Duration::from_secs(60 * 60),
            },
        })
    }

    async fn handle(&self, request: EndpointRequest<CreateRendezvous>) -> Result<CreateRendezvousResponse, Problem> {
        let now = self.clock.now();
        let bucket_key = self.sealing.current().await;
        self.rate_limiter.count(&bucket_key, &self.limit, &request.source.prefix(), now).await?;
        let ticket_hash = request.body.ticket.hash();
        let created = self.meetings.create(&ticket_hash, now, &mut self.randomness.clone()).await?;
        let Created { code, mailbox_id, ends_at } = created;
        Ok(CreateRendezvousResponse { code, mailbox_id, relay_url: self.relay_url.clone(), expires_at: ends_at })
    }
}
