use vestibule_protocol::endpoint::EnqueueQsMessageRequest;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_test_messages::MessageText;

use super::*;
use crate::client::{Client, Options};
use crate::error::Error;
use crate::fuse::Fuse;
use crate::testing::{Device, KEY_PACKAGES, link};
use crate::transport::Request;

mod following;
mod receiving;
mod sending;

const ALICE: &str = "alice@localhost";
const BOB: &str = "bob@localhost";

/// Alice's first device, her code, and bob's device.
async fn friends() -> (Device, FriendshipCode, Device) {
    let alice = Device::of_today();
    let bob = alice.another();
    alice.service.deployment().tokens.allowance = 1000;
    alice.register(ALICE).await.result.unwrap();
    bob.register(BOB).await.result.unwrap();
    let code = alice.client().friendship_code().unwrap();
    (alice, code, bob)
}

/// Another device of alice's, which can be written to.
async fn another_device(alice: &Device) -> Device {
    let laptop = alice.another();
    link(&laptop, alice, "laptop").await.unwrap();
    laptop
}

/// The messages that were enqueued so far.
fn enqueued(device: &Device) -> Vec<Vec<u8>> {
    let deployment = device.service.deployment();
    let sent = deployment.requests.iter().filter(|request| request.path == "/v1/qs/messages");
    let body = |request: &Request| serde_json::from_slice::<EnqueueQsMessageRequest>(&request.body).unwrap();
    sent.map(|request| body(request).message.0).collect()
}

fn text(text: &str) -> MessageText {
    text.parse().unwrap()
}

/// Sends a text, and gives what was told of it.
async fn send_with(
    from: &Device,
    options: Options,
    code: &FriendshipCode,
    said: &str,
) -> (Option<Sent>, Result<(), Error>) {
    let mut told = None;
    let result = from.client_with(options).send_message(code, text(said), |sent| told = Some(sent.clone())).await;
    (told, result)
}

async fn send(from: &Device, code: &FriendshipCode, said: &str) -> Sent {
    let (told, result) = send_with(from, from.options(), code, said).await;
    result.unwrap();
    told.unwrap()
}

/// What a device receives, and acknowledges.
async fn receive(device: &Device) -> Received {
    let mut client = device.client();
    let received = client.receive().await.unwrap();
    if let Some(sequence) = received.last_sequence {
        client.acknowledge(sequence).unwrap();
    }
    received
}

/// The texts.
fn texts(received: &Received) -> Vec<&str> {
    received.messages.iter().map(|message| message.text.as_str()).collect()
}

#[tokio::test]
async fn what_is_sent_with_a_code_reaches_all_devices_of_its_owner() {
    let (alice, code, bob) = friends().await;
    let laptop = another_device(&alice).await;
    let sent = send(&bob, &code, "hello").await;
    assert_eq!(sent, Sent { to: ALICE.parse().unwrap(), devices: 2, unreachable: 0 });
    for device in [&alice, &laptop] {
        let received = receive(device).await;
        let [message] = &received.messages[..] else { panic!("{received:?}") };
        assert_eq!(message.from, bob.client().status().unwrap().client_id);
        // The first of a queue is a key update.
        assert_eq!((message.text.as_str(), message.sequence), ("hello", 1));
        assert_eq!((received.unreadable, received.has_more), (0, false));
        let nothing = Received { messages: Vec::new(), unreadable: 0, last_sequence: None, has_more: false };
        assert_eq!(receive(device).await, nothing);
    }
    assert_eq!(receive(&bob).await.last_sequence, None);
}

#[tokio::test]
async fn a_user_writes_to_herself_too() {
    let (alice, code, _) = friends().await;
    assert_eq!(send(&alice, &code, "note").await.devices, 1);
    assert_eq!(texts(&receive(&alice).await), ["note"]);
}
