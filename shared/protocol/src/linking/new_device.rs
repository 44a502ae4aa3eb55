//! The new device's side of a linking.

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};

use super::handover::{Handover, StateBundle, StateBundles, StateBundlesUnderWay};
use super::message::{CredentialRequest, IdentityKeyPackage, LinkingMessage, OutgoingMessage, UserNameMessage};
use super::trust::TrustedChain;
use super::{DeclineReason, Ending, LinkingError};
use crate::credential::{
    AsCredential, AsIntermediateCredential, ClientCredentialCsr, ClientCredentialCsrPayload, ClientCredentialPayload,
};
use crate::device_label::DeviceName;
use crate::encoding::{Bytes, secret};
use crate::keys::{ClientCredentialKey, SigningKey};
use crate::name::{ClientId, ClientUuid, Domain, UserName};
use crate::signed::Fingerprint;
use crate::time::Timestamp;

/// What a new device knows before the existing one has said anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expectation {
    /// The deployment at which the devices met.
    pub domain: Domain,
    /// Whose it is to be, if its user has said so.
    pub user_name: Option<UserName>,
    /// The root that it trusts, if it has a reason to trust one. The first that a server showed is none.
    pub as_credential_fingerprint: Option<Fingerprint>,
}

/// A new device that is being linked. [`receive`](Self::receive) takes messages, [`progress`](Self::progress) says what is
/// due.
///
/// Serialised, it holds the client's keys and what was handed over: it belongs into a file that is sealed.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewDevice {
    device_name: DeviceName,
    expectation: Expectation,
    stage: Stage,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    AwaitsUserName,
    OwesAgreement { user_name: UserName, as_credential_fingerprint: Fingerprint },
    AwaitsCredential(Requested),
    OwesKeyPackage(Client),
    AwaitsHandover(Client),
    AwaitsStateBundles(Admitted, #[serde(with = "secret")] StateBundlesUnderWay),
    OwesJoining(Admitted, #[serde(with = "secret")] StateBundles),
    OwesConfirmation(Admitted, #[serde(with = "secret")] StateBundles, Option<DeclineReason>),
    Linked(Admitted, #[serde(with = "secret")] StateBundles),
    Ended(Ending),
}

/// A client that has asked for a credential.
#[derive(Debug, Serialize, Deserialize)]
struct Requested {
    client_id: ClientId,
    #[serde(with = "secret")]
    signing_key: SigningKey<ClientCredentialKey>,
    trust: TrustedChain,
    client_credential_csr: Bytes,
}

/// A client that has one.
#[derive(Debug, Serialize, Deserialize)]
struct Client {
    requested: Requested,
    as_intermediate_credential: Bytes,
    client_credential: Bytes,
}

/// A client that was added to the user's identity.
#[derive(Debug, Serialize, Deserialize)]
struct Admitted {
    client: Client,
    #[serde(with = "secret")]
    handover: Handover,
}

/// The client that a new device becomes.
#[derive(Clone, Copy, Debug)]
pub struct NewClient<'a> {
    /// Which.
    pub client_id: &'a ClientId,
    /// What its device is called.
    pub device_name: &'a DeviceName,
    /// The root that the existing device vouched for: an `AsCredential`.
    pub as_credential: &'a Bytes,
    /// What issued the client's credential: an `AsIntermediateCredential`, signed by that root.
    pub as_intermediate_credential: &'a Bytes,
    /// The client's credential: a `ClientCredential`, as it was asked for.
    pub client_credential: &'a Bytes,
    /// The credential's key.
    pub signing_key: &'a SigningKey<ClientCredentialKey>,
}

/// What is due at a new device.
#[derive(Clone, Copy, Debug)]
pub enum NewDeviceProgress<'a> {
    /// A message of the other device.
    Waiting,
    /// The person is to be asked whether this device is to be one of this user, then [`NewDevice::agree`].
    AgreementWanted {
        /// The user.
        user_name: &'a UserName,
        /// The root to trust from then on.
        as_credential_fingerprint: Fingerprint,
    },
    /// A KeyPackage of this client for the user's identity is to be made, then [`NewDevice::key_package_made`].
    KeyPackageWanted(NewClient<'a>),
    /// What was handed over is to be checked, the user's identity followed to the epoch that it names, and joined; then
    /// [`NewDevice::joined`].
    JoiningWanted {
        /// The client.
        client: NewClient<'a>,
        /// What was handed over.
        handover: &'a Handover,
        /// The user's groups.
        state_bundles: &'a [StateBundle],
    },
    /// The client's own commit is to be brought to the authentication service, as often as it takes to get an answer; then
    /// [`NewDevice::confirmed`] or [`NewDevice::refused`].
    ConfirmationWanted {
        /// The client.
        client: NewClient<'a>,
        /// What was handed over.
        handover: &'a Handover,
        /// The user's groups.
        state_bundles: &'a [StateBundle],
    },
    /// The device is linked.
    Linked {
        /// The client.
        client: NewClient<'a>,
        /// What was handed over.
        handover: &'a Handover,
        /// The user's groups.
        state_bundles: &'a [StateBundle],
    },
    /// The device is not linked, and will not be. There is nothing to keep.
    Ended(&'a Ending),
}

impl NewDevice {
    /// A new device that waits for the existing one.
    pub fn start(device_name: DeviceName, expectation: Expectation) -> Self {
        Self { device_name, expectation, stage: Stage::AwaitsUserName }
    }

    /// What is due.
    pub fn progress(&self) -> NewDeviceProgress<'_> {
        match &self.stage {
            Stage::AwaitsUserName
            | Stage::AwaitsCredential(_)
            | Stage::AwaitsHandover(_)
            | Stage::AwaitsStateBundles(..) => NewDeviceProgress::Waiting,
            Stage::OwesAgreement { user_name, as_credential_fingerprint } => {
                NewDeviceProgress::AgreementWanted { user_name, as_credential_fingerprint: *as_credential_fingerprint }
            }
            Stage::OwesKeyPackage(client) => NewDeviceProgress::KeyPackageWanted(self.new_client(client)),
            Stage::OwesJoining(Admitted { client, handover }, StateBundles(state_bundles)) => {
                NewDeviceProgress::JoiningWanted { client: self.new_client(client), handover, state_bundles }
            }
            Stage::OwesConfirmation(Admitted { client, handover }, StateBundles(state_bundles), _) => {
                NewDeviceProgress::ConfirmationWanted { client: self.new_client(client), handover, state_bundles }
            }
            Stage::Linked(Admitted { client, handover }, StateBundles(state_bundles)) => {
                NewDeviceProgress::Linked { client: self.new_client(client), handover, state_bundles }
            }
            Stage::Ended(ending) => NewDeviceProgress::Ended(ending),
        }
    }

    fn new_client<'a>(&'a self, client: &'a Client) -> NewClient<'a> {
        NewClient {
            client_id: &client.requested.client_id,
            device_name: &self.device_name,
            as_credential: client.requested.trust.root_bytes(),
            as_intermediate_credential: &client.as_intermediate_credential,
            client_credential: &client.client_credential,
            signing_key: &client.requested.signing_key,
        }
    }

    /// Takes the next message of the existing device. What comes after the linking is over changes nothing.
    ///
    /// # Errors
    /// [`LinkingError`]: the linking has ended by this, and the error's [message](LinkingError::message) is to be sent; but
    /// from [`NewDevice::joined`] on only the authentication service can end it.
    pub fn receive(&mut self, message: &[u8], now: Timestamp) -> Result<(), LinkingError> {
        if matches!(self.stage, Stage::Linked(..) | Stage::Ended(_)) {
            return Ok(());
        }
        let message = LinkingMessage::from_bytes(message);
        if let Stage::OwesConfirmation(_, _, peer_declined) = &mut self.stage {
            return match message? {
                LinkingMessage::Declined(reason) => {
                    *peer_declined = Some(reason);
                    Ok(())
                }
                _ => Err(LinkingError::OutOfOrder),
            };
        }
        // Whatever fails in between leaves the linking ended.
        let stage = std::mem::replace(&mut self.stage, Stage::Ended(Ending::Declined(DeclineReason::Failed)));
        match message.and_then(|message| stage.receive(message, &self.expectation, now)) {
            Ok(stage) => {
                self.stage = stage;
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The person wants this device to be the user's: makes the client and asks for its credential. `root` and
    /// `intermediate` are what the authentication service has; the root must be the one that the existing device trusts.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`]; [`LinkingError::AnotherRoot`] and [`LinkingError::CredentialRefused`] end the linking.
    pub fn agree(
        &mut self,
        root: &AsCredential,
        intermediate: &AsIntermediateCredential,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<OutgoingMessage, LinkingError> {
        let Stage::OwesAgreement { user_name, as_credential_fingerprint } = &self.stage else {
            return Err(LinkingError::NotDue);
        };
        if root.fingerprint() != *as_credential_fingerprint || root.payload().domain != *user_name.domain() {
            return Err(self.fail(LinkingError::AnotherRoot));
        }
        let trust = TrustedChain::new(root, std::slice::from_ref(intermediate));
        let client_id = ClientId { user_name: user_name.clone(), uuid: ClientUuid::generate(rng) };
        if let Err(error) = trust.intermediate(intermediate.fingerprint(), now) {
            return Err(self.fail(LinkingError::CredentialRefused(error)));
        }
        let signing_key = SigningKey::generate(rng);
        let payload =
            ClientCredentialPayload::requesting(client_id.clone(), signing_key.verifying_key(), intermediate, now);
        let client_credential_csr =
            ClientCredentialCsr::sign(ClientCredentialCsrPayload(payload), &signing_key).to_bytes();
        let request = CredentialRequest {
            device_name: self.device_name.clone(),
            client_credential_csr: client_credential_csr.clone(),
        };
        self.stage = Stage::AwaitsCredential(Requested { client_id, signing_key, trust, client_credential_csr });
        Ok(LinkingMessage::CredentialRequest(request).to_outgoing())
    }

    /// Takes the KeyPackage that the client has made for the user's identity.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`].
    pub fn key_package_made(&mut self, key_package: Bytes) -> Result<OutgoingMessage, LinkingError> {
        let as_intermediate_credential = match &self.stage {
            Stage::OwesKeyPackage(client) => client.as_intermediate_credential.clone(),
            _ => return Err(LinkingError::NotDue),
        };
        self.change(|stage| match stage {
            Stage::OwesKeyPackage(client) => Stage::AwaitsHandover(client),
            stage => stage,
        });
        let message = IdentityKeyPackage { key_package, as_intermediate_credential };
        Ok(LinkingMessage::IdentityKeyPackage(message).to_outgoing())
    }

    /// The client has joined the identity, and is about to confirm itself: from here on, there is no way back but the
    /// authentication service's refusal. To be written to disk before the commit is sent.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`].
    pub fn joined(&mut self) -> Result<(), LinkingError> {
        if !matches!(self.stage, Stage::OwesJoining(..)) {
            return Err(LinkingError::NotDue);
        }
        self.change(|stage| match stage {
            Stage::OwesJoining(admitted, bundles) => Stage::OwesConfirmation(admitted, bundles, None),
            stage => stage,
        });
        Ok(())
    }

    /// The authentication service has accepted the client's own commit: the device is linked.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`].
    pub fn confirmed(&mut self) -> Result<OutgoingMessage, LinkingError> {
        if !matches!(self.stage, Stage::OwesConfirmation(..)) {
            return Err(LinkingError::NotDue);
        }
        self.change(|stage| match stage {
            Stage::OwesConfirmation(admitted, bundles, _) => Stage::Linked(admitted, bundles),
            stage => stage,
        });
        Ok(LinkingMessage::Confirmed.to_outgoing())
    }

    /// The authentication service has refused the client's own commit for good, since the client was withdrawn, or has
    /// lapsed: the device is not linked.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`].
    pub fn refused(&mut self) -> Result<OutgoingMessage, LinkingError> {
        let Stage::OwesConfirmation(_, _, peer_declined) = &self.stage else { return Err(LinkingError::NotDue) };
        let own = DeclineReason::NotConfirmed;
        self.stage = Stage::Ended(peer_declined.map_or(Ending::Declined(own), Ending::PeerDeclined));
        Ok(LinkingMessage::Declined(own).to_outgoing())
    }

    /// Ends the linking for this reason.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`] once the device has [joined](Self::joined): then the authentication service decides.
    pub fn decline(&mut self, reason: DeclineReason) -> Result<OutgoingMessage, LinkingError> {
        if !self.stage.can_end_here() {
            return Err(LinkingError::NotDue);
        }
        self.stage = Stage::Ended(Ending::Declined(reason));
        Ok(LinkingMessage::Declined(reason).to_outgoing())
    }

    /// There is no connection to the other device any more, and will be none.
    pub fn connection_ended(&mut self) {
        if self.stage.can_end_here() {
            self.stage = Stage::Ended(Ending::ConnectionEnded);
        }
    }

    /// The public key of the client, for tests that follow what becomes of it.
    #[cfg(test)]
    pub(super) fn verifying_key(&self) -> Option<[u8; 32]> {
        match &self.stage {
            Stage::AwaitsCredential(requested) => Some(*requested.signing_key.verifying_key().as_bytes()),
            _ => None,
        }
    }

    fn fail(&mut self, error: LinkingError) -> LinkingError {
        if let Some(reason) = error.reason() {
            self.stage = Stage::Ended(Ending::Declined(reason));
        }
        error
    }

    fn change(&mut self, change: impl FnOnce(Stage) -> Stage) {
        let stage = std::mem::replace(&mut self.stage, Stage::AwaitsUserName);
        self.stage = change(stage);
    }
}

impl Stage {
    fn can_end_here(&self) -> bool {
        !matches!(self, Self::OwesConfirmation(..) | Self::Linked(..) | Self::Ended(_))
    }

    fn receive(self, message: LinkingMessage, expectation: &Expectation, now: Timestamp) -> Result<Self, LinkingError> {
        match (self, message) {
            (_, LinkingMessage::Declined(reason)) => Ok(Self::Ended(Ending::PeerDeclined(reason))),
            (Self::AwaitsUserName, LinkingMessage::UserName(message)) => expectation.check(message),
            (Self::AwaitsCredential(requested), LinkingMessage::IssuedCredential(issued)) => {
                let (credential, intermediate) = (issued.client_credential, issued.as_intermediate_credential);
                let csr = &requested.client_credential_csr;
                requested.trust.check_credential(&credential.0, &intermediate.0, &csr.0, now)?;
                Ok(Self::OwesKeyPackage(Client {
                    requested,
                    as_intermediate_credential: intermediate,
                    client_credential: credential,
                }))
            }
            (Self::AwaitsHandover(client), LinkingMessage::Handover(message)) => {
                let bundles = StateBundlesUnderWay::announced(message.state_bundles_length)?;
                Ok(Self::AwaitsStateBundles(Admitted { client, handover: message.handover }, bundles))
            }
            (Self::AwaitsStateBundles(admitted, mut bundles), LinkingMessage::StateBundles(chunk)) => {
                bundles.receive(&chunk)?;
                Ok(match bundles.finish()? {
                    Some(bundles) => Self::OwesJoining(admitted, bundles),
                    None => Self::AwaitsStateBundles(admitted, bundles),
                })
            }
            _ => Err(LinkingError::OutOfOrder),
        }
    }
}

impl Expectation {
    fn check(&self, message: UserNameMessage) -> Result<Stage, LinkingError> {
        let UserNameMessage { user_name, as_credential_fingerprint } = message;
        let is_expected = self.user_name.as_ref().is_none_or(|expected| *expected == user_name);
        if !is_expected || *user_name.domain() != self.domain {
            return Err(LinkingError::AnotherUser);
        }
        if self.as_credential_fingerprint.is_some_and(|trusted| trusted != as_credential_fingerprint) {
            return Err(LinkingError::AnotherRoot);
        }
        Ok(Stage::OwesAgreement { user_name, as_credential_fingerprint })
    }
}
