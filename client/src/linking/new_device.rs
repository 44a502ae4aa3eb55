//! The new device's side.

use serde::{Deserialize, Serialize};
use vestibule_identity::{ClientKeys, Identity, PrivateIdentityKeyPackage};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::endpoint::{GetCredentials, IdentityPosition};
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::linking::{
    DeclineReason, Expectation, Handover, LinkingError, NewClient, NewDevice, NewDeviceProgress, OutgoingMessage,
};
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::signed::Fingerprint;
use vestibule_protocol::time::Timestamp;

use super::settlement::may_pass;
use super::{
    Linked, LinkingInteraction, LinkingQuestion, Machine, confirm, decide, is_end_of_connection, listen, part,
    remember, secured, send,
};
use crate::chain::{Chain, TrustedChains};
use crate::error::Error;
use crate::home::{
    Account, AuthenticationServiceState, ConnectionPackages, IdentityState, Pseudonym, Sharing, UserSecrets,
};
use crate::identity::{
    IdentityFailure, KnownIntermediates, intermediate_under, prepare_update, replay, root_of, see_all,
};
use crate::queuing::new_client;
use crate::rendezvous::{Rendezvous, SecuredChannel};
use crate::session::Session;

/// What is remembered with the channel.
#[derive(Serialize, Deserialize)]
struct Kept {
    machine: NewDevice,
    key_package: Option<PrivateIdentityKeyPackage>,
}

/// A new device that is being linked.
pub(crate) struct NewDeviceRun<'r, 'c> {
    pub(crate) session: Session<'c>,
    pub(crate) device_name: DeviceName,
    /// Whose it is to be, if its user has said so.
    pub(crate) user_name: Option<UserName>,
    /// Whether the home trusted its root before.
    pub(crate) was_root_trusted: bool,
    pub(crate) interaction: &'r mut dyn LinkingInteraction,
}

impl NewDeviceRun<'_, '_> {
    /// Links the device. What is to be gone on with by another run is kept.
    pub(crate) async fn run(mut self, rendezvous: &mut Rendezvous<'_>) -> Result<Linked, Error> {
        let mut channel = secured(rendezvous, self.interaction).await?;
        let mut kept = self.resume_or_start(&mut channel).await?;
        let mut cause = None;
        while !is_over(&kept.machine) {
            match self.advance(&mut kept, &mut channel).await {
                Ok(()) => {}
                Err(error) if is_end_of_connection(&error) => {
                    kept.machine.connection_ended();
                    cause = Some(error);
                }
                Err(error) if may_pass(&error) => return Err(error),
                Err(error) => match kept.machine.decline(reason(&error)) {
                    Ok(message) => {
                        send(&mut channel, [message]);
                        cause = Some(error);
                    }
                    // Only the server can end it any more: another run asks it again.
                    Err(_) => return Err(error),
                },
            }
        }
        remember(&mut channel, &kept);
        let waiting = self.session.connection.waiting.clone();
        match kept.machine.progress() {
            NewDeviceProgress::Linked { client, state_bundles, .. } => {
                self.interaction.take_state_bundles(state_bundles);
                let linked = Linked::of(client.client_id.clone(), client.device_name.clone());
                part(rendezvous, &waiting).await?;
                Ok(linked)
            }
            NewDeviceProgress::Ended(ending) => {
                let ending = Error::Linking(*ending);
                forget(&mut self.session)?;
                part(rendezvous, &waiting).await?;
                Err(cause.unwrap_or(ending))
            }
            _ => unreachable!("it is over"),
        }
    }

    async fn resume_or_start(&mut self, channel: &mut SecuredChannel<'_, '_>) -> Result<Kept, Error> {
        if !channel.remembered().is_empty() {
            return Ok(serde_json::from_slice(channel.remembered()).expect("it was written by this client"));
        }
        let offered = self.session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
        let trusted_root = self.session.trusted_root;
        let expectation = Expectation {
            domain: TrustedChains::domain_of(&offered, trusted_root, self.session.now())?,
            user_name: self.user_name.clone(),
            as_credential_fingerprint: trusted_root,
        };
        Ok(Kept { machine: NewDevice::start(self.device_name.clone(), expectation), key_package: None })
    }

    /// Does what is due.
    async fn advance(&mut self, kept: &mut Kept, channel: &mut SecuredChannel<'_, '_>) -> Result<(), Error> {
        match kept.machine.progress() {
            NewDeviceProgress::Waiting => listen(kept, channel, &self.session.connection.clock).await,
            NewDeviceProgress::AgreementWanted { user_name, as_credential_fingerprint } => {
                let (user_name, device_name) = (user_name.clone(), self.device_name.clone());
                // The machine may be an earlier run's, which was told of no user, or of another.
                if self.user_name.as_ref().is_some_and(|wanted| *wanted != user_name) {
                    send(channel, kept.machine.decline(DeclineReason::AnotherUser).ok());
                    return Ok(());
                }
                let question = LinkingQuestion::Join { user_name: user_name.clone(), device_name };
                let clock = &self.session.connection.clock;
                let is_asked =
                    |kept: &Kept| matches!(kept.machine.progress(), NewDeviceProgress::AgreementWanted { .. });
                match decide(self.interaction.decide(&question), kept, channel, clock, is_asked).await? {
                    Some(true) => {
                        let request = self.agree(&mut kept.machine, &user_name, as_credential_fingerprint).await?;
                        send(channel, request);
                    }
                    Some(false) => send(channel, kept.machine.decline(DeclineReason::Person).ok()),
                    None => {}
                }
                Ok(())
            }
            NewDeviceProgress::KeyPackageWanted(client) => {
                let (key_package, private) = self.make_key_package(client)?;
                kept.key_package = Some(private);
                send(channel, kept.machine.key_package_made(key_package).ok());
                Ok(())
            }
            NewDeviceProgress::JoiningWanted { client, handover, .. } => {
                if !self.has_joined(client.client_id) {
                    let key_package = kept.key_package.take();
                    self.join(client, handover, key_package).await?;
                }
                kept.machine.joined().expect("it is due");
                Ok(())
            }
            NewDeviceProgress::ConfirmationWanted { .. } => {
                let answer = if self.is_confirmed().await? { kept.machine.confirmed() } else { kept.machine.refused() };
                send(channel, answer.ok());
                Ok(())
            }
            NewDeviceProgress::Linked { .. } | NewDeviceProgress::Ended(_) => Ok(()),
        }
    }

    /// Makes the client, and what asks for its credential. `None` if the machine has ended.
    async fn agree(
        &mut self,
        machine: &mut NewDevice,
        user_name: &UserName,
        root: Fingerprint,
    ) -> Result<Option<OutgoingMessage>, Error> {
        let offered = self.session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
        let now = self.session.now();
        let chain = Chain::choose(&offered, user_name.domain(), Some(root), now)?;
        let rng = &mut self.session.connection.randomness.clone();
        Ok(match machine.agree(&chain.root, &chain.intermediate, now, rng) {
            Ok(message) => Some(message),
            Err(error) => error.message(),
        })
    }

    fn make_key_package(&self, client: NewClient<'_>) -> Result<(Bytes, PrivateIdentityKeyPackage), Error> {
        let keys = ClientKeys {
            client_credential: &client_credential(client)?,
            key: client.signing_key,
            // Under which key, this device does not know yet.
            encrypted_device_label: None,
        };
        let made = Identity::make_key_package(&keys, &mut self.session.connection.randomness.clone());
        Ok(made.map_err(IdentityFailure::NotMade)?)
    }

    fn has_joined(&self, client_id: &ClientId) -> bool {
        self.session.account.as_ref().is_some_and(|account| account.client_id() == *client_id)
    }

    /// Joins the identity, makes the commit that confirms the client there, and writes down all that it has then.
    async fn join(
        &mut self,
        client: NewClient<'_>,
        handover: &Handover,
        key_package: Option<PrivateIdentityKeyPackage>,
    ) -> Result<(), Error> {
        let session = &mut self.session;
        let refused = || Error::HandoverRefused;
        let service = &session.authentication_service;
        let (generation, epoch) = (handover.identity_generation, handover.identity_epoch);
        let follower = replay(service, &client.client_id.user_name, IdentityPosition { generation, epoch }).await?;
        let offered = service.call::<GetCredentials>(&(), &[]).await?;
        let domain = client.client_id.user_name.domain();
        let root = root_of(client.as_credential, domain)?;
        KnownIntermediates::ever(&offered, client.as_intermediate_credential, &root).check(&follower.members())?;
        let key_package = key_package.ok_or_else(refused)?;
        let identity = Identity::join(key_package, &handover.welcome.0, follower).map_err(|_| refused())?;

        let mut randomness = session.connection.randomness.clone();
        // The label that the commit brings names the client at the queuing service, before it exists.
        let pseudonym = new_client(UserSecrets::of(handover), &mut randomness);
        let mut account = new_account(client, handover, self.was_root_trusted, session.now(), identity, pseudonym);
        see_all(&mut account);
        prepare_update(&mut account, &mut randomness)?;
        session.keep_account(account, root.fingerprint())
    }

    /// Whether the device is linked. If it is, it is registered from now on.
    async fn is_confirmed(&mut self) -> Result<bool, Error> {
        let Some(account) = &self.session.account else { return Ok(false) };
        if account.is_registered() {
            return Ok(true);
        }
        let is_confirmed = confirm(&mut self.session).await?;
        if is_confirmed {
            register(&mut self.session)?;
        }
        Ok(is_confirmed)
    }
}

impl Machine for Kept {
    fn receive(&mut self, message: &[u8], now: Timestamp) -> Result<(), LinkingError> {
        self.machine.receive(message, now)
    }

    fn connection_ended(&mut self) {
        self.machine.connection_ended();
    }
}

/// Makes the account of a client that has confirmed itself one that can be used.
pub(crate) fn register(session: &mut Session<'_>) -> Result<(), Error> {
    session.change_account(|account| {
        if let AuthenticationServiceState::Linking { client_credential, .. } = &account.authentication_service {
            let client_credential = client_credential.clone();
            account.authentication_service = AuthenticationServiceState::Registered { client_credential };
        }
    })
}

/// Removes what a device keeps that has not been linked, and will not be.
pub(crate) fn forget(session: &mut Session<'_>) -> Result<(), Error> {
    let Some(account) = &session.account else { return Ok(()) };
    match account.authentication_service {
        AuthenticationServiceState::Linking { was_root_trusted: true, .. } => session.forget_account(),
        AuthenticationServiceState::Linking { .. } => {
            session.account = None;
            Ok(session.home.remove_state()?)
        }
        _ => Ok(()),
    }
}

fn is_over(machine: &NewDevice) -> bool {
    matches!(machine.progress(), NewDeviceProgress::Linked { .. } | NewDeviceProgress::Ended(_))
}

/// What the existing device is told of an error here.
fn reason(error: &Error) -> DeclineReason {
    match error {
        Error::NobodyToAsk => DeclineReason::Person,
        Error::Credentials(_) => DeclineReason::AnotherRoot,
        Error::HandoverRefused | Error::Identity(_) => DeclineReason::HandoverRefused,
        _ => DeclineReason::Failed,
    }
}

/// The machine has checked it.
fn client_credential(client: NewClient<'_>) -> Result<ClientCredential, Error> {
    let root = root_of(client.as_credential, client.client_id.user_name.domain())?;
    let intermediate =
        intermediate_under(client.as_intermediate_credential, &root).map_err(Error::ClientCredentialRefused)?;
    ClientCredential::verify_signer(&client.client_credential.0, &intermediate).map_err(Error::ClientCredentialRefused)
}

fn new_account(
    client: NewClient<'_>,
    handover: &Handover,
    was_root_trusted: bool,
    now: Timestamp,
    identity: Identity,
    pseudonym: Pseudonym,
) -> Account {
    let copy_of = |key: &SigningKey<_>| SigningKey::from_secret_bytes(&key.to_secret_bytes());
    Account {
        user_name: client.client_id.user_name.clone(),
        user_id: handover.user_id,
        device_name: client.device_name.to_string(),
        client_uuid: client.client_id.uuid,
        client_credential_key: copy_of(client.signing_key).expect("the bytes are a key's"),
        as_credential: client.as_credential.clone(),
        as_intermediate_credential: client.as_intermediate_credential.clone(),
        was_linked: true,
        as_queue: None,
        connection_packages: ConnectionPackages::default(),
        authentication_service: AuthenticationServiceState::Linking {
            client_credential: client.client_credential.clone(),
            was_root_trusted,
        },
        key_server: None,
        pseudonym: Some(pseudonym),
        user_secrets: None,
        identity: Some(IdentityState {
            member: Some(identity),
            pending: None,
            device_label_key: handover.device_label_key.clone(),
            added_at: now,
            seen: Vec::new(),
            leaving: Vec::new(),
            excluded: Vec::new(),
            sharing: Sharing::default(),
        }),
        renewal: None,
        approval: None,
        deletion: None,
    }
}
