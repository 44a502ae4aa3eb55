//! The existing device's side of a linking.

use serde::{Deserialize, Serialize};

use super::handover::{Handover, StateBundle, StateBundles};
use super::message::{
    CredentialRequest, HandoverMessage, IdentityKeyPackage, IssuedCredential, LinkingMessage, OutgoingMessage,
    UserNameMessage,
};
use super::trust::TrustedChain;
use super::{DeclineReason, Ending, LinkingError};
use crate::credential::{AsCredential, AsIntermediateCredential};
use crate::device_label::DeviceName;
use crate::encoding::Bytes;
use crate::name::{ClientId, ClientUuid, UserName};
use crate::signed::Fingerprint;
use crate::time::Timestamp;

/// What an existing device knows of its user and deployment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The user.
    pub user_name: UserName,
    /// The root that this device trusts.
    pub as_credential: AsCredential,
    /// The intermediates that it signed and that the authentication service has, but for revoked ones.
    pub as_intermediate_credentials: Vec<AsIntermediateCredential>,
    /// Every client that the user has, and those known to have been removed: a new one is none of them.
    pub client_uuids: Vec<ClientUuid>,
}

/// An existing device that links a new one. [`receive`](Self::receive) takes messages, [`progress`](Self::progress) says
/// what is due.
///
/// Serialised, it belongs into a file that is sealed, together with its session.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExistingDevice {
    user_name: UserName,
    trust: TrustedChain,
    client_uuids: Vec<ClientUuid>,
    stage: Stage,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    AwaitsRequest,
    OwesApproval(Request),
    OwesCredential(Request),
    AwaitsKeyPackage(Issued),
    OwesAdding(Issued, Bytes),
    AwaitsConfirmation(NewClient),
    OwesSettlement(NewClient, Settlement),
    Linked(NewClient),
    Ended(Ending),
}

/// What the new device is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NewClient {
    client_id: ClientId,
    device_name: DeviceName,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    new_client: NewClient,
    client_credential_csr: Bytes,
    signer: Fingerprint,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Issued {
    request: Request,
    client_credential: Bytes,
}

/// Why the authentication service is to be asked what has become of the new client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// The new device says that it is confirmed.
    Confirmed,
    /// The linking ended, after a credential may have been issued.
    Ended(Ending),
}

/// What has become of the new client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It has confirmed itself.
    Linked,
    /// It is withdrawn, or has lapsed; or it was never added. Or this device is not one of the user's any more, and has
    /// no say in it.
    NotLinked,
}

/// What is due at an existing device.
#[derive(Clone, Copy, Debug)]
pub enum ExistingDeviceProgress<'a> {
    /// A message of the other device.
    Waiting,
    /// The person is to be asked whether that device, whose name nobody vouches for, is in their hands and is to have
    /// full access; then [`ExistingDevice::approve`].
    ApprovalWanted {
        /// What the new device calls itself.
        device_name: &'a DeviceName,
        /// Which client it wants to be.
        client_id: &'a ClientId,
    },
    /// The authentication service is to sign the request (`as-add-client`); then [`ExistingDevice::credential_issued`].
    CredentialWanted {
        /// The new client.
        client_id: &'a ClientId,
        /// Its `ClientCredentialCsr`.
        client_credential_csr: &'a Bytes,
    },
    /// The KeyPackage is to be checked, to be one of exactly this credential, and added to the user's identity
    /// (`as-commit-identity`); then [`ExistingDevice::added`].
    AddingWanted {
        /// The new client.
        client_id: &'a ClientId,
        /// Its `ClientCredential`.
        client_credential: &'a Bytes,
        /// Its KeyPackage: an `MLSMessage`, unchecked.
        key_package: &'a Bytes,
    },
    /// The authentication service is to be asked whether the new client has confirmed itself (`as-get-identity`). If it
    /// has not, it is withdrawn (`as-remove-client`), and its leaf, if it has one, removed; then
    /// [`ExistingDevice::settle`].
    SettlementWanted {
        /// The new client.
        client_id: &'a ClientId,
        /// Why.
        because: Settlement,
    },
    /// The new device is linked.
    Linked {
        /// The new client.
        client_id: &'a ClientId,
        /// What the new device called itself.
        device_name: &'a DeviceName,
    },
    /// The new device is not linked.
    Ended(&'a Ending),
}

impl ExistingDevice {
    /// An existing device, and what it says first: whose the new device is to be.
    pub fn start(standing: &Standing) -> (Self, OutgoingMessage) {
        let Standing { user_name, as_credential, as_intermediate_credentials, client_uuids } = standing;
        let device = Self {
            user_name: user_name.clone(),
            trust: TrustedChain::new(as_credential, as_intermediate_credentials),
            client_uuids: client_uuids.clone(),
            stage: Stage::AwaitsRequest,
        };
        let message =
            UserNameMessage { user_name: user_name.clone(), as_credential_fingerprint: as_credential.fingerprint() };
        (device, LinkingMessage::UserName(message).to_outgoing())
    }

    /// What is due.
    pub fn progress(&self) -> ExistingDeviceProgress<'_> {
        match &self.stage {
            Stage::AwaitsRequest | Stage::AwaitsKeyPackage(_) | Stage::AwaitsConfirmation(_) => {
                ExistingDeviceProgress::Waiting
            }
            Stage::OwesApproval(Request { new_client: NewClient { client_id, device_name }, .. }) => {
                ExistingDeviceProgress::ApprovalWanted { device_name, client_id }
            }
            Stage::OwesCredential(Request { new_client, client_credential_csr, .. }) => {
                ExistingDeviceProgress::CredentialWanted { client_id: &new_client.client_id, client_credential_csr }
            }
            Stage::OwesAdding(Issued { request, client_credential }, key_package) => {
                let client_id = &request.new_client.client_id;
                ExistingDeviceProgress::AddingWanted { client_id, client_credential, key_package }
            }
            Stage::OwesSettlement(NewClient { client_id, .. }, because) => {
                ExistingDeviceProgress::SettlementWanted { client_id, because: *because }
            }
            Stage::Linked(NewClient { client_id, device_name }) => {
                ExistingDeviceProgress::Linked { client_id, device_name }
            }
            Stage::Ended(ending) => ExistingDeviceProgress::Ended(ending),
        }
    }

    /// Takes the next message of the new device. What comes after the linking is over changes nothing.
    ///
    /// # Errors
    /// [`LinkingError`]: the linking has ended by this, and the error's [message](LinkingError::message) is to be sent.
    pub fn receive(&mut self, message: &[u8], now: Timestamp) -> Result<(), LinkingError> {
        if self.stage.is_over() {
            return Ok(());
        }
        match LinkingMessage::from_bytes(message).and_then(|message| self.step(message, now)) {
            Ok(stage) => {
                self.stage = stage;
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The stage that follows from a message.
    fn step(&self, message: LinkingMessage, now: Timestamp) -> Result<Stage, LinkingError> {
        match (&self.stage, message) {
            (stage, LinkingMessage::Declined(reason)) => Ok(stage.end(Ending::PeerDeclined(reason))),
            (Stage::AwaitsRequest, LinkingMessage::CredentialRequest(request)) => {
                self.check_request(request, now).map(Stage::OwesApproval)
            }
            (Stage::AwaitsKeyPackage(issued), LinkingMessage::IdentityKeyPackage(message)) => {
                let IdentityKeyPackage { key_package, as_intermediate_credential } = message;
                let signer = self.trust.intermediate(issued.request.signer, now);
                if !signer.is_ok_and(|signer| signer.to_bytes() == as_intermediate_credential) {
                    return Err(LinkingError::KeyPackageOfAnotherChain);
                }
                Ok(Stage::OwesAdding(issued.clone(), key_package))
            }
            (Stage::AwaitsConfirmation(new_client), LinkingMessage::Confirmed) => {
                Ok(Stage::OwesSettlement(new_client.clone(), Settlement::Confirmed))
            }
            _ => Err(LinkingError::OutOfOrder),
        }
    }

    fn check_request(&self, request: CredentialRequest, now: Timestamp) -> Result<Request, LinkingError> {
        let CredentialRequest { device_name, client_credential_csr } = request;
        let requested =
            self.trust.check_request(&client_credential_csr.0, now).map_err(LinkingError::RequestRefused)?;
        if requested.client_id.user_name != self.user_name {
            return Err(LinkingError::RequestForAnotherUser);
        }
        if self.client_uuids.contains(&requested.client_id.uuid) {
            return Err(LinkingError::RequestForExistingClient);
        }
        let new_client = NewClient { client_id: requested.client_id, device_name };
        Ok(Request { new_client, client_credential_csr, signer: requested.signer_fingerprint })
    }

    /// The person wants the new device linked. From here on the authentication service may have issued its credential, so
    /// this is to be written to disk before it is asked.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`].
    pub fn approve(&mut self) -> Result<(), LinkingError> {
        let Stage::OwesApproval(request) = &self.stage else { return Err(LinkingError::NotDue) };
        self.stage = Stage::OwesCredential(request.clone());
        Ok(())
    }

    /// Takes what the authentication service has issued.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`]; [`LinkingError::CredentialRefused`] and [`LinkingError::CredentialMismatch`] end the
    /// linking.
    pub fn credential_issued(
        &mut self,
        client_credential: Bytes,
        now: Timestamp,
    ) -> Result<OutgoingMessage, LinkingError> {
        let Stage::OwesCredential(request) = &self.stage else { return Err(LinkingError::NotDue) };
        match self.check_issued(request, client_credential, now) {
            Ok((issued, message)) => {
                self.stage = Stage::AwaitsKeyPackage(issued);
                Ok(LinkingMessage::IssuedCredential(message).to_outgoing())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn check_issued(
        &self,
        request: &Request,
        client_credential: Bytes,
        now: Timestamp,
    ) -> Result<(Issued, IssuedCredential), LinkingError> {
        let intermediate = self.trust.intermediate(request.signer, now).map_err(LinkingError::CredentialRefused)?;
        let as_intermediate_credential = intermediate.to_bytes();
        let csr = &request.client_credential_csr;
        self.trust.check_credential(&client_credential.0, &as_intermediate_credential.0, &csr.0, now)?;
        let message = IssuedCredential { client_credential: client_credential.clone(), as_intermediate_credential };
        Ok((Issued { request: request.clone(), client_credential }, message))
    }

    /// The authentication service has accepted the commit that adds the new client: hands over what makes it one of the
    /// user's. The messages are to be sent in this order.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`]; [`LinkingError::StateBundlesRefused`] if the bundles have more than
    /// [`MAX_STATE_BUNDLES_LENGTH`](crate::limits::MAX_STATE_BUNDLES_LENGTH) bytes, which ends the linking.
    pub fn added(
        &mut self,
        handover: Handover,
        state_bundles: Vec<StateBundle>,
    ) -> Result<Vec<OutgoingMessage>, LinkingError> {
        let Stage::OwesAdding(issued, _) = &self.stage else { return Err(LinkingError::NotDue) };
        let new_client = issued.request.new_client.clone();
        match StateBundles(state_bundles).to_chunks() {
            Ok((state_bundles_length, chunks)) => {
                self.stage = Stage::AwaitsConfirmation(new_client);
                let first = LinkingMessage::Handover(HandoverMessage { handover, state_bundles_length });
                Ok([first].iter().chain(&chunks).map(LinkingMessage::to_outgoing).collect())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Ends the linking for this reason.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`] if it is over.
    pub fn decline(&mut self, reason: DeclineReason) -> Result<OutgoingMessage, LinkingError> {
        if self.stage.is_over() {
            return Err(LinkingError::NotDue);
        }
        self.stage = self.stage.end(Ending::Declined(reason));
        Ok(LinkingMessage::Declined(reason).to_outgoing())
    }

    /// There is no connection to the other device any more, and will be none.
    pub fn connection_ended(&mut self) {
        if !self.stage.is_over() {
            self.stage = self.stage.end(Ending::ConnectionEnded);
        }
    }

    /// Takes what the authentication service says of the new client: with that, the linking is over.
    ///
    /// # Errors
    /// [`LinkingError::NotDue`].
    pub fn settle(&mut self, fate: Fate) -> Result<(), LinkingError> {
        let Stage::OwesSettlement(new_client, because) = &self.stage else { return Err(LinkingError::NotDue) };
        self.stage = match (fate, *because) {
            (Fate::Linked, _) => Stage::Linked(new_client.clone()),
            (Fate::NotLinked, Settlement::Ended(ending)) => Stage::Ended(ending),
            (Fate::NotLinked, Settlement::Confirmed) => Stage::Ended(Ending::Declined(DeclineReason::NotConfirmed)),
        };
        Ok(())
    }

    fn fail(&mut self, error: LinkingError) -> LinkingError {
        if let Some(reason) = error.reason() {
            self.stage = self.stage.end(Ending::Declined(reason));
        }
        error
    }
}

impl Stage {
    /// Whether the other device has nothing to say any more.
    fn is_over(&self) -> bool {
        matches!(self, Self::OwesSettlement(..) | Self::Linked(_) | Self::Ended(_))
    }

    /// The stage after the conversation ended like this: at once, or when the authentication service was asked.
    fn end(&self, ending: Ending) -> Self {
        let owes_settlement =
            |new_client: &NewClient| Self::OwesSettlement(new_client.clone(), Settlement::Ended(ending));
        match self {
            Self::OwesCredential(request) => owes_settlement(&request.new_client),
            Self::AwaitsKeyPackage(issued) | Self::OwesAdding(issued, _) => owes_settlement(&issued.request.new_client),
            Self::AwaitsConfirmation(new_client) => owes_settlement(new_client),
            _ => Self::Ended(ending),
        }
    }
}
