//! The queuing service, request by request: what is right, and everything that is not.

mod bad_creations;
mod bad_publications;
mod claims;
mod interoperability;
mod races;
mod records;
mod removed_devices;
pub(crate) mod separation;

use serde_json::Value;
use vestibule_protocol::encoding;
use vestibule_protocol::endpoint::{CreateQsUserResponse, GetKeyPackagesResponse};
use vestibule_protocol::time::DAY;
use vestibule_tests::{Pseudonym, TestCloud};

#[tokio::test]
async fn a_user_is_created_publishes_and_is_found_by_a_friend() {
    let cloud = TestCloud::start().await;
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await;
    let answer = cloud.send(&alice.creating_call(&cloud, &alice.creation())).await;
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (201, "no-store"));
    let ids: CreateQsUserResponse = answer.success();
    assert_eq!((ids.qs_user_id, ids.qs_client_id), (alice.qs_user_id(), alice.qs_client_id()));

    alice.publish(&cloud, 1, 3).await;
    let call = alice.claiming_call();
    let answer = cloud.send(&call).await;
    let claimed = alice.as_friend(&cloud, &call, &answer).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].client_id(), &alice.client_credential.payload().client_id);
    assert!(!claimed[0].is_last_resort);

    let expected = GetKeyPackagesResponse {
        generation: 1,
        remaining: 2,
        last_resort_uses: 0,
        not_after: cloud.now().start_of_day().saturating_add(84 * DAY),
    };
    assert_eq!(alice.supply(&cloud).await, expected);
}

#[tokio::test]
async fn what_is_stored_is_what_the_documents_say() {
    let cloud = TestCloud::start().await;
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await;
    let creation = alice.creating_call(&cloud, &alice.creation());
    assert_eq!(cloud.send(&creation).await.status, 201);
    alice.publish(&cloud, 1, 2).await;
    let (user, client) = (alice.qs_user_id(), alice.qs_client_id());
    let friendship = alice.code.token.hash();
    let digest = |item: &Value| item["sk"]["S"].as_str().unwrap().split('#').nth(2).unwrap_or_default().to_owned();
    let items = cloud.state().await;
    let digest = items.iter().map(digest).max().unwrap();
    let mut keys: Vec<_> = items.iter().map(key_of).filter(|key| !key.starts_with("CREDENTIALS")).collect();
    keys.sort();
    let token = encoding::encode(&creation.token().unwrap().nonce());
    let mut expected = [
        "KEYS / KEYS".to_owned(),
        "KEYS / TOKEN_KEYS".to_owned(),
        format!("USER#{user} / USER"),
        format!("CLIENT#{client} / CLIENT"),
        format!("CLIENT#{client} / KEY_PACKAGE#00000000000000000001#{digest}#000"),
        format!("CLIENT#{client} / KEY_PACKAGE#00000000000000000001#{digest}#001"),
        format!("CLIENT#{client} / QUEUE"),
        format!("FRIENDSHIP#{friendship} / CLIENT#{client}"),
        format!("FRIENDSHIP#{friendship} / FRIENDSHIP"),
        format!("TOKEN#{token} / TOKEN"),
    ];
    expected.sort();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn the_keys_may_be_cached_for_five_minutes() {
    let cloud = TestCloud::start().await;
    let call = vestibule_tests::Call::new::<vestibule_protocol::endpoint::GetQsKeys>(&(), Vec::new());
    assert_eq!(cloud.send(&call).await.headers["cache-control"], "public, max-age=300");
}

fn key_of(item: &Value) -> String {
    format!("{} / {}", item["pk"]["S"].as_str().unwrap(), item["sk"]["S"].as_str().unwrap())
}
