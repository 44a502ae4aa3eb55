//! `POST /v1/rendezvous/{code}/join`: lets an existing device join a new one, which nobody can do after it
//! (`new-device-sequence.md`, row 1).
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::authentication_service::clients::Clients;
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::rendezvous_service::{Joined, Meetings};
use vestibule_backend::secret::{SealingRsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{JoinRendezvous, JoinRendezvousResponse};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct RsJoin {
    domain: Domain,
    tag: String,
    clock: Clock,
    clients: Clients,
    meetings: Meetings,
    relay_url: String,
    sealing: Secret<SealingRsDocument>,
    rate_limiter: RateLimiter,
    limit: Limit,
}

impl HttpFunction for RsJoin {
    type Endpoint = JoinRendezvous;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let domain = environment.domain()?;
        Ok(Self {
            tag: Service::Rendezvous.tag(&domain),
            domain,
            clock: environment.clock().clone(),
            clients: Clients::new(environment)?,
            meetings: Meetings::new(environment)?,
            relay_url: environment.variable("RELAY_URL")?.to_owned(),
            sealing: Secret::read(environment, "SEALING_RS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "RS_TABLE")?,
            limit: Limit {
                name: "joins per client and hour",
                allowed: environment.positive_number("JOINS_PER_CLIENT_AND_HOUR")?,
                window: Duration::from_secs(60 * 60),
            },
        })
    }

    async fn handle(&self, request: EndpointRequest<JoinRendezvous>) -> Result<JoinRendezvousResponse, Problem> {
        let now = self.clock.now();
        let client_id = &request.body.client_id;
        if *client_id.user_name.domain() != self.domain {
            let detail = format!("user names here end in @{}", self.domain);
            return Err(Problem::new(ProblemType::ForeignDomain, detail));
        }
        self.clients.authenticate(&request, client_id, &self.tag, now).await?;
        // Before the code is looked up: a guess that misses counts like one that hits.
        let bucket_key = self.sealing.current().await;
        self.rate_limiter.count(&bucket_key, &self.limit, client_id.to_string().as_bytes(), now).await?;
        let joined = self.meetings.join(request.path.code, &request.body.ticket.hash(), now).await?;
        let Joined { mailbox_id, ends_at } = joined;
        Ok(JoinRendezvousResponse { mailbox_id, relay_url: self.relay_url.clone(), expires_at: ends_at })
    }
}
