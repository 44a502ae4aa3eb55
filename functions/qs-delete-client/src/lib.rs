//! `DELETE /v1/qs/clients/{qs_client_id}`: the end of a client with its queue, and of the user with the last client.
//!
//! The same request again gets the same answer.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::clients::QsClients;
use vestibule_backend::queuing_service::users::QsUsers;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{DeleteQsClient, NoBody};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsDeleteClient {
    tag: String,
    clock: Clock,
    users: QsUsers,
    clients: QsClients,
}

impl HttpFunction for QsDeleteClient {
    type Endpoint = DeleteQsClient;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            users: QsUsers::new(environment)?,
            clients: QsClients::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<DeleteQsClient>) -> Result<NoBody, Problem> {
        let signature = request.signature(&self.tag, self.clock.now())?;
        let id = &request.path.qs_client_id;
        let client = self.clients.read(id).await?;
        let user = self.users.read(client.qs_user_id()).await?;
        user.check_signature(&signature)?;
        // Both were read one after the other, and with the user all clients go.
        if !client.is_deleted() && !user.is_deleted() {
            self.clients.delete(&user, id).await?;
        }
        Ok(NoBody {})
    }
}
