//! What is due at a new device, and with what.

use super::{Admitted, Client, NewDevice, Stage};
use crate::device_label::DeviceName;
use crate::encoding::Bytes;
use crate::keys::{ClientCredentialKey, SigningKey};
use crate::linking::Ending;
use crate::linking::handover::{Handover, StateBundle, StateBundles};
use crate::name::{ClientId, UserName};
use crate::signed::Fingerprint;

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
}
