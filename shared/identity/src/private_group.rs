//! What a member keeps of the group: openmls' storage, with nothing in it but the present epoch.

use std::sync::PoisonError;

use openmls::prelude::{GroupId, MlsGroup};
use openmls::treesync::EncryptionKey;
use openmls_rust_crypto::MemoryStorage;
use openmls_traits::OpenMlsProvider;
use openmls_traits::storage::{CURRENT_VERSION, Entity, StorageProvider as _, traits};
use serde::{Deserialize, Serialize};
use tls_codec::{DeserializeBytes as _, Serialize as _, Size as _, VLByteSlice, VLBytes};
use vestibule_mls::StoredSecret;
use vestibule_protocol::encoding::SecretBytes;
use zeroize::Zeroizing;

use crate::IdentityError;

/// The values that openmls has stored for a group, keys in order: pairs of `opaque<V>`. Empty once the client is not a
/// member any more.
#[derive(Clone, Debug)]
pub(crate) struct PrivateGroup(StoredSecret);

impl PrivateGroup {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self(Zeroizing::new(Vec::new()).into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_bytes().is_empty()
    }

    /// What a provider has stored of a group.
    pub(crate) fn of(
        provider: &impl OpenMlsProvider<StorageProvider = MemoryStorage>,
        group_id: &GroupId,
    ) -> Result<Self, IdentityError> {
        let storage = provider.storage();
        storage
            .write_resumption_psk_store(group_id, &NoResumptionSecrets::default())
            .map_err(|_| IdentityError::Failed)?;
        let values = storage.values.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries: Vec<[&[u8]; 2]> = values.iter().map(|(key, value)| [key.as_slice(), value]).collect();
        entries.sort_unstable();
        let parts = entries.as_flattened();
        // Written at once: a buffer that grows would leave copies behind.
        let length = parts.iter().map(|part| VLByteSlice(part).tls_serialized_len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            VLByteSlice(part).tls_serialize(&mut *bytes).map_err(|_| IdentityError::Failed)?;
        }
        Ok(Self(bytes.into()))
    }

    /// A storage with the values, for a provider, which wipes it.
    pub(crate) fn storage(&self) -> Result<MemoryStorage, IdentityError> {
        let storage = MemoryStorage::default();
        let mut values = storage.values.write().unwrap_or_else(PoisonError::into_inner);
        let mut rest = self.0.as_bytes();
        while !rest.is_empty() {
            let mut next = || {
                let (part, after) = VLBytes::tls_deserialize_bytes(rest).map_err(|_| IdentityError::Failed)?;
                rest = after;
                Ok(Vec::from(part))
            };
            let (key, value) = (next()?, next()?);
            values.insert(key, value);
        }
        drop(values);
        Ok(storage)
    }

    /// The group in a provider's storage.
    pub(crate) fn load(
        provider: &impl OpenMlsProvider<StorageProvider = MemoryStorage>,
        group_id: &GroupId,
    ) -> Result<MlsGroup, IdentityError> {
        MlsGroup::load(provider.storage(), group_id).ok().flatten().ok_or(IdentityError::Failed)
    }
}

/// Whether a member has the private key of the tree's root, and so that of every node between: a Welcome may come without
/// the secret they are derived from, and then it is a later commit that cannot be followed, by no fault of its committer.
pub(crate) fn has_root_key(group: &MlsGroup, storage: &MemoryStorage) -> bool {
    let tree = group.public_group().treesync();
    let Some(root_index) = u32::try_from(tree.leaves().len() / 2).ok().and_then(|half| half.checked_sub(1)) else {
        return false;
    };
    let Some((_, root)) = tree.full_parents().find(|(index, _)| index.u32() == root_index) else { return false };
    let key_pairs: Vec<NodeKey> = storage
        .encryption_epoch_key_pairs(group.group_id(), &group.epoch(), group.own_leaf_index().u32())
        .unwrap_or_default();
    let Ok(root) = root.tls_serialize_detached() else { return false };
    key_pairs.iter().any(|pair| pair.public_key.tls_serialize_detached().is_ok_and(|key| root.starts_with(&key)))
}

/// A node's keys as openmls stores them, without the private one.
#[derive(Serialize, Deserialize)]
struct NodeKey {
    public_key: EncryptionKey,
}

impl Entity<CURRENT_VERSION> for NodeKey {}
impl traits::HpkeKeyPair<CURRENT_VERSION> for NodeKey {}

impl SecretBytes for PrivateGroup {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.to_secret_bytes()
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        StoredSecret::from_secret_bytes(bytes).map(Self)
    }
}

/// The store of resumption secrets as openmls has it, without any and without room for any. openmls keeps those of 32
/// epochs in a group that it creates or enters, whatever it is configured to; nobody resumes a group here.
#[derive(Default, Serialize, Deserialize)]
struct NoResumptionSecrets {
    max_number_of_secrets: usize,
    resumption_psk: [(); 0],
    cursor: usize,
}

impl Entity<CURRENT_VERSION> for NoResumptionSecrets {}
impl traits::ResumptionPskStore<CURRENT_VERSION> for NoResumptionSecrets {}
