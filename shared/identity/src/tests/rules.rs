//! The rules of a commit, one by one.

use openmls::prelude::{
    BasicCredential, Capabilities, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    KeyPackage, LeafNodeParameters, Lifetime, MlsMessageOut, NewSignerBundle, PreSharedKeyProposal, Proposal,
    ProtocolVersion, UnknownExtension,
};
use openmls_rust_crypto::MemoryStorage;
use openmls_traits::OpenMlsProvider as _;
use tls_codec::Serialize as _;
use vestibule_mls::{CIPHERSUITE, MlsSigner, Provider};
use vestibule_protocol::limits::MAX_IDENTITY_MESSAGE_LENGTH;

use super::forging::*;
use super::*;
use crate::joining::read_key_package;
use crate::leaf::{capabilities, lifetime};

/// Why a commit is refused; nothing has changed then.
fn refusal(household: &mut Household, commit: &[u8], group_info: &Bytes) -> IdentityError {
    let before = household.service.follower.to_bytes();
    let error = household.service.accept(&Bytes(commit.to_vec()), group_info).unwrap_err();
    assert!(household.service.follower.to_bytes() == before);
    for identity in household.identities.iter_mut().filter(|identity| identity.is_member()) {
        let before = serde_json::to_string(identity).unwrap();
        assert_eq!(identity.process(commit), Err(ProcessError::Refused(error)));
        assert!(serde_json::to_string(identity).unwrap() == before);
    }
    error
}

fn rogue_refusal(household: &mut Household, rogue: &Rogue) -> IdentityError {
    refusal(household, &rogue.commit.0, &rogue.group_info)
}

/// What a follower says of what a member commits without minding our rules.
fn refusal_of(
    household: &mut Household,
    build: impl FnOnce(
        openmls::prelude::CommitBuilder<'_, openmls::prelude::Initial>,
    ) -> openmls::prelude::CommitBuilder<'_, openmls::prelude::Initial>,
) -> IdentityError {
    let rogue = Rogue::committing(&mut household.devices[0], &household.identities[0], build);
    rogue_refusal(household, &rogue)
}

#[test]
fn a_commit_of_another_epoch_is_refused() {
    let mut household = Household::new(2);
    let late = household.devices[1].update(&household.identities[1]);
    let prepared = household.devices[0].update(&household.identities[0]);
    let early = household.devices[0].update(&prepared.next);
    assert_eq!(refusal(&mut household, &early.commit.0, &early.group_info), IdentityError::AnotherEpoch);
    household.commit(0, prepared.clone());
    for commit in [&late, &prepared] {
        assert_eq!(refusal(&mut household, &commit.commit.0, &commit.group_info), IdentityError::AnotherEpoch);
    }
}

#[test]
fn a_commit_of_another_user_or_generation_is_refused() {
    let mut household = Household::new(2);
    let (identity, _) = Device::new(&"bob@localhost".parse().unwrap(), 7).start(1, None);
    let commit = Device::new(&"bob@localhost".parse().unwrap(), 7).update(&identity);
    assert_eq!(refusal(&mut household, &commit.commit.0, &commit.group_info), IdentityError::AnotherGroup);
    let previous = household.service.follower.clone();
    let (identity, _) = household.devices[0].start(2, Some(&previous));
    let commit = household.devices[0].update(&identity);
    assert_eq!(refusal(&mut household, &commit.commit.0, &commit.group_info), IdentityError::AnotherGroup);
}

#[test]
fn a_removed_members_commit_is_refused_even_for_the_present_epoch() {
    let mut household = Household::new(3);
    let former = household.identities[2].clone();
    let removed = household.devices[2].uuid();
    let prepared = household.devices[0].remove(&household.identities[0], &[removed]);
    household.commit(0, prepared);
    let prepared = household.devices[2].update(&former);
    assert_eq!(refusal(&mut household, &prepared.commit.0, &prepared.group_info), IdentityError::AnotherEpoch);

    let epoch = household.service.follower.epoch();
    let group_id_length = opaque(former.group_id().as_slice()).len();
    let present = Identity { follower: household.service.follower.clone(), ..former };
    let commit = with_content(&prepared.commit.0, &household.devices[2], &present, |content| {
        content[4 + group_id_length..][..8].copy_from_slice(&epoch.to_be_bytes());
    });
    assert_eq!(refusal(&mut household, &commit, &prepared.group_info), IdentityError::NotAMember);
}

#[test]
fn an_unconfirmed_member_may_only_confirm_itself() {
    let mut household = Household::new(2);
    household.add(Device::new(&alice(), 3));
    let (key_package, _) = Device::new(&alice(), 4).key_package();
    let other = household.devices[1].uuid();
    let (device, identity) = (&mut household.devices[2], &household.identities[2]);
    let mut rng = device.fresh();
    let added = identity.prepare_add(&device.keys(), &key_package.0, &mut rng);
    assert_eq!(added.unwrap_err(), IdentityError::Unconfirmed);
    let removed = identity.prepare_remove(&device.keys(), &[other], &mut rng);
    assert_eq!(removed.unwrap_err(), IdentityError::Unconfirmed);
    let index = household.service.follower.index_of(other).unwrap();
    let rogue = Rogue::committing(device, identity, |builder| builder.propose_removals([index]));
    assert_eq!(rogue_refusal(&mut household, &rogue), IdentityError::Unconfirmed);
    // It can be removed by others.
    let unconfirmed = household.devices[2].uuid();
    let prepared = household.devices[1].remove(&household.identities[1], &[unconfirmed]);
    household.commit(1, prepared);
    assert!(household.agrees());
}

#[test]
fn a_key_package_with_anybody_elses_credential_is_refused() {
    let mut household = Household::new(2);
    let bob = "bob@localhost".parse().unwrap();
    let (of_bob, _) = Device::new(&bob, 7).key_package();
    // A credential of this user, but not for the key.
    let mut thief = Device::new(&alice(), 8);
    thief.credential = Device::new(&alice(), 9).credential;
    let (stolen, _) = thief.key_package();
    for key_package in [of_bob, stolen] {
        let key_package = read_key_package(&key_package.0).unwrap();
        let error = refusal_of(&mut household, |builder| builder.propose_adds([key_package]));
        assert_eq!(error, IdentityError::Credential);
    }
}

#[test]
fn a_key_package_is_for_exactly_the_expected_credential() {
    let mut device = Device::new(&alice(), 2);
    let (key_package, _) = device.key_package();
    let issued = device.credential.clone();
    assert_eq!(Identity::check_key_package(&key_package.0, &issued), Ok(()));
    let renewed = Issuer::new().issue(device.client_id().clone(), &device.key, 30);
    assert_eq!(Identity::check_key_package(&key_package.0, &renewed), Err(IdentityError::AnotherCredential));
    let other = Device::new(&alice(), 3);
    assert_eq!(Identity::check_key_package(&key_package.0, &other.credential), Err(IdentityError::AnotherCredential));
    // Another key under the issued credential.
    device.key = SigningKey::generate(&mut StdRng::seed_from_u64(5));
    let (key_package, _) = device.key_package();
    assert_eq!(Identity::check_key_package(&key_package.0, &issued), Err(IdentityError::Credential));
}

#[test]
fn a_member_cannot_be_added_again() {
    let mut household = Household::new(2);
    // With its key, MLS itself refuses it.
    let (key_package, _) = household.devices[1].key_package();
    let mut again = Device::new(&alice(), 8);
    let (device, identity) = (&mut household.devices[0], &household.identities[0]);
    let mut rng = device.fresh();
    assert!(identity.prepare_add(&device.keys(), &key_package.0, &mut rng).is_err());
    // With another key.
    again.credential = Issuer::new().issue(household.devices[1].client_id().clone(), &again.key, 0);
    let key_package = read_key_package(&again.key_package().0.0).unwrap();
    let (added, removed) = (key_package.clone(), household.service.follower.index_of(again.uuid()).unwrap());
    let error = refusal_of(&mut household, |builder| builder.propose_adds([key_package]));
    assert_eq!(error, IdentityError::MemberTwice);
    // Even if it is removed in the same breath.
    let error = refusal_of(&mut household, |builder| builder.propose_adds([added]).propose_removals([removed]));
    assert_eq!(error, IdentityError::MemberTwice);
}

#[test]
fn a_path_with_another_client_or_key_is_refused() {
    let mut household = Household::new(2);
    let device = &household.devices[0];
    let other_id = ClientId { uuid: Device::new(&alice(), 9).uuid(), ..device.client_id().clone() };
    let other_user = ClientId { user_name: "bob@localhost".parse().unwrap(), ..device.client_id().clone() };
    let expected = [(other_id, IdentityError::AnotherClient), (other_user, IdentityError::Credential)];
    for (client_id, error) in expected {
        let device = &household.devices[0];
        let credential = Issuer::new().issue(client_id, &device.key, 0);
        let keys = ClientKeys { client_credential: &credential, ..device.keys() };
        let leaf = LeafNodeParameters::builder().with_credential_with_key(keys.credential_with_key()).build();
        assert_eq!(refusal_of(&mut household, |builder| builder.leaf_node_parameters(leaf)), error);
    }
    // Our own code does not even make one.
    let mut other = Device::new(&alice(), 9);
    let mut rng = other.fresh();
    let refused = household.identities[0].prepare_update(&other.keys(), &mut rng).unwrap_err();
    assert_eq!(refused, IdentityError::AnotherClientsKeys);
    // The same client with another key.
    other.credential = Issuer::new().issue(household.devices[0].client_id().clone(), &other.key, 0);
    let new_signer = MlsSigner::from(&other.key);
    let credential_with_key = other.keys().credential_with_key();
    let rogue = Rogue::new(&mut household.devices[0], &household.identities[0], |group, provider, signer| {
        let builder = group.commit_builder().load_psks(provider.storage()).unwrap();
        let new_signer = NewSignerBundle { signer: &new_signer, credential_with_key };
        let built =
            builder.build_with_new_signer(provider.rand(), provider.crypto(), signer, new_signer, |_| true).unwrap();
        built.stage_commit(provider).unwrap()
    });
    assert_eq!(rogue_refusal(&mut household, &rogue), IdentityError::AnotherClient);
}

#[test]
fn a_commit_adds_one_client_at_most_and_always_has_a_path() {
    let mut household = Household::new(2);
    let key_packages = [7, 8].map(|seed| read_key_package(&Device::new(&alice(), seed).key_package().0.0).unwrap());
    let one = key_packages[0].clone();
    let error = refusal_of(&mut household, |builder| builder.propose_adds(key_packages));
    assert_eq!(error, IdentityError::TwoAdds);
    let error = refusal_of(&mut household, |builder| builder.force_self_update(false).propose_adds([one]));
    assert_eq!(error, IdentityError::NoPath);
}

#[test]
fn no_other_proposals_are_allowed() {
    let mut household = Household::new(3);
    let error =
        refusal_of(&mut household, |builder| builder.propose_group_context_extensions(Extensions::empty()).unwrap());
    assert_eq!(error, IdentityError::ProposalNotAllowed);

    // A pre-shared key.
    let rogue = Rogue::new(&mut household.devices[0], &household.identities[0], |group, provider, signer| {
        use openmls::schedule::{ExternalPsk, PreSharedKeyId, Psk};
        let psk = Psk::External(ExternalPsk::new(b"key".to_vec()));
        let id = PreSharedKeyId::new(CIPHERSUITE, provider.rand(), psk).unwrap();
        id.store(provider, b"secret").unwrap();
        let builder =
            group.commit_builder().add_proposal(Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id))));
        finish(builder.force_self_update(true).load_psks(provider.storage()).unwrap(), provider, signer)
    });
    assert_eq!(rogue_refusal(&mut household, &rogue), IdentityError::ProposalNotAllowed);

    // A removal and an update by reference: whoever follows does not know what they are.
    let index = household.service.follower.index_of(household.devices[2].uuid()).unwrap();
    let rogue = Rogue::new(&mut household.devices[0], &household.identities[0], |group, provider, signer| {
        group.propose_remove_member(provider, signer, index).unwrap();
        finish(group.commit_builder().load_psks(provider.storage()).unwrap(), provider, signer)
    });
    assert_eq!(rogue_refusal(&mut household, &rogue), IdentityError::InvalidCommit);
    let mut rng = household.devices[1].fresh();
    let provider = Provider::new(&mut rng, household.identities[1].private.storage().unwrap());
    let mut group = private_group::PrivateGroup::load(&provider, household.identities[1].group_id()).unwrap();
    let signer = MlsSigner::from(&household.devices[1].key);
    let update = group.propose_self_update(&provider, &signer, LeafNodeParameters::default()).unwrap();
    let rogue = Rogue::new(&mut household.devices[0], &household.identities[0], |group, provider, signer| {
        let bytes = update.0.tls_serialize_detached().unwrap();
        let message = follower::decode(&bytes).unwrap().try_into_protocol_message().unwrap();
        let processed = group.process_message(provider, message).unwrap();
        let openmls::prelude::ProcessedMessageContent::ProposalMessage(proposal) = processed.into_content() else {
            panic!("it is a proposal")
        };
        group.store_pending_proposal(provider.storage(), *proposal).unwrap();
        finish(group.commit_builder().load_psks(provider.storage()).unwrap(), provider, signer)
    });
    assert_eq!(rogue_refusal(&mut household, &rogue), IdentityError::InvalidCommit);
    // A proposal by itself is no commit.
    let proposal = update.0.tls_serialize_detached().unwrap();
    assert_eq!(household.service.follower.check(&proposal).unwrap_err(), IdentityError::NotACommit);
}

#[test]
fn a_proposal_that_is_there_twice_is_refused() {
    let mut household = Household::new(3);
    let removed = household.devices[2].uuid();
    let prepared = household.devices[0].remove(&household.identities[0], &[removed]);
    // By value, Remove, of the third leaf: the only proposal, after one byte for its length.
    let proposal = [1, 0, 3, 0, 0, 0, 2];
    let list = opaque(&proposal);
    let commit = with_content(&prepared.commit.0, &household.devices[0], &household.identities[0], |content| {
        let position = content.windows(list.len()).position(|window| window == list).unwrap();
        content.splice(position..position + list.len(), opaque(&[proposal, proposal].concat()));
    });
    assert_eq!(refusal(&mut household, &commit, &prepared.group_info), IdentityError::ProposalNotAllowed);
}

#[test]
fn a_commit_carries_nothing_besides() {
    let mut household = Household::new(2);
    let rogue = Rogue::new(&mut household.devices[0], &household.identities[0], |group, provider, signer| {
        group.set_aad(b"a word".to_vec());
        let builder = group.commit_builder().force_self_update(true).load_psks(provider.storage()).unwrap();
        finish(builder, provider, signer)
    });
    assert_eq!(rogue_refusal(&mut household, &rogue), IdentityError::AuthenticatedData);

    let prepared = household.devices[0].update(&household.identities[0]);
    let mut longer = prepared.commit.0.clone();
    longer.push(0);
    assert_eq!(refusal(&mut household, &longer, &prepared.group_info), IdentityError::Malformed);
    longer.resize(MAX_IDENTITY_MESSAGE_LENGTH + 1, 0);
    assert_eq!(refusal(&mut household, &longer, &prepared.group_info), IdentityError::TooLong);
    let error = refusal(&mut household, &prepared.group_info.0, &prepared.group_info);
    assert_eq!(error, IdentityError::NotACommit);
}

#[test]
fn a_leaf_has_our_form_and_no_other() {
    let mut household = Household::new(2);
    let more = Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[CIPHERSUITE]),
        Some(&[ExtensionType::Unknown(DEVICE_LABEL_EXTENSION_TYPE), ExtensionType::Unknown(0xf005)]),
        None,
        Some(&[CredentialType::Other(CLIENT_CREDENTIAL_TYPE)]),
    );
    let extension = |kind, length: usize| Extension::Unknown(kind, UnknownExtension(vec![1; length]));
    let short = extension(DEVICE_LABEL_EXTENSION_TYPE, ENCRYPTED_DEVICE_LABEL_LENGTH - 1);
    let right = extension(DEVICE_LABEL_EXTENSION_TYPE, ENCRYPTED_DEVICE_LABEL_LENGTH);
    let leaves = [
        LeafNodeParameters::builder().with_capabilities(more.clone()),
        LeafNodeParameters::builder().with_extensions(Extensions::single(short).unwrap()),
        LeafNodeParameters::builder()
            .with_capabilities(more)
            .with_extensions(Extensions::from_vec(vec![right, extension(0xf005, 1)]).unwrap()),
    ];
    for leaf in leaves {
        let error = refusal_of(&mut household, |builder| builder.leaf_node_parameters(leaf.build()));
        assert_eq!(error, IdentityError::Leaf);
    }
}

/// A KeyPackage that differs from ours in one thing.
fn odd_key_package(device: &mut Device, lifetime: Lifetime, credential: CredentialWithKey, marked: bool) -> KeyPackage {
    let mut rng = device.fresh();
    let provider = Provider::new(&mut rng, MemoryStorage::default());
    let (versions, suites) = ([ProtocolVersion::Mls10], [CIPHERSUITE]);
    let types = [CredentialType::Basic, CredentialType::Other(CLIENT_CREDENTIAL_TYPE)];
    let is_ours = credential.credential.credential_type() != CredentialType::Basic;
    let capabilities = if is_ours && !marked {
        capabilities()
    } else {
        let extensions = [ExtensionType::LastResort, ExtensionType::Unknown(DEVICE_LABEL_EXTENSION_TYPE)];
        Capabilities::new(Some(&versions), Some(&suites), Some(&extensions), None, Some(&types))
    };
    let mut builder = KeyPackage::builder().key_package_lifetime(lifetime).leaf_node_capabilities(capabilities);
    if marked {
        builder = builder.mark_as_last_resort();
    }
    let bundle = builder.build(CIPHERSUITE, &provider, &MlsSigner::from(&device.key), credential).unwrap();
    bundle.key_package().clone()
}

#[test]
fn a_key_package_has_our_form_and_no_other() {
    let mut household = Household::new(2);
    let mut device = Device::new(&alice(), 8);
    let ours = device.keys().credential_with_key();
    let basic = CredentialWithKey {
        credential: Credential::from(BasicCredential::new(b"alice".to_vec())),
        signature_key: device.key.verifying_key().as_bytes().to_vec().into(),
    };
    let ends = odd_key_package(&mut device, Lifetime::new(1000), ours.clone(), false);
    let begins = odd_key_package(&mut device, Lifetime::init(1, u64::MAX), ours.clone(), false);
    let last_resort = odd_key_package(&mut device, lifetime(), ours, true);
    for key_package in [ends, begins, last_resort] {
        let error = refusal_of(&mut household, |builder| builder.propose_adds([key_package]));
        assert_eq!(error, IdentityError::Leaf);
    }
    let of_another_type = odd_key_package(&mut device, lifetime(), basic, false);
    let message = MlsMessageOut::from(of_another_type).tls_serialize_detached().unwrap();
    let refused = Identity::check_key_package(&message, &device.credential).unwrap_err();
    assert_eq!(refused, IdentityError::Leaf);
}

#[test]
fn a_key_package_with_a_key_of_low_order_is_refused() {
    let mut household = Household::new(2);
    let mut device = Device::new(&alice(), 8);
    let (Bytes(mut message), _) = device.key_package();
    // Header, version and suite, then the init key; the signature at the end.
    message[8 + 1..8 + 1 + 32].fill(0);
    let content = message[4..message.len() - SIGNATURE].to_vec();
    let signature = sign(&device.key, "KeyPackageTBS", &content);
    let forged = [&message[..4], &content, &signature].concat();
    assert_eq!(Identity::check_key_package(&forged, &device.credential), Err(IdentityError::Leaf));
    let mut rng = household.devices[0].fresh();
    let refused = household.identities[0].prepare_add(&household.devices[0].keys(), &forged, &mut rng);
    assert!(refused.is_err());
}

#[test]
fn a_commit_signed_by_another_member_is_refused() {
    let mut household = Household::new(3);
    let prepared = household.devices[1].update(&household.identities[1]);
    let commit = with_content(&prepared.commit.0, &household.devices[2], &household.identities[1], |_| {});
    assert_eq!(refusal(&mut household, &commit, &prepared.group_info), IdentityError::InvalidCommit);
    // What the test signs anew is right otherwise.
    let same = with_content(&prepared.commit.0, &household.devices[1], &household.identities[1], |_| {});
    assert!(same == prepared.commit.0);
}
