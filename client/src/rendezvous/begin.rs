//! How a rendezvous begins: created, joined, or resumed.

use vestibule_protocol::endpoint::{
    CreateRendezvous, CreateRendezvousRequest, GetCredentials, JoinRendezvous, JoinRendezvousRequest, RendezvousPath,
};
use vestibule_protocol::rendezvous::{
    self as protocol, Pairing, RandomString, RendezvousCode, RendezvousTicket, Role, Session,
};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Fingerprint;

use super::{Rendezvous, RendezvousError, Surroundings};
use crate::api::{Api, ApiError};
use crate::chain::TrustedChains;
use crate::error::Error;
use crate::home::{Account, ApplicationState, Home, KeptRendezvous, KeptRequest, KeptSession, RendezvousToKeep};
use crate::relay::RelayUrl;

impl<'c> Rendezvous<'c> {
    /// As [`Client::create_rendezvous`](crate::Client::create_rendezvous).
    pub(crate) async fn create(
        surroundings: Surroundings<'c>,
        trusted_root: Option<Fingerprint>,
    ) -> Result<Self, Error> {
        let Surroundings { home, connection, .. } = &surroundings;
        // One that was never joined takes nobody's place.
        if let Some(KeptRendezvous::Meeting(_)) = home.load_rendezvous()? {
            return Err(RendezvousError::UnderWay.into());
        }
        let authentication_service = Api::new(Service::Authentication, connection.clone());
        let offered = authentication_service.call::<GetCredentials>(&(), &[]).await?;
        let domain = TrustedChains::domain_of(&offered, trusted_root, connection.clock.now())?;

        let rng = &mut connection.randomness.clone();
        let ticket = RendezvousTicket::generate(rng);
        let request = KeptRequest::new(&CreateRendezvousRequest { ticket: ticket.clone() });
        let service = Api::new(Service::Rendezvous, connection.clone());
        let answer = service.call::<CreateRendezvous>(&(), request.as_bytes()).await?;
        let relay_url = read_relay_url(&answer.relay_url)?;

        let pairing = Pairing { code: answer.code, random_string: RandomString::generate(rng) };
        let (mailbox_id, expires_at) = (answer.mailbox_id, answer.expires_at);
        let beginning = protocol::Rendezvous { pairing: pairing.clone(), domain, mailbox_id, ticket, expires_at };
        let session = Session::new_device(beginning, rng);
        let kept = begun(Role::NewDevice, answer.code, relay_url, session);
        let mut rendezvous = Self::new(surroundings, kept, Some(pairing));
        rendezvous.save()?;
        Ok(rendezvous)
    }

    /// As [`Client::join_rendezvous`](crate::Client::join_rendezvous).
    pub(crate) async fn join(
        surroundings: Surroundings<'c>,
        account: &Account,
        pairing: &Pairing,
    ) -> Result<Self, Error> {
        let Surroundings { home, connection, .. } = &surroundings;
        let rng = &mut connection.randomness.clone();
        let (client_id, code) = (account.client_id(), pairing.code);
        let domain = client_id.user_name.domain().clone();
        let ticket = match home.load_rendezvous()? {
            Some(KeptRendezvous::Meeting(_)) => return Err(RendezvousError::UnderWay.into()),
            Some(KeptRendezvous::Joining { code: kept, ticket }) if kept == code => ticket,
            _ => {
                let ticket = RendezvousTicket::generate(rng);
                home.store_rendezvous(&RendezvousToKeep::Joining { code, ticket: ticket.clone() })?;
                ticket
            }
        };
        let request = KeptRequest::new(&JoinRendezvousRequest { client_id, ticket: ticket.clone() });
        let service = Api::new(Service::Rendezvous, connection.clone());
        let path = RendezvousPath { code };
        let answer = service.call_signed::<JoinRendezvous, _>(&path, request.as_bytes(), &account.signer()).await;
        let answer = answer.map_err(|error| forget_if_refused(home, error))?;
        let relay_url = read_relay_url(&answer.relay_url).or_else(|error| {
            home.remove_rendezvous()?;
            Err(error)
        })?;

        let (mailbox_id, expires_at) = (answer.mailbox_id, answer.expires_at);
        let beginning = protocol::Rendezvous { pairing: pairing.clone(), domain, mailbox_id, ticket, expires_at };
        let session = Session::existing_device(beginning, rng);
        let mut rendezvous = Self::new(surroundings, begun(Role::ExistingDevice, code, relay_url, session), None);
        rendezvous.save()?;
        Ok(rendezvous)
    }

    /// As [`Client::resume_rendezvous`](crate::Client::resume_rendezvous).
    pub(crate) fn resume(surroundings: Surroundings<'c>) -> Result<Option<Self>, Error> {
        Ok(match surroundings.home.load_rendezvous()? {
            Some(KeptRendezvous::Meeting(kept)) => Some(Self::new(surroundings, *kept, None)),
            // Only joining it again tells where it is.
            Some(KeptRendezvous::Joining { .. }) | None => None,
        })
    }
}

fn begun(role: Role, code: RendezvousCode, relay_url: RelayUrl, session: Session) -> KeptSession {
    KeptSession { role, code, relay_url, session, application_state: ApplicationState::default() }
}

fn read_relay_url(text: &str) -> Result<RelayUrl, Error> {
    Ok(text.parse::<RelayUrl>().map_err(RendezvousError::RelayUrl)?)
}

/// What the server has refused is over. Where there was no answer, the ticket may be needed once more.
fn forget_if_refused(home: &Home, error: ApiError) -> Error {
    if matches!(error, ApiError::Problem { .. })
        && !error.may_pass()
        && let Err(error) = home.remove_rendezvous()
    {
        return error.into();
    }
    error.into()
}
