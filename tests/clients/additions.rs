//! A client has the signing request of another one signed, or is refused.

use rand::rngs::OsRng;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{AddClient, AddClientRequest, AddClientResponse, ClientPath};
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::limits::{CLIENT_CONFIRMATION_TIME, MAX_CLIENT_REQUEST_LENGTH, MAX_CLIENTS};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::signed::Verified;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Applicant, Call, json_body, left_out_in_processes};

use super::household::Household;

/// The call by which the phone asks for this to be signed, for the client in the path.
fn call_for(household: &Household, path: &ClientPath, csr: Bytes) -> Call {
    let request = AddClientRequest { client_credential_csr: csr };
    household.phone.sign(&household.cloud, &Call::new::<AddClient>(path, json_body(&request)))
}

#[tokio::test]
async fn a_client_that_was_added_has_the_credential_asked_for_and_an_hour() {
    let Household { cloud, phone, laptop } = Household::new().await;
    let before = cloud.state().await.len();
    let answer = cloud.send(&phone.adding_call(&cloud, &laptop)).await;
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"));
    let AddClientResponse { client_credential } = answer.success();
    assert_eq!(phone.add(&cloud, &laptop).await.payload(), &laptop.requested);
    assert_eq!(phone.add(&cloud, &laptop).await.to_bytes(), client_credential);

    let item = cloud.client_item(&laptop.client_id).await.unwrap();
    let expires_at = cloud.now().saturating_add(CLIENT_CONFIRMATION_TIME);
    assert_eq!(item["expires_at"]["N"], expires_at.seconds().to_string());
    assert_eq!(item["created_on"]["N"], cloud.now().start_of_day().seconds().to_string());
    assert_eq!(cloud.state().await.len(), before + 2, "the client, and the version of the set");
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_changes_nothing() {
    left_out_in_processes!("it moves the clock");
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    let first = cloud.send(&phone.adding_call(cloud, laptop)).await;
    household.changes_nothing(&phone.adding_call(cloud, laptop)).await;
    cloud.confirm(laptop).await;
    household.changes_nothing(&phone.adding_call(cloud, laptop)).await;
    // Any other client of the user may be the one that repeats it, even when it would not be signed any more.
    cloud.cloud.clock().advance(3 * DAY);
    assert_eq!(cloud.send(&laptop.adding_call(cloud, laptop)).await, first);
    assert_eq!(cloud.send(&phone.adding_call(cloud, laptop)).await, first);
}

#[tokio::test]
async fn what_is_no_signing_request_for_the_client_in_the_path_is_refused() {
    let household = Household::new().await;
    let Household { cloud, phone, laptop } = &household;
    let path = laptop.client_path();
    let csr = laptop.csr().to_bytes();
    let truncated = Bytes(csr.0[..csr.0.len() - 1].to_vec());
    let mut altered = csr.clone();
    *altered.0.last_mut().unwrap() ^= 1;
    let credential = phone.add(cloud, &phone.another(cloud, 3).await).await;
    let of_another_user = Applicant::new(cloud, "bob@localhost", 3).await.csr().to_bytes();
    let other_key = Verified::sign(laptop.csr().payload().clone(), &SigningKey::generate(&mut OsRng));
    let attempts = [
        (Bytes(Vec::new()), ProblemType::MalformedCsr),
        (truncated, ProblemType::MalformedCsr),
        (altered, ProblemType::CsrSignatureInvalid),
        (credential.to_bytes(), ProblemType::CsrSignatureInvalid),
        (other_key.to_bytes(), ProblemType::CsrSignatureInvalid),
        (of_another_user, ProblemType::CsrForAnotherUser),
        (phone.another(cloud, 4).await.csr().to_bytes(), ProblemType::CsrForAnotherClient),
        (phone.csr().to_bytes(), ProblemType::CsrForAnotherClient),
    ];
    for (csr, problem) in attempts {
        assert_eq!(household.problem_with(&call_for(&household, &path, csr)).await, problem);
    }
    household.phone.add(cloud, laptop).await;
}

#[tokio::test]
async fn a_validity_that_is_not_to_be_signed_is_refused() {
    type Spoil = fn(&mut Applicant);
    let spoiled: [Spoil; 5] = [
        |laptop| {
            laptop.requested.expiration_data.not_before =
                laptop.requested.expiration_data.not_before.saturating_sub(2 * DAY)
        },
        |laptop| {
            laptop.requested.expiration_data.not_before =
                laptop.requested.expiration_data.not_before.saturating_add(DAY)
        },
        |laptop| {
            laptop.requested.expiration_data.not_after = laptop.requested.expiration_data.not_after.saturating_add(DAY)
        },
        |laptop| {
            laptop.requested.expiration_data.not_after =
                laptop.requested.expiration_data.not_after.saturating_sub(DAY / 2)
        },
        |laptop| laptop.requested.expiration_data.not_after = laptop.requested.expiration_data.not_before,
    ];
    let mut household = Household::new().await;
    let requested = household.laptop.requested.clone();
    for spoil in spoiled {
        household.laptop.requested = requested.clone();
        spoil(&mut household.laptop);
        let call = household.phone.adding_call(&household.cloud, &household.laptop);
        assert_eq!(household.problem_with(&call).await, ProblemType::CsrValidityRefused);
    }
    household.laptop.requested = requested;
    household.laptop.requested.signer_fingerprint = [7; 32].into();
    let call = household.phone.adding_call(&household.cloud, &household.laptop);
    assert_eq!(household.problem_with(&call).await, ProblemType::UnknownSigner);
}

#[tokio::test]
async fn nobody_but_a_client_of_the_user_adds_one() {
    left_out_in_processes!("it moves the clock");
    let household = Household::new().await;
    let Household { cloud, phone, laptop } = &household;
    let bob = Applicant::new(cloud, "bob@localhost", 9).await.register(cloud).await;
    assert_eq!(household.problem_with(&bob.adding_call(cloud, laptop)).await, ProblemType::ClientUnknown);
    assert_eq!(household.problem_with(&laptop.adding_call(cloud, laptop)).await, ProblemType::ClientUnknown);
    let nobody = Applicant::new(cloud, "nobody@localhost", 9).await;
    assert_eq!(household.problem_with(&nobody.adding_call(cloud, &nobody)).await, ProblemType::ClientUnknown);
    let foreign = Applicant::new(cloud, "alice@example.org", 9).await;
    assert_eq!(household.problem_with(&foreign.adding_call(cloud, &foreign)).await, ProblemType::ClientUnknown);

    let call = phone.adding_call(cloud, laptop);
    let unsigned = call.clone().without_header("signature");
    assert_eq!(household.problem_with(&unsigned).await, ProblemType::SignatureMissing);
    let key_id = phone.client_id.to_string();
    let for_another_service = call.signed(&phone.client_key, &key_id, "vestibule:ks:localhost", cloud.now());
    assert_eq!(household.problem_with(&for_another_service).await, ProblemType::SignatureForAnotherService);
    let with_bobs_key = call.signed(&bob.client_key, &key_id, "vestibule:as:localhost", cloud.now());
    assert_eq!(household.problem_with(&with_bobs_key).await, ProblemType::SignatureInvalid);
    let mut altered = call.clone();
    altered.body = json_body(&AddClientRequest { client_credential_csr: bob.csr().to_bytes() });
    assert_eq!(household.problem_with(&altered).await, ProblemType::ContentDigestMismatch);
    let elsewhere = Call { path: Call::new::<AddClient>(&bob.client_path(), Vec::new()).path, ..call.clone() };
    assert_eq!(household.problem_with(&elsewhere).await, ProblemType::ClientUnknown);
    cloud.cloud.clock().advance(std::time::Duration::from_secs(301));
    assert_eq!(household.problem_with(&call).await, ProblemType::SignatureStale);
}

#[tokio::test]
async fn a_client_id_belongs_to_one_client() {
    let household = Household::unconfirmed().await;
    let Household { cloud, phone, laptop } = &household;
    // The same client with another key, and with another validity, is another credential.
    let mut with_another_key = phone.another(cloud, 3).await;
    with_another_key.client_id = laptop.client_id.clone();
    with_another_key.requested.client_id = laptop.client_id.clone();
    let mut with_another_validity = phone.another(cloud, 2).await;
    let not_after = &mut with_another_validity.requested.expiration_data.not_after;
    *not_after = not_after.saturating_sub(DAY);
    for other in [&with_another_key, &with_another_validity] {
        assert_eq!(household.problem_with(&phone.adding_call(cloud, other)).await, ProblemType::ClientIdTaken);
    }
    cloud.confirm(laptop).await;
    for other in [&with_another_key, &with_another_validity] {
        assert_eq!(household.problem_with(&phone.adding_call(cloud, other)).await, ProblemType::ClientIdTaken);
    }
    household.changes_nothing(&phone.adding_call(cloud, laptop)).await;
}

#[tokio::test]
async fn a_path_or_body_that_is_none_is_refused() {
    let household = Household::new().await;
    let Household { cloud, phone, laptop } = &household;
    let right = phone.adding_call(cloud, laptop);
    let uuid = laptop.client_id.uuid.to_string();
    for other in [uuid.to_uppercase(), "laptop".to_owned(), uuid.replacen("-4", "-1", 1), format!("{uuid}%20")] {
        let call = Call { path: right.path.replace(&uuid, &other), ..right.clone() };
        assert_eq!(household.problem_with(&call).await, ProblemType::InvalidClientUuid, "{other}");
    }
    let call = Call { path: right.path.replace("alice@", "Alice@"), ..right.clone() };
    assert_eq!(household.problem_with(&call).await, ProblemType::InvalidUserName);
    let with_body = |body: Vec<u8>| phone.sign(cloud, &Call { body, ..right.clone() });
    assert_eq!(household.problem_with(&with_body(b"{".to_vec())).await, ProblemType::MalformedJson);
    assert_eq!(household.problem_with(&with_body(b"{}".to_vec())).await, ProblemType::InvalidField);
    let body = b"{\"client_credential_csr\":\"A\"}".to_vec();
    assert_eq!(household.problem_with(&with_body(body)).await, ProblemType::MalformedBase64);
    let mut body = right.body.clone();
    body.resize(MAX_CLIENT_REQUEST_LENGTH + 1, b' ');
    assert_eq!(household.problem_with(&with_body(body)).await, ProblemType::BodyTooLarge);
}

#[tokio::test]
async fn a_user_has_at_most_ten_clients_and_room_again_when_one_is_gone() {
    let household = Household::new().await;
    let Household { cloud, phone, laptop } = &household;
    let mut added = Vec::new();
    for seed in 0..MAX_CLIENTS as u64 - 1 {
        let client = phone.another(cloud, 100 + seed).await;
        phone.add(cloud, &client).await;
        if seed % 2 == 0 {
            cloud.confirm(&client).await;
        }
        added.push(client);
    }
    assert_eq!(household.problem_with(&phone.adding_call(cloud, laptop)).await, ProblemType::ClientLimitReached);
    household.changes_nothing(&phone.adding_call(cloud, &added[8])).await;
    assert_eq!(cloud.send(&phone.removing_call(cloud, &added[1], None)).await.status, 200);
    phone.add(cloud, laptop).await;
    let another = phone.another(cloud, 3).await;
    assert_eq!(household.problem_with(&phone.adding_call(cloud, &another)).await, ProblemType::ClientLimitReached);
}
