//! Registration at the authentication service, request by request: what is right, and everything that is not.

mod bad_finishes;
mod bad_initiations;
mod bad_signatures;
mod begun;
mod repetitions;

use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::endpoint::FinishRegistrationResponse;
use vestibule_tests::{Applicant, TestCloud};

#[tokio::test]
async fn a_user_registers_and_gets_the_credential_asked_for() {
    let cloud = TestCloud::start().await;
    let (_, intermediate) = cloud.credentials().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    let answer = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let response: FinishRegistrationResponse = answer.success();
    let credential = ClientCredential::verify_chain(&response.client_credential.0, &intermediate, cloud.now()).unwrap();
    assert_eq!(credential.payload(), &alice.requested);

    let keys: Vec<_> = cloud.state().await.iter().map(key_of).collect();
    let client = &alice.client_id.uuid;
    let expected = [
        "CREDENTIALS / CREDENTIALS".to_owned(),
        "OPAQUE#alice@localhost / OPAQUE".to_owned(),
        format!("USER#alice@localhost / CLIENT#{client}"),
        format!("USER#alice@localhost / CONNECTION_PACKAGE#{client}#0000000000"),
        format!("USER#alice@localhost / CONNECTION_PACKAGE#{client}#0000000001"),
        format!("USER#alice@localhost / CONNECTION_PACKAGE#{client}#0000000002"),
        "USER#alice@localhost / USER".to_owned(),
        format!("USER_ID#{} / USER_ID", completion.user_id),
        format!("CLIENT#alice@localhost/{client} / QUEUE"),
        "KEYS / KEYS".to_owned(),
        "KEYS / TOKEN_KEYS".to_owned(),
    ];
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn initiating_a_registration_stores_nothing() {
    let cloud = TestCloud::start().await;
    let before = cloud.state().await;
    Applicant::new(&cloud, "alice@localhost", 1).await.initiate(&cloud).await;
    assert_eq!(cloud.state().await, before);
}

#[tokio::test]
async fn the_credentials_may_be_cached_for_five_minutes() {
    let cloud = TestCloud::start().await;
    let call = vestibule_tests::Call::new::<vestibule_protocol::endpoint::GetCredentials>(&(), Vec::new());
    assert_eq!(cloud.send(&call).await.headers["cache-control"], "public, max-age=300");
}

fn key_of(item: &serde_json::Value) -> String {
    format!("{} / {}", item["pk"]["S"].as_str().unwrap(), item["sk"]["S"].as_str().unwrap())
}
