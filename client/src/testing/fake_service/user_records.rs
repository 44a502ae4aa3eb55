//! The records of the queuing service in this process, once their user exists.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::endpoint::{
    CreateQsClientRequest, CreateQsClientResponse, GetQsUserResponse, Method, UpdateQsUserRequest,
};
use vestibule_protocol::limits::MAX_QS_CLIENTS;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::{QsClientRecord, QsUserId, QsUserRekey};
use vestibule_protocol::request_signature::RequestSignature;

use super::queuing::{FakeQueuingService, QsClient, QsUser};
use crate::transport::Request;

impl FakeQueuingService {
    /// Answers what is asked of a user's record under `/v1/qs/users/`. `pay` is called for what costs a token.
    pub(super) fn answer_about_user(
        &mut self,
        request: &Request,
        signature: &RequestSignature,
        pay: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(u16, Value), Problem> {
        let mut parts = request.path["/v1/qs/users/".len()..].split('/');
        let id = parts.next().unwrap().to_owned();
        match (request.method, parts.next()) {
            (Method::Get, None) => Ok((200, self.user(&id, signature)?)),
            (Method::Put, None) => Ok((200, self.update_user(&id, request, signature)?)),
            (Method::Delete, None) => {
                self.signed_user(&id, signature)?.is_deleted = true;
                self.clients.retain(|_, client| client.qs_user_id != id);
                Ok((200, json!({})))
            }
            (Method::Post, Some("clients")) => {
                existing(self.signed_user(&id, signature)?)?;
                pay()?;
                Ok((201, self.create_client(request, &id)?))
            }
            other => panic!("no such route: {other:?}"),
        }
    }

    /// The user, deleted or not, whose key made the signature.
    fn signed_user(&mut self, id: &str, signature: &RequestSignature) -> Result<&mut QsUser, Problem> {
        let user = self.users.get_mut(id).ok_or_else(unknown)?;
        signature.verify(&user.verifying_key).map_err(invalid)?;
        Ok(user)
    }

    fn user(&mut self, id: &str, signature: &RequestSignature) -> Result<Value, Problem> {
        let friendship_token_hash = existing(self.signed_user(id, signature)?)?.friendship_token_hash.clone();
        let clients = self.clients.iter().filter(|(_, client)| client.qs_user_id == id);
        let qs_client_ids = clients.map(|(id, _)| id.parse().unwrap()).collect();
        Ok(json!(GetQsUserResponse { qs_client_ids, friendship_token_hash }))
    }

    fn update_user(&mut self, id: &str, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let user = existing(self.users.get_mut(id).ok_or_else(unknown)?)?;
        let digest = Sha256::digest(&request.body).into();
        if user.previous.is_some_and(|(key, done)| done == digest && signature.verify(&key).is_ok()) {
            return Ok(json!({}));
        }
        signature.verify(&user.verifying_key).map_err(invalid)?;
        let UpdateQsUserRequest { rekey, friendship_token_hash } = serde_json::from_slice(&request.body).unwrap();
        let rekey = QsUserRekey::verify_self_signed(&rekey.0).unwrap();
        assert_eq!(rekey.payload().qs_user_id.to_string(), id);
        user.previous = Some((user.verifying_key, digest));
        user.verifying_key = rekey.payload().verifying_key;
        user.friendship_token_hash = friendship_token_hash;
        Ok(json!({}))
    }

    fn create_client(&mut self, request: &Request, qs_user_id: &str) -> Result<Value, Problem> {
        let body: CreateQsClientRequest = serde_json::from_slice(&request.body).unwrap();
        let record = QsClientRecord::verify_self_signed(&body.client_record.0).unwrap();
        assert_eq!(record.payload().qs_user_id, qs_user_id.parse::<QsUserId>().unwrap());
        let qs_client_id = record.qs_client_id();
        let digest = <[u8; 32]>::from(Sha256::digest(&request.body));
        let count = self.clients.values().filter(|client| client.qs_user_id == qs_user_id).count();
        match self.clients.get(&qs_client_id.to_string()) {
            Some(client) if client.creation_digest == digest => {}
            Some(_) => return Err(Problem::new(ProblemType::QsRecordTaken, "taken")),
            None if count >= MAX_QS_CLIENTS => return Err(Problem::new(ProblemType::QsClientLimitReached, "too many")),
            None => {
                let client = QsClient::new(qs_user_id, record.payload().verifying_key, digest);
                self.clients.insert(qs_client_id.to_string(), client);
            }
        }
        Ok(json!(CreateQsClientResponse { qs_client_id }))
    }

    pub(super) fn delete_client(&mut self, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let id = &request.path["/v1/qs/clients/".len()..];
        let Some(client) = self.clients.get(id) else {
            return Err(Problem::new(ProblemType::QsClientUnknown, "unknown"));
        };
        let qs_user_id = client.qs_user_id.clone();
        self.signed_user(&qs_user_id, signature)?;
        self.clients.remove(id);
        assert!(self.clients.values().any(|client| client.qs_user_id == qs_user_id), "the user would be gone");
        Ok(json!({}))
    }
}

fn existing(user: &mut QsUser) -> Result<&mut QsUser, Problem> {
    if user.is_deleted { Err(unknown()) } else { Ok(user) }
}

fn unknown() -> Problem {
    Problem::new(ProblemType::QsUserUnknown, "unknown")
}

fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemType::SignatureInvalid, error)
}
