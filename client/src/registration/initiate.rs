//! The first stage: everything up to the moment when the user could be created, and then exists on disk.

use sha2::{Digest as _, Sha256};
use vestibule_protocol::credential::{
    AsIntermediateCredential, ClientCredentialCsr, ClientCredentialCsrPayload, ClientCredentialPayload,
    ProvisionalCredential,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    FinishRegistrationRequest, GetCredentials, InitiateRegistration, InitiateRegistrationRequest,
    InitiateRegistrationResponse,
};
use vestibule_protocol::keys::{ClientCredentialKey, SigningKey};
use vestibule_protocol::limits::CLOCK_TOLERANCE;
use vestibule_protocol::name::{ClientId, ClientUuid, UserId, UserName};
use vestibule_protocol::opaque::{ClientRegistration, Parameters};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::Timestamp;

use super::Registration;
use crate::chain::Chain;
use crate::connection_packages::make;
use crate::error::Error;
use crate::home::{Account, AuthenticationServiceState, ConnectionPackages, KeptRequest, OwnQueue};
use crate::password::{PasswordSource, PasswordUse};
use crate::queuing::{get_keys, new_user};
use vestibule_protocol::randomness::Randomness;

pub(super) async fn run(registration: &mut Registration<'_>, password: &mut PasswordSource<'_>) -> Result<(), Error> {
    let session = &registration.session;
    let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
    let now = session.now();
    let chain = Chain::choose(&offered, registration.user_name.domain(), session.trusted_root, now)?;
    // A name should not be taken for a registration that its last stages cannot complete.
    get_keys(session, &chain.root).await?;
    let password = registration.password(password, PasswordUse::New)?;

    let user_name = registration.user_name.clone();
    let application =
        Application::new(user_name, &chain.intermediate, now, &mut registration.session.connection.randomness);
    let (opaque, opaque_registration_request) =
        ClientRegistration::start(password, &mut registration.session.connection.randomness);
    let request = InitiateRegistrationRequest {
        user_name: registration.user_name.clone(),
        client_credential_csr: application.csr.to_bytes(),
        opaque_registration_request,
    };
    let body = serde_json::to_vec(&request).expect("a request is made of what JSON can say");

    let answer = initiate(registration, &body).await?;
    check_provisional_credential(&answer, &application, &body, &chain.intermediate, registration.session.now())?;
    let opaque_registration_record = finish_opaque(registration, opaque, &answer).await?;

    let root = chain.root.fingerprint();
    let account = application.into_account(registration, &chain, answer, opaque_registration_record);
    registration.session.keep_account(account, root)
}

async fn initiate(registration: &Registration<'_>, body: &[u8]) -> Result<InitiateRegistrationResponse, Error> {
    let answer = registration.session.authentication_service.call::<InitiateRegistration>(&(), body).await;
    answer.map_err(|error| match error.problem_type() {
        Some(ProblemType::UserNameTaken) => Error::UserNameTaken(registration.user_name.clone()),
        _ => error.into(),
    })
}

/// Argon2 takes a while and all of a core, so it does not run where other tasks do.
async fn finish_opaque(
    registration: &Registration<'_>,
    opaque: ClientRegistration,
    answer: &InitiateRegistrationResponse,
) -> Result<Bytes, Error> {
    let response = answer.opaque_registration_response.clone();
    let user_name = registration.user_name.clone();
    let mut randomness = registration.session.connection.randomness.clone();
    let finished = tokio::task::spawn_blocking(move || {
        opaque.finish(&response.0, &Parameters::of_user(&user_name), &mut randomness)
    })
    .await;
    finished.expect("OPAQUE does not panic").map(|finished| finished.record).map_err(Error::OpaqueResponseRefused)
}

/// Checks that the chosen intermediate promises exactly the credential that was asked for, in answer to this very
/// request.
fn check_provisional_credential(
    answer: &InitiateRegistrationResponse,
    application: &Application,
    body: &[u8],
    intermediate: &AsIntermediateCredential,
    now: Timestamp,
) -> Result<(), Error> {
    let provisional = ProvisionalCredential::verify_signer(&answer.provisional_credential.0, intermediate)
        .map_err(Error::ProvisionalCredentialRefused)?;
    // It begins now by the server's clock, which may be a little ahead of ours.
    let not_before = provisional.payload().expiration_data.not_before;
    let now = now.max(not_before.min(now.saturating_add(CLOCK_TOLERANCE)));
    provisional.check(intermediate, now).map_err(Error::ProvisionalCredentialRefused)?;
    let is_for_us = provisional.payload().client_credential == *application.requested()
        && provisional.payload().initiation_hash == <[u8; 32]>::from(Sha256::digest(body));
    if is_for_us { Ok(()) } else { Err(Error::CredentialForAnotherRequest) }
}

/// A new client and the credential it asks for.
struct Application {
    client_id: ClientId,
    key: SigningKey<ClientCredentialKey>,
    csr: ClientCredentialCsr,
}

impl Application {
    fn new(
        user_name: UserName,
        signer: &AsIntermediateCredential,
        now: Timestamp,
        randomness: &mut Randomness,
    ) -> Self {
        let client_id = ClientId { user_name, uuid: ClientUuid::generate(randomness) };
        let key = SigningKey::generate(randomness);
        let requested = ClientCredentialPayload::requesting(client_id.clone(), key.verifying_key(), signer, now);
        let csr = ClientCredentialCsr::sign(ClientCredentialCsrPayload(requested), &key);
        Self { client_id, key, csr }
    }

    fn requested(&self) -> &ClientCredentialPayload {
        &self.csr.payload().0
    }

    /// Makes the account's keys, and the request that will create the user.
    fn into_account(
        self,
        registration: &mut Registration<'_>,
        chain: &Chain,
        answer: InitiateRegistrationResponse,
        opaque_registration_record: Bytes,
    ) -> Account {
        let now = registration.session.now();
        let randomness = &mut registration.session.connection.randomness;
        let user_id = UserId::generate(randomness);
        let as_queue = OwnQueue::generate(randomness);
        let (connection_packages, batch) = make(&self.client_id, &self.key, 0, now, randomness);
        let request = KeptRequest::new(&FinishRegistrationRequest {
            provisional_credential: answer.provisional_credential,
            sealed_registration: answer.sealed_registration,
            opaque_registration_record,
            user_id,
            connection_packages,
            queue: as_queue.keys(),
        });
        Account {
            user_name: self.client_id.user_name,
            user_id,
            device_name: registration.device_name.clone(),
            client_uuid: self.client_id.uuid,
            client_credential_key: self.key,
            as_credential: chain.root.to_bytes(),
            as_intermediate_credential: chain.intermediate.to_bytes(),
            was_linked: false,
            as_queue: Some(as_queue),
            connection_packages: ConnectionPackages::registered(batch),
            authentication_service: AuthenticationServiceState::Finishing {
                request,
                client_credential_csr: self.csr.to_bytes(),
            },
            key_server: None,
            pseudonym: Some(new_user(randomness)),
            user_secrets: None,
            identity: None,
            renewal: None,
            approval: None,
            deletion: None,
        }
    }
}
