//! `GET /v1/as/users/{user_name}/clients/{client_uuid}/messages?from=N`: what strangers have sent a client, from a number
//! on. What is before it is acknowledged and deleted.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::clients::Clients;
use vestibule_backend::queues::{QueueName, Queues};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{DequeueMessages, DequeueResponse};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct AsDequeue {
    tag: String,
    clock: Clock,
    clients: Clients,
    queues: Queues,
}

impl HttpFunction for AsDequeue {
    type Endpoint = DequeueMessages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: Clients::new(environment)?,
            queues: Queues::new(environment, "AS_QUEUE_TABLE")?,
        })
    }

    async fn handle(&self, request: EndpointRequest<DequeueMessages>) -> Result<DequeueResponse, Problem> {
        let now = self.clock.now();
        let client_id = &request.path.client_id;
        self.clients.authenticate(&request, client_id, &self.tag, now).await?;
        let name = QueueName::of_client(client_id);
        let queue = self.queues.read(&name, now).await?;
        self.queues.dequeue(&name, &queue, request.path.from, now).await
    }
}
