//! `POST /v1/qs/users/{qs_user_id}/clients`: another client of a user, with a queue (`new-device-sequence.md`, row 13).
//!
//! It costs a token. The same request again gets the same answer, and costs none.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::clients::QsClients;
use vestibule_backend::queuing_service::records::NewQsClient;
use vestibule_backend::queuing_service::users::QsUsers;
use vestibule_backend::redemption::Redemption;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{CreateQsClient, CreateQsClientRequest, CreateQsClientResponse};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsCreateClient {
    tag: String,
    clock: Clock,
    users: QsUsers,
    clients: QsClients,
    redemption: Redemption,
}

impl HttpFunction for QsCreateClient {
    type Endpoint = CreateQsClient;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            users: QsUsers::new(environment)?,
            clients: QsClients::new(environment)?,
            redemption: Redemption::new(environment, Service::Queuing, "QS_TABLE").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<CreateQsClient>) -> Result<CreateQsClientResponse, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let qs_user_id = &request.path.qs_user_id;
        let user = self.users.read(qs_user_id).await?;
        user.check_signature(&signature)?;
        let CreateQsClientRequest { client_record, queue } = &request.body;
        let client = NewQsClient::check(client_record, qs_user_id, queue, request.body_hash)?;
        let payment = self.redemption.check(&request, now).await?;
        Ok(CreateQsClientResponse { qs_client_id: self.clients.create(&user, &client, &payment, now).await? })
    }
}
