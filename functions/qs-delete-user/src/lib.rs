//! `DELETE /v1/qs/users/{qs_user_id}`: the end of a user with all clients and their queues.
//!
//! The same request again gets the same answer.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::users::QsUsers;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{DeleteQsUser, NoBody};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsDeleteUser {
    tag: String,
    clock: Clock,
    users: QsUsers,
    queue_table: String,
}

impl HttpFunction for QsDeleteUser {
    type Endpoint = DeleteQsUser;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            users: QsUsers::new(environment)?,
            queue_table: environment.variable("QS_QUEUE_TABLE")?.to_owned(),
        })
    }

    async fn handle(&self, request: EndpointRequest<DeleteQsUser>) -> Result<NoBody, Problem> {
        let signature = request.signature(&self.tag, self.clock.now())?;
        let user = self.users.read(&request.path.qs_user_id).await?;
        user.check_signature(&signature)?;
        if !user.is_deleted() {
            self.users.delete(&self.queue_table, &user).await?;
        }
        Ok(NoBody {})
    }
}
