//! `PUT /v1/qs/users/{qs_user_id}`: another key for a user's record, another friendship token for the user. The ones
//! before are of no use from then on.
//!
//! The same request again gets the same answer, from the key that it replaced.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::records::record_invalid;
use vestibule_backend::queuing_service::users::QsUsers;
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{NoBody, UpdateQsUser, UpdateQsUserRequest};
use vestibule_protocol::friendship::FriendshipTokenHash;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::queuing::QsUserRekey;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsUpdateUser {
    tag: String,
    clock: Clock,
    users: QsUsers,
}

impl HttpFunction for QsUpdateUser {
    type Endpoint = UpdateQsUser;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            users: QsUsers::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<UpdateQsUser>) -> Result<NoBody, Problem> {
        let signature = request.signature(&self.tag, self.clock.now())?;
        let user = self.users.read(&request.path.qs_user_id).await?;
        if user.was_updated_by(&signature, &request.body_hash) {
            return Ok(NoBody {});
        }
        user.check_signature(&signature)?;

        let UpdateQsUserRequest { rekey, friendship_token_hash } = &request.body;
        let rekey = QsUserRekey::verify_self_signed(&rekey.0)
            .map_err(|error| record_invalid(format_args!("rekey: {error}")))?;
        if rekey.payload().qs_user_id != request.path.qs_user_id {
            return Err(record_invalid("rekey: it is for another user"));
        }
        let friendship_token_hash = FriendshipTokenHash::from_bytes(&friendship_token_hash.0)
            .ok_or_else(|| record_invalid("friendship_token_hash is a hash of 32 bytes"))?;
        let verifying_key = &rekey.payload().verifying_key;
        self.users.update(&user, verifying_key, &friendship_token_hash, &request.body_hash).await?;
        Ok(NoBody {})
    }
}
