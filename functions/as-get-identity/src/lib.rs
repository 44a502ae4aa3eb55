//! `GET /v1/as/users/{user_name}/identity`: a user's identity from a place in its history on, for whoever follows it.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::identities::Identities;
use vestibule_backend::{EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{GetIdentity, GetIdentityResponse};
use vestibule_protocol::problem::Problem;

/// The function.
pub struct AsGetIdentity {
    identities: Identities,
}

impl HttpFunction for AsGetIdentity {
    type Endpoint = GetIdentity;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { identities: Identities::new(environment)? })
    }

    async fn handle(&self, request: EndpointRequest<GetIdentity>) -> Result<GetIdentityResponse, Problem> {
        self.identities.history(&request.path.user_name, request.path.from).await
    }
}
