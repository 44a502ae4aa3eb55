//! Requests to finish a registration that are refused: each with its own problem, and nothing is stored.

use std::time::Duration;

use rand::rngs::OsRng;
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{FinishRegistration, FinishRegistrationRequest, InitiateRegistration, UserPath};
use vestibule_protocol::keys::{HpkePrivateKey, SigningKey};
use vestibule_protocol::limits::{MAX_CONNECTION_PACKAGES, MAX_FINISH_REGISTRATION_LENGTH};
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::signed::Verified;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Applicant, Call, json_body, left_out_in_processes};

use super::begun::{Begun, another_key};

#[tokio::test]
async fn a_path_without_a_user_name_is_refused() {
    let begun = Begun::new().await;
    for name in ["alice", "Alice@localhost", "a%20b@localhost", "%C3%A4@localhost", "alice@localhost%00"] {
        let call = Call { path: format!("/v1/as/users/{name}"), ..begun.call() };
        assert_eq!(begun.problem_with(&call).await, ProblemType::InvalidUserName, "{name}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let begun = Begun::new().await;
    let mut call = begun.call();
    call.body.resize(MAX_FINISH_REGISTRATION_LENGTH + 1, b' ');
    assert_eq!(begun.problem_with(&call).await, ProblemType::BodyTooLarge);
}

#[tokio::test]
async fn the_body_is_checked_like_every_other() {
    let begun = Begun::new().await;
    let with_body = |body: &str| Call { body: body.as_bytes().to_vec(), ..begun.call() };
    assert_eq!(begun.problem_with(&with_body("{")).await, ProblemType::MalformedJson);
    assert_eq!(begun.problem_with(&with_body("{}")).await, ProblemType::InvalidField);
    let body = r#"{"provisional_credential": "A"}"#;
    assert_eq!(begun.problem_with(&with_body(body)).await, ProblemType::MalformedBase64);
    let as_text = begun.call().with_header("content-type", "text/plain");
    assert_eq!(begun.problem_with(&as_text).await, ProblemType::UnsupportedMediaType);
}

#[tokio::test]
async fn a_registration_for_another_name_is_not_finished() {
    let begun = Begun::new().await;
    let path = UserPath { user_name: "bob@localhost".parse().unwrap() };
    let call = Call::new::<FinishRegistration>(&path, json_body(&begun.completion));
    let call = begun.alice.sign(&begun.cloud, &call);
    assert_eq!(begun.problem_with(&call).await, ProblemType::ProvisionalCredentialInvalid);
}

#[tokio::test]
async fn nothing_but_a_provisional_credential_of_ours_finishes_a_registration() {
    let refused = ProblemType::ProvisionalCredentialInvalid;
    let altered = Begun::new().await.problem_with_completion(|begun| {
        *begun.completion.provisional_credential.0.last_mut().unwrap() ^= 1;
    });
    assert_eq!(altered.await, refused);
    let truncated = Begun::new().await.problem_with_completion(|begun| {
        begun.completion.provisional_credential.0.pop();
    });
    assert_eq!(truncated.await, refused);
    let csr = Begun::new().await.problem_with_completion(|begun| {
        begun.completion.provisional_credential = begun.alice.csr().to_bytes();
    });
    assert_eq!(csr.await, refused);
    let own = Begun::new().await.problem_with_completion(|begun| {
        let key = SigningKey::generate(&mut OsRng);
        let own = vestibule_protocol::credential::ProvisionalCredential::issue(
            &begun.alice.csr(),
            [0; 32],
            &key,
            begun.cloud.now(),
        );
        begun.completion.provisional_credential = own.to_bytes();
    });
    assert_eq!(own.await, refused);
}

#[tokio::test]
async fn a_client_credential_does_not_finish_a_registration() {
    let begun = Begun::new().await;
    let answer = begun.cloud.send(&begun.call()).await;
    let response: vestibule_protocol::endpoint::FinishRegistrationResponse = answer.success();
    let problem = begun.problem_with_completion(|begun| {
        begun.completion.provisional_credential = response.client_credential;
    });
    assert_eq!(problem.await, ProblemType::ProvisionalCredentialInvalid);
}

#[tokio::test]
async fn an_altered_truncated_or_foreign_sealed_registration_is_refused() {
    let refused = ProblemType::SealedRegistrationInvalid;
    let altered = Begun::new().await.problem_with_completion(|begun| begun.completion.sealed_registration.0[30] ^= 1);
    assert_eq!(altered.await, refused);
    let empty = Begun::new().await.problem_with_completion(|begun| begun.completion.sealed_registration.0.clear());
    assert_eq!(empty.await, refused);

    // The blob of another registration: another user's, and the same user's with the same key.
    let begun = Begun::new().await;
    let mut bob = Applicant::new(&begun.cloud, "bob@localhost", 2).await;
    let foreign = bob.initiate(&begun.cloud).await.sealed_registration;
    let mut alice_again = Applicant::new(&begun.cloud, "alice@localhost", 1).await;
    alice_again.initiation();
    let own_but_other = alice_again.initiate(&begun.cloud).await.sealed_registration;
    for sealed in [foreign, own_but_other] {
        let completion = FinishRegistrationRequest { sealed_registration: sealed, ..begun.completion.clone() };
        let call = begun.alice.finishing_call(&begun.cloud, &completion);
        assert_eq!(begun.problem_with(&call).await, refused);
    }
}

#[tokio::test]
async fn a_registration_ends_after_fifteen_minutes() {
    left_out_in_processes!("it moves the clock");
    let begun = Begun::new().await;
    begun.cloud.cloud.clock().advance(Duration::from_secs(15 * 60));
    assert_eq!(begun.problem_with(&begun.call()).await, ProblemType::RegistrationExpired);

    let begun = Begun::new().await;
    begun.cloud.cloud.clock().advance(Duration::from_secs(15 * 60 - 1));
    assert_eq!(begun.cloud.send(&begun.call()).await.status, 201);
}

#[tokio::test]
async fn an_opaque_record_that_is_none_is_refused() {
    for length in [0, 191, 193] {
        let problem = Begun::new()
            .await
            .problem_with_completion(|begun| begun.completion.opaque_registration_record.0.resize(length, 0));
        assert_eq!(problem.await, ProblemType::InvalidOpaqueMessage, "{length}");
    }
    let no_element = Begun::new()
        .await
        .problem_with_completion(|begun| begun.completion.opaque_registration_record.0[..32].fill(0xff));
    assert_eq!(no_element.await, ProblemType::InvalidOpaqueMessage);
}

#[tokio::test]
async fn connection_packages_must_be_one_to_fifty() {
    let none = Begun::new().await.problem_with_completion(|begun| begun.completion.connection_packages.clear());
    assert_eq!(none.await, ProblemType::ConnectionPackageCount);

    let mut begun = Begun::new().await;
    let packages =
        (0..=MAX_CONNECTION_PACKAGES).map(|_| begun.alice.connection_package(&begun.cloud).to_bytes()).collect();
    begun.completion.connection_packages = packages;
    assert_eq!(begun.problem_with(&begun.call()).await, ProblemType::ConnectionPackageCount);
    begun.completion.connection_packages.pop();
    assert_eq!(begun.cloud.send(&begun.call()).await.status, 201);
}

#[tokio::test]
async fn a_connection_package_with_the_key_of_another_is_a_duplicate() {
    let problem = Begun::new().await.problem_with_completion(|begun| {
        let first = begun.completion.connection_packages[0].clone();
        begun.completion.connection_packages.push(first);
    });
    assert_eq!(problem.await, ProblemType::ConnectionPackageDuplicate);
}

#[tokio::test]
async fn a_connection_package_that_is_not_the_clients_own_and_valid_is_refused() {
    type Spoil = fn(&Applicant, &ConnectionPackage) -> Bytes;
    let spoiled: [(&str, Spoil); 7] = [
        ("truncated", |_, package| Bytes(package.to_bytes().0[..90].to_vec())),
        ("altered", |_, package| {
            let mut bytes = package.to_bytes();
            bytes.0[60] ^= 1;
            bytes
        }),
        ("signed by another key", |_, package| Verified::sign(package.payload().clone(), &another_key()).to_bytes()),
        ("another client's", |alice, package| {
            let uuid = ClientUuid::generate(&mut OsRng);
            let mut payload = package.payload().clone();
            payload.client_id = ClientId { uuid, ..payload.client_id };
            Verified::sign(payload, &alice.client_key).to_bytes()
        }),
        ("valid for too long", |alice, package| {
            let mut payload = package.payload().clone();
            payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_add(DAY);
            Verified::sign(payload, &alice.client_key).to_bytes()
        }),
        ("not in whole days", |alice, package| {
            let mut payload = package.payload().clone();
            payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_sub(DAY / 2);
            Verified::sign(payload, &alice.client_key).to_bytes()
        }),
        ("not valid yet", |alice, package| {
            let mut payload = package.payload().clone();
            payload.expiration_data.not_before = payload.expiration_data.not_before.saturating_add(2 * DAY);
            Verified::sign(payload, &alice.client_key).to_bytes()
        }),
    ];
    for (what, spoil) in spoiled {
        let problem = Begun::new().await.problem_with_completion(|begun| {
            let package = begun.alice.connection_package(&begun.cloud);
            begun.completion.connection_packages.push(spoil(&begun.alice, &package));
        });
        assert_eq!(problem.await, ProblemType::ConnectionPackageInvalid, "{what}");
    }
}

#[tokio::test]
async fn a_queue_key_that_is_no_key_is_refused() {
    for key in [vec![], vec![0; 32], vec![1; 31]] {
        let problem =
            Begun::new().await.problem_with_completion(|begun| begun.completion.queue.encryption_key = Bytes(key));
        assert_eq!(problem.await, ProblemType::QueueKeyInvalid);
    }
    let begun = Begun::new().await;
    let body = String::from_utf8(begun.call().body).unwrap();
    let short = body.replacen("\"ratchet_key\":\"", "\"ratchet_key\":\"AAAA", 1);
    let call = begun.alice.sign(&begun.cloud, &Call { body: short.into_bytes(), ..begun.call() });
    assert_eq!(begun.problem_with(&call).await, ProblemType::InvalidField);
}

#[tokio::test]
async fn the_first_to_finish_has_the_name() {
    let begun = Begun::new().await;
    let mut mallory = Applicant::new(&begun.cloud, "alice@localhost", 2).await;
    let mallorys = mallory.initiate(&begun.cloud).await;
    assert_eq!(begun.cloud.send(&begun.call()).await.status, 201);
    let call = mallory.finishing_call(&begun.cloud, &mallorys);
    assert_eq!(begun.problem_with(&call).await, ProblemType::UserNameTaken);
}

#[tokio::test]
async fn a_user_id_has_one_owner() {
    let begun = Begun::new().await;
    let mut bob = Applicant::new(&begun.cloud, "bob@localhost", 2).await;
    let mut completion = bob.initiate(&begun.cloud).await;
    assert_eq!(begun.cloud.send(&begun.call()).await.status, 201);
    completion.user_id = begun.completion.user_id;
    let call = bob.finishing_call(&begun.cloud, &completion);
    assert_eq!(begun.problem_with(&call).await, ProblemType::UserIdTaken);
}

#[tokio::test]
async fn a_name_of_another_deployment_cannot_even_be_signed_for() {
    let begun = Begun::new().await;
    let call = Call { path: "/v1/as/users/alice@example.org".to_owned(), ..begun.call() };
    let call = begun.alice.sign(&begun.cloud, &call);
    assert_eq!(begun.problem_with(&call).await, ProblemType::ProvisionalCredentialInvalid);
}

#[tokio::test]
async fn the_hpke_key_of_a_package_must_not_be_of_low_order() {
    let begun = Begun::new().await;
    let package = {
        let mut begun_again = Applicant::new(&begun.cloud, "alice@localhost", 1).await;
        begun_again.connection_package(&begun.cloud).to_bytes()
    };
    let key = HpkePrivateKey::generate(&mut OsRng).public_key();
    let own = ConnectionPackage::issue(begun.alice.client_id.clone(), key, &begun.alice.client_key, begun.cloud.now());
    let position = own.to_bytes().0.windows(32).position(|window| window == key.as_bytes()).unwrap();
    let mut low_order = package;
    low_order.0[position..position + 32].fill(0);
    let problem = begun.problem_with_completion(|begun| begun.completion.connection_packages.push(low_order));
    assert_eq!(problem.await, ProblemType::ConnectionPackageInvalid);
}

#[tokio::test]
async fn initiating_with_the_finishing_body_is_an_invalid_field() {
    let begun = Begun::new().await;
    let call = Call::new::<InitiateRegistration>(&(), json_body(&begun.completion));
    assert_eq!(begun.problem_with(&call).await, ProblemType::InvalidField);
}
