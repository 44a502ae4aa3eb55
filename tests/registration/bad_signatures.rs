//! Requests to finish a registration whose signature is not accepted.

use std::time::Duration;

use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::request_signature::Service;
use vestibule_tests::{Answer, Call, left_out_in_processes};

use super::begun::{Begun, another_key};

#[tokio::test]
async fn an_unsigned_request_is_told_what_to_sign() {
    let begun = Begun::new().await;
    let unsigned = begun.alice.unsigned_finishing_call(&begun.completion);
    assert_eq!(begun.problem_with(&unsigned).await, ProblemType::SignatureMissing);
    for field in ["content-digest", "signature-input", "signature"] {
        let call = begun.call().without_header(field);
        assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureMissing, "{field}");
    }
}

#[tokio::test]
async fn a_signature_by_another_key_is_invalid() {
    let begun = Begun::new().await;
    let unsigned = begun.alice.unsigned_finishing_call(&begun.completion);
    let tag = Service::Authentication.tag(&begun.cloud.domain());
    let call = unsigned.signed(&another_key(), &begun.alice.client_id.to_string(), &tag, begun.cloud.now());
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureInvalid);
}

#[tokio::test]
async fn a_signature_that_covers_too_little_is_refused() {
    let begun = Begun::new().await;
    for component in ["\"@method\" ", "\"@path\" ", "\"@query\" ", " \"content-digest\""] {
        let call = begun.call();
        let input = call.headers["signature-input"].replace(component, "");
        let call = call.with_header("signature-input", &input);
        assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureCoverageInsufficient, "{component}");
    }
}

#[tokio::test]
async fn a_signature_that_does_not_parse_is_malformed() {
    let begun = Begun::new().await;
    for (field, value) in [("signature", "sig=nonsense"), ("signature-input", "(("), ("content-digest", "sha-256")] {
        let call = begun.call().with_header(field, value);
        assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureMalformed, "{field}");
    }
}

#[tokio::test]
async fn a_signature_over_a_token_that_is_not_covered_is_refused() {
    let begun = Begun::new().await;
    let call = begun.call().with_header("authorization", "PrivateToken token=\"AAAA\"");
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureCoverageInsufficient);
}

#[tokio::test]
async fn a_signature_older_than_five_minutes_is_stale() {
    left_out_in_processes!("it moves the clock");
    let begun = Begun::new().await;
    let call = begun.call();
    begun.cloud.cloud.clock().advance(Duration::from_secs(301));
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureStale);
    assert_eq!(begun.cloud.send(&begun.call()).await.status, 201);
}

#[tokio::test]
async fn a_signature_for_another_path_method_or_service_is_refused() {
    let begun = Begun::new().await;
    let mut call = begun.call();
    call.path.push_str("?a=b");
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureInvalid);

    let unsigned = begun.alice.unsigned_finishing_call(&begun.completion);
    let key_id = begun.alice.client_id.to_string();
    for tag in ["vestibule:qs:localhost", "vestibule:as:example.org", ""] {
        let call = unsigned.signed(&begun.alice.client_key, &key_id, tag, begun.cloud.now());
        assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureForAnotherService, "{tag}");
    }

    let elsewhere = Call { path: "/v1/as/users/bob@localhost".to_owned(), ..unsigned };
    let call = Call { path: begun.call().path, ..begun.alice.sign(&begun.cloud, &elsewhere) };
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureInvalid);
}

#[tokio::test]
async fn a_body_that_was_changed_after_signing_is_noticed() {
    let begun = Begun::new().await;
    let mut call = begun.call();
    call.body.push(b' ');
    assert_eq!(begun.problem_with(&call).await, ProblemType::ContentDigestMismatch);
    let digest = begun.alice.sign(&begun.cloud, &call).headers["content-digest"].clone();
    let call = call.with_header("content-digest", &digest);
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureInvalid);
}

#[tokio::test]
async fn a_problem_tells_how_to_authenticate() {
    let begun = Begun::new().await;
    let answer: Answer = begun.cloud.send(&begun.alice.unsigned_finishing_call(&begun.completion)).await;
    assert_eq!(answer.status, 401);
    // As API Gateway delivers WWW-Authenticate.
    assert_eq!(answer.headers["x-amzn-remapped-www-authenticate"], "Signature");
    assert!(answer.text().contains("RFC 9421"), "{}", answer.text());
}
