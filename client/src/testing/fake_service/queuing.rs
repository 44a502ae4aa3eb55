//! A queuing service in this process: real signatures, a conditional store, no disk. What it is sent it takes to be well
//! made: that is for the real one to check.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::credential::AsCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClaimKeyPackagesRequest, ClaimKeyPackagesResponse, CreateQsUserRequest, CreateQsUserResponse,
    GetKeyPackagesResponse, GetQsKeysResponse, PublishKeyPackagesRequest, PublishKeyPackagesResponse,
};
use vestibule_protocol::keys::{
    AsCredentialKey, HpkePrivateKey, QsClientRecordKey, QsSigningKey, QsUserRecordKey, SigningKey, VerifyingKey,
};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::{ClaimAnswer, QsClientId, QsClientRecord, QsKeys, QsUserId};
use vestibule_protocol::request_signature::RequestSignature;
use vestibule_protocol::time::{DAY, Timestamp};

use super::listening::FakeListening;
use crate::transport::Request;

pub(crate) struct FakeQueuingService {
    pub(crate) signing_key: SigningKey<QsSigningKey>,
    pub(crate) keys: QsKeys,
    pub(super) queue_config_key: HpkePrivateKey,
    /// The users, by their ids.
    pub(crate) users: BTreeMap<String, QsUser>,
    /// The clients, by their ids.
    pub(crate) clients: BTreeMap<String, QsClient>,
    /// Where clients listen.
    pub(crate) listening: FakeListening,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct QsUser {
    request_digest: [u8; 32],
    pub(crate) friendship_token_hash: Bytes,
    pub(crate) verifying_key: VerifyingKey<QsUserRecordKey>,
    /// The key before, with the request that replaced it.
    pub(super) previous: Option<(VerifyingKey<QsUserRecordKey>, [u8; 32])>,
    pub(crate) is_deleted: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct QsClient {
    pub(crate) qs_user_id: String,
    verifying_key: VerifyingKey<QsClientRecordKey>,
    /// Of the request that created it.
    pub(super) creation_digest: [u8; 32],
    request_digest: [u8; 32],
    pub(crate) generation: u64,
    pub(crate) packages: VecDeque<Bytes>,
    pub(crate) last_resort: Option<Bytes>,
    pub(crate) last_resort_uses: u64,
    pub(crate) not_after: Timestamp,
}

impl FakeQueuingService {
    pub(super) fn new(
        root: &AsCredential,
        root_key: &SigningKey<AsCredentialKey>,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Self {
        let signing_key = SigningKey::generate(rng);
        let queue_config_key = HpkePrivateKey::generate(rng);
        let public_key = queue_config_key.public_key();
        let keys = QsKeys::issue(signing_key.verifying_key(), public_key, root, root_key, now, 365);
        let listening = FakeListening::new();
        Self { signing_key, keys, queue_config_key, users: BTreeMap::new(), clients: BTreeMap::new(), listening }
    }

    pub(super) fn keys(&self) -> GetQsKeysResponse {
        let qs_keys = vec![self.keys.to_bytes()];
        let listen_url = self.listening.url.clone();
        GetQsKeysResponse { qs_keys, token_keys: Vec::new(), token_challenge: Bytes(Vec::new()), listen_url }
    }

    pub(super) fn create_user(&mut self, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let body: CreateQsUserRequest = serde_json::from_slice(&request.body).unwrap();
        let key = VerifyingKey::from_bytes(&body.user_record_verifying_key.0).unwrap();
        signature.verify(&key).map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))?;
        let qs_user_id = QsUserId::of(&key);
        assert_eq!(signature.key_id(), qs_user_id.to_string());
        let client_record = QsClientRecord::verify_self_signed(&body.client_record.0).unwrap();
        assert_eq!(client_record.payload().qs_user_id, qs_user_id);
        let qs_client_id = client_record.qs_client_id();

        let request_digest = Sha256::digest(&request.body).into();
        let friendship_token_hash = body.friendship_token_hash;
        let user =
            QsUser { request_digest, friendship_token_hash, verifying_key: key, previous: None, is_deleted: false };
        let is_known = self.users.get(&qs_user_id.to_string()).map(|known| known.request_digest == request_digest);
        if is_known == Some(false) {
            return Err(Problem::new(ProblemType::QsRecordTaken, "taken"));
        } else if is_known.is_none() {
            self.users.insert(qs_user_id.to_string(), user);
            let verifying_key = client_record.payload().verifying_key;
            let client = QsClient::new(&qs_user_id.to_string(), verifying_key, request_digest);
            self.clients.insert(qs_client_id.to_string(), client);
        }
        Ok(json!(CreateQsUserResponse { qs_user_id, qs_client_id }))
    }

    /// Another client of a user, which no device of the user's knows of.
    pub(crate) fn add_client(&mut self, qs_user_id: &str, verifying_key: VerifyingKey<QsClientRecordKey>) {
        let client = QsClient::new(qs_user_id, verifying_key, [0; 32]);
        self.clients.insert(QsClientId::of(&verifying_key).to_string(), client);
    }

    pub(super) fn publish(
        &mut self,
        request: &Request,
        signature: &RequestSignature,
        now: Timestamp,
    ) -> Result<Value, Problem> {
        let body: PublishKeyPackagesRequest = serde_json::from_slice(&request.body).unwrap();
        let client = self.authenticated(request, signature)?;
        let request_digest = Sha256::digest(&request.body).into();
        let PublishKeyPackagesRequest { generation, add_packages, last_resort_add_package } = body;
        if generation < client.generation {
            return Err(Problem::new(ProblemType::GenerationOutdated, "outdated"));
        } else if generation == client.generation && request_digest != client.request_digest {
            return Err(Problem::new(ProblemType::GenerationTaken, "taken"));
        } else if generation > client.generation {
            client.request_digest = request_digest;
            client.generation = generation;
            client.packages = add_packages.into();
            client.last_resort = Some(last_resort_add_package.unwrap());
            client.last_resort_uses = 0;
            client.not_after = now.start_of_day().saturating_add(84 * DAY);
        }
        Ok(json!(PublishKeyPackagesResponse { generation }))
    }

    pub(super) fn supply(&mut self, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let client = self.authenticated(request, signature)?;
        Ok(json!(GetKeyPackagesResponse {
            generation: client.generation,
            remaining: client.packages.len() as u64,
            last_resort_uses: client.last_resort_uses,
            not_after: client.not_after,
        }))
    }

    pub(super) fn claim(&mut self, request: &Request) -> Result<Value, Problem> {
        let body: ClaimKeyPackagesRequest = serde_json::from_slice(&request.body).unwrap();
        let hash = Bytes(body.friendship_token.hash().as_bytes().to_vec());
        let (qs_user_id, _) = self
            .users
            .iter()
            .find(|(_, user)| user.friendship_token_hash == hash && !user.is_deleted)
            .ok_or_else(|| Problem::new(ProblemType::FriendshipTokenUnknown, "unknown"))?;
        let clients = self.clients.values_mut().filter(|client| client.qs_user_id == *qs_user_id);
        let add_packages: Vec<_> = clients.filter_map(QsClient::hand_out).collect();
        let request_hash = Sha256::digest(&request.body).into();
        let claim_answer = ClaimAnswer::issue(request_hash, &add_packages, &self.signing_key).to_bytes();
        Ok(json!(ClaimKeyPackagesResponse { add_packages, claim_answer }))
    }

    /// The client in the path, whose signature it must be.
    fn authenticated(&mut self, request: &Request, signature: &RequestSignature) -> Result<&mut QsClient, Problem> {
        let id = request.path.split('/').nth(4).unwrap();
        let unknown = || Problem::new(ProblemType::QsClientUnknown, "unknown");
        let client = self.clients.get_mut(id).ok_or_else(unknown)?;
        assert_eq!(signature.key_id(), id);
        signature.verify(&client.verifying_key).map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))?;
        Ok(client)
    }
}

impl QsClient {
    pub(super) fn new(
        qs_user_id: &str,
        verifying_key: VerifyingKey<QsClientRecordKey>,
        creation_digest: [u8; 32],
    ) -> Self {
        Self {
            qs_user_id: qs_user_id.to_owned(),
            verifying_key,
            creation_digest,
            request_digest: [0; 32],
            generation: 0,
            packages: VecDeque::new(),
            last_resort: None,
            last_resort_uses: 0,
            not_after: Timestamp::from_seconds(0),
        }
    }

    pub(super) fn verifying_key(&self) -> &VerifyingKey<QsClientRecordKey> {
        &self.verifying_key
    }

    fn hand_out(&mut self) -> Option<Bytes> {
        self.packages.pop_front().or_else(|| {
            self.last_resort_uses += 1;
            self.last_resort.clone()
        })
    }
}
