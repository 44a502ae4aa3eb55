//! Whom the authentication service in this process answers, about a user's clients and identity.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::clock::Clock;
use vestibule_protocol::endpoint::{DeleteUserRequest, IdentityPosition, InitiateLoginRequest, IssueTokensRequest};
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::{Problem, ProblemType};

use super::Deployment;
use super::clients::problem;
use crate::transport::Request;

impl Deployment {
    pub(super) fn initiate_login(&mut self, request: &Request, clock: &Clock) -> Result<Value, Problem> {
        let InitiateLoginRequest { client_id, .. } = serde_json::from_slice(&request.body).unwrap();
        let signer = self.confirmed_signer(request, client_id.user_name.as_str(), clock)?;
        assert_eq!(signer, client_id);
        let Self { clients, key_server, opaque, rng, .. } = self;
        clients.initiate_login(&request.body, key_server, opaque, clock.now(), rng)
    }

    /// Answers what is asked under a user's path, of which these are the parts.
    pub(super) fn answer_about_account(
        &mut self,
        request: &Request,
        parts: &[&str],
        clock: &Clock,
    ) -> Result<Value, Problem> {
        let (user_name, now) = (parts[0], clock.now());
        match (request.method.as_str(), &parts[1..]) {
            ("PUT", ["clients", client_uuid]) => {
                let signer = self.confirmed_signer(request, user_name, clock)?;
                let target = client_id(user_name, client_uuid);
                let Self { clients, intermediate, intermediate_key, .. } = self;
                clients.add(&signer, &target, &request.body, intermediate, intermediate_key, now)
            }
            ("PUT", ["clients", client_uuid, "connection-packages"]) => {
                let signer = self.confirmed_signer(request, user_name, clock)?;
                assert_eq!(signer, client_id(user_name, client_uuid));
                let credential = &self.clients.live(&signer, now).unwrap().credential;
                self.connection_packages.publish(&signer, credential, &request.body, now)
            }
            ("DELETE", ["clients", client_uuid]) => {
                let (signer, is_unconfirmed) = self.signer(request, user_name, clock)?;
                let target = client_id(user_name, client_uuid);
                if is_unconfirmed && signer != target {
                    return Err(problem(ProblemType::ClientUnconfirmed));
                }
                self.clients.remove(&signer, &target, &request.body, now)
            }
            ("GET", [last]) => {
                let query = last.strip_prefix("identity?").unwrap();
                let number = |name: &str| {
                    let found = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
                    found.unwrap().parse().unwrap()
                };
                let identity = self.identities.get(user_name);
                let identity = identity.ok_or_else(|| problem(ProblemType::IdentityUnknown))?;
                identity.page(IdentityPosition { generation: number("generation"), epoch: number("epoch") })
            }
            ("POST", ["identity"]) => {
                let (signer, _) = self.signer(request, user_name, clock)?;
                let identity = self.identities.entry(user_name.to_owned()).or_default();
                identity.commit(&signer, &request.body, &mut self.clients, now)
            }
            ("PUT", ["identity", "generations", generation]) => {
                let signer = self.confirmed_signer(request, user_name, clock)?;
                let identity = self.identities.entry(user_name.to_owned()).or_default();
                identity.reset(&signer, generation.parse().unwrap(), &request.body, &mut self.clients, now)
            }
            unknown => panic!("no such route: {unknown:?}"),
        }
    }

    pub(super) fn issue_tokens(&mut self, request: &Request, clock: &Clock) -> Result<Value, Problem> {
        let IssueTokensRequest { client_id, .. } = serde_json::from_slice(&request.body).unwrap();
        let signer = self.confirmed_signer(request, client_id.user_name.as_str(), clock)?;
        assert_eq!(signer, client_id);
        self.tokens.issue(request, clock.now())
    }

    /// Deletes a user. The name, in `users`, stays taken.
    pub(super) fn delete_user(&mut self, request: &Request, clock: &Clock) -> Result<Value, Problem> {
        let user_name = request.path.rsplit('/').next().unwrap();
        let digest = Sha256::digest(&request.body).into();
        let signer = match self.confirmed_signer(request, user_name, clock) {
            Err(problem) if problem.problem_type == ProblemType::ClientUnknown && self.deletions.contains(&digest) => {
                return Ok(json!({}));
            }
            signer => signer?,
        };
        let DeleteUserRequest { login } = serde_json::from_slice(&request.body).unwrap();
        self.clients.check_login(&signer, LoginOperation::DeleteUser {}, &login, clock.now())?;
        self.clients.remove_all(user_name);
        self.identities.remove(user_name);
        self.key_server.remove_password(user_name);
        self.deletions.insert(digest);
        Ok(json!({}))
    }

    fn signer(&self, request: &Request, user_name: &str, clock: &Clock) -> Result<(ClientId, bool), Problem> {
        let signature = self.check_signature(request, clock)?;
        self.clients.signer(&signature, user_name, clock.now())
    }

    fn confirmed_signer(&self, request: &Request, user_name: &str, clock: &Clock) -> Result<ClientId, Problem> {
        match self.signer(request, user_name, clock)? {
            (_, true) => Err(problem(ProblemType::ClientUnconfirmed)),
            (signer, false) => Ok(signer),
        }
    }
}

fn client_id(user_name: &str, client_uuid: &str) -> ClientId {
    ClientId { user_name: user_name.parse().unwrap(), uuid: client_uuid.parse().unwrap() }
}
