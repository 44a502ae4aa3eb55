//! `GET /v1/qs/clients/{qs_client_id}/key-packages`: a client's own supply of KeyPackages.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::key_packages::KeyPackages;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError, signature_problem};
use vestibule_protocol::endpoint::{GetKeyPackages, GetKeyPackagesResponse};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsGetKeyPackages {
    tag: String,
    clock: Clock,
    key_packages: KeyPackages,
}

impl HttpFunction for QsGetKeyPackages {
    type Endpoint = GetKeyPackages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            key_packages: KeyPackages::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<GetKeyPackages>) -> Result<GetKeyPackagesResponse, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let client = self.key_packages.client(&request.path.qs_client_id, now).await?;
        signature.verify(&client.verifying_key).map_err(signature_problem)?;
        Ok(client.supply())
    }
}
