use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;
use vestibule_backend::Clock;
use vestibule_protocol::time::Timestamp;

use super::support::{Client, Seen, TEMPLATE, builder, cloud, limited};
use crate::aws::connections::answer;
use crate::policy::Decision;
use crate::template::Template;
use crate::websocket_api::Registry;
use crate::{Fault, LocalCloud, Service};

const GONE: &str = "the connection is gone";

/// The names of the operations that the relay called, in order.
fn operations(cloud: &LocalCloud) -> Vec<String> {
    let calls = cloud.calls().into_iter().filter(|call| call.function == "relay");
    calls.map(|call| call.operation).collect()
}

fn inject(cloud: &LocalCloud, operation: &'static str, fault: Fault, attempts: u64) {
    cloud.forget_calls();
    let seen = std::sync::atomic::AtomicU64::new(0);
    cloud.inject(move |call| {
        let is_hit = call.operation == operation && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < attempts;
        is_hit.then_some(fault)
    });
}

#[tokio::test]
async fn a_message_is_posted_to_another_connection() {
    let cloud = cloud().await;
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    let id = bob.ask("id").await;
    assert_eq!(alice.ask(format!("post {id} hello bob")).await, "done");
    assert_eq!(bob.text().await, "hello bob");
}

#[tokio::test]
async fn a_closed_connection_is_gone() {
    let cloud = cloud().await;
    let mut alice = Client::connect(&cloud).await;
    alice.ask("watch").await;
    let mut bob = Client::connect(&cloud).await;
    let id = bob.ask("id").await;
    bob.close(Some(1000)).await;
    assert_eq!(alice.text().await, format!("left {id} 1000"));
    assert_eq!(alice.ask(format!("post {id} hello")).await, GONE);
    assert_eq!(alice.ask(format!("get {id}")).await, GONE);
    assert_eq!(alice.ask(format!("close {id}")).await, "done", "it is closed");
}

#[tokio::test]
async fn an_unknown_connection_is_gone() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    assert_eq!(client.ask("post AAAAAAAAAAAAAAA= hello").await, GONE);
    assert_eq!(client.ask("get AAAAAAAAAAAAAAA=").await, GONE);
}

#[tokio::test]
async fn a_deleted_connection_is_closed_after_what_was_posted() {
    let cloud = cloud().await;
    let mut alice = Client::connect(&cloud).await;
    alice.ask("watch").await;
    let mut bob = Client::connect(&cloud).await;
    let id = bob.ask("id").await;
    assert_eq!(alice.ask(format!("post {id} the last word")).await, "done");
    alice.send(format!("close {id}")).await;
    let mut seen = [alice.text().await, alice.text().await];
    seen.sort();
    assert_eq!(seen, ["done".to_owned(), format!("left {id} 1000")]);
    assert_eq!(bob.text().await, "the last word");
    assert_eq!(bob.next().await, Seen::Closed(1000));
}

#[tokio::test]
async fn a_function_sees_when_a_connection_was_used() {
    let clock = Clock::manual(Timestamp::from_seconds(1_000));
    let cloud = builder().clock(clock.clone()).start().await.unwrap();
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    let id = bob.ask("id").await;
    clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(alice.ask(format!("get {id}")).await, "1000 1000");
    bob.ask("echo hello").await;
    assert_eq!(alice.ask(format!("get {id}")).await, "1000 1005");
}

#[tokio::test]
async fn a_post_is_activity_and_a_ping_is_none() {
    let clock = Clock::manual(Timestamp::from_seconds(1_000));
    let cloud = builder().clock(clock.clone()).start().await.unwrap();
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    let id = bob.ask("id").await;
    clock.advance(std::time::Duration::from_secs(5));
    bob.send_frame(Frame::Ping(Vec::new().into())).await;
    assert_eq!(bob.next().await, Seen::Pong);
    assert_eq!(alice.ask(format!("get {id}")).await, "1000 1000");
    alice.ask(format!("post {id} hello")).await;
    assert_eq!(bob.text().await, "hello");
    assert_eq!(alice.ask(format!("get {id}")).await, "1000 1005");
}

#[test]
fn an_api_that_is_none_is_forbidden() {
    let registry = Registry::new(Vec::new(), 10);
    for operation in ["PostToConnection", "GetConnection", "DeleteConnection"] {
        let call = json!({"ApiId": "sockets", "Stage": "v1", "ConnectionId": "AAAAAAAAAAAAAAA=", "Data": "hello"});
        assert_eq!(answer(&registry, operation, &call).status, 403, "{operation}");
    }
}

#[tokio::test]
async fn a_posted_message_may_have_128_kib_and_no_more() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    assert_eq!(client.ask("repeat 131072").await.len(), 131_072);
    let id = client.ask("id").await;
    let too_long = json!({
        "requestContext": {
            "routeKey": "$default", "connectionId": id, "connectedAt": 0, "requestTimeEpoch": 0, "identity": {},
        },
        "body": "repeat 131073",
    });
    assert_eq!(cloud.invoke("relay", too_long).await.unwrap()["statusCode"], 500);
    assert_eq!(client.ask("echo hello").await, "hello", "nothing came, and it goes on");
}

#[tokio::test]
async fn a_post_that_the_policy_does_not_allow_is_denied_and_named() {
    let template = TEMPLATE.replace("DELETE/@connections/*", "PUT/@connections/*");
    let cloud = builder().template(template).start().await.unwrap();
    let mut client = Client::connect(&cloud).await;
    let id = client.ask("id").await;
    let outcome = client.ask(format!("close {id}")).await;
    assert_eq!(outcome, "the connection cannot be reached: the call is refused");
    let denied = "function relay may not call execute-api:ManageConnections on sockets/v1/DELETE: \
                  no statement in template.yaml allows it";
    assert_eq!(cloud.denied(), [denied]);
}

#[tokio::test]
async fn calls_are_recorded_with_what_iam_was_asked() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    let id = client.ask("id").await;
    client.ask(format!("get {id}")).await;
    let calls = cloud.calls();
    let operations: Vec<_> = calls.iter().map(|call| (call.function.as_str(), call.operation.as_str())).collect();
    assert_eq!(operations, [("relay", "PostToConnection"), ("relay", "GetConnection"), ("relay", "PostToConnection")]);
    assert_eq!(calls[0].service, Service::ApiGatewayManagement);
    assert_eq!(calls[0].body, json!({"ApiId": "sockets", "Stage": "v1", "ConnectionId": id, "Data": id}));
    let template = Template::parse(TEMPLATE, &[]).unwrap();
    let relay = template.functions.iter().find(|function| function.name == "relay").unwrap();
    for request in calls.iter().flat_map(|call| &call.iam_requests) {
        assert_eq!(relay.policy.decide(request), Decision::Allowed);
    }
}

#[tokio::test]
async fn a_refused_post_is_not_tried_again() {
    for fault in [Fault::BeforeEffect, Fault::Throttled] {
        let cloud = cloud().await;
        let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
        let id = bob.ask("id").await;
        inject(&cloud, "PostToConnection", fault, 1);
        let outcome = alice.ask(format!("post {id} hello")).await;
        assert_eq!(outcome, "the connection cannot be reached: send the same request again", "{fault:?}");
        assert_eq!(operations(&cloud), ["PostToConnection"; 2], "{fault:?}: the post and what was said of it");
        assert_eq!(bob.ask("echo nothing").await, "nothing", "{fault:?}");
    }
}

#[tokio::test]
async fn a_post_whose_answer_is_lost_arrives_once() {
    let cloud = cloud().await;
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    let id = bob.ask("id").await;
    inject(&cloud, "PostToConnection", Fault::AfterEffect, 1);
    let outcome = alice.ask(format!("post {id} hello")).await;
    assert_eq!(outcome, "the connection cannot be reached: send the same request again");
    assert_eq!(bob.text().await, "hello");
    assert_eq!(bob.ask("echo no-more").await, "no-more");
}

#[tokio::test]
async fn what_can_be_done_twice_is_tried_again() {
    for (command, operation) in [("get", "GetConnection"), ("close", "DeleteConnection")] {
        for fault in [Fault::BeforeEffect, Fault::AfterEffect, Fault::Throttled] {
            let cloud = cloud().await;
            let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
            let id = bob.ask("id").await;
            inject(&cloud, operation, fault, 1);
            let outcome = alice.ask(format!("{command} {id}")).await;
            assert!(!outcome.contains("cannot"), "{command} {fault:?}: {outcome}");
            assert_eq!(operations(&cloud), [operation, operation, "PostToConnection"], "{command} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_there_can_be_said_to_be_gone() {
    let cloud = cloud().await;
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    let id = bob.ask("id").await;
    inject(&cloud, "PostToConnection", Fault::Gone, 1);
    assert_eq!(alice.ask(format!("post {id} hello")).await, GONE);
    assert_eq!(bob.ask("echo still-here").await, "still-here");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_posted_to_without_end() {
    let cloud = cloud().await;
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    let id = bob.ask("id").await;
    assert_eq!(alice.ask(format!("flood {id}")).await, "the connection cannot be reached: send the same request again");
}

#[tokio::test]
async fn a_client_that_does_not_read_can_be_closed() {
    let cloud = limited(|limits| limits.websocket.farewell = std::time::Duration::from_millis(50)).await;
    let mut alice = Client::connect(&cloud).await;
    alice.ask("watch").await;
    let mut bob = Client::connect(&cloud).await;
    let id = bob.ask("id").await;
    alice.ask(format!("flood {id}")).await;
    alice.send(format!("close {id}")).await;
    let mut seen = [alice.text().await, alice.text().await];
    seen.sort();
    assert_eq!(seen, ["done".to_owned(), format!("left {id} 1000")]);
    assert_eq!(alice.ask(format!("post {id} hello")).await, GONE);
}
