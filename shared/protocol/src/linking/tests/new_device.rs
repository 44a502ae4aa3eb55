use super::*;
use crate::credential::{
    AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialPayload, CredentialError,
};
use crate::encoding::Bytes;
use crate::limits::MAX_CLIENT_CREDENTIAL_DAYS;
use crate::linking::message::{IssuedCredential, LinkingMessage, UserNameMessage};
use crate::linking::*;
use crate::signed::SignedError;
use crate::time::DAY;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

fn new_device(user_name: Option<&str>, root: Option<[u8; 32]>) -> NewDevice {
    let expectation = Expectation {
        domain: "example.org".parse().unwrap(),
        user_name: user_name.map(|name| name.parse().unwrap()),
        as_credential_fingerprint: root.map(Into::into),
    };
    NewDevice::start("laptop".parse().unwrap(), expectation)
}

fn named(user_name: &str) -> OutgoingMessage {
    let user_name = user_name.parse().unwrap();
    LinkingMessage::UserName(UserNameMessage { user_name, as_credential_fingerprint: [1; 32].into() }).to_outgoing()
}

#[test]
fn a_new_device_asks_its_person_before_it_says_who_it_is() {
    let mut device = new_device(None, None);
    assert!(matches!(device.progress(), NewDeviceProgress::Waiting));
    device.receive(named("alice@example.org").as_bytes(), NOW).unwrap();
    match device.progress() {
        NewDeviceProgress::AgreementWanted { user_name, as_credential_fingerprint } => {
            assert_eq!(user_name.as_str(), "alice@example.org");
            assert_eq!(as_credential_fingerprint, [1; 32].into());
        }
        progress => panic!("{progress:?}"),
    }
}

#[test]
fn a_user_that_was_not_asked_for_is_refused() {
    for (expected, named_user, result) in [
        (None, "alice@example.net", Err(LinkingError::AnotherUser)),
        (Some("bob@example.org"), "alice@example.org", Err(LinkingError::AnotherUser)),
        (Some("alice@example.org"), "alice@example.org", Ok(())),
    ] {
        let mut device = new_device(expected, None);
        assert_eq!(device.receive(named(named_user).as_bytes(), NOW), result);
    }
    assert_eq!(LinkingError::AnotherUser.reason(), Some(DeclineReason::AnotherUser));
}

#[test]
fn a_root_that_is_not_the_one_trusted_is_refused() {
    for (trusted, result) in [([1; 32], Ok(())), ([2; 32], Err(LinkingError::AnotherRoot))] {
        let mut device = new_device(None, Some(trusted));
        assert_eq!(device.receive(named("alice@example.org").as_bytes(), NOW), result);
    }
}

#[test]
fn what_the_service_offers_must_be_of_the_root_that_the_existing_device_trusts() {
    let other = Deployment::new(2);
    let rng = &mut StdRng::seed_from_u64(1);

    let mut conversation = Conversation::at(Step::UserNamed);
    let refused = conversation.new.agree(&other.root, &other.intermediate, NOW, rng).unwrap_err();
    assert_eq!(refused, LinkingError::AnotherRoot);
    assert_eq!(conversation.new_ending(), Some(Ending::Declined(DeclineReason::AnotherRoot)));

    let mut conversation = Conversation::at(Step::UserNamed);
    let refused = conversation.new.agree(&conversation.deployment.root, &other.intermediate, NOW, rng).unwrap_err();
    assert_eq!(refused, LinkingError::CredentialRefused(CredentialError::UnknownSigner));
    assert_eq!(conversation.new_ending(), Some(Ending::Declined(DeclineReason::CredentialRefused)));
}

#[test]
fn a_new_device_asks_for_a_credential_of_the_user_that_its_person_agreed_to() {
    let conversation = Conversation::at(Step::Approved);
    let csr = ClientCredentialCsr::verify_self_signed(&conversation.csr().0).unwrap();
    let payload = &csr.payload().0;
    assert_eq!(payload.client_id.user_name.as_str(), "alice@example.org");
    assert_eq!(payload.signer_fingerprint, conversation.deployment.intermediate.fingerprint());
}

#[test]
fn a_new_device_is_never_the_same_client_twice() {
    let client_id = |seed| {
        let mut conversation = Conversation::at(Step::UserNamed);
        let Deployment { root, intermediate, .. } = &conversation.deployment;
        let request = conversation.new.agree(root, intermediate, NOW, &mut StdRng::seed_from_u64(seed)).unwrap();
        conversation.existing.receive(request.as_bytes(), NOW).unwrap();
        match conversation.existing.progress() {
            ExistingDeviceProgress::ApprovalWanted { client_id, device_name } => {
                assert_eq!(device_name.as_str(), "alice's laptop");
                client_id.clone()
            }
            progress => panic!("{progress:?}"),
        }
    };
    assert_ne!(client_id(1), client_id(2));
}

/// What a new device says to a credential for `altered`, signed by `by`, whose intermediate comes with it.
fn refusal(altered: impl FnOnce(&mut ClientCredentialPayload), by: &Deployment) -> LinkingError {
    let mut conversation = Conversation::at(Step::Approved);
    let csr = ClientCredentialCsr::verify_self_signed(&conversation.csr().0).unwrap();
    let mut payload = csr.payload().0.clone();
    altered(&mut payload);
    let message = LinkingMessage::IssuedCredential(IssuedCredential {
        client_credential: ClientCredential::sign(payload, &by.key).to_bytes(),
        as_intermediate_credential: by.intermediate.to_bytes(),
    });
    let refused = conversation.new.receive(message.to_outgoing().as_bytes(), NOW).unwrap_err();
    assert_eq!(conversation.new_ending(), Some(Ending::Declined(DeclineReason::CredentialRefused)));
    refused
}

#[test]
fn a_credential_that_is_not_the_one_asked_for_is_refused() {
    let own = Deployment::new(1);
    let another_key = |payload: &mut ClientCredentialPayload| {
        payload.verifying_key = crate::keys::SigningKey::generate(&mut StdRng::seed_from_u64(9)).verifying_key();
    };
    let another_client = |payload: &mut ClientCredentialPayload| {
        payload.client_id.uuid = crate::name::ClientUuid::generate(&mut StdRng::seed_from_u64(9));
    };
    let another_user =
        |payload: &mut ClientCredentialPayload| payload.client_id.user_name = "bob@example.org".parse().unwrap();
    let shorter = |payload: &mut ClientCredentialPayload| {
        payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_sub(DAY);
    };
    assert_eq!(refusal(another_key, &own), LinkingError::CredentialMismatch);
    assert_eq!(refusal(another_client, &own), LinkingError::CredentialMismatch);
    assert_eq!(refusal(another_user, &own), LinkingError::CredentialMismatch);
    assert_eq!(refusal(shorter, &own), LinkingError::CredentialMismatch);
}

#[test]
fn a_credential_of_another_chain_is_refused() {
    let unknown_signer = LinkingError::CredentialRefused(CredentialError::UnknownSigner);
    assert_eq!(refusal(|_| (), &Deployment::new(2)), unknown_signer);

    let mut sibling = Deployment::new(1);
    sibling.key = crate::keys::SigningKey::generate(&mut StdRng::seed_from_u64(9));
    let key = sibling.key.verifying_key();
    sibling.intermediate = AsIntermediateCredential::issue(key, &sibling.root, &sibling.root_key, NOW, 100);
    assert_eq!(refusal(|_| (), &sibling), unknown_signer);
    let fingerprint = sibling.intermediate.fingerprint();
    let by_sibling = |payload: &mut ClientCredentialPayload| payload.signer_fingerprint = fingerprint;
    assert_eq!(refusal(by_sibling, &sibling), LinkingError::CredentialMismatch);

    let mut forged = Deployment::new(1);
    forged.key = crate::keys::SigningKey::generate(&mut StdRng::seed_from_u64(9));
    let invalid = LinkingError::CredentialRefused(CredentialError::Signed(SignedError::SignatureInvalid));
    assert_eq!(refusal(|_| (), &forged), invalid);
}

#[test]
fn a_credential_that_has_expired_meanwhile_is_refused() {
    let mut conversation = Conversation::at(Step::Issued);
    let later = NOW.saturating_add(DAY * (MAX_CLIENT_CREDENTIAL_DAYS as u32 + 1));
    let refused = conversation.new.receive(conversation.under_way[0].as_bytes(), later).unwrap_err();
    assert_eq!(refused, LinkingError::CredentialRefused(CredentialError::NotValidNow));
}

#[test]
fn a_linked_device_has_what_it_was_given() {
    let conversation = Conversation::at(Step::Confirmed);
    let NewDeviceProgress::Linked { client, handover, state_bundles } = conversation.new.progress() else {
        panic!("it is linked")
    };
    let Deployment { root, intermediate, .. } = &conversation.deployment;
    assert_eq!(*client.as_credential, root.to_bytes());
    assert_eq!(*client.as_intermediate_credential, intermediate.to_bytes());
    let credential = ClientCredential::verify_chain(&client.client_credential.0, intermediate, NOW).unwrap();
    assert_eq!(credential.payload().client_id, *client.client_id);
    assert_eq!(credential.payload().verifying_key, client.signing_key.verifying_key());
    assert_eq!(client.device_name.as_str(), "alice's laptop");
    assert_eq!(handover.welcome, Bytes(b"Welcome".to_vec()));
    assert_eq!(handover.identity_epoch, 5);
    assert_eq!(handover.device_label_key.as_bytes(), &[2; 32]);
    assert_eq!(handover.friendship_token.as_bytes(), &[3; 32]);
    assert_eq!(handover.friendship_encryption_key.as_bytes(), &[4; 32]);
    assert_eq!(handover.welcome_attribution_info_key.as_bytes(), &[5; 32]);
    assert_eq!(state_bundles, [conversation::state_bundle(40)]);
}

#[test]
fn once_a_device_has_joined_only_the_service_can_end_it() {
    let mut conversation = Conversation::at(Step::Joined);
    let declined = conversation.existing.decline(DeclineReason::Person).unwrap();
    assert_eq!(conversation.new.decline(DeclineReason::Person).unwrap_err(), LinkingError::NotDue);
    conversation.new.connection_ended();
    conversation.new.receive(declined.as_bytes(), NOW).unwrap();
    assert_eq!(conversation.new.receive(b"nonsense", NOW), Err(LinkingError::Malformed));
    conversation.restart();
    assert!(matches!(conversation.new.progress(), NewDeviceProgress::ConfirmationWanted { .. }));

    let mut other = Conversation::at(Step::Joined);
    other.new.refused().unwrap();
    assert_eq!(other.new_ending(), Some(Ending::Declined(DeclineReason::NotConfirmed)));
    conversation.new.refused().unwrap();
    assert_eq!(conversation.new_ending(), Some(Ending::PeerDeclined(DeclineReason::Person)));
}

#[test]
fn a_device_that_the_service_confirmed_is_linked_whatever_the_other_one_said() {
    let mut conversation = Conversation::at(Step::Joined);
    let declined = conversation.existing.decline(DeclineReason::Person).unwrap();
    conversation.new.receive(declined.as_bytes(), NOW).unwrap();
    conversation.new.confirmed().unwrap();
    conversation.new.receive(declined.as_bytes(), NOW).unwrap();
    conversation.new.connection_ended();
    assert!(matches!(conversation.new.progress(), NewDeviceProgress::Linked { .. }));
}
