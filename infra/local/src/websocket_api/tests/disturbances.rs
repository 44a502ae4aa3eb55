use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::support::{Client, cloud};
use crate::template::RouteKey;
use crate::{Disturbance, LocalCloud, Transfer, TransferKind};

const DELAY: Duration = Duration::from_millis(50);
const MESSAGE: TransferKind = TransferKind::Event(RouteKey::Default);
const DISCONNECT: TransferKind = TransferKind::Event(RouteKey::Disconnect);

/// Has something happen to the transfers of this kind that contain the text.
fn disturb(cloud: &LocalCloud, kind: TransferKind, text: &'static str, disturbance: Disturbance) {
    cloud.disturb(move |transfer| (transfer.kind == kind && transfer.body.contains(text)).then_some(disturbance));
}

#[tokio::test]
async fn an_event_or_a_post_can_come_twice() {
    for kind in [MESSAGE, TransferKind::Post] {
        let cloud = cloud().await;
        let mut client = Client::connect(&cloud).await;
        disturb(&cloud, kind, "hello", Disturbance::Twice);
        assert_eq!(client.ask("echo hello").await, "hello", "{kind:?}");
        assert_eq!(client.text().await, "hello", "{kind:?}");
        cloud.clear_disturbances();
        assert_eq!(client.ask("echo goodbye").await, "goodbye", "{kind:?}");
    }
}

#[tokio::test]
async fn an_event_or_a_post_can_come_late() {
    for kind in [MESSAGE, TransferKind::Post] {
        let cloud = cloud().await;
        let mut client = Client::connect(&cloud).await;
        disturb(&cloud, kind, "hello", Disturbance::Delayed(DELAY));
        let started = Instant::now();
        assert_eq!(client.ask("echo hello").await, "hello", "{kind:?}");
        assert!(started.elapsed() >= DELAY, "{kind:?}");
    }
}

#[tokio::test]
async fn an_event_or_a_post_can_come_after_the_next() {
    for kind in [MESSAGE, TransferKind::Post] {
        let cloud = cloud().await;
        let mut client = Client::connect(&cloud).await;
        let (asked, mut is_asked) = mpsc::unbounded_channel();
        cloud.disturb(move |transfer| {
            let is_first = transfer.kind == kind && transfer.body.contains("first");
            is_first.then(|| {
                let _ = asked.send(());
                Disturbance::AfterNext
            })
        });
        client.send("echo first").await;
        // On this one thread, what the plan says has been done when the test goes on.
        is_asked.recv().await.unwrap();
        assert_eq!(client.ask("echo second").await, "second", "{kind:?}");
        assert_eq!(client.text().await, "first", "{kind:?}");
    }
}

#[tokio::test]
async fn an_event_or_a_post_can_be_lost() {
    for kind in [MESSAGE, TransferKind::Post] {
        let cloud = cloud().await;
        let mut client = Client::connect(&cloud).await;
        disturb(&cloud, kind, "hello", Disturbance::Lost);
        client.send("echo hello").await;
        assert_eq!(client.ask("echo goodbye").await, "goodbye", "{kind:?}");
    }
}

#[tokio::test]
async fn a_disconnect_may_come_twice_or_never() {
    for (disturbance, times) in [(Disturbance::Twice, 2), (Disturbance::Lost, 0)] {
        let cloud = cloud().await;
        let mut watcher = Client::connect(&cloud).await;
        watcher.ask("watch").await;
        let mut client = Client::connect(&cloud).await;
        let id = client.ask("id").await;
        let (asked, mut is_asked) = mpsc::unbounded_channel();
        cloud.disturb(move |transfer| {
            (transfer.kind == DISCONNECT).then(|| {
                let _ = asked.send(());
                disturbance
            })
        });
        client.close(None).await;
        is_asked.recv().await.unwrap();
        for _ in 0..times {
            assert_eq!(watcher.text().await, format!("left {id} 1005"), "{disturbance:?}");
        }
        assert_eq!(watcher.ask("echo no-more").await, "no-more", "{disturbance:?}");
    }
}

#[tokio::test]
async fn a_connect_may_come_twice() {
    let cloud = cloud().await;
    cloud.disturb(|transfer| (transfer.number == 0).then_some(Disturbance::Twice));
    let client = Client::offer(&cloud, "chat").await.unwrap();
    assert_eq!(client.subprotocol.as_deref(), Some("chat"));
}

#[tokio::test]
async fn a_connect_can_be_neither_lost_nor_put_off() {
    for disturbance in [Disturbance::Lost, Disturbance::AfterNext] {
        let cloud = cloud().await;
        cloud.disturb(move |transfer| (transfer.kind == TransferKind::Event(RouteKey::Connect)).then_some(disturbance));
        assert_eq!(Client::connect(&cloud).await.ask("echo hello").await, "hello", "{disturbance:?}");
    }
}

#[tokio::test]
async fn a_plan_sees_everything_that_goes_over_a_connection() {
    let cloud = cloud().await;
    let (seen, mut transfers) = mpsc::unbounded_channel();
    cloud.disturb(move |transfer| {
        let _ = seen.send(transfer.clone());
        None
    });
    let mut client = Client::connect(&cloud).await;
    let id = client.ask("id").await;
    client.close(None).await;
    let expected = [
        (TransferKind::Event(RouteKey::Connect), 0, ""),
        (MESSAGE, 1, "id"),
        (TransferKind::Post, 0, &id),
        (DISCONNECT, 2, ""),
    ];
    for (kind, number, body) in expected {
        let expected = Transfer { connection_id: id.clone(), kind, number, body: body.to_owned() };
        assert_eq!(transfers.recv().await.unwrap(), expected);
    }
}
