//! What no client of ours would send: made by hand, from a member's own state.

use openmls::prelude::{
    Capabilities, Credential, CredentialType, CredentialWithKey, ExtensionType, GroupId, KeyPackageIn,
    LeafNodeParameters, MlsGroup, MlsGroupJoinConfig, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, ProtocolVersion,
};
use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::signatures::Signer as _;
use rand::rngs::OsRng;
use tls_codec::{Deserialize as _, DeserializeBytes as _, Serialize as _, VLByteSlice, VLBytes};
use vestibule_identity::{CLIENT_CREDENTIAL_TYPE, DEVICE_LABEL_EXTENSION_TYPE, Follower, Identity, PreparedCommit};
use vestibule_mls::{CIPHERSUITE, GivenRandomness, MlsSigner, Provider};
use vestibule_protocol::encoding::{self, Bytes};
use vestibule_protocol::endpoint::CommitIdentityRequest;
use vestibule_protocol::keys::{ClientCredentialKey, SigningKey};
use vestibule_protocol::signed::labelled;
use vestibule_protocol::user_secrets::ENCRYPTED_USER_SECRETS_LENGTH;
use vestibule_tests::identity::{Device, request_after};

/// Length of a confirmation tag and of a membership tag, each with its length in front, in bytes.
const TAG_LENGTH: usize = 33;
/// Length of a signature with its length in front, in bytes.
const SIGNATURE_LENGTH: usize = 66;

/// A commit of `device` that adds the client of `key_package`, which its own library refuses to make.
pub(super) fn add(device: &Device, key_package: &Bytes) -> CommitIdentityRequest {
    let MlsMessageBodyIn::KeyPackage(key_package) = message(key_package).extract() else { panic!("a KeyPackage") };
    let key_package = validated(key_package);
    let identity = device.identity();
    let rng = &mut OsRng;
    let provider = Provider::new(rng, storage(identity));
    let mut group = MlsGroup::load(provider.storage(), &group_id(identity.follower())).unwrap().unwrap();
    let bundle = group
        .commit_builder()
        .force_self_update(true)
        .leaf_node_parameters(leaf(device))
        .propose_adds([key_package])
        .load_psks(provider.storage())
        .unwrap()
        .use_ratchet_tree_extension(true)
        .build(provider.rand(), provider.crypto(), &MlsSigner::from(&device.client.client_key), |_| true)
        .unwrap()
        .stage_commit(&provider)
        .unwrap();
    let (commit, _, group_info) = bundle.into_messages();
    request(identity.follower(), commit, group_info.unwrap())
}

/// An external commit of `device`, entitled to it or not.
pub(super) fn entry(device: &mut Device, follower: &Follower, group_info: &Bytes) -> CommitIdentityRequest {
    let MlsMessageBodyIn::GroupInfo(group_info) = message(group_info).extract() else { panic!("a GroupInfo") };
    let rng = &mut OsRng;
    let provider: Provider<GivenRandomness<'_, OsRng>> = Provider::new(rng, MemoryStorage::default());
    let config = MlsGroupJoinConfig::builder()
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .build();
    let (_, bundle) = MlsGroup::external_commit_builder()
        .with_config(config)
        .build_group(&provider, group_info, credential_with_key(device))
        .unwrap()
        .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities()).build())
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &MlsSigner::from(&device.client.client_key), |_| true)
        .unwrap()
        .finalize(&provider)
        .unwrap();
    let (commit, _, group_info) = bundle.into_messages();
    request(follower, commit, group_info.unwrap())
}

/// The change of a member with another confirmation tag: nobody but a member sees that it is wrong.
pub(super) fn with_wrong_confirmation_tag(device: &Device, prepared: &PreparedCommit) -> CommitIdentityRequest {
    let mut request = request_after(device.identity().follower(), prepared);
    let commit = &mut request.commit.as_mut().unwrap().0;
    let tag_end = commit.len() - TAG_LENGTH;
    let right_tag = commit[tag_end - 32..tag_end].to_vec();
    commit[tag_end - 1] ^= 1;
    let wrong_tag = commit[tag_end - 32..tag_end].to_vec();
    let group_info = replaced(&request.group_info, &right_tag, &wrong_tag);
    request.group_info = signed_again(&group_info, &device.client.client_key);
    request
}

/// A GroupInfo with other bytes in it, its signature left as it was.
pub(super) fn replaced(group_info: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let position = group_info.0.windows(from.len()).position(|window| window == from).expect("it is in there");
    let mut bytes = group_info.0.clone();
    bytes[position..position + to.len()].copy_from_slice(to);
    Bytes(bytes)
}

/// A GroupInfo with another signature over it (RFC 9420, section 12.4.3).
pub(super) fn signed_again(group_info: &Bytes, key: &SigningKey<ClientCredentialKey>) -> Bytes {
    let (unsigned, _) = group_info.0.split_at(group_info.0.len() - SIGNATURE_LENGTH);
    let mut content = Vec::new();
    // Version and wire format of the MLSMessage around it are not signed.
    for part in [b"MLS 1.0 GroupInfoTBS".as_slice(), &unsigned[4..]] {
        VLByteSlice(part).tls_serialize(&mut content).unwrap();
    }
    let signature = MlsSigner::from(key).sign(&content).unwrap();
    let mut bytes = unsigned.to_vec();
    VLByteSlice(&signature).tls_serialize(&mut bytes).unwrap();
    Bytes(bytes)
}

fn request(follower: &Follower, commit: MlsMessageOut, group_info: MlsMessageOut) -> CommitIdentityRequest {
    CommitIdentityRequest {
        generation: follower.generation(),
        epoch: follower.epoch(),
        commit: Some(Bytes(commit.tls_serialize_detached().unwrap())),
        group_info: Bytes(group_info.tls_serialize_detached().unwrap()),
        // Nobody can tell but the members.
        encrypted_user_secrets: Some(Bytes(vec![0; ENCRYPTED_USER_SECRETS_LENGTH])),
    }
}

fn message(bytes: &Bytes) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact(&bytes.0).unwrap()
}

fn validated(key_package: KeyPackageIn) -> openmls::prelude::KeyPackage {
    key_package.validate(&RustCrypto::default(), ProtocolVersion::Mls10).unwrap()
}

fn credential_with_key(device: &Device) -> CredentialWithKey {
    let credential_type = CredentialType::Other(CLIENT_CREDENTIAL_TYPE);
    CredentialWithKey {
        credential: Credential::new(credential_type, device.client_credential.to_bytes().0),
        signature_key: device.client.client_key.verifying_key().as_bytes().to_vec().into(),
    }
}

fn leaf(device: &Device) -> LeafNodeParameters {
    LeafNodeParameters::builder()
        .with_credential_with_key(credential_with_key(device))
        .with_capabilities(capabilities())
        .build()
}

fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[CIPHERSUITE]),
        Some(&[ExtensionType::Unknown(DEVICE_LABEL_EXTENSION_TYPE)]),
        None,
        Some(&[CredentialType::Other(CLIENT_CREDENTIAL_TYPE)]),
    )
}

fn group_id(follower: &Follower) -> GroupId {
    let mut content = follower.user_name().tls_serialize_detached().unwrap();
    content.extend(follower.generation().to_be_bytes());
    GroupId::from_slice(&labelled("Identity", &content))
}

/// What a member keeps, out of its JSON.
fn storage(identity: &Identity) -> MemoryStorage {
    let json = serde_json::to_value(identity).unwrap();
    let bytes = encoding::decode(json["private"].as_str().unwrap()).unwrap();
    let storage = MemoryStorage::default();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (key, after) = VLBytes::tls_deserialize_bytes(rest).unwrap();
        let (value, after) = VLBytes::tls_deserialize_bytes(after).unwrap();
        storage.values.write().unwrap().insert(key.into(), value.into());
        rest = after;
    }
    storage
}
