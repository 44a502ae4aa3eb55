//! The existing device, its person and its MLS.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::around;
use super::authentication_service::{DEPLOYMENT, Refusal, alice, key_package_of, welcome_to};
use super::party::Act;
use crate::encoding::Bytes;
use crate::keys::{QsUserRecordKey, SigningKey};
use crate::limits::STATE_BUNDLES_CHUNK_LENGTH;
use crate::linking::{
    DeclineReason, ExistingDevice, ExistingDeviceProgress, Fate, Handover, LinkingError, MemberEarSecrets,
    OutgoingMessage, Standing, StateBundle,
};
use crate::name::UserId;
use crate::queuing::QsUserId;
use crate::rendezvous::simulation::NOW;
use crate::rendezvous::simulation::dice::Dice;
use crate::symmetric::{DeviceLabelKey, FriendshipEncryptionKey, FriendshipToken, WelcomeAttributionInfoKey};

/// The existing device.
#[derive(Serialize, Deserialize)]
pub(super) struct ExistingParty {
    pub(super) device: ExistingDevice,
}

impl ExistingParty {
    pub(super) fn new() -> (Self, OutgoingMessage) {
        let (device, first) = DEPLOYMENT.with(|deployment| {
            ExistingDevice::start(&Standing {
                user_name: alice(),
                as_credential: deployment.root.clone(),
                as_intermediate_credentials: vec![deployment.intermediate.clone()],
                client_uuids: Vec::new(),
            })
        });
        (Self { device }, first)
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
        if around(|around| around.happens(around.circumstances.removes_approver, 8)) {
            around(|around| around.service.is_approver_live = false);
        }
        if around(|around| around.happens(around.circumstances.lapses, 8)) {
            around(|around| around.service.lapse());
        }
        match self.device.progress() {
            ExistingDeviceProgress::Waiting => Act::Wait,
            ExistingDeviceProgress::ApprovalWanted { .. } => {
                if around(|around| around.circumstances.existing_person_declines) {
                    said.push(self.device.decline(DeclineReason::Person).unwrap());
                    return Act::GoOn;
                }
                self.device.approve().unwrap();
                Act::Save
            }
            ExistingDeviceProgress::CredentialWanted { client_credential_csr, .. } => {
                match around(|around| around.service.add_client(client_credential_csr)) {
                    Ok(credential) => said.extend(match self.device.credential_issued(credential, NOW) {
                        Ok(message) => Some(message),
                        Err(error) => error.message(),
                    }),
                    Err(refusal) => return self.give_up(refusal, said),
                }
                Act::GoOn
            }
            ExistingDeviceProgress::AddingWanted { client_id, client_credential, key_package } => {
                if *key_package != key_package_of(client_credential) {
                    said.push(self.device.decline(DeclineReason::KeyPackageRefused).unwrap());
                    return Act::GoOn;
                }
                match around(|around| around.service.add_to_identity(client_id.uuid, key_package)) {
                    Ok(epoch) => {
                        let (handover, bundles) = hand_over(key_package, epoch);
                        said.extend(self.device.added(handover, bundles).unwrap());
                        Act::GoOn
                    }
                    Err(refusal) => self.give_up(refusal, said),
                }
            }
            ExistingDeviceProgress::SettlementWanted { client_id, .. } => {
                let uuid = client_id.uuid;
                let fate = around(|around| match around.service.is_confirmed(uuid)? {
                    true => Ok(Fate::Linked),
                    false => around.service.withdraw(uuid).map(|()| Fate::NotLinked),
                });
                let fate = match fate {
                    // It was confirmed in between.
                    Err(Refusal::LoginMissing) => Fate::Linked,
                    Err(Refusal::ClientUnknown) => Fate::NotLinked,
                    Err(_) => return Act::Wait,
                    Ok(fate) => fate,
                };
                self.device.settle(fate).unwrap();
                Act::GoOn
            }
            ExistingDeviceProgress::Linked { .. } | ExistingDeviceProgress::Ended(_) => Act::Close,
        }
    }

    fn give_up(&mut self, refusal: Refusal, said: &mut Vec<OutgoingMessage>) -> Act {
        let reason = match refusal {
            Refusal::Unavailable => return Act::Wait,
            Refusal::ClientUnknown => DeclineReason::ApproverRemoved,
            Refusal::ClientLimitReached => DeclineReason::ClientLimit,
            Refusal::Refused | Refusal::LoginMissing => DeclineReason::Failed,
        };
        said.push(self.device.decline(reason).unwrap());
        Act::GoOn
    }

    /// The id of the client that the device has linked.
    pub(super) fn linked(&self) -> Option<String> {
        match self.device.progress() {
            ExistingDeviceProgress::Linked { client_id, .. } => Some(client_id.uuid.to_string()),
            _ => None,
        }
    }
}

thread_local! {
    static RECORD_KEY: SigningKey<QsUserRecordKey> = SigningKey::generate(&mut Dice::of(5));
    static QS_USER_ID: QsUserId = RECORD_KEY.with(|key| QsUserId::of(&key.verifying_key()));
}

fn hand_over(key_package: &Bytes, identity_epoch: u64) -> (Handover, Vec<StateBundle>) {
    let circumstances = around(|around| around.circumstances);
    let rng = &mut Dice::of(5);
    let welcomed = if circumstances.sends_wrong_welcome { &Bytes(vec![1]) } else { key_package };
    let handover = Handover {
        qs_user_record_key: SigningKey::generate(rng),
        user_id: UserId::generate(rng),
        identity_generation: 1,
        identity_epoch,
        welcome: welcome_to(welcomed, identity_epoch),
        rotation: 0,
        device_label_key: DeviceLabelKey::generate(rng),
        friendship_token: FriendshipToken::generate(rng),
        friendship_encryption_key: FriendshipEncryptionKey::generate(rng),
        welcome_attribution_info_key: WelcomeAttributionInfoKey::generate(rng),
        qs_user_id: QS_USER_ID.with(|id| *id),
    };
    let length = if circumstances.has_many_groups { 2 * STATE_BUNDLES_CHUNK_LENGTH } else { 40 };
    let bundle = StateBundle {
        group_id: Bytes(vec![1; 16]),
        member_ear_secrets: MemberEarSecrets::new(Zeroizing::new(vec![2; 32])),
        public_group_state: Bytes(vec![3; length]),
    };
    (handover, vec![bundle])
}
