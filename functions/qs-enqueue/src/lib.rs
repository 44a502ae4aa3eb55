//! `POST /v1/qs/messages`: a message for the owner of a leaf, into the queue that the leaf's queue config leads to.
//!
//! It costs a token. The same request again puts the message there no second time, and costs none. A client that listens is
//! told that there is something.
#![deny(missing_docs)]

use vestibule_backend::queues::{Listeners, QueueName, Queues};
use vestibule_backend::redemption::Redemption;
use vestibule_backend::secret::{QsDocument, Secret};
use vestibule_backend::websocket::Connections;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{EnqueueQsMessage, EnqueueQsMessageRequest, NoBody};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue_config::open_queue_config;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsEnqueue {
    clock: Clock,
    queues: Queues,
    listeners: Listeners,
    connections: Connections,
    redemption: Redemption,
    keys: Secret<QsDocument>,
}

impl HttpFunction for QsEnqueue {
    type Endpoint = EnqueueQsMessage;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            clock: environment.clock().clone(),
            queues: Queues::new(environment, "QS_QUEUE_TABLE")?,
            listeners: Listeners::new(environment)?,
            connections: Connections::new(environment, "QS_CONNECTIONS_URL")?,
            redemption: Redemption::new(environment, Service::Queuing, "QS_TABLE").await?,
            keys: Secret::read(environment, "QS_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<EnqueueQsMessage>) -> Result<NoBody, Problem> {
        let now = self.clock.now();
        let EnqueueQsMessageRequest { queue_config, message } = &request.body;
        let keys = self.keys.current().await;
        let queue_config = open_queue_config(&queue_config.0, &keys.queue_config_key).ok_or_else(invalid)?;
        let payment = self.redemption.check(&request, now).await?;
        let name = QueueName::of_qs_client(&queue_config.claim().qs_client_id);
        let queue = self.queues.read(&name, now).await?;
        // Without the owner's signature, whoever guessed the id of a client could write to it.
        if !queue.config_keys().any(|key| queue_config.clone().verify(key).is_ok()) {
            return Err(invalid());
        }
        let payment = Some(&payment);
        let listener = self.queues.enqueue(&name, queue, &message.0, &request.body_hash, payment, now).await?;
        if let Some(listener) = listener {
            self.listeners.tell(&name, &self.connections, &listener, now).await;
        }
        Ok(NoBody {})
    }
}

fn invalid() -> Problem {
    let detail = "take the queue config of the leaf as it is now; it is for this deployment alone";
    Problem::new(ProblemType::QueueConfigInvalid, detail)
}
