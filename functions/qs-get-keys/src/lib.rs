//! `GET /v1/qs/keys`: the keys of the queuing service (`user-creation.md`, "Initiate AS registration").
#![deny(missing_docs)]

use vestibule_backend::queuing_service::public_keys::PublicKeys;
use vestibule_backend::{EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{GetQsKeys, GetQsKeysResponse};
use vestibule_protocol::problem::Problem;

/// The function.
pub struct QsGetKeys {
    keys: PublicKeys,
}

impl HttpFunction for QsGetKeys {
    type Endpoint = GetQsKeys;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { keys: PublicKeys::new(environment)? })
    }

    async fn handle(&self, _: EndpointRequest<GetQsKeys>) -> Result<GetQsKeysResponse, Problem> {
        self.keys.read().await
    }
}
