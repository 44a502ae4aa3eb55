//! The records of the queuing service in this process, once their user exists.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::endpoint::{CreateQsClientRequest, CreateQsClientResponse};
use vestibule_protocol::limits::MAX_QS_CLIENTS;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::{QsClientRecord, QsUserId};
use vestibule_protocol::request_signature::RequestSignature;

use super::queuing::{FakeQueuingService, QsClient};
use crate::transport::Request;

impl FakeQueuingService {
    /// Checks that a user's key made a signature.
    pub(super) fn check_user_signature(&self, signature: &RequestSignature) -> Result<(), Problem> {
        let user = self.users.get(signature.key_id()).ok_or_else(unknown)?;
        let verified = signature.verify(&user.verifying_key);
        verified.map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))
    }

    /// Answers what is asked of a user's record under `/v1/qs/users/`, with the user's signature.
    pub(super) fn answer_about_user(&mut self, request: &Request) -> Result<(u16, Value), Problem> {
        let mut parts = request.path["/v1/qs/users/".len()..].split('/');
        let id = parts.next().unwrap().to_owned();
        let user = &self.users[&id];
        match (request.method.as_str(), parts.next()) {
            ("DELETE", None) => {
                self.users.get_mut(&id).unwrap().is_deleted = true;
                self.clients.retain(|_, client| client.qs_user_id != id);
                Ok((200, json!({})))
            }
            _ if user.is_deleted => Err(unknown()),
            ("POST", Some("clients")) => Ok((201, self.create_client(request, &id)?)),
            other => panic!("no such route: {other:?}"),
        }
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
}

fn unknown() -> Problem {
    Problem::new(ProblemType::QsUserUnknown, "unknown")
}
