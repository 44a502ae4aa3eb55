//! `GET /v1/as/credentials`: the credentials of the authentication service (`user-creation.md`, "Initiate AS
//! registration").
#![deny(missing_docs)]

use vestibule_backend::authentication_service::public_credentials::PublicCredentials;
use vestibule_backend::{EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{GetCredentials, GetCredentialsResponse};
use vestibule_protocol::problem::Problem;

/// The function.
pub struct AsGetCredentials {
    credentials: PublicCredentials,
}

impl HttpFunction for AsGetCredentials {
    type Endpoint = GetCredentials;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { credentials: PublicCredentials::new(environment)? })
    }

    async fn handle(&self, _: EndpointRequest<GetCredentials>) -> Result<GetCredentialsResponse, Problem> {
        self.credentials.read().await
    }
}
