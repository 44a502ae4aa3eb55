//! `PUT /v1/as/users/{user_name}/clients/{client_uuid}/connection-packages`: new connection packages of the client that
//! signs, in the place of those that it has. With its first comes its direct queue.
//!
//! The same request again gets the same answer, as long as the client has not published others since.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::clients::{ClientRecord, Clients};
use vestibule_backend::authentication_service::connection_publications::{
    ConnectionPublication, ConnectionPublications, check_connection_packages, check_queue_keys,
    connection_packages_outdated,
};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{NoBody, PublishConnectionPackages, PublishConnectionPackagesRequest};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::Timestamp;

/// The function.
pub struct AsPublishConnectionPackages {
    tag: String,
    clock: Clock,
    clients: Clients,
    publications: ConnectionPublications,
}

impl HttpFunction for AsPublishConnectionPackages {
    type Endpoint = PublishConnectionPackages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: Clients::new(environment)?,
            publications: ConnectionPublications::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<PublishConnectionPackages>) -> Result<NoBody, Problem> {
        let now = self.clock.now();
        let record = self.clients.authenticate(&request, &request.path.client_id(), &self.tag, now).await?;
        if !record.has_published_by(&request.body_hash) {
            let publication = check(request.body, request.body_hash, &record, now)?;
            self.publications.publish(&record, &publication, now).await?;
        }
        Ok(NoBody {})
    }
}

fn check(
    body: PublishConnectionPackagesRequest,
    request_hash: [u8; 32],
    record: &ClientRecord,
    now: Timestamp,
) -> Result<ConnectionPublication, Problem> {
    let PublishConnectionPackagesRequest { first_index, connection_packages, queue } = body;
    if queue.is_some() != (first_index == 0) {
        let detail = "queue belongs to a request whose first_index is 0, and to no other";
        return Err(Problem::new(ProblemType::QueueMisplaced, detail));
    }
    if first_index != record.next_connection_package() {
        return Err(connection_packages_outdated());
    }
    Ok(ConnectionPublication {
        packages: check_connection_packages(&connection_packages, &record.payload, now)?,
        queue: queue.map(check_queue_keys).transpose()?,
        request_hash,
    })
}
