//! A deployment in this process, here its authentication service: real OPAQUE, real credentials, a conditional store, no
//! disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::clock::Clock;
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredentialCsr, ProvisionalCredential,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    FinishRegistrationRequest, FinishRegistrationResponse, GetCredentialsResponse, InitiateRegistrationRequest,
    InitiateRegistrationResponse, OpenSessionRequest,
};
use vestibule_protocol::keys::{AsCredentialKey, AsIntermediateCredentialKey, SigningKey};
use vestibule_protocol::limits::MAX_AS_CREDENTIAL_DAYS;
use vestibule_protocol::name::{Domain, UserId};
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord, ServerSetup};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::{CoveredRequest, RequestSignature, Service, SignatureFields};

use crate::transport::{Request, Response, Sending, Transport};

mod accounts;
mod clients;
mod connection_packages;
mod identity;
mod key_server;
mod listening;
mod queues;
mod queuing;
mod tokens;
mod user_records;

pub(crate) use clients::FakeClients;
use connection_packages::FakeConnectionPackages;
pub(crate) use identity::FakeIdentity;
use key_server::FakeKeyServer;
use queues::FakeQueues;
use queuing::FakeQueuingService;
use tokens::FakeTokens;

pub(crate) struct FakeService {
    clock: Clock,
    deployment: Mutex<Deployment>,
}

pub(crate) struct Deployment {
    pub(crate) domain: Domain,
    pub(crate) root_key: SigningKey<AsCredentialKey>,
    pub(crate) root: AsCredential,
    pub(crate) intermediate_key: SigningKey<AsIntermediateCredentialKey>,
    pub(crate) intermediate: AsIntermediateCredential,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) clients: FakeClients,
    pub(crate) connection_packages: FakeConnectionPackages,
    /// The users' identities, by their names.
    pub(crate) identities: BTreeMap<String, FakeIdentity>,
    pub(crate) key_server: FakeKeyServer,
    pub(crate) queuing: FakeQueuingService,
    pub(crate) queues: FakeQueues,
    pub(crate) tokens: FakeTokens,
    /// Every request that arrived.
    pub(crate) requests: Vec<Request>,
    user_ids: BTreeSet<String>,
    /// The requests by which users were deleted.
    deletions: BTreeSet<[u8; 32]>,
    /// Under which identifiers passwords were registered, by the sealed registrations.
    identifiers: BTreeMap<Vec<u8>, CredentialIdentifier>,
    opaque: ServerSetup,
    rng: StdRng,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct User {
    pub(crate) user_id: UserId,
    pub(crate) client_id: String,
    pub(crate) connection_packages: usize,
    request_digest: [u8; 32],
    credential: Bytes,
}

impl FakeService {
    pub(crate) fn new(seed: u64, clock: Clock) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let domain: Domain = "localhost".parse().unwrap();
        let root_key = SigningKey::generate(&mut rng);
        let root = AsCredential::issue(domain.clone(), &root_key, clock.now(), MAX_AS_CREDENTIAL_DAYS);
        let intermediate_key: SigningKey<AsIntermediateCredentialKey> = SigningKey::generate(&mut rng);
        let public_key = intermediate_key.verifying_key();
        let intermediate = AsIntermediateCredential::issue(public_key, &root, &root_key, clock.now(), 365);
        let queuing = FakeQueuingService::new(&root, &root_key, clock.now(), &mut rng);
        let tokens = FakeTokens::new(&domain, clock.now(), &mut rng);
        let deployment = Deployment {
            domain,
            root_key,
            root,
            intermediate_key,
            intermediate,
            users: BTreeMap::new(),
            clients: FakeClients::default(),
            connection_packages: FakeConnectionPackages::default(),
            identities: BTreeMap::new(),
            key_server: FakeKeyServer::default(),
            queuing,
            queues: FakeQueues::default(),
            tokens,
            requests: Vec::new(),
            user_ids: BTreeSet::new(),
            deletions: BTreeSet::new(),
            identifiers: BTreeMap::new(),
            opaque: ServerSetup::generate(&mut rng),
            rng,
        };
        Self { clock, deployment: Mutex::new(deployment) }
    }

    pub(crate) fn deployment(&self) -> MutexGuard<'_, Deployment> {
        self.deployment.lock().unwrap()
    }

    /// Replaces the intermediate credential.
    pub(crate) fn rotate_intermediate(&self) {
        let deployment = &mut *self.deployment();
        deployment.intermediate_key = SigningKey::generate(&mut deployment.rng);
        let public_key = deployment.intermediate_key.verifying_key();
        let Deployment { root, root_key, .. } = deployment;
        deployment.intermediate = AsIntermediateCredential::issue(public_key, root, root_key, self.clock.now(), 365);
    }

    fn answer(&self, request: &Request) -> Result<(u16, Value), Problem> {
        let deployment = &mut *self.deployment();
        deployment.requests.push(request.clone());
        let prefix = match request.service {
            Service::Authentication => "/v1/as/",
            Service::KeyServer => "/v1/ks/",
            Service::Queuing => "/v1/qs/",
            Service::Rendezvous => "/v1/rendezvous",
        };
        assert!(request.path.starts_with(prefix));
        deployment.queues.note(request);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/as/credentials") => Ok((200, deployment.credentials())),
            ("POST", "/v1/as/registrations") => Ok((200, deployment.initiate(&request.body, &self.clock)?)),
            ("POST", "/v1/as/logins") => Ok((200, deployment.initiate_login(request, &self.clock)?)),
            (method, path) if path.starts_with("/v1/as/users/") => {
                let parts: Vec<&str> = path["/v1/as/users/".len()..].split('/').collect();
                match (method, parts.as_slice()) {
                    ("PUT", [_]) => Ok((201, deployment.finish(request, &self.clock)?)),
                    ("DELETE", [_]) => Ok((200, deployment.delete_user(request, &self.clock)?)),
                    _ => Ok((200, deployment.answer_about_account(request, &parts, &self.clock)?)),
                }
            }
            ("POST", "/v1/ks/sessions") => Ok((201, deployment.open_session(request, &self.clock)?)),
            ("POST", path) if path.starts_with("/v1/ks/sessions/") => {
                Ok((200, deployment.key_server.use_session(request, self.clock.now())?))
            }
            ("POST", "/v1/as/tokens") => Ok((200, deployment.issue_tokens(request, &self.clock)?)),
            ("GET", "/v1/qs/keys") => Ok((200, deployment.tokens.publish(deployment.queuing.keys()))),
            ("POST", "/v1/qs/users") => {
                let signature = deployment.check_signature(request, &self.clock)?;
                deployment.tokens.redeem(request, self.clock.now())?;
                Ok((201, deployment.queuing.create_user(request, &signature)?))
            }
            (_, path) if path.starts_with("/v1/qs/users/") => {
                let signature = deployment.check_signature(request, &self.clock)?;
                let Deployment { tokens, queuing, .. } = deployment;
                queuing.answer_about_user(request, &signature, || tokens.redeem(request, self.clock.now()))
            }
            ("POST", "/v1/qs/key-packages/claim") => {
                deployment.tokens.redeem_first(request, self.clock.now())?;
                Ok((200, deployment.queuing.claim(request)?))
            }
            ("POST", "/v1/qs/messages") => {
                let Deployment { tokens, queuing, queues, rng, .. } = deployment;
                let pay = || tokens.redeem(request, self.clock.now());
                let qs_client_id = queues.enqueue(request, &queuing.queue_config_key, pay, rng)?;
                deployment.queuing.listening.notify(&qs_client_id);
                Ok((200, json!({})))
            }
            ("GET", path) if path.starts_with("/v1/qs/clients/") && path.contains("/messages?") => {
                let signature = deployment.check_signature(request, &self.clock)?;
                Ok((200, deployment.queues.dequeue(request, &signature)?))
            }
            ("DELETE", path) if path.starts_with("/v1/qs/clients/") => {
                let signature = deployment.check_signature(request, &self.clock)?;
                Ok((200, deployment.queuing.delete_client(request, &signature)?))
            }
            (method, path) if path.starts_with("/v1/qs/clients/") && path.ends_with("/key-packages") => {
                let signature = deployment.check_signature(request, &self.clock)?;
                match method {
                    "GET" => Ok((200, deployment.queuing.supply(request, &signature)?)),
                    _ => Ok((200, deployment.queuing.publish(request, &signature, self.clock.now())?)),
                }
            }
            unknown => panic!("no such route: {unknown:?}"),
        }
    }
}

impl Transport for FakeService {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        let mut headers = Vec::new();
        let (status, content_type, body) = match self.answer(request) {
            Ok((status, body)) => (status, "application/json", body),
            Err(problem) => {
                let document = problem.document();
                headers.extend(problem.retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
                (document.status, "application/problem+json", serde_json::to_value(document).unwrap())
            }
        };
        headers.push(("content-type".to_owned(), content_type.to_owned()));
        Box::pin(async move { Ok(Response { status, headers, body: serde_json::to_vec(&body).unwrap() }) })
    }
}

impl Deployment {
    fn credentials(&self) -> Value {
        let response = GetCredentialsResponse {
            as_credentials: vec![self.root.to_bytes()],
            as_intermediate_credentials: vec![self.intermediate.to_bytes()],
            revoked_fingerprints: Vec::new(),
        };
        json!(response)
    }

    fn initiate(&mut self, body: &[u8], clock: &Clock) -> Result<Value, Problem> {
        let request: InitiateRegistrationRequest = serde_json::from_slice(body).unwrap();
        let csr = ClientCredentialCsr::verify_self_signed(&request.client_credential_csr.0).unwrap();
        csr.check(&self.intermediate, clock.now())
            .map_err(|error| Problem::new(ProblemType::CsrValidityRefused, error))?;
        assert_eq!(csr.payload().0.client_id.user_name, request.user_name);
        if self.users.contains_key(request.user_name.as_str()) {
            return Err(Problem::new(ProblemType::UserNameTaken, "taken"));
        }
        let identifier = CredentialIdentifier::generate(&mut self.rng);
        let response = self.opaque.respond_to_registration(&request.opaque_registration_request.0, identifier.as_ref());
        let initiation_hash = Sha256::digest(body).into();
        let provisional = ProvisionalCredential::issue(&csr, initiation_hash, &self.intermediate_key, clock.now());
        self.identifiers.insert(sealed_registration(&provisional).0, identifier);
        Ok(json!(InitiateRegistrationResponse {
            sealed_registration: sealed_registration(&provisional),
            provisional_credential: provisional.to_bytes(),
            opaque_registration_response: response.unwrap(),
        }))
    }

    fn finish(&mut self, request: &Request, clock: &Clock) -> Result<Value, Problem> {
        let body: FinishRegistrationRequest = serde_json::from_slice(&request.body).unwrap();
        let provisional = ProvisionalCredential::verify_signer(&body.provisional_credential.0, &self.intermediate)
            .map_err(|error| Problem::new(ProblemType::ProvisionalCredentialInvalid, error))?;
        let client = &provisional.payload().client_credential;
        let signature = self.check_signature(request, clock)?;
        assert_eq!(signature.key_id(), client.client_id.to_string());
        signature.verify(&client.verifying_key).map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))?;
        assert_eq!(body.sealed_registration, sealed_registration(&provisional));

        let user_name = client.client_id.user_name.to_string();
        assert_eq!(request.path, format!("/v1/as/users/{user_name}"));
        let request_digest = Sha256::digest(&request.body).into();
        if let Some(user) = self.users.get(&user_name) {
            return if user.request_digest == request_digest {
                Ok(json!(FinishRegistrationResponse { client_credential: user.credential.clone() }))
            } else {
                Err(Problem::new(ProblemType::UserNameTaken, "taken"))
            };
        }

        provisional
            .check(&self.intermediate, clock.now())
            .map_err(|error| Problem::new(ProblemType::RegistrationExpired, error))?;
        let record = RegistrationRecord::from_upload(&body.opaque_registration_record.0).unwrap();
        for package in &body.connection_packages {
            let (id, key) = (&client.client_id, &client.verifying_key);
            ConnectionPackage::verify_owner(&package.0, id, key, clock.now()).unwrap();
        }
        assert!(self.user_ids.insert(body.user_id.to_string()));
        let provisional_client_id = client.client_id.clone();
        let client_id = client.client_id.to_string();
        let credential = provisional.into_client_credential(&self.intermediate_key).to_bytes();
        self.connection_packages.register(&client_id, &body.connection_packages);
        let user = User {
            user_id: body.user_id,
            client_id,
            connection_packages: body.connection_packages.len(),
            request_digest,
            credential: credential.clone(),
        };
        let identifier = self.identifiers[&body.sealed_registration.0];
        self.key_server.register(&user_name, body.user_id, record, identifier);
        self.clients.register(&provisional_client_id, credential.clone());
        self.users.insert(user_name, user);
        Ok(json!(FinishRegistrationResponse { client_credential: credential }))
    }

    fn open_session(&mut self, request: &Request, clock: &Clock) -> Result<Value, Problem> {
        let body = serde_json::from_slice(&request.body).unwrap();
        if request.headers.iter().any(|(name, _)| *name == "signature") {
            self.check_client_signature(request, &body, clock)?;
        }
        self.key_server.open_session(&body, &self.opaque, clock.now(), &mut self.rng)
    }

    fn check_client_signature(
        &self,
        request: &Request,
        body: &OpenSessionRequest,
        clock: &Clock,
    ) -> Result<(), Problem> {
        let signature = self.check_signature(request, clock)?;
        let user_name = body.user_name.as_str();
        self.clients.signer(&signature, user_name, clock.now()).map(|_| ())
    }

    fn check_signature(&self, request: &Request, clock: &Clock) -> Result<RequestSignature, Problem> {
        let header = |wanted: &str| {
            let found = request.headers.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.clone().into()).unwrap()
        };
        let fields = SignatureFields {
            content_digest: header("content-digest"),
            signature_input: header("signature-input"),
            signature: header("signature"),
        };
        let authorization = request.headers.iter().find(|(name, _)| *name == "authorization");
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let covered = CoveredRequest {
            method: request.method.as_str(),
            path,
            query,
            authorization: authorization.map(|(_, value)| value.as_str()),
            body: &request.body,
        };
        RequestSignature::check(covered, &fields, &request.service.tag(&self.domain), clock.now())
            .map_err(|error| Problem::new(ProblemType::SignatureStale, error))
    }
}

/// Nothing secret in a test: enough to notice if the client sends back another one.
fn sealed_registration(provisional: &ProvisionalCredential) -> Bytes {
    Bytes(Sha256::digest(&provisional.to_bytes().0).to_vec())
}
