//! `GET /v1/qs/users/{qs_user_id}`: a user's own record.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::users::QsUsers;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{GetQsUser, GetQsUserResponse};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsGetUser {
    tag: String,
    clock: Clock,
    users: QsUsers,
}

impl HttpFunction for QsGetUser {
    type Endpoint = GetQsUser;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            users: QsUsers::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<GetQsUser>) -> Result<GetQsUserResponse, Problem> {
        let signature = request.signature(&self.tag, self.clock.now())?;
        let user = self.users.read(&request.path.qs_user_id).await?;
        user.check_signature(&signature)?;
        user.description()
    }
}
