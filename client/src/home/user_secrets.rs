//! What all of a user's clients have in common: the user's record at the queuing service, and what friends are given.

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::{SecretBytes as _, secret};
use vestibule_protocol::keys::{QsUserRecordKey, SigningKey};
use vestibule_protocol::linking::Handover;
use vestibule_protocol::queuing::QsUserId;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::symmetric::{
    DeviceLabelKey, FriendshipEncryptionKey, FriendshipToken, WelcomeAttributionInfoKey,
};
use vestibule_protocol::user_secrets;

use super::Account;

/// What the user's clients share.
#[derive(Serialize, Deserialize)]
pub(crate) struct UserSecrets {
    /// How often they were rotated.
    #[serde(default)]
    pub(crate) rotation: u64,
    /// The user's id at the queuing service. It is that of the first record key for ever, and not kept as long as that is the key.
    #[serde(default)]
    qs_user_id: Option<QsUserId>,
    /// The key of the user's record.
    #[serde(with = "secret")]
    pub(crate) user_record_key: SigningKey<QsUserRecordKey>,
    /// What friends claim KeyPackages with.
    #[serde(with = "secret")]
    pub(crate) friendship_token: FriendshipToken,
    /// Under what friends see whose the KeyPackages are.
    #[serde(with = "secret")]
    pub(crate) friendship_encryption_key: FriendshipEncryptionKey,
    /// Under what a friend who adds a client to a group says who it is.
    #[serde(with = "secret")]
    pub(crate) welcome_attribution_info_key: WelcomeAttributionInfoKey,
}

impl UserSecrets {
    /// Fresh ones, for a user who is new at the queuing service.
    pub(crate) fn generate(randomness: &mut Randomness) -> Self {
        Self {
            rotation: 0,
            qs_user_id: None,
            user_record_key: SigningKey::generate(randomness),
            friendship_token: FriendshipToken::generate(randomness),
            friendship_encryption_key: FriendshipEncryptionKey::generate(randomness),
            welcome_attribution_info_key: WelcomeAttributionInfoKey::generate(randomness),
        }
    }

    /// What was handed over.
    pub(crate) fn of(handover: &Handover) -> Self {
        Self {
            rotation: handover.rotation,
            qs_user_id: Some(handover.qs_user_id),
            user_record_key: copy_of(&handover.qs_user_record_key),
            friendship_token: handover.friendship_token.clone(),
            friendship_encryption_key: handover.friendship_encryption_key.clone(),
            welcome_attribution_info_key: handover.welcome_attribution_info_key.clone(),
        }
    }

    /// What another client has told.
    pub(crate) fn told(secrets: user_secrets::UserSecrets) -> Self {
        Self {
            rotation: secrets.rotation,
            qs_user_id: Some(secrets.qs_user_id),
            user_record_key: secrets.qs_user_record_key,
            friendship_token: secrets.friendship_token,
            friendship_encryption_key: secrets.friendship_encryption_key,
            welcome_attribution_info_key: secrets.welcome_attribution_info_key,
        }
    }

    /// What the other clients are told.
    pub(crate) fn to_tell(&self, device_label_key: &DeviceLabelKey) -> user_secrets::UserSecrets {
        let Self { user_record_key, friendship_token, friendship_encryption_key, welcome_attribution_info_key, .. } =
            self.clone();
        user_secrets::UserSecrets {
            rotation: self.rotation,
            qs_user_id: self.qs_user_id(),
            qs_user_record_key: user_record_key,
            friendship_token,
            friendship_encryption_key,
            welcome_attribution_info_key,
            device_label_key: device_label_key.clone(),
        }
    }

    /// Fresh ones in their place, for the same user.
    pub(crate) fn rotated(&self, randomness: &mut Randomness) -> Self {
        let qs_user_id = Some(self.qs_user_id());
        Self { rotation: self.rotation.saturating_add(1), qs_user_id, ..Self::generate(randomness) }
    }

    /// The same as this rotation.
    pub(crate) fn counted(self, rotation: u64) -> Self {
        Self { rotation, ..self }
    }

    /// The user's id at the queuing service.
    pub(crate) fn qs_user_id(&self) -> QsUserId {
        self.qs_user_id.unwrap_or_else(|| QsUserId::of(&self.user_record_key.verifying_key()))
    }
}

impl Clone for UserSecrets {
    fn clone(&self) -> Self {
        Self {
            rotation: self.rotation,
            qs_user_id: self.qs_user_id,
            user_record_key: copy_of(&self.user_record_key),
            friendship_token: self.friendship_token.clone(),
            friendship_encryption_key: self.friendship_encryption_key.clone(),
            welcome_attribution_info_key: self.welcome_attribution_info_key.clone(),
        }
    }
}

impl Account {
    /// What this client would share with the user's others, whether the pseudonym exists yet or not.
    pub(crate) fn own_secrets(&self) -> Option<&UserSecrets> {
        self.pseudonym.as_ref().map(|pseudonym| &pseudonym.user_secrets).or(self.user_secrets.as_ref())
    }

    /// What the user's clients share; none before the pseudonym exists.
    pub(crate) fn shared_secrets(&self) -> Option<&UserSecrets> {
        let pseudonym = self.pseudonym.as_ref().filter(|_| self.is_linked() || self.has_pseudonym());
        pseudonym.map(|pseudonym| &pseudonym.user_secrets).or(self.user_secrets.as_ref())
    }

    /// Puts others in the place of what the user's clients share.
    pub(crate) fn set_shared_secrets(&mut self, secrets: UserSecrets) {
        let has_own_place = self.is_linked() || self.has_pseudonym();
        match self.pseudonym.as_mut().filter(|_| has_own_place) {
            Some(pseudonym) => pseudonym.user_secrets = secrets,
            None => self.user_secrets = Some(secrets),
        }
    }
}

/// Keys are not copied by accident.
fn copy_of(key: &SigningKey<QsUserRecordKey>) -> SigningKey<QsUserRecordKey> {
    SigningKey::from_secret_bytes(&key.to_secret_bytes()).expect("the bytes are a key's")
}
