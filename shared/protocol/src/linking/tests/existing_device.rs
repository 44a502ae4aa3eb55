use super::*;
use crate::credential::{
    AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialCsrPayload,
    ClientCredentialPayload, CredentialError,
};
use crate::encoding::Bytes;
use crate::keys::{ClientCredentialKey, SigningKey};
use crate::limits::MAX_STATE_BUNDLES_LENGTH;
use crate::linking::message::{CredentialRequest, IdentityKeyPackage, LinkingMessage};
use crate::linking::*;
use crate::name::{ClientId, ClientUuid};
use crate::signed::SignedError;
use crate::time::{DAY, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

fn signing_key(seed: u64) -> SigningKey<ClientCredentialKey> {
    SigningKey::generate(&mut StdRng::seed_from_u64(seed))
}

fn payload(deployment: &Deployment) -> ClientCredentialPayload {
    let uuid = ClientUuid::generate(&mut StdRng::seed_from_u64(3));
    let client_id = ClientId { user_name: "alice@example.org".parse().unwrap(), uuid };
    ClientCredentialPayload::requesting(client_id, signing_key(3).verifying_key(), &deployment.intermediate, NOW)
}

/// What an existing device says to a request for this payload, signed by `signer`, at this time.
fn answer(
    payload: ClientCredentialPayload,
    signer: &SigningKey<ClientCredentialKey>,
    now: Timestamp,
) -> Result<(), LinkingError> {
    let csr = ClientCredentialCsr::sign(ClientCredentialCsrPayload(payload), signer).to_bytes();
    let device_name = "laptop".parse().unwrap();
    let request = LinkingMessage::CredentialRequest(CredentialRequest { device_name, client_credential_csr: csr });
    let mut conversation = Conversation::start();
    let answer = conversation.existing.receive(request.to_outgoing().as_bytes(), now);
    let ending = conversation.existing_ending();
    assert_eq!(ending, answer.err().map(|_| Ending::Declined(DeclineReason::RequestRefused)));
    answer
}

#[test]
fn a_request_for_a_new_client_of_the_user_is_shown_to_the_person() {
    assert_eq!(answer(payload(&Deployment::new(1)), &signing_key(3), NOW), Ok(()));
}

#[test]
fn a_request_for_another_user_is_refused() {
    let mut request = payload(&Deployment::new(1));
    request.client_id.user_name = "bob@example.org".parse().unwrap();
    assert_eq!(answer(request, &signing_key(3), NOW), Err(LinkingError::RequestForAnotherUser));

    let mut request = payload(&Deployment::new(1));
    request.client_id.user_name = "alice@example.net".parse().unwrap();
    let foreign = LinkingError::RequestRefused(CredentialError::ForeignDomain);
    assert_eq!(answer(request, &signing_key(3), NOW), Err(foreign));
}

#[test]
fn a_request_for_a_client_that_the_user_has_is_refused() {
    let mut request = payload(&Deployment::new(1));
    request.client_id.uuid = standing(&Deployment::new(1)).client_uuids[0];
    assert_eq!(answer(request, &signing_key(3), NOW), Err(LinkingError::RequestForExistingClient));
}

#[test]
fn a_request_that_its_own_key_did_not_sign_is_refused() {
    let invalid = LinkingError::RequestRefused(CredentialError::Signed(SignedError::SignatureInvalid));
    assert_eq!(answer(payload(&Deployment::new(1)), &signing_key(4), NOW), Err(invalid));
}

#[test]
fn a_request_to_an_intermediate_that_is_not_trusted_is_refused() {
    let unknown = LinkingError::RequestRefused(CredentialError::UnknownSigner);
    assert_eq!(answer(payload(&Deployment::new(2)), &signing_key(3), NOW), Err(unknown));
}

#[test]
fn a_request_for_a_time_that_the_service_would_not_sign_is_refused() {
    let refused = |error| Err(LinkingError::RequestRefused(error));
    let request = || payload(&Deployment::new(1));
    assert_eq!(
        answer(request(), &signing_key(3), NOW.saturating_add(DAY * 2)),
        refused(CredentialError::ValidityRefused)
    );
    assert_eq!(answer(request(), &signing_key(3), NOW.saturating_sub(DAY)), refused(CredentialError::NotValidNow));
    let mut longer = request();
    longer.expiration_data.not_after = longer.expiration_data.not_after.saturating_add(DAY);
    assert_eq!(answer(longer, &signing_key(3), NOW), refused(CredentialError::ValidityRefused));
}

#[test]
fn a_request_with_a_name_that_cannot_be_shown_does_not_decode() {
    let mut conversation = Conversation::at(Step::Agreed);
    let mut request = conversation.under_way[0].as_bytes().to_vec();
    assert_eq!(&request[2..8], b"alice'");
    request[3] = b'\n';
    assert_eq!(conversation.existing.receive(&request, NOW), Err(LinkingError::Malformed));
}

#[test]
fn a_credential_that_is_not_the_one_asked_for_is_not_passed_on() {
    let mut conversation = Conversation::at(Step::Approved);
    let mut issued = ClientCredentialCsr::verify_self_signed(&conversation.csr().0).unwrap().payload().0.clone();
    issued.verifying_key = signing_key(5).verifying_key();
    let issued = ClientCredential::sign(issued, &conversation.deployment.key).to_bytes();
    let refused = conversation.existing.credential_issued(issued, NOW).unwrap_err();
    assert_eq!(refused, LinkingError::CredentialMismatch);
    // Something was issued, so the service is to be asked.
    assert!(matches!(conversation.existing.progress(), ExistingDeviceProgress::SettlementWanted { .. }));
    assert_eq!(conversation.existing_ending(), Some(Ending::Declined(DeclineReason::CredentialRefused)));
}

#[test]
fn a_credential_that_does_not_hold_is_not_passed_on() {
    for issued in [Bytes(Vec::new()), Deployment::new(2).sign(Conversation::at(Step::Approved).csr())] {
        let mut conversation = Conversation::at(Step::Approved);
        let refused = conversation.existing.credential_issued(issued, NOW).unwrap_err();
        assert!(matches!(refused, LinkingError::CredentialRefused(_)), "{refused}");
    }
}

#[test]
fn a_key_package_with_another_intermediate_than_the_one_that_issued_is_refused() {
    let deployment = Deployment::new(1);
    let key = SigningKey::generate(&mut StdRng::seed_from_u64(8)).verifying_key();
    let sibling = AsIntermediateCredential::issue(key, &deployment.root, &deployment.root_key, NOW, 100);
    let mut conversation = Conversation::at(Step::Certified);
    let message = LinkingMessage::IdentityKeyPackage(IdentityKeyPackage {
        key_package: Bytes(b"KeyPackage".to_vec()),
        as_intermediate_credential: sibling.to_bytes(),
    });
    let refused = conversation.existing.receive(message.to_outgoing().as_bytes(), NOW).unwrap_err();
    assert_eq!(refused, LinkingError::KeyPackageOfAnotherChain);
    assert_eq!(refused.reason(), Some(DeclineReason::KeyPackageRefused));
}

#[test]
fn what_is_to_be_added_is_what_was_issued() {
    let conversation = Conversation::at(Step::KeyPackageReceived);
    let ExistingDeviceProgress::AddingWanted { client_id, client_credential, key_package } =
        conversation.existing.progress()
    else {
        panic!("it is to be added")
    };
    let credential =
        ClientCredential::verify_chain(&client_credential.0, &conversation.deployment.intermediate, NOW).unwrap();
    assert_eq!(credential.payload().client_id, *client_id);
    assert_eq!(key_package.0, b"KeyPackage");
}

#[test]
fn more_state_than_a_linking_carries_is_not_begun() {
    let mut conversation = Conversation::at(Step::KeyPackageReceived);
    let bundles = vec![conversation::state_bundle(MAX_STATE_BUNDLES_LENGTH)];
    let refused = conversation.existing.added(conversation::handover(), bundles).unwrap_err();
    assert_eq!(refused, LinkingError::StateBundlesRefused);
    assert_eq!(conversation.existing_ending(), Some(Ending::Declined(DeclineReason::HandoverRefused)));
}

#[test]
fn whoever_says_to_be_confirmed_is_linked_only_if_the_service_says_so() {
    for (fate, ending) in [(Fate::Linked, None), (Fate::NotLinked, Some(Ending::Declined(DeclineReason::NotConfirmed)))]
    {
        let mut conversation = Conversation::at(Step::ConfirmationReceived);
        let ExistingDeviceProgress::SettlementWanted { because, .. } = conversation.existing.progress() else {
            panic!("the service is to be asked")
        };
        assert_eq!(because, Settlement::Confirmed);
        conversation.existing.settle(fate).unwrap();
        assert_eq!(conversation.existing_ending(), ending);
    }
}

#[test]
fn whatever_ends_a_linking_after_the_approval_the_service_is_asked_what_became_of_the_client() {
    for step in Step::ALL.into_iter().filter(|step| *step < Step::ConfirmationReceived) {
        let ended_by: [fn(&mut ExistingDevice); 4] = [
            |device| _ = device.decline(DeclineReason::Person).unwrap(),
            |device| device.connection_ended(),
            |device| _ = device.receive(b"nonsense", NOW).unwrap_err(),
            |device| device.receive(&[8, 1], NOW).unwrap(),
        ];
        for end in ended_by {
            let mut conversation = Conversation::at(step);
            end(&mut conversation.existing);
            conversation.restart();
            let ending = conversation.existing_ending().unwrap();
            let progress = conversation.existing.progress();
            let owes_settlement = matches!(progress, ExistingDeviceProgress::SettlementWanted { .. });
            assert_eq!(owes_settlement, step >= Step::Approved, "{step:?}: {progress:?}");
            if owes_settlement {
                conversation.existing.settle(Fate::NotLinked).unwrap();
                assert!(
                    matches!(conversation.existing.progress(), ExistingDeviceProgress::Ended(end) if *end == ending)
                );
                let mut other = Conversation::at(step);
                end(&mut other.existing);
                // It was confirmed in between.
                other.existing.settle(Fate::Linked).unwrap();
                assert!(matches!(other.existing.progress(), ExistingDeviceProgress::Linked { .. }));
            }
        }
    }
}
