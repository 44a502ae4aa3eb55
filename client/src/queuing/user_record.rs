//! What a client does about the user's record at the queuing service.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    DeleteQsClient, GetQsUser, QsClientPath, QsUserPath, UpdateQsUser, UpdateQsUserRequest,
};
use vestibule_protocol::keys::{QsUserRecordKey, SigningKey};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queuing::{QsClientId, QsUserId, QsUserRekey};

use crate::api::{ApiError, RequestSigner};
use crate::home::{Account, KeptRequest, UserSecrets};
use crate::session::Session;

/// The user at the queuing service, by a key that the record may have.
pub(crate) struct UserRecord<'a> {
    session: &'a Session<'a>,
    qs_user_id: QsUserId,
    key: &'a SigningKey<QsUserRecordKey>,
}

impl<'a> UserRecord<'a> {
    /// The record of the user with these secrets, by this key.
    pub(crate) fn new(session: &'a Session<'_>, qs_user_id: QsUserId, key: &'a SigningKey<QsUserRecordKey>) -> Self {
        Self { session, qs_user_id, key }
    }

    fn path(&self) -> QsUserPath {
        QsUserPath { qs_user_id: self.qs_user_id }
    }

    fn signer(&self) -> RequestSigner<'a, QsUserRecordKey> {
        let account: &'a Account = self.session.account();
        let domain = account.user_name.domain().clone();
        RequestSigner { key: self.key, key_id: self.qs_user_id.to_string(), domain }
    }

    /// The user's clients.
    pub(crate) async fn clients(&self) -> Result<Vec<QsClientId>, ApiError> {
        let service = &self.session.queuing_service;
        let record = service.call_signed::<GetQsUser, _>(&self.path(), &[], &self.signer()).await?;
        Ok(record.qs_client_ids)
    }

    /// Sends the request to make the record others'.
    pub(crate) async fn update(&self, request: &KeptRequest) -> Result<(), ApiError> {
        let service = &self.session.queuing_service;
        service.call_signed::<UpdateQsUser, _>(&self.path(), request.as_bytes(), &self.signer()).await.map(|_| ())
    }

    /// Deletes a client of the user's. That there is none is fine.
    pub(crate) async fn delete_client(&self, qs_client_id: QsClientId) -> Result<(), ApiError> {
        let service = &self.session.queuing_service;
        let path = QsClientPath { qs_client_id };
        match service.call_signed::<DeleteQsClient, _>(&path, &[], &self.signer()).await {
            Err(error) if error.problem_type() != Some(ProblemType::QsClientUnknown) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The request that makes the user's record that of these secrets.
pub(crate) fn update_request(secrets: &UserSecrets) -> KeptRequest {
    KeptRequest::new(&UpdateQsUserRequest {
        rekey: QsUserRekey::issue(secrets.qs_user_id(), &secrets.user_record_key).to_bytes(),
        friendship_token_hash: Bytes(secrets.friendship_token.hash().as_bytes().to_vec()),
    })
}

/// Whether the record is not, and was not, changed by a request that is answered so: it has another key than the one that
/// signed, or there is no such record.
pub(crate) fn is_not_ours(error: &ApiError) -> bool {
    matches!(
        error.problem_type(),
        Some(
            ProblemType::SignatureInvalid
                | ProblemType::QsUserUnknown
                | ProblemType::FriendshipTokenTaken
                | ProblemType::QsRecordInvalid
        )
    )
}
