//! What the state holds of how the user's clients tell each other what they share, and rotate it.

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::{SecretBytes as _, secret};
use vestibule_protocol::keys::{QsUserRecordKey, SigningKey};
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::symmetric::DeviceLabelKey;

use super::{IdentityState, KeptRequest, UserSecrets};

/// How many former device-label keys are kept. Whoever has not put its label under a newer one after so many rotations has
/// no name.
const FORMER_KEYS: usize = 8;

/// What a client is to do about the secrets that the user's clients share, and what it has noticed.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sharing {
    /// The rotation that this client has begun.
    pub(crate) rotation: Option<Rotation>,
    /// Whether somebody has told older secrets than this client has, so that it must tell them its own.
    pub(crate) must_tell: bool,
    /// Who has told what this client could not read, or would not take, since the user was last told of such.
    pub(crate) unreadable: Vec<ClientUuid>,
    /// Whether the queuing service may have clients that are not of a device of the user's.
    pub(crate) is_sweep_due: bool,
    /// What labels may still be encrypted under, newest first.
    pub(crate) former_device_label_keys: Vec<FormerDeviceLabelKey>,
}

/// A device-label key that was replaced.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FormerDeviceLabelKey(#[serde(with = "secret")] pub(crate) DeviceLabelKey);

/// A rotation under way. The others are told the new secrets with the first commit after which nobody whom it is made
/// against is in the identity, and with that they are this client's own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// The clients that are not to know the new secrets.
    pub(crate) against: Vec<ClientUuid>,
    /// None as long as it is not to be had: another one came first.
    pub(crate) next: Option<NextSecrets>,
}

/// Secrets that the queuing service has, or is to have.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextSecrets {
    pub(crate) user_secrets: UserSecrets,
    #[serde(with = "secret")]
    pub(crate) device_label_key: DeviceLabelKey,
    /// The key that the user's record has before.
    #[serde(with = "secret")]
    pub(crate) previous_record_key: SigningKey<QsUserRecordKey>,
    /// The body of the request that makes the record theirs.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
    /// Whether the queuing service has said that it is.
    pub(crate) is_accepted: bool,
}

impl IdentityState {
    /// Every key that a label may be encrypted under, newest first.
    pub(crate) fn device_label_keys(&self) -> impl Iterator<Item = &DeviceLabelKey> {
        let former = self.sharing.former_device_label_keys.iter().map(|former| &former.0);
        std::iter::once(&self.device_label_key).chain(former)
    }

    /// Takes another key for labels. What is under the one before can still be read.
    pub(crate) fn replace_device_label_key(&mut self, key: DeviceLabelKey) {
        if *self.device_label_key.to_secret_bytes() == *key.to_secret_bytes() {
            return;
        }
        let former = FormerDeviceLabelKey(std::mem::replace(&mut self.device_label_key, key));
        self.sharing.former_device_label_keys.insert(0, former);
        self.sharing.former_device_label_keys.truncate(FORMER_KEYS);
    }
}
