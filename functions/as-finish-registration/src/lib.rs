//! `PUT /v1/as/users/{user_name}`: the second half of a registration (`user-creation.md`, "Finish AS registration").
//!
//! Whoever finishes first has the name. The same request again gets the same answer, even when the registration's 15
//! minutes are over.
#![deny(missing_docs)]

use std::fmt::Display;

use vestibule_backend::authentication_service::connection_publications::{check_connection_packages, check_queue_keys};
use vestibule_backend::authentication_service::sealed_registration::SealedRegistration;
use vestibule_backend::authentication_service::user_records::{NewUser, UserRecords};
use vestibule_backend::secret::{AsSigning, AsSigningDocument, IntermediateSigner, SealingAsDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError, signature_problem};
use vestibule_protocol::credential::{CredentialError, ProvisionalCredential, ProvisionalCredentialPayload};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{FinishRegistration, FinishRegistrationRequest, FinishRegistrationResponse};
use vestibule_protocol::opaque::RegistrationRecord;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::Timestamp;

/// The function.
pub struct AsFinishRegistration {
    tag: String,
    clock: Clock,
    users: UserRecords,
    queue_table: String,
    signing: Secret<AsSigningDocument>,
    sealing: Secret<SealingAsDocument>,
}

impl HttpFunction for AsFinishRegistration {
    type Endpoint = FinishRegistration;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            users: UserRecords::new(environment)?,
            queue_table: environment.variable("AS_QUEUE_TABLE")?.to_owned(),
            signing: Secret::read(environment, "AS_SIGNING_SECRET").await?,
            sealing: Secret::read(environment, "SEALING_AS_SECRET").await?,
        })
    }

    async fn handle(
        &self,
        request: EndpointRequest<FinishRegistration>,
    ) -> Result<FinishRegistrationResponse, Problem> {
        let now = self.clock.now();
        let user_name = &request.path.user_name;
        let signing = self.signing.current().await;
        let (provisional, signer) = self.authenticate(&request, &signing, now)?;
        let registration = self.open(&request.body.sealed_registration, &provisional).await?;

        let is_over = now >= registration.expires_at || provisional.check(&signer.credential, now).is_err();
        if is_over {
            let answer = self.users.registration_answer(user_name, &request.body_hash).await?;
            let expired = || Problem::new(ProblemType::RegistrationExpired, "initiate the registration again");
            return Ok(FinishRegistrationResponse { client_credential: answer.ok_or_else(expired)? });
        }

        let FinishRegistrationRequest { opaque_registration_record, user_id, connection_packages, queue, .. } =
            request.body;
        let opaque_record = RegistrationRecord::from_upload(&opaque_registration_record.0)
            .map_err(|error| Problem::new(ProblemType::InvalidOpaqueMessage, error))?;
        let client = &provisional.payload().client_credential;
        let connection_packages = check_connection_packages(&connection_packages, client, now)?;
        let (queue_encryption_key, queue_ratchet_key) = check_queue_keys(queue)?;
        let user = NewUser {
            user_id,
            opaque_record,
            credential_identifier: registration.credential_identifier(),
            connection_packages,
            queue_encryption_key,
            queue_ratchet_key,
            registration_hash: request.body_hash,
            client_credential: provisional.into_client_credential(&signer.signing_key),
        };
        let client_credential = self.users.create(&self.queue_table, &user, now).await?;
        Ok(FinishRegistrationResponse { client_credential })
    }
}

impl AsFinishRegistration {
    /// Checks that the request is signed by the key of a provisional credential of ours for the user in the path.
    fn authenticate<'a>(
        &self,
        request: &EndpointRequest<FinishRegistration>,
        signing: &'a AsSigning,
        now: Timestamp,
    ) -> Result<(ProvisionalCredential, &'a IntermediateSigner), Problem> {
        let signature = request.signature(&self.tag, now)?;
        let bytes = &request.body.provisional_credential.0;
        let invalid = |reason: &dyn Display| {
            let detail = format_args!("the provisional credential: {reason}");
            Problem::new(ProblemType::ProvisionalCredentialInvalid, detail)
        };

        let claim = Unverified::<ProvisionalCredentialPayload>::from_bytes(bytes).map_err(|error| invalid(&error))?;
        let signer = signing
            .signer(&claim.claim().client_credential.signer_fingerprint)
            .ok_or_else(|| invalid(&CredentialError::UnknownSigner))?;
        let provisional =
            ProvisionalCredential::verify_signer(bytes, &signer.credential).map_err(|error| invalid(&error))?;

        let client = &provisional.payload().client_credential;
        if client.client_id.user_name != request.path.user_name {
            return Err(invalid(&"it is for another user name than the path"));
        }
        signature.verify(&client.verifying_key).map_err(signature_problem)?;
        Ok((provisional, signer))
    }

    /// Opens the sealed registration and checks that it was made together with the provisional credential.
    async fn open(&self, sealed: &Bytes, provisional: &ProvisionalCredential) -> Result<SealedRegistration, Problem> {
        self.sealing
            .current()
            .await
            .sealing_keys
            .open::<SealedRegistration>(&sealed.0)
            .filter(|registration| registration.initiation_hash == provisional.payload().initiation_hash)
            .ok_or_else(|| {
                let detail = "send back what initiating the registration gave, unchanged";
                Problem::new(ProblemType::SealedRegistrationInvalid, detail)
            })
    }
}
