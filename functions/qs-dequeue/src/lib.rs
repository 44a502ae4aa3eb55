//! `GET /v1/qs/clients/{qs_client_id}/messages?from=N`: the messages that wait for a client, from a number on. Those before
//! it are acknowledged and deleted.
#![deny(missing_docs)]

use vestibule_backend::queues::{QueueName, Queues};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError, signature_problem};
use vestibule_protocol::endpoint::{DequeueQsMessages, DequeueResponse};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsDequeue {
    tag: String,
    clock: Clock,
    queues: Queues,
}

impl HttpFunction for QsDequeue {
    type Endpoint = DequeueQsMessages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            queues: Queues::new(environment, "QS_QUEUE_TABLE")?,
        })
    }

    async fn handle(&self, request: EndpointRequest<DequeueQsMessages>) -> Result<DequeueResponse, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let name = QueueName::of_qs_client(&request.path.qs_client_id);
        let queue = self.queues.read(&name, now).await?;
        signature.verify(queue.owner_key()?).map_err(signature_problem)?;
        self.queues.dequeue(&name, &queue, request.path.from, now).await
    }
}
