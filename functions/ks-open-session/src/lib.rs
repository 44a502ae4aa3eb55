//! `POST /v1/ks/sessions`: opens a session with the key server (`key-server-registration.md`, "Opens a registration
//! session"), which is the first half of an OPAQUE login.
//!
//! A name that nobody has is treated like any other: the same calls, the same work, the same sizes.
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::authentication_service::clients::Clients;
use vestibule_backend::authentication_service::passwords::{LoginLimits, Password, Passwords};
use vestibule_backend::key_server::NewSessions;
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::secret::{OpaqueDocument, SealingKsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{OpenSession, OpenSessionResponse};
use vestibule_protocol::key_server::{ServerSessionError, StoredSession};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct KsOpenSession {
    domain: Domain,
    tag: String,
    clock: Clock,
    randomness: Randomness,
    clients: Clients,
    passwords: Passwords,
    sessions: NewSessions,
    opaque: Secret<OpaqueDocument>,
    sealing: Secret<SealingKsDocument>,
    login_limits: LoginLimits,
    rate_limiter: RateLimiter,
    limit: Limit,
}

impl HttpFunction for KsOpenSession {
    type Endpoint = OpenSession;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let domain = environment.domain()?;
        Ok(Self {
            tag: Service::KeyServer.tag(&domain),
            domain,
            clock: environment.clock().clone(),
            randomness: environment.randomness().clone(),
            clients: Clients::new(environment)?,
            passwords: Passwords::new(environment)?,
            sessions: NewSessions::new(environment)?,
            opaque: Secret::read(environment, "OPAQUE_SECRET").await?,
            sealing: Secret::read(environment, "SEALING_KS_SECRET").await?,
            login_limits: LoginLimits::new(environment)?,
            rate_limiter: RateLimiter::new(environment, "KS_SESSION_TABLE")?,
            limit: Limit {
                name: "sessions per source and hour",
                allowed: environment.positive_number("SESSIONS_PER_SOURCE_AND_HOUR")?,
                window: Duration::from_secs(60 * 60),
            },
        })
    }

    async fn handle(&self, request: EndpointRequest<OpenSession>) -> Result<OpenSessionResponse, Problem> {
        let now = self.clock.now();
        let rng = &mut self.randomness.clone();
        let user_name = &request.body.user_name;
        if *user_name.domain() != self.domain {
            let detail = format!("user names here end in @{}", self.domain);
            return Err(Problem::new(ProblemType::ForeignDomain, detail));
        }

        let client = self.clients.authenticate_if_signed(&request, user_name, &self.tag, now).await?;
        let opaque = self.opaque.current().await;
        let sealing = self.sealing.current().await;
        if client.is_none() {
            let source = request.source.prefix();
            self.rate_limiter.count(&sealing.bucket_key, &self.limit, &source, now).await?;
        }
        self.login_limits.count(&opaque.bucket_key, user_name, client.as_ref(), now).await?;

        let password = self.passwords.read(user_name).await?;
        let owner = Password::owner(password.as_ref(), user_name, &opaque.unknown_users);
        let (session, response) =
            StoredSession::open(&request.body, &opaque.server_setup, &owner, now, rng).map_err(session_problem)?;
        let sealed_session = sealing.sealing_keys.seal(&session, rng);
        self.sessions.put(user_name, &session, &sealed_session).await?;
        Ok(response)
    }
}

fn session_problem(error: ServerSessionError) -> Problem {
    let problem_type = match error {
        ServerSessionError::RegistrationRequestMisplaced => ProblemType::InvalidField,
        ServerSessionError::Opaque(_) | ServerSessionError::Channel(_) => ProblemType::InvalidOpaqueMessage,
    };
    Problem::new(problem_type, error)
}
