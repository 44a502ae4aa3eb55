//! The issuer's keys are replaced while everybody goes on.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_keys::TokenIssuerKeys;
use vestibule_protocol::endpoint::IssueTokensResponse;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Applicant, Pseudonym, TestCloud, left_out_in_processes};
use vestibule_tokens::TokenBatch;

/// How often functions read their secrets anew.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// The keys that the deployment starts with: they follow from a seed.
fn first_keys(cloud: &TestCloud) -> TokenIssuerKeys {
    let rng = &mut StdRng::seed_from_u64(TestCloud::KEY_SEED);
    vestibule_keys::Deployment::generate(cloud.domain(), cloud.now(), rng).token_issuer
}

async fn put(cloud: &TestCloud, keys: &TokenIssuerKeys) {
    cloud.cloud.put_item("QsTable", keys.public_keys_item().to_dynamodb_json()).await.unwrap();
    cloud.cloud.secrets().put(keys.secret.logical_id, &keys.secret.json).unwrap();
}

#[tokio::test]
async fn tokens_are_taken_before_during_and_after_a_rotation() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let first = first_keys(&cloud);
    let first_key = cloud.token_keys().await.current(cloud.now()).unwrap();
    let old = alice.take_tokens(&cloud, 1).await;
    let mut bob = Pseudonym::new(&cloud, "bob@localhost", 2).await.create(&cloud).await;
    let queue_config = bob.queue_config();
    let mut number = 0;
    let mut payment = |token| {
        number += 1;
        sending_call(&queue_config, &[number]).paid_with(token)
    };
    assert_eq!(cloud.send(&payment(&old[0])).await.status, 200);

    cloud.cloud.clock().advance(28 * DAY);
    let second = TokenIssuerKeys::rotate(&first.secret.json, cloud.now(), &mut StdRng::seed_from_u64(9)).unwrap();
    put(&cloud, &second).await;
    assert_eq!(cloud.token_keys().await.current(cloud.now()), Some(first_key));
    alice.take_tokens(&cloud, 2).await;

    // The new key is published, and its tokens are not issued yet.
    let second_key = second.public_keys[0].public_key.0.clone();
    let second_key = vestibule_tokens::TokenPublicKey::from_bytes(&second_key).unwrap();
    assert!(cloud.token_keys().await.contains(&second_key));
    let early = alice.issuing_call(&cloud, &TokenBatch::new(second_key, &mut StdRng::seed_from_u64(3)));
    assert_eq!(cloud.send(&early).await.problem(), ProblemType::TokenKeyNotCurrent);

    cloud.cloud.clock().advance(2 * DAY + REFRESH);
    assert_eq!(cloud.token_keys().await.current(cloud.now()), Some(second_key));
    let new = alice.take_tokens(&cloud, 4).await;
    let late = alice.issuing_call(&cloud, &TokenBatch::new(first_key, &mut StdRng::seed_from_u64(5)));
    assert_eq!(cloud.send(&late).await.problem(), ProblemType::TokenKeyNotCurrent);

    // Tokens of both are good, until their key's end.
    for token in [&old[1], &new[0]] {
        assert_eq!(cloud.send(&payment(token)).await.status, 200);
    }
    cloud.cloud.clock().advance(26 * DAY);
    assert_eq!(cloud.problem_with(&payment(&old[2])).await, ProblemType::TokenKeyUnknown);
    assert_eq!(cloud.send(&payment(&new[1])).await.status, 200);
}

#[tokio::test]
async fn the_answer_to_a_request_is_the_same_after_its_key_was_replaced() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start_with(|builder| builder.parameter("TokenTimeFrameHours", "72")).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let first = first_keys(&cloud);
    cloud.cloud.clock().advance(28 * DAY);
    let second = TokenIssuerKeys::rotate(&first.secret.json, cloud.now(), &mut StdRng::seed_from_u64(9)).unwrap();
    put(&cloud, &second).await;
    cloud.cloud.clock().advance(DAY);
    let batch = cloud.token_batch(1).await;
    let answer = cloud.send(&alice.issuing_call(&cloud, &batch)).await;
    cloud.cloud.clock().advance(2 * DAY);
    assert_ne!(cloud.token_keys().await.current(cloud.now()), Some(*batch.public_key()));
    assert_eq!(cloud.send(&alice.issuing_call(&cloud, &batch)).await, answer);
    let response: IssueTokensResponse = answer.success();
    assert!(batch.finish(&cloud.token_challenge(), &response.token_response.0).is_ok());
}

#[tokio::test]
async fn a_rotation_too_early_is_refused() {
    let cloud = TestCloud::start().await;
    let rng = &mut StdRng::seed_from_u64(9);
    let second = TokenIssuerKeys::rotate(&first_keys(&cloud).secret.json, cloud.now(), rng).unwrap();
    let error = TokenIssuerKeys::rotate(&second.secret.json, cloud.now(), rng).err().unwrap();
    assert!(error.to_string().contains("two token keys are in use"), "{error}");
    let unreadable = TokenIssuerKeys::rotate("{\"purpose\":\"opaque\"}", cloud.now(), rng).err().unwrap();
    assert_eq!(unreadable.to_string(), "it is for the purpose \"opaque\", and \"tokens\" is wanted");
}
