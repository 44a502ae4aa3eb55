//! Requests to initiate a registration that are refused: each with its own problem, and nothing is stored.

use serde_json::{Value, json};
use vestibule_protocol::credential::{AsIntermediateCredential, ClientCredentialCsrPayload, ClientCredentialPayload};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{InitiateRegistration, InitiateRegistrationRequest};
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::limits::MAX_INITIATE_REGISTRATION_LENGTH;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::signed::Verified;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Answer, Applicant, Call, TestCloud, json_body, left_out_in_processes};

/// Sends a body and checks that it leaves nothing behind, not even a count.
async fn refused(cloud: &TestCloud, call: Call) -> Answer {
    let before = cloud.cloud.items("AsTable").await.unwrap();
    let answer = cloud.send(&call).await;
    assert_eq!(cloud.cloud.items("AsTable").await.unwrap(), before);
    answer
}

fn call(body: impl Into<Vec<u8>>) -> Call {
    Call::new::<InitiateRegistration>(&(), body.into())
}

/// The problem with a request that `change` spoils.
async fn problem_with(change: impl FnOnce(&Applicant, &mut InitiateRegistrationRequest)) -> ProblemType {
    let cloud = TestCloud::start().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let mut initiation = alice.initiation();
    change(&alice, &mut initiation);
    refused(&cloud, call(json_body(&initiation))).await.problem()
}

/// The problem with a signing request for another payload than the right one.
async fn problem_with_csr(change: impl FnOnce(&mut ClientCredentialPayload)) -> ProblemType {
    problem_with(|alice, initiation| {
        let mut payload = alice.requested.clone();
        change(&mut payload);
        let csr = Verified::sign(ClientCredentialCsrPayload(payload), &alice.client_key);
        initiation.client_credential_csr = csr.to_bytes();
    })
    .await
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let cloud = TestCloud::start().await;
    for body in ["", "{", "not json", "{\"user_name\": \"alice@localhost\"", "[1,]", "\u{0}"] {
        assert_eq!(refused(&cloud, call(body)).await.problem(), ProblemType::MalformedJson, "{body:?}");
    }
    let invalid_utf8 = refused(&cloud, call(vec![b'"', 0xff, b'"'])).await;
    assert_eq!(invalid_utf8.problem(), ProblemType::MalformedJson);
}

#[tokio::test]
async fn a_missing_unknown_or_mistyped_field_is_invalid() {
    let cloud = TestCloud::start().await;
    let initiation = Applicant::new(&cloud, "alice@localhost", 1).await.initiation();
    let spoil: [fn(&mut Value); 6] = [
        |body| drop(body.as_object_mut().unwrap().remove("user_name")),
        |body| body["password"] = json!("secret"),
        |body| body["client_credential_csr"] = Value::Null,
        |body| body["opaque_registration_request"] = json!([1, 2]),
        |body| body["user_name"] = json!(7),
        |body| *body = json!([]),
    ];
    for spoil in spoil {
        let mut body = serde_json::to_value(&initiation).unwrap();
        spoil(&mut body);
        let answer = refused(&cloud, call(body.to_string())).await;
        assert_eq!(answer.problem(), ProblemType::InvalidField, "{body}");
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_an_invalid_field() {
    let cloud = TestCloud::start().await;
    let initiation = Applicant::new(&cloud, "alice@localhost", 1).await.initiation();
    for name in ["Alice@localhost", "alice", "@localhost", "alice@", "a b@localhost", "alice@localhost@localhost"] {
        let mut body = serde_json::to_value(&initiation).unwrap();
        body["user_name"] = json!(name);
        assert_eq!(refused(&cloud, call(body.to_string())).await.problem(), ProblemType::InvalidField, "{name}");
    }
}

#[tokio::test]
async fn a_binary_field_that_is_not_base64url_is_malformed() {
    let cloud = TestCloud::start().await;
    let initiation = Applicant::new(&cloud, "alice@localhost", 1).await.initiation();
    for text in ["AA==", "+/+/", "A", "AB", "AA AA", "ä"] {
        let mut body = serde_json::to_value(&initiation).unwrap();
        body["client_credential_csr"] = json!(text);
        assert_eq!(refused(&cloud, call(body.to_string())).await.problem(), ProblemType::MalformedBase64, "{text}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let cloud = TestCloud::start().await;
    let answer = refused(&cloud, call(vec![b' '; MAX_INITIATE_REGISTRATION_LENGTH + 1])).await;
    assert_eq!(answer.problem(), ProblemType::BodyTooLarge);
    let at_the_limit = refused(&cloud, call(vec![b' '; MAX_INITIATE_REGISTRATION_LENGTH])).await;
    assert_eq!(at_the_limit.problem(), ProblemType::MalformedJson);
}

#[tokio::test]
async fn a_body_that_does_not_come_as_json_is_not_read() {
    let cloud = TestCloud::start().await;
    let body = json_body(&Applicant::new(&cloud, "alice@localhost", 1).await.initiation());
    for media_type in ["text/plain", "application/json5", "application/octet-stream"] {
        let call = call(body.clone()).with_header("content-type", media_type);
        assert_eq!(refused(&cloud, call).await.problem(), ProblemType::UnsupportedMediaType, "{media_type}");
    }
    let without = call(body.clone()).without_header("content-type");
    assert_eq!(refused(&cloud, without).await.problem(), ProblemType::UnsupportedMediaType);
    let with_charset = call(body).with_header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(cloud.send(&with_charset).await.status, 200);
}

#[tokio::test]
async fn a_name_of_another_domain_is_foreign() {
    let problem = problem_with(|_, initiation| initiation.user_name = "alice@example.org".parse().unwrap()).await;
    assert_eq!(problem, ProblemType::ForeignDomain);
    let problem = problem_with_csr(|payload| payload.client_id.user_name = "bob@localhost".parse().unwrap()).await;
    assert_eq!(problem, ProblemType::CsrForAnotherUser);
}

#[tokio::test]
async fn a_signing_request_for_another_domain_is_refused() {
    let problem = problem_with_csr(|payload| payload.client_id.user_name = "alice@example.org".parse().unwrap()).await;
    assert_eq!(problem, ProblemType::CsrForAnotherUser);
}

#[tokio::test]
async fn a_signing_request_signed_by_another_key_is_refused() {
    let problem = problem_with(|alice, initiation| {
        let other = SigningKey::generate(&mut rand::rngs::OsRng);
        let csr = Verified::sign(ClientCredentialCsrPayload(alice.requested.clone()), &other);
        initiation.client_credential_csr = csr.to_bytes();
    });
    assert_eq!(problem.await, ProblemType::CsrSignatureInvalid);
}

#[tokio::test]
async fn a_signing_request_that_does_not_decode_is_malformed() {
    for length in [0, 1, 40] {
        let problem = problem_with(|_, initiation| initiation.client_credential_csr.0.truncate(length)).await;
        assert_eq!(problem, ProblemType::MalformedCsr, "{length}");
    }
    let problem = problem_with(|_, initiation| initiation.client_credential_csr.0.push(0)).await;
    assert_eq!(problem, ProblemType::MalformedCsr);
}

#[tokio::test]
async fn a_signing_request_for_a_validity_that_is_not_given_is_refused() {
    let refused = ProblemType::CsrValidityRefused;
    let too_long = problem_with_csr(|payload| {
        payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_add(DAY);
    });
    assert_eq!(too_long.await, refused);
    let not_in_days = problem_with_csr(|payload| {
        payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_sub(DAY / 2);
    });
    assert_eq!(not_in_days.await, refused);
    let not_yet = problem_with_csr(|payload| {
        payload.expiration_data.not_before = payload.expiration_data.not_before.saturating_add(2 * DAY);
    });
    assert_eq!(not_yet.await, refused);
    let long_ago = problem_with_csr(|payload| {
        payload.expiration_data.not_before = payload.expiration_data.not_before.saturating_sub(3 * DAY);
        payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_sub(3 * DAY);
    });
    assert_eq!(long_ago.await, refused);
    let empty = problem_with_csr(|payload| payload.expiration_data.not_after = payload.expiration_data.not_before);
    assert_eq!(empty.await, refused);
}

#[tokio::test]
async fn a_signing_request_to_a_signer_that_is_not_there_is_refused() {
    let problem = problem_with_csr(|payload| payload.signer_fingerprint = [7; 32].into()).await;
    assert_eq!(problem, ProblemType::UnknownSigner);
}

#[tokio::test]
async fn an_intermediate_of_another_root_signs_nothing_here() {
    let cloud = TestCloud::start().await;
    let (root, _) = cloud.credentials().await;
    let rng = &mut rand::rngs::OsRng;
    let (other_root_key, other_key) = (SigningKey::generate(rng), SigningKey::generate(rng));
    let other = AsIntermediateCredential::issue(other_key.verifying_key(), &root, &other_root_key, cloud.now(), 365);
    let mut alice = Applicant::with_signer(&cloud, "alice@localhost", 1, &other);
    let answer = refused(&cloud, call(json_body(&alice.initiation()))).await;
    assert_eq!(answer.problem(), ProblemType::UnknownSigner);
}

#[tokio::test]
async fn an_opaque_request_that_is_no_element_is_refused() {
    for bytes in [vec![], vec![0; 32], vec![0xff; 32], vec![1; 31], vec![1; 33]] {
        let problem = problem_with(|_, initiation| initiation.opaque_registration_request = Bytes(bytes)).await;
        assert_eq!(problem, ProblemType::InvalidOpaqueMessage);
    }
}

#[tokio::test]
async fn a_taken_name_is_refused_at_once() {
    let cloud = TestCloud::start().await;
    Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    let before = cloud.state().await;
    let mut mallory = Applicant::new(&cloud, "alice@localhost", 2).await;
    let answer = cloud.send(&call(json_body(&mallory.initiation()))).await;
    assert_eq!(answer.problem(), ProblemType::UserNameTaken);
    assert_eq!(cloud.state().await, before);
}

#[tokio::test]
async fn a_source_that_used_up_its_allowance_is_told_when_to_come_back() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start_with(|builder| builder.parameter("RegistrationsPerSourceAndHour", "2")).await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let body = json_body(&alice.initiation());
    for _ in 0..2 {
        assert_eq!(cloud.send(&call(body.clone())).await.status, 200);
    }
    let answer = cloud.send(&call(body.clone())).await;
    assert_eq!(answer.problem(), ProblemType::RateLimited);
    let wait: u64 = answer.headers["retry-after"].parse().unwrap();
    assert_eq!(wait, 3600 - cloud.now().seconds() % 3600);
    cloud.cloud.clock().advance(std::time::Duration::from_secs(wait));
    let body = json_body(&Applicant::new(&cloud, "alice@localhost", 1).await.initiation());
    assert_eq!(cloud.send(&call(body)).await.status, 200);
}
