//! Claims: who gets what, and who gets nothing.

use serde_json::json;
use vestibule_key_packages::ClaimError;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{ClaimKeyPackages, ClaimKeyPackagesRequest, ClaimKeyPackagesResponse};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::symmetric::FriendshipToken;
use vestibule_protocol::time::{DAY, ExpirationData};
use vestibule_tests::{Call, Pseudonym, TestCloud, json_body, left_out_in_processes};

async fn alice(cloud: &TestCloud) -> Pseudonym {
    Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await
}

fn claim(token: FriendshipToken, nonce: usize) -> Call {
    let claim = ClaimKeyPackagesRequest { friendship_token: token, nonce: Bytes(vec![7; nonce]) };
    Call::new::<ClaimKeyPackages>(&(), json_body(&claim)).paid()
}

#[tokio::test]
async fn an_unknown_or_retired_token_opens_nothing() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.publish(&cloud, 1, 1).await;
    let unknown = claim(FriendshipToken::generate(&mut rand::rngs::OsRng), 32);
    assert_eq!(cloud.problem_with(&unknown).await, ProblemType::FriendshipTokenUnknown);

    let retired = FriendshipToken::generate(&mut rand::rngs::OsRng);
    let key = format!("FRIENDSHIP#{}", retired.hash());
    let item = json!({"pk": {"S": key}, "sk": {"S": "FRIENDSHIP"}});
    cloud.cloud.put_item("QsTable", item).await.unwrap();
    assert_eq!(cloud.problem_with(&claim(retired.clone(), 32)).await, ProblemType::FriendshipTokenUnknown);

    // It stays taken.
    let mut bob = Pseudonym::new(&cloud, "bob@localhost", 2).await;
    bob.code.token = retired;
    let call = bob.creating_call(&cloud, &bob.creation());
    assert_eq!(cloud.problem_with(&call).await, ProblemType::FriendshipTokenTaken);
}

#[tokio::test]
async fn a_claim_that_is_malformed_is_refused() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    for nonce in [0, 15, 33] {
        assert_eq!(cloud.problem_with(&claim(alice.code.token.clone(), nonce)).await, ProblemType::InvalidField);
    }
    let short_token = Call {
        body: br#"{"friendship_token": "AAAA", "nonce": "AAAA"}"#.to_vec(),
        ..claim(alice.code.token.clone(), 32)
    };
    assert_eq!(cloud.problem_with(&short_token).await, ProblemType::InvalidField);
}

#[tokio::test]
async fn a_user_who_published_nothing_has_nothing_to_claim() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    assert_eq!(cloud.problem_with(&alice.claiming_call()).await, ProblemType::NoKeyPackages);
    let supply = alice.supply(&cloud).await;
    assert_eq!((supply.generation, supply.remaining, supply.last_resort_uses), (0, 0, 0));
}

#[tokio::test]
async fn packages_are_handed_out_once_and_the_last_resort_after_them_as_often_as_needed() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let generation = alice.publish(&cloud, 1, 2).await;
    let mut claimed = Vec::new();
    for uses in [0, 0, 1, 2] {
        let answer: ClaimKeyPackagesResponse = cloud.send(&alice.claiming_call()).await.success();
        claimed.extend(answer.add_packages);
        assert_eq!(alice.supply(&cloud).await.last_resort_uses, uses);
    }
    let last_resort = generation.last_resort_add_package.unwrap();
    let expected = [generation.add_packages, vec![last_resort.clone(), last_resort]].concat();
    assert_eq!(claimed, expected);
    alice.publish(&cloud, 2, 0).await;
    let supply = alice.supply(&cloud).await;
    assert_eq!((supply.generation, supply.remaining, supply.last_resort_uses), (2, 0, 0));
}

#[tokio::test]
async fn a_claim_gets_one_package_of_each_client() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.publish(&cloud, 1, 1).await;
    let mut phone = Pseudonym::new(&cloud, "alice@localhost", 2).await.create(&cloud).await;
    phone.code = alice.code.clone();
    phone.publish(&cloud, 1, 1).await;
    // A further client, until there is an endpoint that adds one.
    let key = format!("FRIENDSHIP#{}", alice.code.token.hash());
    let item = json!({"pk": {"S": key}, "sk": {"S": format!("CLIENT#{}", phone.qs_client_id())}});
    cloud.cloud.put_item("QsTable", item).await.unwrap();

    let call = alice.claiming_call();
    let answer = cloud.send(&call).await;
    let claimed = alice.as_friend(&cloud, &call, &answer).await.unwrap();
    let mut clients: Vec<_> = claimed.iter().map(|package| package.client_id().uuid.to_string()).collect();
    clients.sort();
    let mut expected = [&alice, &phone].map(|client| client.client_credential.payload().client_id.uuid.to_string());
    expected.sort();
    assert_eq!(clients, expected);
}

#[tokio::test]
async fn an_answer_does_not_pass_for_one_to_another_claim() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.publish(&cloud, 1, 2).await;
    let (one, two) = (alice.claiming_call(), alice.claiming_call());
    let answer = cloud.send(&one).await;
    assert!(alice.as_friend(&cloud, &one, &answer).await.is_ok());
    assert!(matches!(alice.as_friend(&cloud, &two, &answer).await, Err(ClaimError::Answer(_))));
}

#[tokio::test]
async fn what_has_expired_is_never_handed_out() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    cloud.prolong_token_key();
    let mut alice = alice(&cloud).await;
    let mut generation = alice.generation(&cloud, 1, 2);
    let two_days = ExpirationData::starting(cloud.now().start_of_day(), 2 * DAY);
    generation.add_packages.push(alice.bake(&cloud, |recipe| recipe.set_lifetime(two_days)));
    assert_eq!(cloud.send(&alice.publishing_call(&cloud, &generation)).await.status, 200);
    assert_eq!(alice.supply(&cloud).await.remaining, 3);

    // With the first of its packages the generation expires; the last-resort package lasts.
    cloud.cloud.clock().advance(2 * DAY);
    assert_eq!(alice.supply(&cloud).await.remaining, 0);
    let answer: ClaimKeyPackagesResponse = cloud.send(&alice.claiming_call()).await.success();
    assert_eq!(answer.add_packages, [generation.last_resort_add_package.unwrap()]);

    cloud.cloud.clock().advance(82 * DAY);
    assert_eq!(cloud.problem_with(&alice.claiming_call()).await, ProblemType::NoKeyPackages);
}

#[tokio::test]
async fn claims_are_counted_for_the_source_and_for_the_token_known_or_not() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("ClaimsPerFriendshipTokenAndHour", "2")).await;
    let mut alice = alice(&cloud).await;
    alice.publish(&cloud, 1, 0).await;
    let unknown = FriendshipToken::generate(&mut rand::rngs::OsRng);
    for _ in 0..2 {
        assert_eq!(cloud.send(&alice.claiming_call()).await.status, 200);
        assert_eq!(cloud.send(&claim(unknown.clone(), 32)).await.problem(), ProblemType::FriendshipTokenUnknown);
    }
    assert_eq!(cloud.send(&alice.claiming_call()).await.problem(), ProblemType::RateLimited);
    assert_eq!(cloud.send(&claim(unknown, 32)).await.problem(), ProblemType::RateLimited);

    let cloud = TestCloud::start_with(|builder| builder.parameter("ClaimsPerSourceAndHour", "1")).await;
    let call = claim(FriendshipToken::generate(&mut rand::rngs::OsRng), 32);
    assert_eq!(cloud.problem_with(&call).await, ProblemType::FriendshipTokenUnknown);
    assert_eq!(cloud.problem_with(&call.paid()).await, ProblemType::RateLimited);
}
