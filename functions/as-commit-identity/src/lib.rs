//! `POST /v1/as/users/{user_name}/identity`: starts the user's identity, or changes it by a commit.
//!
//! Of two commits in one epoch one is accepted. The same request again gets the same answer, whatever came after.
#![deny(missing_docs)]

mod rules;

use vestibule_backend::authentication_service::client_set::{ClientSet, ClientSets};
use vestibule_backend::authentication_service::clients::{ClientRecord, client_unconfirmed};
use vestibule_backend::authentication_service::identities::{
    AcceptedCommit, Identities, IdentityState, NextState, answer, identity_superseded, identity_unknown,
};
use vestibule_backend::dynamodb::corrupt_item;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_identity::{Follower, IdentityError};
use vestibule_protocol::endpoint::{CommitIdentity, CommitIdentityResponse, IdentityPosition};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::Timestamp;
use vestibule_protocol::user_secrets::ENCRYPTED_USER_SECRETS_LENGTH;

/// How an identity begins.
const BEGINNING: IdentityPosition = IdentityPosition { generation: 1, epoch: 0 };

/// The function.
pub struct AsCommitIdentity {
    tag: String,
    clock: Clock,
    clients: ClientSets,
    identities: Identities,
}

impl HttpFunction for AsCommitIdentity {
    type Endpoint = CommitIdentity;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: ClientSets::new(environment)?,
            identities: Identities::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<CommitIdentity>) -> Result<CommitIdentityResponse, Problem> {
        let now = self.clock.now();
        let user_name = &request.path.user_name;
        let signature = request.signature(&self.tag, now)?;
        let clients = self.clients.read(user_name, now).await?;
        let signer = clients.signer_confirmed_or_not(&signature)?;
        let position = IdentityPosition { generation: request.body.generation, epoch: request.body.epoch };
        let change = read_change(&request)?;
        let state = self.identities.read(user_name).await?;
        match (change, state) {
            (None, _) if position != BEGINNING => {
                let detail = "an identity is started in generation 1 and epoch 0";
                Err(Problem::new(ProblemType::InvalidField, detail))
            }
            (None, None) => self.begin(&request, &clients, signer).await,
            (Some(_), None) => Err(identity_unknown()),
            (Some(commit), Some(state)) if state.position == position => {
                self.commit(&request, commit, &state, &clients, signer, now).await
            }
            (change, Some(_)) => {
                let epoch = if change.is_some() { position.epoch.saturating_add(1) } else { position.epoch };
                self.answer_again(&request, IdentityPosition { epoch, ..position }).await
            }
        }
    }
}

impl AsCommitIdentity {
    async fn begin(
        &self,
        request: &EndpointRequest<CommitIdentity>,
        clients: &ClientSet,
        signer: &ClientRecord,
    ) -> Result<CommitIdentityResponse, Problem> {
        if !signer.is_confirmed() {
            return Err(client_unconfirmed());
        }
        let group_info = &request.body.group_info;
        let follower = Follower::start(&request.path.user_name, BEGINNING.generation, &group_info.0, None)
            .map_err(group_info_refused)?;
        rules::check_creator(&follower.members(), signer)?;
        let (follower, request_hash) = (follower.to_bytes(), request.body_hash);
        self.identities.start(clients, &NextState { position: BEGINNING, follower, group_info, request_hash }).await
    }

    async fn commit(
        &self,
        request: &EndpointRequest<CommitIdentity>,
        accepted: AcceptedCommit<'_>,
        state: &IdentityState,
        clients: &ClientSet,
        signer: &ClientRecord,
        now: Timestamp,
    ) -> Result<CommitIdentityResponse, Problem> {
        let mut follower = Follower::from_bytes(&state.follower).ok_or_else(|| corrupt_item("an identity"))?;
        let checked =
            follower.check(&accepted.commit.0).map_err(|error| Problem::new(ProblemType::CommitRefused, error))?;
        rules::check_change(checked.change(), clients, signer)?;
        let group_info = &request.body.group_info;
        follower.check_group_info(&checked, &group_info.0).map_err(group_info_refused)?;
        follower.merge(checked);

        let position = IdentityPosition { epoch: follower.epoch(), ..state.position };
        let (follower, request_hash) = (follower.to_bytes(), request.body_hash);
        let next = NextState { position, follower, group_info, request_hash };
        // An unconfirmed client does nothing else than to confirm itself: that was checked.
        let confirmed = (!signer.is_confirmed()).then_some(signer);
        self.identities.commit(clients, &next, &accepted, confirmed, now).await
    }

    /// Answers a request about a place where the identity is not, or not any more.
    async fn answer_again(
        &self,
        request: &EndpointRequest<CommitIdentity>,
        to: IdentityPosition,
    ) -> Result<CommitIdentityResponse, Problem> {
        let is_done = self.identities.is_reached_by(&request.path.user_name, to, &request.body_hash).await?;
        if is_done { Ok(answer(to)) } else { Err(identity_superseded()) }
    }
}

/// The commit that a request brings, with what stands beside it: of that, all the service can say is how long it is.
fn read_change(request: &EndpointRequest<CommitIdentity>) -> Result<Option<AcceptedCommit<'_>>, Problem> {
    let invalid = |detail: &dyn std::fmt::Display| Problem::new(ProblemType::InvalidField, detail);
    match (&request.body.commit, &request.body.encrypted_user_secrets) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid(&"encrypted_user_secrets come with a commit")),
        (Some(commit), Some(secrets)) if secrets.0.len() == ENCRYPTED_USER_SECRETS_LENGTH => {
            Ok(Some(AcceptedCommit { commit, encrypted_user_secrets: secrets }))
        }
        (Some(_), _) => {
            let detail =
                format_args!("with a commit come encrypted_user_secrets of {ENCRYPTED_USER_SECRETS_LENGTH} bytes");
            Err(invalid(&detail))
        }
    }
}

fn group_info_refused(error: IdentityError) -> Problem {
    Problem::new(ProblemType::GroupInfoRefused, error)
}
