//! What this client puts into the identity of itself.

use rand::{CryptoRng, RngCore};
use vestibule_identity::ClientKeys;
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::device_label::{DeviceLabel, DeviceName};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::symmetric::DeviceLabelKey;
use vestibule_protocol::time::Timestamp;

use super::credentials::{intermediate_under, root_of};
use crate::error::Error;
use crate::home::Account;

/// The client's credential and label, which its leaf gets.
pub(crate) struct OwnKeys {
    client_credential: ClientCredential,
    label: Bytes,
}

impl OwnKeys {
    /// Those of an account that has its credential and its device-label key.
    pub(crate) fn of(account: &Account, rng: &mut (impl RngCore + CryptoRng)) -> Result<Self, Error> {
        let identity = account.identity.as_ref().expect("the keys of an identity that is there are wanted");
        Self::with_label_under(account, &identity.device_label_key, rng)
    }

    /// The same with a label under this key.
    pub(crate) fn with_label_under(
        account: &Account,
        device_label_key: &DeviceLabelKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, Error> {
        let credential = account.client_credential_if_issued().ok_or_else(|| account.incomplete())?;
        let identity = account.identity.as_ref().expect("the keys of an identity that is there are wanted");
        // It was checked before it was kept, and has its place in the identity whether it is valid now or not.
        let root = root_of(&account.as_credential, account.user_name.domain())?;
        let client_credential = intermediate_under(&account.as_intermediate_credential, &root)
            .and_then(|intermediate| ClientCredential::verify_signer(&credential.0, &intermediate))
            .map_err(Error::OwnCredentialUnusable)?;
        let label = match own_leaf_label(account, device_label_key) {
            Some(label) => label,
            None => seal_label(account, device_label_key, identity.added_at, rng),
        };
        Ok(Self { client_credential, label })
    }

    /// What the client signs with.
    pub(crate) fn keys<'a>(&'a self, account: &'a Account) -> ClientKeys<'a> {
        ClientKeys {
            client_credential: &self.client_credential,
            key: &account.client_credential_key,
            encrypted_device_label: Some(self.label.clone()),
        }
    }
}

/// Whether the client's leaf has the label that says what is so.
pub(super) fn is_labelled(account: &Account) -> bool {
    let identity = account.identity.as_ref();
    identity.is_some_and(|identity| own_leaf_label(account, &identity.device_label_key).is_some())
}

/// The label that stands in the client's leaf already: as long as it says the same there is no need for another.
fn own_leaf_label(account: &Account, device_label_key: &DeviceLabelKey) -> Option<Bytes> {
    let identity = account.identity.as_ref()?;
    let member = identity.member.as_ref()?.follower().member(account.client_uuid)?;
    let encrypted = member.encrypted_device_label?;
    let label = DeviceLabel::open(&encrypted.0, &account.client_id(), device_label_key).ok()?;
    (label == plain_label(account, identity.added_at)).then_some(encrypted)
}

fn seal_label(
    account: &Account,
    key: &DeviceLabelKey,
    added_at: Timestamp,
    rng: &mut (impl RngCore + CryptoRng),
) -> Bytes {
    plain_label(account, added_at).seal(&account.client_id(), key, rng)
}

fn plain_label(account: &Account, added_at: Timestamp) -> DeviceLabel {
    let pseudonym = account.pseudonym.as_ref();
    DeviceLabel {
        name: device_name(account),
        added_at,
        qs_client_id: pseudonym.map(|pseudonym| QsClientId::of(&pseudonym.client_record_key.verifying_key())),
    }
}

/// Older homes may have a name with characters that are not shown any more.
fn device_name(account: &Account) -> DeviceName {
    let adapted = DeviceName::adapted_from(&account.device_name);
    adapted.unwrap_or_else(|| "device".parse().expect("it is a name"))
}
