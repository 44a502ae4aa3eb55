//! `POST /v1/as/users/{user_name}/connection-packages/claim`: a connection package of each of a user's clients, for whoever
//! wants to make contact.
//!
//! Every package is handed out once, but for the last one of a client, which stays. The same request again takes other
//! packages.
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::authentication_service::client_set::ClientSets;
use vestibule_backend::authentication_service::connection_packages::ConnectionPackages;
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::secret::{SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{ClaimConnectionPackages, ClaimConnectionPackagesResponse};
use vestibule_protocol::problem::{Problem, ProblemType};

/// The function.
pub struct AsClaimConnectionPackage {
    clock: Clock,
    clients: ClientSets,
    connection_packages: ConnectionPackages,
    sealing: Secret<SealingAsDocument>,
    rate_limiter: RateLimiter,
    limit_per_source: Limit,
    limit_per_name: Limit,
}

impl HttpFunction for AsClaimConnectionPackage {
    type Endpoint = ClaimConnectionPackages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let window = Duration::from_secs(60 * 60);
        Ok(Self {
            clock: environment.clock().clone(),
            clients: ClientSets::new(environment)?,
            connection_packages: ConnectionPackages::new(environment)?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "AS_TABLE")?,
            limit_per_source: Limit {
                name: "connection packages per source and hour",
                allowed: environment.positive_number("CONNECTION_PACKAGES_PER_SOURCE_AND_HOUR")?,
                window,
            },
            limit_per_name: Limit {
                name: "connection packages per name and hour",
                allowed: environment.positive_number("CONNECTION_PACKAGES_PER_NAME_AND_HOUR")?,
                window,
            },
        })
    }

    async fn handle(
        &self,
        request: EndpointRequest<ClaimConnectionPackages>,
    ) -> Result<ClaimConnectionPackagesResponse, Problem> {
        let now = self.clock.now();
        let user_name = &request.path.user_name;
        let bucket_key = &self.sealing.current().await.bucket_key;
        self.rate_limiter.count(bucket_key, &self.limit_per_source, &request.source.prefix(), now).await?;
        self.rate_limiter.count(bucket_key, &self.limit_per_name, user_name.as_str().as_bytes(), now).await?;

        let mut connection_packages = Vec::new();
        for client in self.clients.read(user_name, now).await?.live() {
            connection_packages.extend(self.connection_packages.claim(client, now).await?);
        }
        if connection_packages.is_empty() {
            let detail = "there is no such user, or none of the user's clients has one that is valid now";
            return Err(Problem::new(ProblemType::NoConnectionPackages, detail));
        }
        Ok(ClaimConnectionPackagesResponse { connection_packages })
    }
}
