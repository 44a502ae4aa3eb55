//! Requests to create a user that are refused: each with its own problem, and nothing is stored.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CreateQsUser, CreateQsUserRequest};
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queuing::{QsClientRecord, QsUserId};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Verified;
use vestibule_tests::{Call, Pseudonym, TestCloud, json_body};

/// Sends a call and checks that it leaves everything as it was.
async fn problem_with(cloud: &TestCloud, call: &Call) -> ProblemType {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert_eq!(cloud.state().await, before);
    answer.problem()
}

/// The problem with a creation that `change` spoils.
async fn problem(change: impl FnOnce(&Pseudonym, &mut CreateQsUserRequest)) -> ProblemType {
    let cloud = TestCloud::start().await;
    let alice = Pseudonym::new(&cloud, "alice@localhost", 1).await;
    let mut creation = alice.creation();
    change(&alice, &mut creation);
    problem_with(&cloud, &alice.creating_call(&cloud, &creation)).await
}

#[tokio::test]
async fn records_that_are_none_are_invalid() {
    let refused = ProblemType::QsRecordInvalid;
    assert_eq!(problem(|_, creation| creation.user_record_verifying_key.0.truncate(31)).await, refused);
    assert_eq!(problem(|_, creation| creation.client_record.0.truncate(60)).await, refused);
    assert_eq!(problem(|_, creation| creation.client_record.0[40] ^= 1).await, refused);
    assert_eq!(problem(|_, creation| creation.friendship_token_hash.0.push(0)).await, refused);
    assert_eq!(
        problem(|_, creation| creation.queue.encryption_key = Bytes(vec![0; 32])).await,
        ProblemType::QueueKeyInvalid
    );
}

#[tokio::test]
async fn a_client_record_of_another_user_or_key_is_invalid() {
    let refused = ProblemType::QsRecordInvalid;
    let another_user = problem(|alice, creation| {
        let key = SigningKey::generate(&mut rand::rngs::OsRng).verifying_key();
        creation.client_record = QsClientRecord::issue(QsUserId::of(&key), &alice.client_record_key).to_bytes();
    });
    assert_eq!(another_user.await, refused);
    let another_key = problem(|alice, creation| {
        let record = QsClientRecord::issue(alice.qs_user_id(), &alice.client_record_key);
        let key = SigningKey::generate(&mut rand::rngs::OsRng);
        creation.client_record = Verified::sign(record.payload().clone(), &key).to_bytes();
    });
    assert_eq!(another_key.await, refused);
}

#[tokio::test]
async fn a_request_that_the_user_key_did_not_sign_for_this_service_is_refused() {
    let cloud = TestCloud::start().await;
    let alice = Pseudonym::new(&cloud, "alice@localhost", 1).await;
    let unsigned = Call::new::<CreateQsUser>(&(), json_body(&alice.creation()));
    assert_eq!(problem_with(&cloud, &unsigned).await, ProblemType::SignatureMissing);
    let tag = Service::Queuing.tag(&cloud.domain());
    let key_id = alice.qs_user_id().to_string();
    let by_client = unsigned.signed(&alice.client_record_key, &key_id, &tag, cloud.now());
    assert_eq!(problem_with(&cloud, &by_client).await, ProblemType::SignatureInvalid);
    let for_as = Service::Authentication.tag(&cloud.domain());
    let for_as = unsigned.signed(&alice.user_record_key, &key_id, &for_as, cloud.now());
    assert_eq!(problem_with(&cloud, &for_as).await, ProblemType::SignatureForAnotherService);
    // A key of small order, for which anybody can sign.
    let mut creation = alice.creation();
    creation.user_record_verifying_key.0 = vec![0; 32];
    creation.user_record_verifying_key.0[0] = 1;
    let call = alice.creating_call(&cloud, &creation);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::SignatureInvalid);
}

#[tokio::test]
async fn what_was_created_is_not_created_again_otherwise() {
    let cloud = TestCloud::start().await;
    let alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let bob = Pseudonym::new(&cloud, "bob@localhost", 2).await;

    let again = cloud.send(&alice.creating_call(&cloud, &alice.creation())).await;
    assert_eq!(again.status, 201);

    let mut other_token = alice.creation();
    other_token.friendship_token_hash = bob.creation().friendship_token_hash;
    let call = alice.creating_call(&cloud, &other_token);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::QsRecordTaken);

    let mut her_client = bob.creation();
    her_client.client_record = QsClientRecord::issue(bob.qs_user_id(), &alice.client_record_key).to_bytes();
    let call = bob.creating_call(&cloud, &her_client);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::QsRecordTaken);

    let mut her_token = bob.creation();
    her_token.friendship_token_hash = alice.creation().friendship_token_hash;
    let call = bob.creating_call(&cloud, &her_token);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::FriendshipTokenTaken);
    bob.create(&cloud).await;
}

#[tokio::test]
async fn a_source_that_used_up_its_allowance_waits() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("QsUsersPerSourceAndHour", "1")).await;
    Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    let bob = Pseudonym::new(&cloud, "bob@localhost", 2).await;
    let call = bob.creating_call(&cloud, &bob.creation());
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::RateLimited);
}
