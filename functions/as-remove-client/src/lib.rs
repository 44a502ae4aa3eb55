//! `DELETE /v1/as/users/{user_name}/clients/{client_uuid}`: removes a client of the user, or withdraws one that is
//! unconfirmed.
//!
//! What is removed stays removed, so the same request again is answered the same; but for that of a client which withdrew
//! itself, and is unknown then.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::client_changes::ClientRemovals;
use vestibule_backend::authentication_service::client_set::ClientSets;
use vestibule_backend::authentication_service::clients::{ClientRecord, ClientState, client_unconfirmed};
use vestibule_backend::authentication_service::logins::VerifiedLogin;
use vestibule_backend::secret::{SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{NoBody, RemoveClient};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::Timestamp;

/// The function.
pub struct AsRemoveClient {
    tag: String,
    clock: Clock,
    clients: ClientSets,
    removals: ClientRemovals,
    sealing: Secret<SealingAsDocument>,
}

impl HttpFunction for AsRemoveClient {
    type Endpoint = RemoveClient;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: ClientSets::new(environment)?,
            removals: ClientRemovals::new(environment)?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<RemoveClient>) -> Result<NoBody, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let clients = self.clients.read(&request.path.user_name, now).await?;
        let signer = clients.signer_confirmed_or_not(&signature)?;
        let is_itself = signer.client_id.uuid == request.path.client_uuid;
        if !signer.is_confirmed() && !is_itself {
            return Err(client_unconfirmed());
        }
        match clients.get(&request.path.client_uuid) {
            Some(ClientState::Live(record)) if !record.is_confirmed() => {
                self.removals.withdraw(&clients, record, now).await?;
            }
            Some(ClientState::Live(_)) if is_itself => {
                let detail = "ask another client of the user to remove this one";
                return Err(Problem::new(ProblemType::ClientRemovesItself, detail));
            }
            Some(ClientState::Live(record)) => {
                let login = self.login(signer, record, request.body.login.as_ref(), now).await?;
                self.removals.remove(&clients, record, &login, now).await?;
            }
            Some(ClientState::Removed) => {}
            Some(ClientState::Lapsed(_)) | None => {
                let detail = "the user has no client with the UUID in the path";
                return Err(Problem::new(ProblemType::ClientNotFound, detail));
            }
        }
        Ok(NoBody {})
    }
}

impl AsRemoveClient {
    /// The login by which `signer` may remove `record`.
    async fn login(
        &self,
        signer: &ClientRecord,
        record: &ClientRecord,
        proof: Option<&LoginProof>,
        now: Timestamp,
    ) -> Result<VerifiedLogin, Problem> {
        let missing = || Problem::new(ProblemType::LoginMissing, "log in to remove this client: it is confirmed");
        let proof = proof.ok_or_else(missing)?;
        let operation = LoginOperation::RemoveClient { client_uuid: record.client_id.uuid };
        let sealing = self.sealing.current().await;
        VerifiedLogin::check(proof, &signer.client_id, &operation, &sealing.sealing_keys, now)
    }
}
