//! The new device, its person and its MLS.

use serde::{Deserialize, Serialize};

use super::around;
use super::authentication_service::{DEPLOYMENT, Refusal, key_package_of, welcome_to};
use super::party::Act;
use crate::encoding::Bytes;
use crate::linking::{DeclineReason, Expectation, LinkingError, NewDevice, NewDeviceProgress, OutgoingMessage};
use crate::rendezvous::simulation::NOW;

/// The new device.
#[derive(Serialize, Deserialize)]
pub(super) struct NewParty {
    pub(super) device: NewDevice,
}

impl NewParty {
    pub(super) fn new() -> Self {
        let circumstances = around(|around| around.circumstances);
        let expectation = Expectation {
            domain: "example.org".parse().unwrap(),
            user_name: circumstances.expects_another_user.then(|| "bob@example.org".parse().unwrap()),
            as_credential_fingerprint: circumstances.expects_another_root.then(|| [0; 32].into()),
        };
        Self { device: NewDevice::start("laptop".parse().unwrap(), expectation) }
    }

    pub(super) fn receive(&mut self, message: &[u8]) -> Result<(), LinkingError> {
        self.device.receive(message, NOW)
    }

    pub(super) fn connection_ended(&mut self) {
        self.device.connection_ended();
    }

    pub(super) fn act(&mut self, said: &mut Vec<OutgoingMessage>) -> Act {
        if around(|around| around.happens(around.circumstances.loses_patience, 24)) {
            said.extend(self.device.decline(DeclineReason::Person));
        }
        match self.device.progress() {
            NewDeviceProgress::Waiting => Act::Wait,
            NewDeviceProgress::AgreementWanted { .. } => {
                said.extend(self.agree());
                Act::GoOn
            }
            NewDeviceProgress::KeyPackageWanted(client) => {
                let mut key_package = key_package_of(client.client_credential);
                if around(|around| around.circumstances.sends_wrong_key_package) {
                    key_package.0.push(0);
                }
                said.push(self.device.key_package_made(key_package).unwrap());
                Act::GoOn
            }
            NewDeviceProgress::JoiningWanted { client, handover, .. } => {
                let key_package = key_package_of(client.client_credential);
                if handover.welcome == welcome_to(&key_package, handover.identity_epoch) {
                    self.device.joined().unwrap();
                    return Act::Save;
                }
                said.push(self.device.decline(DeclineReason::HandoverRefused).unwrap());
                Act::GoOn
            }
            NewDeviceProgress::ConfirmationWanted { client, .. } => {
                let uuid = client.client_id.uuid;
                match around(|around| around.service.confirm(uuid)) {
                    Ok(()) => said.push(self.device.confirmed().unwrap()),
                    Err(Refusal::Unavailable) => return Act::Wait,
                    Err(_) => said.push(self.device.refused().unwrap()),
                }
                Act::GoOn
            }
            NewDeviceProgress::Linked { .. } | NewDeviceProgress::Ended(_) => Act::Close,
        }
    }

    fn agree(&mut self) -> Result<OutgoingMessage, LinkingError> {
        if around(|around| around.circumstances.new_person_declines) {
            return self.device.decline(DeclineReason::Person);
        }
        let mut dice = around(|around| around.key_dice());
        let request = DEPLOYMENT
            .with(|deployment| self.device.agree(&deployment.root, &deployment.intermediate, NOW, &mut dice))?;
        let key = self.device.verifying_key().expect("it has just been made");
        around(|around| around.keys.push(key));
        Ok(request)
    }

    /// The credential of the client that the device has become.
    pub(super) fn linked(&self) -> Option<Bytes> {
        match self.device.progress() {
            NewDeviceProgress::Linked { client, .. } => Some(client.client_credential.clone()),
            _ => None,
        }
    }
}
