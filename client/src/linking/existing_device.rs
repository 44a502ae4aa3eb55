//! The existing device's side.

use vestibule_identity::{Identity, IdentityError};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{AddClient, AddClientRequest, ClientPath, GetCredentials};
use vestibule_protocol::linking::{
    DeclineReason, ExistingDevice, ExistingDeviceProgress, Fate, Handover, LinkingError, OutgoingMessage, Standing,
};
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::rendezvous::RendezvousCode;
use vestibule_protocol::time::Timestamp;

use super::settlement::{may_pass, settle};
use super::{
    Linked, LinkingInteraction, LinkingQuestion, Machine, decide, is_end_of_connection, listen, part, remember,
    secured, send,
};
use crate::api::ApiError;
use crate::chain::TrustedChains;
use crate::error::Error;
use crate::home::{AddedClient, Approval, KeptRequest};
use crate::identity::{KnownIntermediates, catch_up, commit, known_client_uuids};
use crate::rendezvous::{Rendezvous, SecuredChannel};
use crate::session::Session;

/// An existing device that lets a new one in.
pub(crate) struct ExistingDeviceRun<'r, 'c> {
    pub(crate) session: Session<'c>,
    pub(crate) code: RendezvousCode,
    pub(crate) interaction: &'r mut dyn LinkingInteraction,
}

impl ExistingDeviceRun<'_, '_> {
    /// Lets the new device in. What is to be gone on with by another run is kept.
    pub(crate) async fn run(mut self, rendezvous: &mut Rendezvous<'_>) -> Result<Linked, Error> {
        let mut channel = secured(rendezvous, self.interaction).await?;
        let mut machine = self.resume_or_start(&mut channel).await?;
        let mut cause = None;
        while !matches!(machine.progress(), ExistingDeviceProgress::Linked { .. } | ExistingDeviceProgress::Ended(_)) {
            if let ExistingDeviceProgress::SettlementWanted { client_id, .. } = machine.progress() {
                let fate = self.settle(client_id.uuid).await?;
                machine.settle(fate).expect("it is due");
                continue;
            }
            match self.advance(&mut machine, &mut channel).await {
                Ok(()) => {}
                Err(error) if is_end_of_connection(&error) => {
                    machine.connection_ended();
                    cause = Some(error);
                }
                Err(error) if may_pass(&error) => return Err(error),
                Err(error) => match machine.decline(reason(&error)) {
                    Ok(message) => {
                        send(&mut channel, [message]);
                        cause = Some(error);
                    }
                    Err(_) => return Err(error),
                },
            }
        }
        remember(&mut channel, &machine);
        part(rendezvous, &self.session.connection.waiting).await?;
        match machine.progress() {
            ExistingDeviceProgress::Linked { client_id, device_name } => {
                Ok(Linked::of(client_id.clone(), device_name.clone()))
            }
            ExistingDeviceProgress::Ended(ending) => Err(cause.unwrap_or(Error::Linking(*ending))),
            _ => unreachable!("it is over"),
        }
    }

    async fn resume_or_start(&mut self, channel: &mut SecuredChannel<'_, '_>) -> Result<ExistingDevice, Error> {
        if !channel.remembered().is_empty() {
            return Ok(serde_json::from_slice(channel.remembered()).expect("it was written by this client"));
        }
        let session = &self.session;
        let account = session.account();
        let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
        let domain = account.user_name.domain();
        let chains = TrustedChains::choose(&offered, domain, session.trusted_root, session.now())?;
        let (machine, first) = ExistingDevice::start(&Standing {
            user_name: account.user_name.clone(),
            as_credential: chains.root.clone(),
            as_intermediate_credentials: chains.intermediates().to_vec(),
            client_uuids: known_client_uuids(account),
        });
        send(channel, [first]);
        Ok(machine)
    }

    /// Does what is due.
    async fn advance(
        &mut self,
        machine: &mut ExistingDevice,
        channel: &mut SecuredChannel<'_, '_>,
    ) -> Result<(), Error> {
        match machine.progress() {
            ExistingDeviceProgress::Waiting => listen(machine, channel, &self.session.connection.clock).await,
            ExistingDeviceProgress::ApprovalWanted { device_name, client_id } => {
                let question = LinkingQuestion::Approve {
                    user_name: client_id.user_name.clone(),
                    device_name: device_name.clone(),
                };
                let (device_name, client_id) = (device_name.clone(), client_id.clone());
                match self.decide(&question, &client_id, machine, channel).await? {
                    Some(true) => {
                        machine.approve().expect("it is due");
                        self.keep_approval(machine, device_name)?;
                    }
                    Some(false) => send(channel, machine.decline(DeclineReason::Person).ok()),
                    None => {}
                }
                Ok(())
            }
            ExistingDeviceProgress::CredentialWanted { client_id, .. } => {
                let client_credential = self.add_client(&client_id.clone()).await?;
                let issued = machine.credential_issued(client_credential, self.session.now());
                send(channel, issued.map_or_else(|error| error.message(), Some));
                Ok(())
            }
            ExistingDeviceProgress::AddingWanted { client_id, client_credential, key_package } => {
                let added = self.add_to_identity(client_id, client_credential, key_package).await?;
                send(channel, self.hand_over(machine, added)?);
                Ok(())
            }
            ExistingDeviceProgress::SettlementWanted { .. }
            | ExistingDeviceProgress::Linked { .. }
            | ExistingDeviceProgress::Ended(_) => Ok(()),
        }
    }

    /// Asks the person, unless an earlier run did and was told yes. Gives nothing if the other device has ended it meanwhile.
    async fn decide(
        &mut self,
        question: &LinkingQuestion,
        client_id: &ClientId,
        machine: &mut ExistingDevice,
        channel: &mut SecuredChannel<'_, '_>,
    ) -> Result<Option<bool>, Error> {
        let approval = self.session.account().approval.as_ref();
        if approval.is_some_and(|approval| approval.client_uuid == client_id.uuid) {
            return Ok(Some(true));
        }
        let clock = &self.session.connection.clock;
        let is_asked =
            |machine: &ExistingDevice| matches!(machine.progress(), ExistingDeviceProgress::ApprovalWanted { .. });
        decide(self.interaction.decide(question), machine, channel, clock, is_asked).await
    }

    /// Writes down whom the server is about to be asked to add. From here on it is to be settled.
    fn keep_approval(&mut self, machine: &ExistingDevice, device_name: DeviceName) -> Result<(), Error> {
        let ExistingDeviceProgress::CredentialWanted { client_id, client_credential_csr } = machine.progress() else {
            return Ok(());
        };
        let client_credential_csr = client_credential_csr.clone();
        let approval = Approval {
            code: self.code,
            client_uuid: client_id.uuid,
            device_name,
            request: KeptRequest::new(&AddClientRequest { client_credential_csr }),
            added: None,
        };
        self.session.change_account(|account| account.approval = Some(approval))
    }

    /// Has the authentication service sign the new client's credential.
    async fn add_client(&mut self, client_id: &ClientId) -> Result<Bytes, Error> {
        let account = self.session.account();
        let approval = account.approval.as_ref().expect("it was kept before");
        let path = ClientPath { user_name: client_id.user_name.clone(), client_uuid: client_id.uuid };
        let service = &self.session.authentication_service;
        let answer = service.call_signed::<AddClient, _>(&path, approval.request.as_bytes(), &account.signer()).await;
        Ok(answer.map_err(|error| self.session.refusal(error))?.client_credential)
    }

    /// Adds the new client to the identity, if an earlier run has not.
    async fn add_to_identity(
        &mut self,
        client_id: &ClientId,
        client_credential: &Bytes,
        key_package: &Bytes,
    ) -> Result<AddedClient, Error> {
        catch_up(&mut self.session).await?;
        if let Some(added) = self.added() {
            return Ok(added);
        }
        let credential = self.verified(client_credential).await?;
        Identity::check_key_package(&key_package.0, &credential).map_err(Error::KeyPackageRefused)?;
        let (client_uuid, key_package) = (client_id.uuid, key_package.clone());
        commit(&mut self.session, move |identity, keys, randomness| {
            if identity.follower().member(client_uuid).is_some() {
                return Err(IdentityError::MemberTwice);
            }
            identity.prepare_add(keys, &key_package.0, randomness).map(Some)
        })
        .await?;
        Ok(self.added().expect("it was accepted with the commit"))
    }

    fn added(&self) -> Option<AddedClient> {
        self.session.account().approval.as_ref().and_then(|approval| approval.added.clone())
    }

    async fn verified(&mut self, client_credential: &Bytes) -> Result<ClientCredential, Error> {
        let session = &self.session;
        let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
        let domain = session.account().user_name.domain();
        let chains = TrustedChains::choose(&offered, domain, session.trusted_root, session.now())?;
        KnownIntermediates::in_force(&chains).verify(client_credential).map_err(Error::ClientCredentialRefused)
    }

    /// Hands over what makes the new client one of the user's.
    fn hand_over(&mut self, machine: &mut ExistingDevice, added: AddedClient) -> Result<Vec<OutgoingMessage>, Error> {
        let account = self.session.account();
        let secrets = account.shared_secrets().ok_or_else(|| account.incomplete())?;
        let identity = account.identity.as_ref().expect("it was followed");
        let handover = Handover {
            user_id: account.user_id,
            identity_generation: added.generation,
            identity_epoch: added.epoch,
            welcome: added.welcome,
            rotation: secrets.rotation,
            device_label_key: identity.device_label_key.clone(),
            friendship_token: secrets.friendship_token.clone(),
            friendship_encryption_key: secrets.friendship_encryption_key.clone(),
            welcome_attribution_info_key: secrets.welcome_attribution_info_key.clone(),
            qs_user_id: secrets.qs_user_id(),
            qs_user_record_key: secrets.clone().user_record_key,
        };
        let state_bundles = self.interaction.state_bundles();
        Ok(machine.added(handover, state_bundles).unwrap_or_else(|error| error.message().into_iter().collect()))
    }

    /// Finds out what has become of the new client.
    async fn settle(&mut self, client_uuid: ClientUuid) -> Result<Fate, Error> {
        match settle(&mut self.session, client_uuid).await {
            Ok(true) => Ok(Fate::Linked),
            Ok(false) | Err(Error::DeviceRemoved(_)) => Ok(Fate::NotLinked),
            Err(error) => Err(error),
        }
    }
}

impl Machine for ExistingDevice {
    fn receive(&mut self, message: &[u8], now: Timestamp) -> Result<(), LinkingError> {
        Self::receive(self, message, now)
    }

    fn connection_ended(&mut self) {
        Self::connection_ended(self);
    }
}

/// What the new device is told of an error here.
fn reason(error: &Error) -> DeclineReason {
    match error {
        Error::NobodyToAsk => DeclineReason::Person,
        Error::DeviceRemoved(_) => DeclineReason::ApproverRemoved,
        Error::KeyPackageRefused(_) => DeclineReason::KeyPackageRefused,
        Error::Api(error) => reason_of_problem(error),
        _ => DeclineReason::Failed,
    }
}

fn reason_of_problem(error: &ApiError) -> DeclineReason {
    match error.problem_type() {
        Some(ProblemType::ClientLimitReached) => DeclineReason::ClientLimit,
        Some(
            ProblemType::MalformedCsr
            | ProblemType::CsrSignatureInvalid
            | ProblemType::CsrForAnotherUser
            | ProblemType::CsrForAnotherClient
            | ProblemType::CsrForAnotherKey
            | ProblemType::CsrValidityRefused
            | ProblemType::UnknownSigner
            | ProblemType::ClientIdTaken,
        ) => DeclineReason::RequestRefused,
        _ => DeclineReason::Failed,
    }
}
