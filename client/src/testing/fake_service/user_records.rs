//! The records of users at the queuing service in this process, once they are created.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::endpoint::{GetQsUserResponse, UpdateQsUserRequest};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::QsUserRekey;
use vestibule_protocol::request_signature::RequestSignature;

use super::queuing::FakeQueuingService;
use crate::transport::Request;

impl FakeQueuingService {
    pub(super) fn answer_about_user(
        &mut self,
        request: &Request,
        signature: &RequestSignature,
    ) -> Result<Value, Problem> {
        let id = request.path["/v1/qs/users/".len()..].to_owned();
        match request.method.as_str() {
            "GET" => self.user(&id, signature),
            "PUT" => self.update_user(&id, request, signature),
            unknown => panic!("no such method: {unknown}"),
        }
    }

    fn user(&self, id: &str, signature: &RequestSignature) -> Result<Value, Problem> {
        let user = self.users.get(id).ok_or_else(|| Problem::new(ProblemType::QsUserUnknown, "unknown"))?;
        signature.verify(&user.verifying_key).map_err(invalid)?;
        let clients = self.clients.iter().filter(|(_, client)| client.qs_user_id == id);
        Ok(json!(GetQsUserResponse {
            qs_client_ids: clients.map(|(id, _)| id.parse().unwrap()).collect(),
            friendship_token_hash: user.friendship_token_hash.clone(),
        }))
    }

    fn update_user(&mut self, id: &str, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let user = self.users.get_mut(id).ok_or_else(|| Problem::new(ProblemType::QsUserUnknown, "unknown"))?;
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

    pub(super) fn delete_client(&mut self, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let id = &request.path["/v1/qs/clients/".len()..];
        let Some(client) = self.clients.get(id) else {
            return Err(Problem::new(ProblemType::QsClientUnknown, "unknown"));
        };
        signature.verify(&self.users[&client.qs_user_id].verifying_key).map_err(invalid)?;
        let user = self.clients.remove(id).unwrap().qs_user_id;
        assert!(self.clients.values().any(|client| client.qs_user_id == user), "the user would be gone");
        Ok(json!({}))
    }
}

fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemType::SignatureInvalid, error)
}
