//! `DELETE /v1/as/users/{user_name}`: deletes the user with all clients. The name stays taken.
//!
//! The same request again completes what may be left to do, and gets the same answer: its hash is kept, for there is no
//! client left whose signature could be checked.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::client_set::{ClientSet, ClientSets};
use vestibule_backend::authentication_service::clients::ClientRecord;
use vestibule_backend::authentication_service::logins::VerifiedLogin;
use vestibule_backend::authentication_service::user_deletion::UserDeletions;
use vestibule_backend::secret::{SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{DeleteUser, NoBody};
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::Timestamp;

/// The function.
pub struct AsDeleteUser {
    tag: String,
    clock: Clock,
    clients: ClientSets,
    deletions: UserDeletions,
    sealing: Secret<SealingAsDocument>,
}

impl HttpFunction for AsDeleteUser {
    type Endpoint = DeleteUser;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: ClientSets::new(environment)?,
            deletions: UserDeletions::new(environment)?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<DeleteUser>) -> Result<NoBody, Problem> {
        let now = self.clock.now();
        let user_name = &request.path.user_name;
        let signature = request.signature(&self.tag, now)?;
        let clients = self.clients.read(user_name, now).await?;
        match clients.signer(&signature) {
            Ok(signer) => self.delete(&request, &clients, signer, now).await?,
            Err(problem) if problem.problem_type == ProblemType::ClientUnknown => {
                if !self.deletions.is_deleted_by(user_name, &request.body_hash).await? {
                    return Err(problem);
                }
            }
            Err(problem) => return Err(problem),
        }
        self.deletions.clean_up(user_name).await?;
        Ok(NoBody {})
    }
}

impl AsDeleteUser {
    async fn delete(
        &self,
        request: &EndpointRequest<DeleteUser>,
        clients: &ClientSet,
        signer: &ClientRecord,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let proof = &request.body.login;
        let sealing = self.sealing.current().await;
        let operation = LoginOperation::DeleteUser {};
        let login = VerifiedLogin::check(proof, &signer.client_id, &operation, &sealing.sealing_keys, now)?;
        self.deletions.delete(clients, &login, &request.body_hash, now).await
    }
}
