//! `POST /v1/as/logins`: the first half of a login at the authentication service, for one operation.
//!
//! The server keeps nothing of it but a count: what it must remember goes, sealed, into the client's hands.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::clients::Clients;
use vestibule_backend::authentication_service::logins::SealedLogin;
use vestibule_backend::authentication_service::passwords::{LoginLimits, Password, Passwords};
use vestibule_backend::dynamodb::try_again;
use vestibule_backend::secret::{OpaqueDocument, SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::endpoint::{InitiateLogin, InitiateLoginResponse};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct AsInitiateLogin {
    domain: Domain,
    tag: String,
    clock: Clock,
    randomness: Randomness,
    clients: Clients,
    passwords: Passwords,
    opaque: Secret<OpaqueDocument>,
    sealing: Secret<SealingAsDocument>,
    login_limits: LoginLimits,
}

impl HttpFunction for AsInitiateLogin {
    type Endpoint = InitiateLogin;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        let domain = environment.domain()?;
        Ok(Self {
            tag: Service::Authentication.tag(&domain),
            domain,
            clock: environment.clock().clone(),
            randomness: environment.randomness().clone(),
            clients: Clients::new(environment)?,
            passwords: Passwords::new(environment)?,
            opaque: Secret::read(environment, "OPAQUE_SECRET").await?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
            login_limits: LoginLimits::new(environment)?,
        })
    }

    async fn handle(&self, request: EndpointRequest<InitiateLogin>) -> Result<InitiateLoginResponse, Problem> {
        let now = self.clock.now();
        let rng = &mut self.randomness.clone();
        let client_id = &request.body.client_id;
        let user_name = &client_id.user_name;
        if *user_name.domain() != self.domain {
            let detail = format!("user names here end in @{}", self.domain);
            return Err(Problem::new(ProblemType::ForeignDomain, detail));
        }
        self.clients.authenticate(&request, client_id, &self.tag, now).await?;
        // Before anything is computed: whoever guesses wrong stops after this answer.
        let opaque = self.opaque.current().await;
        self.login_limits.count(&opaque.bucket_key, user_name, Some(client_id), now).await?;

        // A client without a password is a user who is being deleted: the next attempt finds no client either.
        let password = self.passwords.read(user_name).await?.ok_or_else(try_again)?;
        let owner = Password::owner(Some(&password), user_name, &opaque.unknown_users);
        let (login, ke2) = SealedLogin::start(&request.body, &opaque.server_setup, &owner, now, rng)
            .map_err(|error| Problem::new(ProblemType::InvalidOpaqueMessage, error))?;
        let sealing = self.sealing.current().await;
        Ok(InitiateLoginResponse { ke2, sealed_login: sealing.sealing_keys.seal(&login, rng) })
    }
}
