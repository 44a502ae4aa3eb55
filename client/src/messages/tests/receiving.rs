//! Receiving, interrupted and with things in the queue that should not be there.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_protocol::add_package::AddPackage;
use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::limits::{MAX_QUEUE_MESSAGE_LENGTH, QUEUE_PAGE_LENGTH};
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::DAY;

use super::*;
use crate::testing::replacing;
use crate::transport::Response;

/// Puts something into a device's queue as whoever has its queue config could.
fn put(device: &Device, content: &[u8]) {
    let id = device.qs_client_id();
    device.service.deployment().queues.put(&id, content, &mut StdRng::seed_from_u64(5));
}

#[tokio::test]
async fn wherever_receiving_is_stopped_nothing_is_lost_and_nothing_comes_twice() {
    let (alice, code, bob) = friends().await;
    for breath in 0.. {
        let said = format!("hello {breath}");
        send(&bob, &code, &said).await;
        let mut client = alice.client_with(alice.options().fuse(Fuse::after(breath)));
        let first = client.receive().await;
        let acknowledged = match &first {
            Ok(received) => client.acknowledge(received.last_sequence.unwrap()),
            Err(error) => {
                assert!(error.is_stopped(), "{error}");
                Ok(())
            }
        };
        drop(client);
        let again = receive(&alice).await;
        assert_eq!(again.unreadable, 0, "stopped at {breath}");
        match &first {
            Err(_) => assert_eq!(texts(&again), [said.as_str()], "stopped at {breath}"),
            Ok(first) => {
                assert_eq!(texts(first), [said.as_str()], "stopped at {breath}");
                // It died while it acknowledged: the message comes again under its number, or not.
                assert!(again.messages.is_empty() || (again == *first && acknowledged.is_err()));
            }
        }
        assert_eq!(receive(&alice).await.last_sequence, None);
        if first.is_ok() && acknowledged.is_ok() {
            assert!(breath > 10, "there are places to stop at");
            return;
        }
        // Fresh packages, so that it is an ordinary one every time.
        alice.client().refill_key_packages().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_is_given_again_until_it_is_acknowledged() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "first").await;
    let first = alice.client().receive().await.unwrap();
    send(&bob, &code, "second").await;
    let both = alice.client().receive().await.unwrap();
    assert_eq!(texts(&both), ["first", "second"]);
    assert_eq!(both.messages[0], first.messages[0]);
    alice.client().acknowledge(first.last_sequence.unwrap()).unwrap();
    let second = alice.client().receive().await.unwrap();
    assert_eq!(second.messages[..], both.messages[1..]);
}

#[tokio::test]
async fn what_is_kept_is_acknowledged_to_the_service_at_once() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    let id = alice.qs_client_id();
    assert_eq!(alice.service.deployment().queues.waiting(&id), 2);
    alice.client().receive().await.unwrap();
    assert_eq!(alice.service.deployment().queues.waiting(&id), 0);
}

#[tokio::test]
async fn the_private_part_of_a_package_goes_once_it_has_opened_a_message_unless_it_is_of_last_resort() {
    let (alice, code, bob) = friends().await;
    let references: Vec<_> =
        alice.published().1.iter().map(|package| AddPackage::from_bytes(&package.0).unwrap().reference()).collect();
    let is_kept = |index: usize| alice.client().private_key_package(&references[index]).unwrap().is_some();
    send(&bob, &code, "first").await;
    assert!(is_kept(0), "it was claimed and not used");
    receive(&alice).await;
    assert!(!is_kept(0) && is_kept(1));
    for said in ["second", "with the last resort", "again"] {
        send(&bob, &code, said).await;
    }
    assert_eq!(texts(&receive(&alice).await), ["second", "with the last resort", "again"]);
    assert!(!is_kept(1) && is_kept(KEY_PACKAGES));
}

#[tokio::test]
async fn two_senders_may_have_the_same_last_resort_package() {
    let (alice, code, bob) = friends().await;
    let carol = alice.another();
    carol.register("carol@localhost").await.result.unwrap();
    alice.use_up(KEY_PACKAGES);
    send(&bob, &code, "from bob").await;
    send(&carol, &code, "from carol").await;
    let received = receive(&alice).await;
    let names: Vec<_> = received.messages.iter().map(|message| message.from.user_name.as_str()).collect();
    assert_eq!((texts(&received), names), (vec!["from bob", "from carol"], vec![BOB, "carol@localhost"]));
}

#[tokio::test]
async fn a_message_that_somebody_puts_into_the_queue_again_is_not_given_again() {
    let (alice, code, bob) = friends().await;
    for is_last_resort in [false, true] {
        send(&bob, &code, "hello").await;
        let message = enqueued(&alice).pop().unwrap();
        put(&alice, &message);
        let received = receive(&alice).await;
        assert_eq!((texts(&received), received.unreadable), (vec!["hello"], 1), "last resort: {is_last_resort}");
        put(&alice, &message);
        let received = receive(&alice).await;
        assert_eq!((texts(&received), received.unreadable), (vec![], 1), "last resort: {is_last_resort}");
        alice.use_up(alice.published().1.len() - 1);
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_counted_and_in_nobodys_way() {
    let (alice, code, bob) = friends().await;
    put(&alice, b"");
    put(&alice, &[7; MAX_QUEUE_MESSAGE_LENGTH]);
    send(&bob, &code, "hello").await;
    let message = enqueued(&alice).pop().unwrap();
    let damaged = [&message[..message.len() - 1], &[message[message.len() - 1] ^ 1]].concat();
    put(&alice, &damaged);
    put(&alice, &message[..100]);
    let received = alice.client().receive().await.unwrap();
    assert_eq!((texts(&received), received.unreadable), (vec!["hello"], 4));
    assert_eq!(receive(&alice).await, received);
    assert_eq!(receive(&alice).await.unreadable, 0);
}

#[tokio::test]
async fn a_package_that_was_used_in_vain_still_opens_the_message_it_was_claimed_for() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    let message = enqueued(&alice).pop().unwrap();
    let mut damaged = message.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let id = alice.qs_client_id();
    // Whoever carries the message gets in front of it.
    alice.service.deployment().queues.put(&id, &damaged, &mut StdRng::seed_from_u64(5));
    put(&alice, &message);
    let received = receive(&alice).await;
    assert_eq!((texts(&received), received.unreadable), (vec!["hello"], 2));
}

#[tokio::test]
async fn a_sender_who_was_revoked_is_not_believed() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    let account = bob.account();
    let credential = account.client_credential().unwrap();
    let intermediate = alice.service.deployment().intermediate.clone();
    let credential = Unverified::<ClientCredentialPayload>::from_bytes(&credential.0).unwrap();
    let fingerprint = credential.verify(&intermediate.payload().verifying_key).unwrap().fingerprint();
    let revoked = json!([Bytes(fingerprint.as_bytes().to_vec())]);
    let options = alice.through(replacing("/v1/as/credentials", "revoked_fingerprints", revoked));
    let received = alice.client_with(options).receive().await.unwrap();
    assert_eq!((texts(&received), received.unreadable), (vec![], 1));
}

#[tokio::test]
async fn who_was_away_until_the_packages_had_expired_still_reads() {
    let (alice, code, bob) = friends().await;
    // The sender's credential, and what it signs, lasts for as long as that: 84 days at most.
    send(&bob, &code, "hello").await;
    alice.clock.advance(83 * DAY);
    assert_eq!(texts(&receive(&alice).await), ["hello"]);
}

#[tokio::test]
async fn a_service_that_keeps_something_back_is_noticed_and_nothing_is_lost() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "first").await;
    send(&bob, &code, "second").await;
    let keeping_back = |request: &Request, mut response: Response| {
        if request.path.contains("/messages?") {
            let mut body: Value = serde_json::from_slice(&response.body).unwrap();
            body["messages"].as_array_mut().unwrap().remove(1);
            response.body = serde_json::to_vec(&body).unwrap();
        }
        Ok(response)
    };
    let error = alice.client_with(alice.through(keeping_back)).receive().await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:queue-unreadable");
    assert_eq!(texts(&receive(&alice).await), ["first", "second"]);
}

#[tokio::test]
async fn senders_are_judged_before_anything_is_acknowledged() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    let unplugged = |request: &Request| {
        (request.path == "/v1/as/credentials").then(|| Err(crate::transport::TransportError("unplugged".into())))
    };
    let error = alice.client_with(alice.instead(unplugged)).receive().await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:server-unreachable");
    assert_eq!(alice.service.deployment().queues.waiting(&alice.qs_client_id()), 2);
    assert_eq!(texts(&receive(&alice).await), ["hello"]);
}

#[tokio::test]
async fn no_more_is_fetched_than_an_application_may_forget() {
    let (alice, code, bob) = friends().await;
    for _ in 0..2 * QUEUE_PAGE_LENGTH {
        put(&alice, b"garbage");
    }
    send(&bob, &code, "hello").await;
    let first = alice.client().receive().await.unwrap();
    assert!(first.has_more && first.messages.is_empty(), "{} unreadable", first.unreadable);
    alice.service.deployment().requests.clear();
    assert_eq!(alice.client().receive().await.unwrap(), first);
    assert!(alice.service.deployment().requests.is_empty(), "it is full");
    let mut unreadable = 0;
    loop {
        let received = receive(&alice).await;
        unreadable += received.unreadable;
        if !received.has_more {
            assert_eq!((texts(&received), unreadable), (vec!["hello"], 2 * QUEUE_PAGE_LENGTH));
            return;
        }
    }
}

#[tokio::test]
async fn the_keys_that_the_queue_was_created_with_are_forgotten() {
    let (alice, code, bob) = friends().await;
    assert!(alice.account().pseudonym.unwrap().queue.is_some());
    send(&bob, &code, "hello").await;
    receive(&alice).await;
    assert!(alice.account().pseudonym.unwrap().queue.is_none());
    std::fs::remove_file(alice.home.path().join("inbox")).unwrap();
    let error = alice.client().receive().await.unwrap_err();
    assert!(matches!(error, Error::InboxMissing), "{error}");
}

#[tokio::test]
async fn a_device_whose_queue_is_gone_receives_nothing() {
    let (alice, code, bob) = friends().await;
    send(&bob, &code, "hello").await;
    alice.service.deployment().queues.remove(&alice.qs_client_id());
    let error = alice.client().receive().await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:problem:queue-unknown");
}
