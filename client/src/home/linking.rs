//! What the state holds of devices that are being linked, and of what a linked device was handed over.

use serde::{Deserialize, Serialize};
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::encoding::{Bytes, SecretBytes as _, secret};
use vestibule_protocol::keys::{QsUserRecordKey, SigningKey};
use vestibule_protocol::linking::Handover;
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::rendezvous::RendezvousCode;
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, FriendshipToken, WelcomeAttributionInfoKey};

use super::{Account, KeptRequest};

/// A device that this one lets in. Kept from before the server first hears of it until it is known what came of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// The code under which the devices meet.
    pub(crate) code: RendezvousCode,
    pub(crate) client_uuid: ClientUuid,
    pub(crate) device_name: DeviceName,
    /// The body of the request to sign the new client's credential.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
    /// As soon as the server has accepted the commit that adds it.
    pub(crate) added: Option<AddedClient>,
}

/// A client that was added to the identity.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddedClient {
    pub(crate) generation: u64,
    /// The epoch after the commit.
    pub(crate) epoch: u64,
    pub(crate) welcome: Bytes,
}

/// A credential that is being renewed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renewal {
    /// The body of the request.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
    pub(crate) as_credential: Bytes,
    pub(crate) as_intermediate_credential: Bytes,
}

/// What all of a user's clients have of the user's pseudonym at the queuing service, on a device that was linked and has
/// no client there itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserSecrets {
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
    /// What was handed over.
    pub(crate) fn of(handover: &Handover) -> Self {
        Self {
            user_record_key: copy_of(&handover.qs_user_record_key),
            friendship_token: handover.friendship_token.clone(),
            friendship_encryption_key: handover.friendship_encryption_key.clone(),
            welcome_attribution_info_key: handover.welcome_attribution_info_key.clone(),
        }
    }
}

impl Clone for UserSecrets {
    fn clone(&self) -> Self {
        Self {
            user_record_key: copy_of(&self.user_record_key),
            friendship_token: self.friendship_token.clone(),
            friendship_encryption_key: self.friendship_encryption_key.clone(),
            welcome_attribution_info_key: self.welcome_attribution_info_key.clone(),
        }
    }
}

impl Account {
    /// What the user's clients share; none before the pseudonym exists.
    pub(crate) fn shared_secrets(&self) -> Option<UserSecrets> {
        let of_linked_device = self.user_secrets.clone();
        of_linked_device.or_else(|| {
            let pseudonym = self.pseudonym.as_ref().filter(|_| self.has_pseudonym())?;
            Some(UserSecrets {
                user_record_key: copy_of(&pseudonym.user_record_key),
                friendship_token: pseudonym.friendship_token.clone(),
                friendship_encryption_key: pseudonym.friendship_encryption_key.clone(),
                welcome_attribution_info_key: pseudonym.welcome_attribution_info_key.clone(),
            })
        })
    }
}

/// Keys are not copied by accident.
fn copy_of(key: &SigningKey<QsUserRecordKey>) -> SigningKey<QsUserRecordKey> {
    SigningKey::from_secret_bytes(&key.to_secret_bytes()).expect("the bytes are a key's")
}
