//! Connections: whose they are, which counts, and what the other device is told of them.

use vestibule_local::template::RouteKey;
use vestibule_local::{Disturbance, Fault, TransferKind};
use vestibule_protocol::limits::RENDEZVOUS_RETENTION;
use vestibule_protocol::rendezvous::frame::{DeviceFrame, RelayFrame};
use vestibule_tests::rendezvous::{Seen, connect, message, passed_on, ticket};
use vestibule_tests::{TestCloud, left_out_in_processes};

use super::cloud_with_pair;

#[tokio::test]
async fn only_a_ticket_lets_in() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let new = cloud.new_device(1).await;
    let unknown = ticket(2).to_subprotocols();
    let known = new.ticket.to_subprotocols();
    for (subprotocols, status) in [
        ("vestibule.relay.1", 400),
        ("chat", 400),
        (known.strip_prefix("vestibule.relay.1, ").unwrap(), 400),
        (unknown.as_str(), 403),
    ] {
        assert_eq!(connect(&cloud, subprotocols).await.err(), Some(status), "{subprotocols}");
    }
    connect(&cloud, &known).await.unwrap();
    cloud.cloud.clock().advance(RENDEZVOUS_RETENTION);
    assert_eq!(connect(&cloud, &known).await.err(), Some(403), "it has expired");
}

#[tokio::test]
async fn each_device_is_told_when_the_other_comes_and_goes() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let arrived = RelayFrame::PeerArrived { expires_at: existing.expires_at };
    for _ in 0..2 {
        let (peer, resumed) = existing.resume(&cloud, 0).await;
        assert!(matches!(resumed, RelayFrame::Resumed { peer_connected: true, .. }));
        assert_eq!(link.frame().await, arrived);
        drop(peer);
        assert_eq!(link.frame().await, RelayFrame::PeerLeft {});
    }
    let (_link, resumed) = new.resume(&cloud, 0).await;
    assert!(matches!(resumed, RelayFrame::Resumed { peer_connected: false, .. }));
}

#[tokio::test]
async fn the_same_ticket_takes_the_place_of_its_former_connection() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut old, _) = new.resume(&cloud, 0).await;
    let former = new.connection(&cloud, "new").await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    old.closed().await;
    // Its end, said late or twice, is not the end of the later one.
    for _ in 0..2 {
        assert_eq!(cloud.disconnected(&former).await, 200);
    }
    let (mut peer, resumed) = existing.resume(&cloud, 0).await;
    assert!(matches!(resumed, RelayFrame::Resumed { peer_connected: true, .. }));
    assert!(matches!(link.frame().await, RelayFrame::PeerArrived { .. }));
    peer.ask(message(0, b"zero")).await;
    assert_eq!(link.frame().await, passed_on(0, b"zero"));

    // What comes late over the former one neither takes the place back nor is lost.
    assert_eq!(cloud.relay(&former, &new.frame(DeviceFrame::Resume { received: 0 })).await, 200);
    assert_eq!(cloud.relay(&former, &new.frame(message(0, b"late"))).await, 200);
    assert_eq!(peer.frame().await, passed_on(0, b"late"));
    assert_ne!(new.connection(&cloud, "new").await, former);
}

#[tokio::test]
async fn a_connection_that_is_gone_without_a_word_is_found_out_by_a_post() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let (peer, _) = existing.resume(&cloud, 0).await;
    link.frame().await;
    // Its end is never said: to the service it looks as if it were still there.
    cloud.cloud.disturb(|transfer| {
        let is_end = transfer.kind == TransferKind::Event(RouteKey::Disconnect);
        is_end.then_some(Disturbance::Lost)
    });
    drop(peer);
    let connection = existing.connection(&cloud, "existing").await;
    let body = b"zero".to_vec();
    let is_to_peer = move |call: &vestibule_local::ServiceCall| {
        call.operation == "PostToConnection" && call.body["ConnectionId"] == connection.as_str()
    };
    cloud.cloud.inject(move |call| is_to_peer(call).then_some(Fault::Gone));
    link.send(message(0, &body)).await;
    let mut seen = [link.frame().await, link.frame().await];
    seen.sort_by_key(|frame| matches!(frame, RelayFrame::PeerLeft {}));
    assert_eq!(seen, [RelayFrame::Stored { number: 0 }, RelayFrame::PeerLeft {}]);
    cloud.cloud.clear_faults();
    assert!(cloud.mailbox(&new.mailbox_id).await.get("existing_connection").is_none());

    let (mut peer, _) = existing.resume(&cloud, 0).await;
    assert_eq!(peer.frame().await, passed_on(0, &body));
}

#[tokio::test]
async fn a_device_whose_posts_fail_is_closed_so_that_it_comes_back_for_them() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    for fault in [Fault::BeforeEffect, Fault::Throttled] {
        let (mut peer, _) = existing.resume(&cloud, 0).await;
        while !matches!(link.frame().await, RelayFrame::PeerArrived { .. }) {}
        let connection = existing.connection(&cloud, "existing").await;
        cloud.cloud.inject(move |call| {
            let is_to_peer = call.body["ConnectionId"] == connection.as_str();
            (call.operation == "PostToConnection" && is_to_peer).then_some(fault)
        });
        link.send(message(0, b"zero")).await;
        peer.closed().await;
        cloud.cloud.clear_faults();
    }
    let (mut peer, _) = existing.resume(&cloud, 0).await;
    assert_eq!(peer.frame().await, passed_on(0, b"zero"));
}

#[tokio::test]
async fn a_connection_that_was_taken_for_gone_is_found_again_by_its_resume() {
    let (cloud, [new, existing]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let mut peer = existing.connect(&cloud).await;
    // Posted before API Gateway had established it.
    cloud.cloud.inject({
        let connection = existing.connection(&cloud, "existing").await;
        move |call| (call.body["ConnectionId"] == connection.as_str()).then_some(Fault::Gone)
    });
    link.send(message(0, b"zero")).await;
    while link.frame().await != (RelayFrame::Stored { number: 0 }) {}
    cloud.cloud.clear_faults();
    peer.send(DeviceFrame::Resume { received: 0 }).await;
    assert!(matches!(peer.frame().await, RelayFrame::Resumed { .. }));
    assert_eq!(peer.frame().await, passed_on(0, b"zero"));
    link.ask(message(1, b"one")).await;
    assert_eq!(peer.frame().await, passed_on(1, b"one"));
}

#[tokio::test]
async fn a_connection_over_which_a_device_is_not_reached_is_closed_when_it_is_used() {
    let (cloud, [new, _]) = cloud_with_pair().await;
    let (mut link, _) = new.resume(&cloud, 0).await;
    let connection = new.connection(&cloud, "new").await;
    assert_eq!(cloud.disconnected(&connection).await, 200);
    link.send(message(0, b"zero")).await;
    assert_eq!(link.next().await, Seen::Text(RelayFrame::Stored { number: 0 }.to_json()));
    link.closed().await;
}
