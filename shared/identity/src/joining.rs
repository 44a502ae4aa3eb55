//! How a client becomes a member: added by a KeyPackage, or by itself in a new generation.

use std::fmt;

use openmls::prelude::{
    KeyPackage, KeyPackageBundle, LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageOut, ProtocolVersion,
    StagedWelcome, Welcome,
};
use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::storage::StorageProvider as _;
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use tls_codec::Serialize as _;
use vestibule_mls::{CIPHERSUITE, MlsSigner, NoRandomness, Provider, StoredSecret};
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::name::ClientId;
use zeroize::Zeroizing;

use crate::follower::decode;
use crate::identity::join_config;
use crate::leaf::{capabilities, lifetime};
use crate::private_group::{PrivateGroup, has_root_key};
use crate::{ClientKeys, Follower, Identity, IdentityError, Member, PreparedCommit};

/// What a client keeps of the KeyPackage that it is to be added by. Its JSON is for files that are private.
#[derive(Clone, Serialize, Deserialize)]
pub struct PrivateIdentityKeyPackage {
    client_id: ClientId,
    #[serde(with = "secret")]
    bundle: StoredSecret,
}

impl fmt::Debug for PrivateIdentityKeyPackage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyPackage of {}", self.client_id)
    }
}

impl Identity {
    /// Makes the KeyPackage (an `MLSMessage`) that a client is added by.
    ///
    /// # Errors
    /// [`IdentityError::Failed`].
    pub fn make_key_package(
        keys: &ClientKeys<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Bytes, PrivateIdentityKeyPackage), IdentityError> {
        let bundle = KeyPackage::builder()
            .key_package_lifetime(lifetime())
            .leaf_node_capabilities(capabilities())
            .leaf_node_extensions(keys.leaf_extensions()?)
            .build(
                CIPHERSUITE,
                &Provider::new(rng, MemoryStorage::default()),
                &MlsSigner::from(keys.key),
                keys.credential_with_key(),
            )
            .map_err(|_| IdentityError::Failed)?;
        let message = MlsMessageOut::from(bundle.key_package().clone());
        let key_package = message.tls_serialize_detached().map(Bytes).map_err(|_| IdentityError::Failed)?;
        let stored = serde_json::to_vec(&bundle).map(Zeroizing::new).map_err(|_| IdentityError::Failed)?;
        Ok((key_package, PrivateIdentityKeyPackage { client_id: keys.client_id().clone(), bundle: stored.into() }))
    }

    /// Checks that a KeyPackage (an `MLSMessage`) is for exactly this credential and can be added.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn check_key_package(key_package: &[u8], expected: &ClientCredential) -> Result<(), IdentityError> {
        let key_package = read_key_package(key_package)?;
        let member = Member::of_key_package(&key_package, &expected.payload().client_id.user_name)?;
        let is_expected = member.client_credential == expected.to_bytes();
        if is_expected { Ok(()) } else { Err(IdentityError::AnotherCredential) }
    }

    /// Joins by a Welcome (an `MLSMessage`). `follower` is the epoch after the commit that added this client, as the
    /// authentication service told of it.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn join(private: PrivateIdentityKeyPackage, welcome: &[u8], follower: Follower) -> Result<Self, IdentityError> {
        let client = private.client_id.uuid;
        let MlsMessageBodyIn::Welcome(welcome) = decode(welcome)?.extract() else {
            return Err(IdentityError::Malformed);
        };
        let bundle: KeyPackageBundle =
            serde_json::from_slice(private.bundle.as_bytes()).map_err(|_| IdentityError::Failed)?;
        let provider = Provider::deterministic(MemoryStorage::default());
        let reference = bundle.key_package().hash_ref(provider.crypto()).map_err(|_| IdentityError::Failed)?;
        provider.storage().write_key_package(&reference, &bundle).map_err(|_| IdentityError::Failed)?;
        let group = open_welcome(welcome, &follower, &provider)?;
        let is_this_epoch = group.public_group().confirmation_tag() == follower.group.confirmation_tag()
            && follower.member(client).is_some_and(|member| member.client_id == private.client_id)
            && group.own_leaf_node() == follower.index_of(client).and_then(|index| follower.group.leaf(index));
        if !is_this_epoch || !has_root_key(&group, provider.storage()) {
            return Err(IdentityError::Welcome);
        }
        let private = PrivateGroup::of(&provider, follower.group.group_id())?;
        Ok(Self { follower, client, private })
    }

    /// Prepares to enter a generation that another client has started. `group_info` (an `MLSMessage`) is of the follower's
    /// epoch.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn prepare_entry(
        follower: &Follower,
        group_info: &[u8],
        keys: &ClientKeys<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<PreparedCommit, IdentityError> {
        follower.check_group_info_of_a_member(group_info)?;
        let MlsMessageBodyIn::GroupInfo(group_info) = decode(group_info)?.extract() else {
            return Err(IdentityError::Malformed);
        };
        let failed = |_| IdentityError::Failed;
        let provider = Provider::new(rng, MemoryStorage::default());
        let leaf = LeafNodeParameters::builder()
            .with_capabilities(capabilities())
            .with_extensions(keys.leaf_extensions()?)
            .build();
        let (_, bundle) = MlsGroup::external_commit_builder()
            .with_config(join_config())
            .build_group(&provider, group_info, keys.credential_with_key())
            .map_err(|_| IdentityError::Failed)?
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .map_err(failed)?
            .build(provider.rand(), provider.crypto(), &MlsSigner::from(keys.key), |_| true)
            .map_err(failed)?
            .finalize(&provider)
            .map_err(|_| IdentityError::Failed)?;
        let private = PrivateGroup::of(&provider, follower.group.group_id())?;
        PreparedCommit::checked(follower, keys.client_id().uuid, bundle, private)
    }
}

/// Decodes a KeyPackage and checks it by the rules of MLS.
pub(crate) fn read_key_package(bytes: &[u8]) -> Result<KeyPackage, IdentityError> {
    // openmls would check signatures of other suites with other algorithms: one suite, one algorithm.
    let Some([0, 1, 0, 5, 0, 1, 0, 3]) = bytes.first_chunk() else { return Err(IdentityError::Malformed) };
    let MlsMessageBodyIn::KeyPackage(key_package) = decode(bytes)?.extract() else {
        return Err(IdentityError::Malformed);
    };
    key_package.validate(&RustCrypto::default(), ProtocolVersion::Mls10).map_err(|_| IdentityError::Malformed)
}

/// Opens a Welcome if it leads to where the follower is.
fn open_welcome(
    welcome: Welcome,
    follower: &Follower,
    provider: &Provider<NoRandomness>,
) -> Result<MlsGroup, IdentityError> {
    let builder =
        StagedWelcome::build_from_welcome(provider, &join_config(), welcome).map_err(|_| IdentityError::Welcome)?;
    let processed = builder.processed_welcome();
    let leads_here = processed.psks().is_empty()
        && processed.unverified_group_info().group_context() == follower.group.group_context();
    if !leads_here {
        return Err(IdentityError::Welcome);
    }
    builder
        .with_ratchet_tree(follower.group.export_ratchet_tree().into())
        .build()
        .and_then(|staged| staged.into_group(provider))
        .map_err(|_| IdentityError::Welcome)
}
