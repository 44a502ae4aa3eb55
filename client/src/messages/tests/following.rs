//! Following a queue.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::testing::FakeService;
use crate::transport::{Request, TransportError};

/// A client's transport for WebSockets, too.
fn listening(device: &Device, options: Options) -> Options {
    let transport: std::sync::Arc<FakeService> = device.service.clone();
    options.relay_transport(transport)
}

/// What a client receives until `wanted` texts are there; meanwhile, `others` go on.
async fn follow_until(client: &mut Client, wanted: usize, others: impl Future<Output = ()>) -> Vec<String> {
    let (taken, mut arrived) = mpsc::unbounded_channel();
    let take = |received: &Received| {
        received.messages.iter().for_each(|message| taken.send(message.text.as_str().to_owned()).unwrap());
        Ok::<_, Error>(())
    };
    let mut seen = Vec::new();
    let waiting = async {
        let arriving = async {
            while seen.len() < wanted {
                seen.push(arrived.recv().await.unwrap());
            }
        };
        tokio::join!(arriving, others);
    };
    tokio::select! {
        Err(error) = client.follow(take) => panic!("{error}"),
        () = waiting => {}
    }
    seen
}

#[tokio::test]
async fn who_follows_gets_what_waits_and_what_comes() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "before").await;
    let mut client = alice.client_with(listening(&alice, alice.options()));
    let seen = follow_until(&mut client, 3, async {
        send(&bob, &code, "meanwhile").await;
        alice.service.deployment().queuing.listening.hang_up();
        send(&bob, &code, "while nobody listened").await;
    });
    assert_eq!(seen.await, ["before", "meanwhile", "while nobody listened"]);
}

#[tokio::test]
async fn an_outage_does_not_end_the_following() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "before").await;
    let fetches = AtomicUsize::new(0);
    let unplugged = move |request: &Request| {
        let is_fetch = request.path.contains("/messages?");
        let is_out = is_fetch && (3..20).contains(&fetches.fetch_add(1, Ordering::SeqCst));
        is_out.then(|| Err(TransportError("unplugged".into())))
    };
    let mut client = alice.client_with(listening(&alice, alice.instead(unplugged)));
    let seen = follow_until(&mut client, 2, async {
        send(&bob, &code, "after").await;
    });
    assert_eq!(seen.await, ["before", "after"]);
}

#[tokio::test]
async fn what_was_not_taken_care_of_is_not_acknowledged() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    let mut client = alice.client_with(listening(&alice, alice.options()));
    let refused = AtomicUsize::new(0);
    let take = |_: &Received| {
        refused.fetch_add(1, Ordering::SeqCst);
        Err(Error::NobodyToAsk)
    };
    assert!(matches!(client.follow(take).await, Err(Error::NobodyToAsk)));
    drop(client);
    assert_eq!(refused.into_inner(), 1);
    assert_eq!(texts(&receive(&alice).await), ["hello"]);
}

#[tokio::test]
async fn who_never_could_reach_the_server_is_told() {
    let (alice, ..) = friends().await;
    let unplugged =
        |request: &Request| request.path.contains("/messages?").then(|| Err(TransportError("unplugged".into())));
    let mut client = alice.client_with(listening(&alice, alice.instead(unplugged)));
    let error = client.follow(|_| Ok::<_, Error>(())).await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:server-unreachable");
}
