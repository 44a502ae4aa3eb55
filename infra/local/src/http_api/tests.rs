use std::time::Duration;

use serde_json::json;

use super::*;
use crate::testing::{command, http, post, puppet_cloud};
use crate::{Fault, LocalCloud, LocalCloudBuilder};

async fn start(builder: LocalCloudBuilder) -> LocalCloud {
    builder.start().await.unwrap()
}

fn limited(change: impl FnOnce(&mut Limits)) -> LocalCloudBuilder {
    let mut limits = Limits::default();
    change(&mut limits);
    puppet_cloud().limits(limits)
}

/// Status and body of a response.
fn outline(response: &str) -> (u16, &str) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

const NOT_FOUND: (u16, &str) = (404, r#"{"message":"Not Found"}"#);
const TOO_LARGE: (u16, &str) = (413, r#"{"message":"Request Entity Too Large"}"#);
const FAILED: (u16, &str) = (500, r#"{"message":"Internal Server Error"}"#);

#[tokio::test]
async fn a_request_reaches_its_function_and_the_answer_its_client() {
    let cloud = start(puppet_cloud()).await;
    assert_eq!(outline(&post(&cloud, "/act", &command("put", "USER#alice")).await), (200, "done"));
    assert_eq!(cloud.items("People").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unknown_route_or_method_is_not_found() {
    let cloud = start(puppet_cloud()).await;
    assert_eq!(outline(&post(&cloud, "/elsewhere", &json!({})).await), NOT_FOUND);
    let get = http(&cloud, "GET /act HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(outline(&get), NOT_FOUND);
}

#[tokio::test]
async fn the_api_is_described_where_no_route_is() {
    let cloud = start(puppet_cloud()).await;
    let get = async |path: &str| {
        http(&cloud, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    };
    let page = get("/").await;
    assert_eq!(outline(&page).0, 200);
    assert!(page.contains("content-type: text/html; charset=utf-8\r\n"));
    assert!(page.contains("content-security-policy: default-src 'none'"));
    let description: Value = serde_json::from_str(outline(&get("/openapi.json").await).1).unwrap();
    assert_eq!(description["info"]["title"], "Vestibule");
    assert_eq!(outline(&get("/openapi").await), NOT_FOUND);
    assert_eq!(outline(&post(&cloud, "/", &json!({})).await), NOT_FOUND);
}

#[tokio::test]
async fn a_static_route_beats_a_route_with_a_parameter() {
    let cloud = start(puppet_cloud()).await;
    for (path, route_key) in [("/people/me", "POST /people/me"), ("/people/you", "POST /people/{name}")] {
        let response = post(&cloud, path, &command("echo", "")).await;
        let event: Value = serde_json::from_str(outline(&response).1).unwrap();
        assert_eq!((&event["routeKey"], &event["rawPath"]), (&json!(route_key), &json!(path)));
        assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    }
}

#[tokio::test]
async fn every_response_has_a_request_id_that_the_function_knows() {
    let cloud = start(puppet_cloud()).await;
    let response = post(&cloud, "/act", &command("echo", "")).await;
    let event: Value = serde_json::from_str(outline(&response).1).unwrap();
    let id = event["requestContext"]["requestId"].as_str().unwrap();
    assert!(response.contains(&format!("apigw-requestid: {id}\r\n")), "{response}");
    assert!(post(&cloud, "/elsewhere", &json!({})).await.contains("apigw-requestid: "));
}

#[tokio::test]
async fn a_challenge_arrives_under_another_name() {
    let response = post(&start(puppet_cloud()).await, "/act", &command("challenge", "")).await;
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    assert!(response.contains("\r\nx-amzn-remapped-www-authenticate: PrivateToken\r\n"), "{response}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_the_function() {
    let cloud = start(limited(|limits| limits.body_bytes = 100)).await;
    assert_eq!(outline(&post(&cloud, "/act", &command("put", &"x".repeat(100))).await), TOO_LARGE);
    assert!(cloud.calls().is_empty());
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let cloud = start(puppet_cloud()).await;
    let request = |bytes: usize| {
        let padding = "x".repeat(bytes);
        format!("POST /elsewhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-padding: {padding}\r\n\r\n")
    };
    assert_eq!(outline(&http(&cloud, &request(10_000)).await), NOT_FOUND);
    assert_eq!(outline(&http(&cloud, &request(10_240)).await).0, 431);
}

#[tokio::test]
async fn events_and_answers_over_lambdas_limit_do_not_pass() {
    let cloud = start(limited(|limits| limits.payload_bytes = 1_500)).await;
    assert_eq!(outline(&post(&cloud, "/act", &command("greet", "")).await), (200, "hello"));
    assert_eq!(outline(&post(&cloud, "/act", &command("greet", &"x".repeat(1_500))).await), TOO_LARGE);
    assert_eq!(outline(&post(&cloud, "/act", &command("answer at length", "")).await), FAILED);
}

#[tokio::test]
async fn a_function_that_fails_is_an_internal_server_error() {
    let cloud = start(puppet_cloud()).await;
    for act in ["fail", "panic", "answer nonsense"] {
        assert_eq!(outline(&post(&cloud, "/act", &command(act, "")).await), FAILED, "{act}");
    }
    assert_eq!(outline(&post(&cloud, "/act", &command("greet", "")).await), (200, "hello"), "it goes on");
}

#[tokio::test]
async fn a_function_that_outlasts_its_own_timeout_has_failed() {
    let cloud = start(limited(|limits| limits.function_timeout = Duration::from_millis(20))).await;
    assert_eq!(outline(&post(&cloud, "/act", &command("hang", "")).await), FAILED);
}

#[tokio::test]
async fn a_function_that_outlasts_the_gateway_makes_the_service_unavailable() {
    let cloud = start(limited(|limits| limits.integration_timeout = Duration::from_millis(20))).await;
    let response = post(&cloud, "/act", &command("hang", "")).await;
    assert_eq!(outline(&response), (503, r#"{"message":"Service Unavailable"}"#));
}

#[tokio::test]
async fn an_event_can_be_delivered_twice() {
    for (delivery, answer) in
        [(Delivery::TwiceWithFirstAnswer, "done"), (Delivery::TwiceWithSecondAnswer, "dispatch failure")]
    {
        let cloud = start(puppet_cloud()).await;
        cloud.set_delivery(delivery);
        cloud.inject(|call| (call.number > 0).then_some(Fault::AfterEffect));
        assert_eq!(outline(&post(&cloud, "/act", &command("put", "USER#alice")).await), (200, answer), "{delivery:?}");
        assert_eq!(cloud.calls().len(), 4, "one call first, then the three attempts of another");
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let cloud = start(puppet_cloud()).await;
    let body = command("greet", "").to_string();
    let request = |connection: &str| {
        let length = body.len();
        format!(
            "POST /act HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{connection}\r\n{body}"
        )
    };
    let responses = http(&cloud, &format!("{}{}", request(""), request("connection: close\r\n"))).await;
    assert_eq!(responses.matches("HTTP/1.1 200 OK").count(), 2, "{responses}");
}
