//! `PUT /v1/as/users/{user_name}/clients/{client_uuid}`: signs the credential of a new client of the user, or renews that
//! of the client that asks (`new-device-sequence.md`, between rows 7 and 8).
//!
//! The same request again gets the same answer, as long as the client is one of the user's.
#![deny(missing_docs)]

use vestibule_backend::authentication_service::client_changes::{ClientAdditions, client_id_taken};
use vestibule_backend::authentication_service::client_set::{ClientSet, ClientSets};
use vestibule_backend::authentication_service::clients::{ClientRecord, ClientState};
use vestibule_backend::authentication_service::signing_requests::{read_csr, signer_for};
use vestibule_backend::secret::{AsSigningDocument, Secret};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError};
use vestibule_protocol::credential::{ClientCredential, ClientCredentialPayload};
use vestibule_protocol::endpoint::{AddClient, AddClientResponse, ClientPath};
use vestibule_protocol::limits::MAX_CLIENTS;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct AsAddClient {
    tag: String,
    clock: Clock,
    clients: ClientSets,
    additions: ClientAdditions,
    signing: Secret<AsSigningDocument>,
}

impl HttpFunction for AsAddClient {
    type Endpoint = AddClient;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Authentication.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            clients: ClientSets::new(environment)?,
            additions: ClientAdditions::new(environment)?,
            signing: Secret::read(environment, "AS_SIGNING_SECRET").await?,
        })
    }

    async fn handle(&self, request: EndpointRequest<AddClient>) -> Result<AddClientResponse, Problem> {
        let now = self.clock.now();
        let signature = request.signature(&self.tag, now)?;
        let clients = self.clients.read(&request.path.user_name, now).await?;
        let signer = clients.signer(&signature)?;

        let csr = read_csr(&request.body.client_credential_csr.0)?;
        let requested = &csr.payload().0;
        check_path(requested, &request.path)?;
        let known = clients.get(&request.path.client_uuid);
        // Signing is deterministic: who asks for the same again gets the same.
        if let Some(record) = known.and_then(ClientState::live).filter(|record| record.payload == *requested) {
            return Ok(AddClientResponse { client_credential: record.client_credential.clone() });
        }

        let signing = self.signing.current().await;
        let intermediate = signer_for(&csr, &signing, now)?;
        let credential = ClientCredential::sign(requested.clone(), &intermediate.signing_key);
        if signer.client_id.uuid == request.path.client_uuid {
            check_renewal(signer, requested)?;
            self.additions.renew(signer, &credential).await?;
        } else {
            check_addition(&clients, known, requested)?;
            self.additions.add(&clients, &credential, now).await?;
        }
        Ok(AddClientResponse { client_credential: credential.to_bytes() })
    }
}

fn check_path(requested: &ClientCredentialPayload, path: &ClientPath) -> Result<(), Problem> {
    if requested.client_id.user_name != path.user_name {
        let detail = "the client id in the signing request belongs to another user name";
        return Err(Problem::new(ProblemType::CsrForAnotherUser, detail));
    }
    if requested.client_id.uuid != path.client_uuid {
        let detail = "the client id in the signing request is not the one in the path";
        return Err(Problem::new(ProblemType::CsrForAnotherClient, detail));
    }
    Ok(())
}

/// A client renews its credential for the key that it has, and forwards: an old request, sent again, takes nothing back.
fn check_renewal(record: &ClientRecord, requested: &ClientCredentialPayload) -> Result<(), Problem> {
    if requested.verifying_key != record.payload.verifying_key {
        let detail = "the signing request is for another key than the client's";
        return Err(Problem::new(ProblemType::CsrForAnotherKey, detail));
    }
    let (wanted, current) = (&requested.expiration_data, &record.payload.expiration_data);
    if wanted.not_before < current.not_before || wanted.not_after < current.not_after {
        let detail = "the validity begins or ends before that of the client's current credential";
        return Err(Problem::new(ProblemType::CsrValidityRefused, detail));
    }
    Ok(())
}

/// A client id is used once: again only for the same credential, if it lapsed.
fn check_addition(
    clients: &ClientSet,
    known: Option<&ClientState>,
    requested: &ClientCredentialPayload,
) -> Result<(), Problem> {
    match known {
        None => {}
        Some(ClientState::Lapsed(record)) if record.payload == *requested => {}
        Some(_) => return Err(client_id_taken()),
    }
    if clients.live().count() >= MAX_CLIENTS {
        let detail = format!("a user can have {MAX_CLIENTS} clients; remove one first");
        return Err(Problem::new(ProblemType::ClientLimitReached, detail));
    }
    Ok(())
}
