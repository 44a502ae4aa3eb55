//! `PUT /v1/as/users/{user_name}/identity/generations/{generation}`: starts the next generation of the user's identity, with
//! the client that asks alone.
//!
//! The same request again gets the same answer, whatever came after.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::client_set::ClientSets;
use vestibule_backend::authentication_service::clients::ClientRecord;
use vestibule_backend::authentication_service::identities::{
    Identities, IdentityState, NextState, answer, identity_superseded, identity_unknown,
};
use vestibule_backend::authentication_service::logins::VerifiedLogin;
use vestibule_backend::dynamodb::corrupt_item;
use vestibule_backend::secret::{SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_identity::Follower;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CommitIdentityResponse, IdentityPosition, ResetIdentity, ResetIdentityPath};
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct AsResetIdentity {
    tag: String,
    clock: Clock,
    clients: ClientSets,
    identities: Identities,
    sealing: Secret<SealingAsDocument>,
}

impl HttpFunction for AsResetIdentity {
    type Endpoint = ResetIdentity;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: ClientSets::new(environment)?,
            identities: Identities::new(environment)?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<ResetIdentity>) -> Result<CommitIdentityResponse, Problem> {
        let now = self.clock.now();
        let ResetIdentityPath { user_name, generation } = &request.path;
        let position = IdentityPosition { generation: *generation, epoch: 0 };
        let signature = request.signature(&self.tag, now)?;
        let clients = self.clients.read(user_name, now).await?;
        let signer = clients.signer(&signature)?;
        let state = self.identities.read(user_name).await?.ok_or_else(identity_unknown)?;
        if state.position.generation.checked_add(1) != Some(*generation) {
            let is_done = self.identities.is_reached_by(user_name, position, &request.body_hash).await?;
            return if is_done { Ok(answer(position)) } else { Err(identity_superseded()) };
        }

        let operation = LoginOperation::ResetIdentity { generation: *generation };
        let sealing = self.sealing.current().await;
        let proof = &request.body.login;
        let login = VerifiedLogin::check(proof, &signer.client_id, &operation, &sealing.sealing_keys, now)?;
        let group_info = &request.body.group_info;
        let follower = begin(&request.path, &state, group_info, signer)?;
        let next = NextState { position, follower: follower.to_bytes(), group_info, request_hash: request.body_hash };
        self.identities.reset(&clients, &state, &next, &login).await
    }
}

/// The generation that begins with a GroupInfo, if its only member is the client that asks, with its current credential.
fn begin(
    path: &ResetIdentityPath,
    state: &IdentityState,
    group_info: &Bytes,
    signer: &ClientRecord,
) -> Result<Follower, Problem> {
    let previous = Follower::from_bytes(&state.follower).ok_or_else(|| corrupt_item("an identity"))?;
    let follower = Follower::start(&path.user_name, path.generation, &group_info.0, Some(&previous))
        .map_err(|error| Problem::new(ProblemType::GroupInfoRefused, error))?;
    let is_signers = follower
        .members()
        .iter()
        .all(|member| member.client_id == signer.client_id && member.client_credential == signer.client_credential);
    if !is_signers {
        let detail = "the group's only member must be the client that signs the request, with its current credential";
        return Err(Problem::new(ProblemType::GroupInfoRefused, detail));
    }
    Ok(follower)
}
