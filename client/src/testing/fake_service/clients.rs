//! The clients of the users of the authentication service in this process, and logins.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_protocol::credential::{
    AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialPayload,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    AddClientRequest, AddClientResponse, InitiateLoginRequest, InitiateLoginResponse, RemoveClientRequest,
};
use vestibule_protocol::keys::{AsIntermediateCredentialKey, SigningKey};
use vestibule_protocol::limits::{CLIENT_CONFIRMATION_TIME, LOGIN_LIFETIME, MAX_CLIENTS};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::opaque::{Parameters, ServerLogin, ServerSetup};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::RequestSignature;
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::Timestamp;

use super::key_server::FakeKeyServer;

/// A client, as the authentication service knows it.
#[derive(Clone)]
pub(crate) struct FakeClient {
    pub(crate) credential: Bytes,
    /// When it lapses, if it is unconfirmed.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) is_removed: bool,
}

/// Every client that there is or was, by its id.
#[derive(Default)]
pub(crate) struct FakeClients {
    pub(crate) clients: BTreeMap<String, FakeClient>,
    logins: Vec<Login>,
}

struct Login {
    client_id: ClientId,
    operation: LoginOperation,
    state: Option<ServerLogin>,
    expires_at: Timestamp,
}

impl FakeClient {
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        !self.is_removed && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

pub(super) fn problem(problem_type: ProblemType) -> Problem {
    Problem::new(problem_type, problem_type.slug())
}

impl FakeClients {
    /// The first client of a user.
    pub(super) fn register(&mut self, client_id: &ClientId, credential: Bytes) {
        self.clients.insert(client_id.to_string(), FakeClient { credential, expires_at: None, is_removed: false });
    }

    pub(crate) fn live(&self, client_id: &ClientId, now: Timestamp) -> Option<&FakeClient> {
        self.clients.get(&client_id.to_string()).filter(|client| client.is_live(now))
    }

    /// How many clients of a user are live.
    pub(crate) fn count(&self, user_name: &str, now: Timestamp) -> usize {
        let is_users = |id: &&String| id.split('/').next() == Some(user_name);
        self.clients.iter().filter(|(id, client)| is_users(id) && client.is_live(now)).count()
    }

    /// The live client that signed a request, unconfirmed or not.
    pub(super) fn signer(
        &self,
        signature: &RequestSignature,
        user_name: &str,
        now: Timestamp,
    ) -> Result<(ClientId, bool), Problem> {
        let unknown = || problem(ProblemType::ClientUnknown);
        let client_id: ClientId = signature.key_id().parse().map_err(|_| unknown())?;
        let client = self.live(&client_id, now).filter(|_| client_id.user_name.as_str() == user_name);
        let client = client.ok_or_else(unknown)?;
        let credential = Unverified::<ClientCredentialPayload>::from_bytes(&client.credential.0).unwrap();
        let verified = signature.verify(&credential.claim().verifying_key);
        verified.map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))?;
        Ok((client_id, client.expires_at.is_some()))
    }

    pub(super) fn add(
        &mut self,
        signer: &ClientId,
        target: &ClientId,
        body: &[u8],
        intermediate: &AsIntermediateCredential,
        key: &SigningKey<AsIntermediateCredentialKey>,
        now: Timestamp,
    ) -> Result<Value, Problem> {
        let request: AddClientRequest = serde_json::from_slice(body).unwrap();
        let csr = ClientCredentialCsr::verify_self_signed(&request.client_credential_csr.0)
            .map_err(|_| problem(ProblemType::CsrSignatureInvalid))?;
        let requested = csr.payload().0.clone();
        if requested.client_id.user_name != target.user_name {
            return Err(problem(ProblemType::CsrForAnotherUser));
        } else if requested.client_id != *target {
            return Err(problem(ProblemType::CsrForAnotherClient));
        }
        csr.check(intermediate, now).map_err(|error| Problem::new(ProblemType::CsrValidityRefused, error))?;
        let credential = ClientCredential::sign(requested, key).to_bytes();
        let id = target.to_string();
        if signer == target {
            self.clients.get_mut(&id).unwrap().credential = credential.clone();
        } else {
            match self.clients.get(&id) {
                Some(client) if client.is_live(now) && client.credential == credential => {}
                Some(_) => return Err(problem(ProblemType::ClientIdTaken)),
                None if self.count(target.user_name.as_str(), now) >= MAX_CLIENTS => {
                    return Err(problem(ProblemType::ClientLimitReached));
                }
                None => {
                    let expires_at = Some(now.saturating_add(CLIENT_CONFIRMATION_TIME));
                    let client = FakeClient { credential: credential.clone(), expires_at, is_removed: false };
                    self.clients.insert(id, client);
                }
            }
        }
        Ok(json!(AddClientResponse { client_credential: credential }))
    }

    pub(super) fn remove(
        &mut self,
        signer: &ClientId,
        target: &ClientId,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Value, Problem> {
        let request: RemoveClientRequest = serde_json::from_slice(body).unwrap();
        let client = self.clients.get(&target.to_string());
        let client = client.filter(|client| client.is_removed || client.is_live(now));
        let client = client.ok_or_else(|| problem(ProblemType::ClientNotFound))?;
        if !client.is_removed && client.expires_at.is_none() {
            if signer == target {
                return Err(problem(ProblemType::ClientRemovesItself));
            }
            let login = request.login.ok_or_else(|| problem(ProblemType::LoginMissing))?;
            self.check_login(signer, LoginOperation::RemoveClient { client_uuid: target.uuid }, &login, now)?;
        }
        self.clients.get_mut(&target.to_string()).unwrap().is_removed = true;
        Ok(json!({}))
    }

    /// Removes every client of a user.
    pub(super) fn remove_all(&mut self, user_name: &str) {
        let of_user = self.clients.iter_mut().filter(|(id, _)| id.split('/').next() == Some(user_name));
        of_user.for_each(|(_, client)| client.is_removed = true);
    }

    pub(super) fn initiate_login(
        &mut self,
        body: &[u8],
        key_server: &FakeKeyServer,
        setup: &ServerSetup,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Value, Problem> {
        let InitiateLoginRequest { client_id, operation, ke1 } = serde_json::from_slice(body).unwrap();
        let (record, identifier) = key_server.password(client_id.user_name.as_str());
        let context = operation.opaque_context(&client_id);
        let parameters = Parameters::of_user(&client_id.user_name).with_context(&context);
        let (state, ke2) = setup
            .start_login(Some(record), identifier.as_ref(), &ke1.0, &parameters, rng)
            .map_err(|error| Problem::new(ProblemType::InvalidOpaqueMessage, error))?;
        let sealed_login = Bytes(self.logins.len().to_be_bytes().to_vec());
        let expires_at = now.saturating_add(LOGIN_LIFETIME);
        self.logins.push(Login { client_id, operation, state: Some(state), expires_at });
        Ok(json!(InitiateLoginResponse { ke2, sealed_login }))
    }

    pub(super) fn check_login(
        &mut self,
        signer: &ClientId,
        operation: LoginOperation,
        proof: &LoginProof,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let index = usize::from_be_bytes(proof.sealed_login.0.as_slice().try_into().unwrap());
        let login = &mut self.logins[index];
        let is_valid = login.client_id == *signer && login.operation == operation && now < login.expires_at;
        let state = login.state.take().filter(|_| is_valid).ok_or_else(|| problem(ProblemType::LoginInvalid))?;
        let context = operation.opaque_context(signer);
        let parameters = Parameters::of_user(&signer.user_name).with_context(&context);
        state.finish(&proof.ke3.0, &parameters).map_err(|_| problem(ProblemType::PasswordRefused))?;
        Ok(())
    }
}
