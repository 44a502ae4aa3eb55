use tokio::io::AsyncWriteExt;

use super::support::{Client, Seen, TEMPLATE, builder, cloud, limited};
use crate::template::Template;
use crate::testing::http;
use crate::{Disturbance, TransferKind};

#[tokio::test]
async fn a_client_connects_where_the_cloud_says() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    assert_eq!(client.subprotocol, None);
    assert_eq!(client.ask("echo hello").await, "hello");
    assert_eq!(cloud.websocket_url("Sockets").unwrap(), cloud.url().replace("http://", "ws://") + "/sockets/v1");
    assert_eq!(cloud.websocket_url("Others"), None);
}

#[tokio::test]
async fn a_function_can_tell_clients_where_to_connect() {
    let cloud = cloud().await;
    assert_eq!(Client::connect(&cloud).await.ask("where").await, cloud.websocket_url("Sockets").unwrap());
}

#[tokio::test]
async fn the_subprotocol_is_the_one_that_the_function_chose() {
    let cloud = cloud().await;
    let client = Client::offer(&cloud, "ticket.abc, chat").await.unwrap();
    assert_eq!(client.subprotocol.as_deref(), Some("chat"));
}

#[tokio::test]
async fn a_refused_connect_answers_the_handshake_with_its_status() {
    let cloud = cloud().await;
    for (subprotocol, status) in [("refuse-401", 401), ("refuse-503", 503)] {
        assert_eq!(Client::offer(&cloud, subprotocol).await.err(), Some(status), "{subprotocol}");
    }
}

#[tokio::test]
async fn a_connect_that_fails_is_a_bad_gateway() {
    assert_eq!(Client::offer(&cloud().await, "panic").await.err(), Some(502));
}

#[tokio::test]
async fn a_connect_that_outlasts_the_gateway_is_a_gateway_timeout() {
    let cloud = limited(|limits| limits.websocket.integration_timeout = std::time::Duration::from_millis(20)).await;
    assert_eq!(Client::offer(&cloud, "hang").await.err(), Some(504));
}

#[tokio::test]
async fn a_connection_cannot_be_posted_to_before_connect_has_answered() {
    let client = Client::offer(&cloud().await, "post, gone").await.unwrap();
    assert_eq!(client.subprotocol.as_deref(), Some("gone"));
}

#[tokio::test]
async fn without_a_route_for_it_every_connect_is_accepted() {
    let template = TEMPLATE.replace("        $connect: {FunctionArn: !GetAtt Door.Arn}\n", "");
    let cloud = builder().template(template).start().await.unwrap();
    assert_eq!(Client::connect(&cloud).await.ask("echo hello").await, "hello");
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused() {
    let cloud = cloud().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(http(&cloud, &get("/sockets/v1")).await.starts_with("HTTP/1.1 400 "));
    for elsewhere in ["/sockets/v2", "/sockets", "/others/v1"] {
        assert!(http(&cloud, &get(elsewhere)).await.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    }
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    assert_eq!(Client::offer(&cloud().await, &"x".repeat(10_240)).await.err(), Some(431));
}

#[tokio::test]
async fn a_client_that_hangs_up_during_connect_is_disconnected() {
    let cloud = cloud().await;
    let mut watcher = Client::connect(&cloud).await;
    assert_eq!(watcher.ask("watch").await, "watching");
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    cloud.disturb(move |transfer| {
        let is_connect = matches!(transfer.kind, TransferKind::Event(crate::template::RouteKey::Connect));
        is_connect.then(|| {
            let _ = asked.send(transfer.connection_id.clone());
            Disturbance::Delayed(std::time::Duration::from_millis(50))
        })
    });
    let mut hasty = Client::tcp(&cloud).await;
    let handshake = "GET /sockets/v1 HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    hasty.write_all(handshake.as_bytes()).await.unwrap();
    let id = is_asked.recv().await.unwrap();
    drop(hasty);
    assert_eq!(watcher.next().await, Seen::Text(format!("left {id} 1006")));
}

#[test]
fn two_apis_whose_names_differ_in_case_only_are_refused() {
    let api = TEMPLATE[TEMPLATE.find("  Sockets:").unwrap()..TEMPLATE.find("  Door:").unwrap()].to_owned();
    let template = TEMPLATE.replace("  Door:", &format!("{}  Door:", api.replace("Sockets:", "SOCKETS:")));
    let error = Template::parse(&template, &[]).unwrap_err().to_string();
    assert!(error.contains("differs in case only"), "{error}");
}
