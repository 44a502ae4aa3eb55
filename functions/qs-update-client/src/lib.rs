//! `PUT /v1/qs/clients/{qs_client_id}`: another key for a client's record, and with what the client is woken up.
//!
//! The same request again gets the same answer, from the key that it replaced.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::clients::QsClients;
use vestibule_backend::queuing_service::records::record_invalid;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{NoBody, UpdateQsClient, UpdateQsClientRequest};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::push_token::ENCRYPTED_PUSH_TOKEN_LENGTH;
use vestibule_protocol::queuing::QsClientRekey;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsUpdateClient {
    tag: String,
    clock: Clock,
    clients: QsClients,
}

impl HttpFunction for QsUpdateClient {
    type Endpoint = UpdateQsClient;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: QsClients::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<UpdateQsClient>) -> Result<NoBody, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let client = self.clients.read(&request.path.qs_client_id).await?;
        let UpdateQsClientRequest { version, rekey, encrypted_push_token } = &request.body;
        if client.is_updated(&signature, *version, &request.body_hash)? {
            return Ok(NoBody {});
        }

        let rekey = QsClientRekey::verify_self_signed(&rekey.0)
            .map_err(|error| record_invalid(format_args!("rekey: {error}")))?;
        if rekey.payload().qs_client_id != request.path.qs_client_id {
            return Err(record_invalid("rekey: it is for another client"));
        }
        if encrypted_push_token.as_ref().is_some_and(|token| token.0.len() != ENCRYPTED_PUSH_TOKEN_LENGTH) {
            let detail = format!("encrypted_push_token has {ENCRYPTED_PUSH_TOKEN_LENGTH} bytes, or is null");
            return Err(Problem::new(ProblemType::PushTokenInvalid, detail));
        }
        let verifying_key = &rekey.payload().verifying_key;
        self.clients.update(&client, verifying_key, &request.body, &request.body_hash, now).await?;
        Ok(NoBody {})
    }
}
