//! What a member can make that our own code does not make.

use openmls::prelude::{CommitBuilder, CommitMessageBundle, Initial, LoadedPsks, MlsGroup};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::signatures::Signer as _;
use openmls_traits::types::{HashType, HpkeCiphertext};
use tls_codec::{DeserializeBytes as _, Serialize as _, VLByteSlice, VLBytes};
use vestibule_mls::{CIPHERSUITE, GivenRandomness, MlsSigner, Provider};

use super::*;
use crate::private_group::PrivateGroup;

/// The provider that a forger gives openmls.
pub(super) type RogueProvider<'a> = Provider<GivenRandomness<'a, StdRng>>;

/// A commit and its GroupInfo, made by openmls without our rules.
pub(super) struct Rogue {
    pub(super) commit: Bytes,
    pub(super) group_info: Bytes,
}

impl Rogue {
    /// Lets a member do something with its group as it is in openmls.
    pub(super) fn new(
        device: &mut Device,
        identity: &Identity,
        make: impl FnOnce(&mut MlsGroup, &RogueProvider<'_>, &MlsSigner) -> CommitMessageBundle,
    ) -> Self {
        let signer = MlsSigner::from(&device.key);
        let mut rng = device.fresh();
        let provider = Provider::new(&mut rng, identity.private.storage().unwrap());
        let mut group = PrivateGroup::load(&provider, identity.group_id()).unwrap();
        let (commit, _, group_info) = make(&mut group, &provider, &signer).into_messages();
        let bytes = |message: openmls::prelude::MlsMessageOut| Bytes(message.tls_serialize_detached().unwrap());
        Self { commit: bytes(commit), group_info: group_info.map_or(Bytes(Vec::new()), bytes) }
    }

    /// Lets a member commit with any proposals.
    pub(super) fn committing(
        device: &mut Device,
        identity: &Identity,
        build: impl FnOnce(CommitBuilder<'_, Initial>) -> CommitBuilder<'_, Initial>,
    ) -> Self {
        Self::new(device, identity, |group, provider, signer| {
            let builder = build(group.commit_builder().force_self_update(true)).load_psks(provider.storage()).unwrap();
            finish(builder, provider, signer)
        })
    }
}

pub(super) fn finish(
    builder: CommitBuilder<'_, LoadedPsks>,
    provider: &RogueProvider<'_>,
    signer: &MlsSigner,
) -> CommitMessageBundle {
    let built = builder.build(provider.rand(), provider.crypto(), signer, |_| true).unwrap();
    built.stage_commit(provider).unwrap()
}

pub(super) fn opaque(bytes: &[u8]) -> Vec<u8> {
    VLByteSlice(bytes).tls_serialize_detached().unwrap()
}

/// A signature as MLS makes them (RFC 9420, section 5.1.2), as `opaque<V>`.
pub(super) fn sign(key: &SigningKey<ClientCredentialKey>, label: &str, content: &[u8]) -> Vec<u8> {
    let framed = [opaque(format!("MLS 1.0 {label}").as_bytes()), opaque(content)].concat();
    opaque(&MlsSigner::from(key).sign(&framed).unwrap())
}

/// Lengths of a signature, and of a tag, as `opaque<V>`.
pub(super) const SIGNATURE: usize = 2 + 64;
pub(super) const TAG: usize = 1 + 32;

/// A member's commit with another content, signed and tagged anew as far as its author can: the confirmation tag stays.
pub(super) fn with_content(
    commit: &[u8],
    device: &Device,
    identity: &Identity,
    edit: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let (content, tail) = commit.split_at(commit.len() - SIGNATURE - 2 * TAG);
    let mut content = content.to_vec();
    edit(&mut content);
    let mut signed = content.clone();
    signed.extend(identity.follower.group.group_context().tls_serialize_detached().unwrap());
    let mut authentication = sign(&device.key, "FramedContentTBS", &signed);
    authentication.extend_from_slice(&tail[SIGNATURE..SIGNATURE + TAG]);
    let tag = membership_tag(identity, &[signed, authentication.clone()].concat());
    [content, authentication, opaque(&tag)].concat()
}

/// The tag by which members know each other's commits (RFC 9420, section 6.2), with the key from openmls' storage.
fn membership_tag(identity: &Identity, content: &[u8]) -> Vec<u8> {
    let storage = identity.private.storage().unwrap();
    let values = storage.values.read().unwrap();
    let (_, secrets) = values.iter().find(|(key, _)| key.starts_with(b"MessageSecrets")).unwrap();
    let secrets: serde_json::Value = serde_json::from_slice(secrets).unwrap();
    let key = bytes_in(find(&secrets, "membership_key").unwrap());
    RustCrypto::default().hmac(HashType::Sha2_256, &key, content).unwrap().as_slice().to_vec()
}

fn find<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|field| find(field, name)))
        }
        serde_json::Value::Array(elements) => elements.iter().find_map(|element| find(element, name)),
        _ => None,
    }
}

/// The innermost list of numbers.
fn bytes_in(value: &serde_json::Value) -> Vec<u8> {
    match value {
        serde_json::Value::Object(fields) => bytes_in(fields.values().next().unwrap()),
        other => serde_json::from_value(other.clone()).unwrap(),
    }
}

/// A Welcome that does not tell the new member the path secret (RFC 9420, section 12.4.3.1). Its author knows what it
/// encrypts; here, the new member's key opens it.
pub(super) fn without_path_secret(welcome: &[u8], private: &PrivateIdentityKeyPackage) -> Vec<u8> {
    let take = |bytes: &[u8]| -> (Vec<u8>, Vec<u8>) {
        let (part, rest) = VLBytes::tls_deserialize_bytes(bytes).unwrap();
        (part.into(), rest.to_vec())
    };
    let (header, rest) = welcome.split_at(6);
    let (secrets, group_info) = take(rest);
    let (reference, encrypted) = take(&secrets);
    let encrypted = <HpkeCiphertext as tls_codec::Deserialize>::tls_deserialize_exact(encrypted).unwrap();
    let context = [opaque(b"MLS 1.0 Welcome"), group_info.clone()].concat();

    let stored = serde_json::to_value(private).unwrap()["bundle"].as_str().unwrap().to_owned();
    let stored = vestibule_protocol::encoding::decode(&stored).unwrap();
    let bundle: openmls::prelude::KeyPackageBundle = serde_json::from_slice(&stored).unwrap();
    let (crypto, config) = (RustCrypto::default(), || CIPHERSUITE.hpke_config());
    let opened = crypto.hpke_open(config(), &encrypted, bundle.init_private_key(), &context, b"").unwrap();
    let (joiner_secret, rest) = take(&opened);
    assert_eq!(rest[0], 1, "there is a path secret");
    let emptied = [opaque(&joiner_secret), vec![0], opaque(b"")].concat();
    let init_key = bundle.key_package().hpke_init_key().as_slice();
    let sealed = crypto.hpke_seal(config(), init_key, &context, b"", &emptied).unwrap();
    let secrets = [opaque(&reference), sealed.tls_serialize_detached().unwrap()].concat();
    [header.to_vec(), opaque(&secrets), group_info].concat()
}

/// A GroupInfo of any content, signed.
pub(super) struct GroupInfo {
    pub(super) context: Vec<u8>,
    pub(super) extensions: Vec<(u16, Vec<u8>)>,
    pub(super) confirmation_tag: Vec<u8>,
    pub(super) signer: u32,
}

impl GroupInfo {
    /// The right one of an epoch, but for the external key.
    pub(super) fn of(follower: &Follower, signer: u32) -> Self {
        let group = &follower.group;
        Self {
            context: group.group_context().tls_serialize_detached().unwrap(),
            extensions: vec![(2, group.export_ratchet_tree().tls_serialize_detached().unwrap()), (4, opaque(&[9; 32]))],
            confirmation_tag: group.confirmation_tag().tls_serialize_detached().unwrap(),
            signer,
        }
    }

    pub(super) fn sign(&self, key: &SigningKey<ClientCredentialKey>) -> Bytes {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), opaque(data)].concat())
            .collect();
        let signer = self.signer.to_be_bytes().to_vec();
        let signed = [self.context.clone(), opaque(&extensions), self.confirmation_tag.clone(), signer].concat();
        let signature = sign(key, "GroupInfoTBS", &signed);
        Bytes([vec![0, 1, 0, 4], signed, signature].concat())
    }
}
