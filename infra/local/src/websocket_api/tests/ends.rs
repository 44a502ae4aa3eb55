use std::time::Duration;

use super::support::{Client, Seen, cloud, limited};
use crate::LocalCloud;

/// A client that is told who left.
async fn watcher(cloud: &LocalCloud) -> Client {
    let mut watcher = Client::connect(cloud).await;
    assert_eq!(watcher.ask("watch").await, "watching");
    watcher
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let cloud = limited(|limits| limits.websocket.idle_timeout = Duration::from_millis(50)).await;
    assert_eq!(Client::connect(&cloud).await.next().await, Seen::Closed(1001));
}

#[tokio::test]
async fn a_connection_that_has_lived_its_time_is_closed() {
    let cloud = limited(|limits| limits.websocket.lifetime = Duration::from_millis(50)).await;
    assert_eq!(Client::connect(&cloud).await.next().await, Seen::Closed(1001));
}

#[tokio::test]
async fn the_code_of_the_client_reaches_disconnect() {
    let cloud = cloud().await;
    let mut watcher = watcher(&cloud).await;
    for (code, expected) in [(Some(1000), 1000), (Some(4001), 4001), (None, 1005)] {
        let mut client = Client::connect(&cloud).await;
        let id = client.ask("id").await;
        client.close(code).await;
        assert_eq!(watcher.text().await, format!("left {id} {expected}"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_is_disconnected() {
    let cloud = cloud().await;
    let mut watcher = watcher(&cloud).await;
    let mut client = Client::connect(&cloud).await;
    let id = client.ask("id").await;
    drop(client);
    assert_eq!(watcher.text().await, format!("left {id} 1006"));
}

#[tokio::test]
async fn the_code_of_the_gateway_reaches_disconnect() {
    let cloud = cloud().await;
    let mut watcher = watcher(&cloud).await;
    let mut client = Client::connect(&cloud).await;
    let id = client.ask("id").await;
    client.send("x".repeat(40_000)).await;
    assert_eq!(client.next().await, Seen::Closed(1009));
    assert_eq!(watcher.text().await, format!("left {id} 1009"));
}

#[tokio::test]
async fn a_close_frame_is_confirmed() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    client.socket.close(None).await.unwrap();
    assert_eq!(client.next().await, Seen::Closed(1005));
}

#[tokio::test]
async fn dropping_the_cloud_ends_its_connections() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    assert_eq!(client.ask("echo hello").await, "hello");
    drop(cloud);
    let end = futures_util::StreamExt::next(&mut client.socket).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
}
