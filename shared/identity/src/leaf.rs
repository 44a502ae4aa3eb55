//! The leaves of an identity: what they must be, and whose they are.

use openmls::prelude::{
    Capabilities, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions, KeyPackage,
    LeafNode, Lifetime, ProtocolVersion, UnknownExtension,
};
use openmls::treesync::LeafNodeSource;
use vestibule_mls::{CIPHERSUITE, encryption_key_bytes};
use vestibule_protocol::credential::{ClientCredential, ClientCredentialPayload};
use vestibule_protocol::device_label::ENCRYPTED_DEVICE_LABEL_LENGTH;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::{ClientCredentialKey, HpkePublicKey, SigningKey, VerifyingKey};
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::signed::Unverified;

use crate::{CLIENT_CREDENTIAL_TYPE, DEVICE_LABEL_EXTENSION_TYPE, IdentityError};

/// The lifetime of every leaf: it says nothing (`docs/decisions/0050`).
pub(crate) const LIFETIME: (u64, u64) = (0, u64::MAX);

/// A member of an identity: a client, as its leaf tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The client.
    pub client_id: ClientId,
    /// Its credential, as signed bytes. That it decodes, is the user's and for this key was checked; who signed it, when it
    /// is valid and whether it is revoked was not.
    pub client_credential: Bytes,
    /// Its key.
    pub verifying_key: VerifyingKey<ClientCredentialKey>,
    /// Whether it may do more than confirm itself.
    pub is_confirmed: bool,
    /// What the user calls it, for the user's clients alone.
    pub encrypted_device_label: Option<Bytes>,
}

impl Member {
    /// The member with this leaf.
    pub(crate) fn of_leaf(leaf: &LeafNode, user_name: &UserName, is_confirmed: bool) -> Result<Self, IdentityError> {
        check_form(leaf)?;
        let credential = leaf.credential();
        if credential.credential_type() != CredentialType::Other(CLIENT_CREDENTIAL_TYPE) {
            return Err(IdentityError::Credential);
        }
        let bytes = credential.serialized_content();
        let decoded =
            Unverified::<ClientCredentialPayload>::from_bytes(bytes).map_err(|_| IdentityError::Credential)?;
        let ClientCredentialPayload { client_id, verifying_key, .. } = decoded.claim();
        let is_this_leafs =
            client_id.user_name == *user_name && verifying_key.as_bytes().as_slice() == leaf.signature_key().as_slice();
        if !is_this_leafs {
            return Err(IdentityError::Credential);
        }
        Ok(Self {
            client_id: client_id.clone(),
            client_credential: Bytes(bytes.to_vec()),
            verifying_key: *verifying_key,
            is_confirmed,
            encrypted_device_label: device_label(leaf).map(|label| Bytes(label.to_vec())),
        })
    }

    /// The member that this KeyPackage would make.
    pub(crate) fn of_key_package(key_package: &KeyPackage, user_name: &UserName) -> Result<Self, IdentityError> {
        let is_in_form = key_package.extensions().iter().next().is_none()
            && HpkePublicKey::from_bytes(key_package.hpke_init_key().as_slice()).is_some();
        if is_in_form { Self::of_leaf(key_package.leaf_node(), user_name, false) } else { Err(IdentityError::Leaf) }
    }

    /// Whether both are one client with one key.
    pub(crate) fn is_same_client(&self, other: &Self) -> bool {
        self.client_id == other.client_id && self.verifying_key == other.verifying_key
    }
}

/// That a leaf has exactly our capabilities, no extension but the label, no lifetime that ends, and a key that can be
/// encrypted to.
fn check_form(leaf: &LeafNode) -> Result<(), IdentityError> {
    let lifetime_is_ours = match leaf.leaf_node_source() {
        LeafNodeSource::KeyPackage(lifetime) => (lifetime.not_before(), lifetime.not_after()) == LIFETIME,
        LeafNodeSource::Commit(_) => true,
        LeafNodeSource::Update => false,
    };
    let extensions_are_ours = match leaf.extensions().iter().count() {
        0 => true,
        1 => device_label(leaf).is_some_and(|label| label.len() == ENCRYPTED_DEVICE_LABEL_LENGTH),
        _ => false,
    };
    let is_key = encryption_key_bytes(leaf.encryption_key()).and_then(|key| HpkePublicKey::from_bytes(&key)).is_some();
    let is_in_form = lifetime_is_ours && extensions_are_ours && is_key && *leaf.capabilities() == capabilities();
    if is_in_form { Ok(()) } else { Err(IdentityError::Leaf) }
}

fn device_label(leaf: &LeafNode) -> Option<&[u8]> {
    leaf.extensions().unknown(DEVICE_LABEL_EXTENSION_TYPE).map(|extension| extension.0.as_slice())
}

/// What every leaf says it can do.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[CIPHERSUITE]),
        Some(&[ExtensionType::Unknown(DEVICE_LABEL_EXTENSION_TYPE)]),
        None,
        Some(&[CredentialType::Other(CLIENT_CREDENTIAL_TYPE)]),
    )
}

/// What a client signs with.
#[derive(Clone, Debug)]
pub struct ClientKeys<'a> {
    /// Its credential.
    pub client_credential: &'a ClientCredential,
    /// The credential's key.
    pub key: &'a SigningKey<ClientCredentialKey>,
    /// What the user calls it, encrypted: [`ENCRYPTED_DEVICE_LABEL_LENGTH`] bytes.
    pub encrypted_device_label: Option<Bytes>,
}

impl ClientKeys<'_> {
    /// The client.
    pub fn client_id(&self) -> &ClientId {
        &self.client_credential.payload().client_id
    }

    pub(crate) fn credential_with_key(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: Credential::new(
                CredentialType::Other(CLIENT_CREDENTIAL_TYPE),
                self.client_credential.to_bytes().0,
            ),
            signature_key: self.key.verifying_key().as_bytes().to_vec().into(),
        }
    }

    pub(crate) fn leaf_extensions(&self) -> Result<Extensions<LeafNode>, IdentityError> {
        let Some(label) = &self.encrypted_device_label else { return Ok(Extensions::empty()) };
        let label = Extension::Unknown(DEVICE_LABEL_EXTENSION_TYPE, UnknownExtension(label.0.clone()));
        Extensions::single(label).map_err(|_| IdentityError::Failed)
    }
}

/// The lifetime as openmls has it.
pub(crate) fn lifetime() -> Lifetime {
    Lifetime::init(LIFETIME.0, LIFETIME.1)
}
