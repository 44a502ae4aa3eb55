//! Sending, interrupted and refused.

use tls_codec::Serialize as _;
use vestibule_protocol::limits::ENQUEUE_MEMORY;
use vestibule_protocol::time::DAY;

use super::*;
use crate::transport::{Request, TransportError};

fn is_enqueue(request: &Request) -> bool {
    request.path == "/v1/qs/messages"
}

/// Loses the requests to enqueue.
fn unplugged(bob: &Device) -> Options {
    bob.instead(|request| is_enqueue(request).then(|| Err(TransportError("unplugged".into()))))
}

#[tokio::test]
async fn wherever_sending_is_stopped_the_same_call_again_gets_it_to_every_device_once() {
    let (alice, code, bob) = friends().await;
    let laptop = another_device(&alice).await;
    for breath in 0.. {
        let said = format!("hello {breath}");
        let (mut told, stopped) = send_with(&bob, bob.options().fuse(Fuse::after(breath)), &code, &said).await;
        let is_over = stopped.is_ok();
        if let Err(error) = stopped {
            assert!(error.is_stopped(), "stopped at {breath}: {error}");
        }
        if told.is_none() {
            told = Some(send(&bob, &code, &said).await);
        }
        assert_eq!(told.unwrap().devices, 2, "stopped at {breath}");
        for device in [&alice, &laptop] {
            assert_eq!(texts(&receive(device).await), [said.as_str()], "stopped at {breath}");
        }
        if is_over {
            assert!(breath > 20, "there are places to stop at");
            return;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_with_the_same_bytes() {
    let (alice, code, bob) = friends().await;
    let losing = |request: &Request, response| {
        if is_enqueue(request) { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    let (told, result) = send_with(&bob, bob.through(losing), &code, "hello").await;
    assert!(told.is_none() && result.unwrap_err().to_string().contains("lost"));
    assert_eq!(send(&bob, &code, "hello").await.devices, 1);
    {
        let deployment = alice.service.deployment();
        let mut bodies: Vec<_> = deployment.requests.iter().filter(|request| is_enqueue(request)).collect();
        assert!(bodies.len() > 1);
        bodies.dedup_by(|left, right| left.body == right.body);
        assert_eq!(bodies.len(), 1);
    }
    assert_eq!(texts(&receive(&alice).await), ["hello"]);
}

#[tokio::test]
async fn the_same_text_may_be_sent_again() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    send(&bob, &code, "hello").await;
    assert_eq!(texts(&receive(&alice).await), ["hello", "hello"]);
}

#[tokio::test]
async fn a_message_that_was_interrupted_goes_before_the_next() {
    let (alice, code, bob) = friends().await;
    send_with(&bob, unplugged(&bob), &code, "first").await.1.unwrap_err();
    send(&bob, &code, "second").await;
    assert_eq!(texts(&receive(&alice).await), ["first", "second"]);
    send(&bob, &code, "second").await;
    assert_eq!(texts(&receive(&alice).await), ["second"]);
}

#[tokio::test]
async fn a_message_that_was_interrupted_a_day_ago_is_not_sent_any_more() {
    let (alice, code, bob) = friends().await;
    send_with(&bob, unplugged(&bob), &code, "first").await.1.unwrap_err();
    bob.clock.advance(ENQUEUE_MEMORY);
    send(&bob, &code, "second").await;
    assert_eq!(texts(&receive(&alice).await), ["second"]);
}

#[tokio::test]
async fn a_device_whose_queue_is_gone_is_passed_over_and_said() {
    let (alice, code, bob) = friends().await;
    let laptop = another_device(&alice).await;
    alice.service.deployment().queues.remove(&laptop.qs_client_id());
    let sent = send(&bob, &code, "hello").await;
    assert_eq!((sent.devices, sent.unreachable), (1, 1));
    assert_eq!(texts(&receive(&alice).await), ["hello"]);

    alice.service.deployment().queues.remove(&alice.qs_client_id());
    let (told, result) = send_with(&bob, bob.options(), &code, "hello").await;
    let error = result.unwrap_err();
    assert!(told.is_none());
    assert_eq!(error.urn(), "urn:vestibule:client:undeliverable");
    assert!(bob.client().session().unwrap().home.load_outbox().unwrap().is_none(), "there is nothing to go on with");
}

#[tokio::test]
async fn each_device_costs_a_token_and_nothing_says_who_pays() {
    let (alice, code, bob) = friends().await;
    another_device(&alice).await;
    let client_id = bob.client().status().unwrap().client_id;
    let before = bob.client().refill_tokens().await.unwrap().available;
    alice.service.deployment().requests.clear();
    send(&bob, &code, "a very secret text").await;
    assert_eq!(bob.client().tokens().unwrap().available, before - 3, "the claim costs one too");
    let deployment = alice.service.deployment();
    let sent: Vec<_> = deployment.requests.iter().filter(|request| is_enqueue(request)).collect();
    let tokens: Vec<_> =
        sent.iter().flat_map(|request| request.headers.iter().filter(|(name, _)| *name == "authorization")).collect();
    assert_eq!((sent.len(), tokens.len()), (2, 2));
    assert_ne!(tokens[0], tokens[1]);
    let identifiers =
        [BOB, ALICE, &client_id.uuid.to_string(), &bob.qs_client_id(), "a very secret text"].map(str::to_owned);
    for request in deployment.requests.iter().filter(|request| request.path.starts_with("/v1/qs/")) {
        assert!(request.headers.iter().all(|(name, _)| *name != "signature"));
        let said = format!("{} {:?} {}", request.path, request.headers, String::from_utf8_lossy(&request.body));
        assert!(!identifiers.iter().any(|identifier| said.contains(identifier)), "{said}");
    }
    drop(deployment);
    let uuid = client_id.uuid.tls_serialize_detached().unwrap();
    for message in enqueued(&alice) {
        let is_in =
            |identifier: &String| message.windows(identifier.len()).any(|window| window == identifier.as_bytes());
        assert!(!identifiers.iter().any(is_in));
        assert!(!message.windows(16).any(|window| window == uuid));
    }
}

#[tokio::test]
async fn who_cannot_send_wastes_no_packages() {
    let (alice, code, bob) = friends().await;
    bob.clock.advance(91 * DAY);
    let (_, result) = send_with(&bob, bob.options(), &code, "hello").await;
    assert_eq!(result.unwrap_err().urn(), "urn:vestibule:client:own-credential-unusable");
    assert_eq!(alice.published().1.len(), KEY_PACKAGES + 1);
}

#[tokio::test]
async fn a_device_that_is_not_at_the_queuing_service_sends_nothing() {
    let (alice, code, _) = friends().await;
    let nobody = alice.another();
    let (_, result) = send_with(&nobody, nobody.options(), &code, "hello").await;
    assert!(matches!(result, Err(Error::NotRegistered)));
}
