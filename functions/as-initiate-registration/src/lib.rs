//! `POST /v1/as/registrations`: the first half of a registration (`user-creation.md`, "Initiate AS registration").
//!
//! The server keeps nothing of it: what it must remember goes, sealed, into the client's hands.
#![deny(missing_docs)]

use std::time::Duration;

use vestibule_backend::authentication_service::sealed_registration::SealedRegistration;
use vestibule_backend::authentication_service::signing_requests::{read_csr, signer_for};
use vestibule_backend::authentication_service::user_records::{UserRecords, user_name_taken};
use vestibule_backend::rate_limit::{Limit, RateLimiter};
use vestibule_backend::secret::{AsSigningDocument, OpaqueDocument, SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::credential::ProvisionalCredential;
use vestibule_protocol::endpoint::{InitiateRegistration, InitiateRegistrationRequest, InitiateRegistrationResponse};
use vestibule_protocol::name::Domain;
use vestibule_protocol::opaque::CredentialIdentifier;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::randomness::Randomness;

/// The function.
pub struct AsInitiateRegistration {
    domain: Domain,
    clock: Clock,
    randomness: Randomness,
    users: UserRecords,
    signing: Secret<AsSigningDocument>,
    opaque: Secret<OpaqueDocument>,
    sealing: Secret<SealingAsDocument>,
    rate_limiter: RateLimiter,
    limit: Limit,
}

impl HttpFunction for AsInitiateRegistration {
    type Endpoint = InitiateRegistration;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            domain: environment.domain()?,
            clock: environment.clock().clone(),
            randomness: environment.randomness().clone(),
            users: UserRecords::new(environment)?,
            signing: Secret::read(environment, "AS_SIGNING_SECRET").await?,
            opaque: Secret::read(environment, "OPAQUE_SECRET").await?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
            rate_limiter: RateLimiter::new(environment, "AS_TABLE")?,
            limit: Limit {
                name: "registrations per source and hour",
                allowed: environment.positive_number("REGISTRATIONS_PER_SOURCE_AND_HOUR")?,
                window: Duration::from_secs(60 * 60),
            },
        })
    }

    async fn handle(
        &self,
        request: EndpointRequest<InitiateRegistration>,
    ) -> Result<InitiateRegistrationResponse, Problem> {
        let now = self.clock.now();
        let rng = &mut self.randomness.clone();
        let InitiateRegistrationRequest { user_name, client_credential_csr, opaque_registration_request } =
            &request.body;
        if *user_name.domain() != self.domain {
            let detail = format!("user names here end in @{}", self.domain);
            return Err(Problem::new(ProblemType::ForeignDomain, detail));
        }

        let csr = read_csr(&client_credential_csr.0)?;
        if csr.payload().0.client_id.user_name != *user_name {
            let detail = "the client id in the signing request belongs to another user name";
            return Err(Problem::new(ProblemType::CsrForAnotherUser, detail));
        }
        let signing = self.signing.current().await;
        let signer = signer_for(&csr, &signing, now)?;

        // A fresh identifier each time: were it derived from the name, this would be an oracle with which to prepare a
        // dictionary for a name.
        let credential_identifier = CredentialIdentifier::generate(rng);
        let opaque_registration_response = self
            .opaque
            .current()
            .await
            .server_setup
            .respond_to_registration(&opaque_registration_request.0, credential_identifier.as_ref())
            .map_err(|error| Problem::new(ProblemType::InvalidOpaqueMessage, error))?;

        let sealing = self.sealing.current().await;
        let source = request.source.prefix();
        self.rate_limiter.count(&sealing.bucket_key, &self.limit, &source, now).await?;
        if self.users.is_taken(user_name).await? {
            return Err(user_name_taken());
        }

        let provisional_credential = ProvisionalCredential::issue(&csr, request.body_hash, &signer.signing_key, now);
        let expires_at = provisional_credential.payload().expiration_data.not_after;
        let registration = SealedRegistration::new(credential_identifier, request.body_hash, expires_at);
        Ok(InitiateRegistrationResponse {
            provisional_credential: provisional_credential.to_bytes(),
            opaque_registration_response,
            sealed_registration: sealing.sealing_keys.seal(&registration, rng),
        })
    }
}
