//! Waiting for messages.

use std::future::Future;
use std::task::Poll;

use super::*;
use crate::api::ApiError;
use crate::queuing::listening::{LASTING, LONGEST_WAIT};

/// Alice's device, registered, and its listener.
async fn listening() -> (Device, Listener) {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let listener = listener(&device, device.options());
    (device, listener)
}

fn listener(device: &Device, options: Options) -> Listener {
    Listener::new(&device.client_with(options).session().unwrap()).unwrap()
}

/// Asserts that it is not time to fetch.
async fn assert_waits(listener: &mut Listener) {
    let mut notice = std::pin::pin!(listener.notice());
    let polled = std::future::poll_fn(|context| Poll::Ready(notice.as_mut().poll(context))).await;
    assert!(polled.is_pending(), "{polled:?}");
}

fn connections(device: &Device) -> usize {
    device.service.deployment().queuing.listening.connections
}

#[tokio::test]
async fn it_is_time_to_fetch_at_first_and_at_every_notice() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    for _ in 0..3 {
        assert_waits(&mut listener).await;
        device.notify();
        listener.notice().await.unwrap();
    }
    assert_waits(&mut listener).await;
    assert_eq!(connections(&device), 1);
}

#[tokio::test]
async fn what_is_announced_while_something_is_fetched_is_fetched_once_more() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    for _ in 0..50 {
        device.notify();
    }
    listener.notice().await.unwrap();
    assert_waits(&mut listener).await;
}

#[tokio::test]
async fn whatever_else_is_said_is_passed_over() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    let gateway = r#"{"message": "Forbidden", "connectionId": "a", "requestId": "b"}"#;
    for text in ["", "hello", "{}", r#"{"type": "maintenance"}"#, gateway] {
        device.service.deployment().queuing.listening.say(&device.qs_client_id(), text);
    }
    assert_waits(&mut listener).await;
}

#[tokio::test]
async fn a_connection_that_ends_is_made_again_and_then_it_is_time_to_fetch() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    for round in 2..5 {
        // What came before the end, and whatever came after it, is fetched.
        device.service.deployment().queuing.listening.hang_up();
        listener.notice().await.unwrap();
        assert_eq!(connections(&device), round);
        assert_waits(&mut listener).await;
    }
}

#[tokio::test]
async fn a_notice_right_before_the_end_is_one_all_the_same() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    device.notify();
    device.service.deployment().queuing.listening.hang_up();
    listener.notice().await.unwrap();
    assert_eq!(connections(&device), 1);
    listener.notice().await.unwrap();
    assert_eq!(connections(&device), 2);
}

#[tokio::test]
async fn who_is_replaced_comes_back_ever_later_unless_the_connection_lasted() {
    let (device, _) = listening().await;
    let waiting = Waiting::skipped();
    let mut listener = listener(&device, device.options().waiting(waiting.clone()));
    listener.notice().await.unwrap();
    let ceilings = |waits: &[Duration]| waits.iter().map(Duration::as_millis).max().unwrap_or(0);
    for _ in 0..12 {
        device.service.deployment().queuing.listening.hang_up();
        listener.notice().await.unwrap();
    }
    let waits = waiting.waits();
    assert_eq!(waits.len(), 12, "one before every attempt");
    assert!(ceilings(&waits) > 500, "{waits:?}");
    device.clock.advance(LASTING);
    device.service.deployment().queuing.listening.hang_up();
    listener.notice().await.unwrap();
    assert!(waiting.waits().last().unwrap().as_millis() <= 200);
}

#[tokio::test]
async fn after_a_long_silence_it_is_time_to_fetch_all_the_same() {
    let (device, _) = listening().await;
    let waiting = Waiting::skipped();
    let mut listener = listener(&device, device.options().waiting(waiting.clone()));
    listener.notice().await.unwrap();
    for _ in 0..2 {
        device.clock.advance(LONGEST_WAIT - Duration::from_secs(1));
        assert_waits(&mut listener).await;
        device.clock.advance(Duration::from_secs(1));
        listener.notice().await.unwrap();
    }
    assert_eq!(connections(&device), 1);
}

#[tokio::test]
async fn a_service_that_was_there_once_is_sought_until_it_is_there_again() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    {
        let listening = &mut device.service.deployment().queuing.listening;
        listening.hang_up();
        listening.failing_connects = 40;
    }
    listener.notice().await.unwrap();
    assert_eq!(connections(&device), 2);
}

#[tokio::test]
async fn a_service_that_was_never_there_is_given_up() {
    let (device, mut listener) = listening().await;
    device.service.deployment().queuing.listening.failing_connects = 5;
    let error = listener.notice().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no connection to wss://listen.example.org/v1, where new messages are announced: unplugged"
    );
    assert_eq!(error.urn(), "urn:vestibule:client:server-unreachable");
    listener.notice().await.unwrap();
}

#[tokio::test]
async fn the_first_refusal_is_a_reason_to_fetch_and_the_next_an_error() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    {
        let listening = &mut device.service.deployment().queuing.listening;
        listening.hang_up();
        listening.refusal = Some(403);
    }
    listener.notice().await.unwrap();
    let error = listener.notice().await.unwrap_err();
    assert!(matches!(error, Error::Listening(ListeningError::Refused(403))));
    assert_eq!(error.urn(), "urn:vestibule:client:listening-refused");
    device.service.deployment().queuing.listening.refusal = None;
    listener.notice().await.unwrap();
    assert_eq!(connections(&device), 2);
}

#[tokio::test]
async fn who_was_deleted_at_the_queuing_service_is_not_let_in() {
    let (device, mut listener) = listening().await;
    device.service.deployment().queuing.clients.clear();
    listener.notice().await.unwrap();
    assert!(matches!(listener.notice().await, Err(Error::Listening(ListeningError::Refused(404)))));
}

#[tokio::test]
async fn a_service_that_says_come_back_later_is_not_one_that_refuses() {
    let (device, mut listener) = listening().await;
    device.service.deployment().queuing.listening.refusal = Some(503);
    let error = listener.notice().await.unwrap_err();
    assert!(matches!(error, Error::Listening(ListeningError::Unreachable { .. })), "{error}");
}

#[tokio::test]
async fn nobody_listens_without_tls_at_another_computer() {
    let (device, mut listener) = listening().await;
    for url in ["ws://listen.example.org/v1", "https://listen.example.org/v1", ""] {
        device.service.deployment().queuing.listening.url = url.to_owned();
        let error = listener.notice().await.unwrap_err();
        assert!(matches!(error, Error::Listening(ListeningError::Url)), "{url}");
        assert_eq!(error.urn(), "urn:vestibule:client:server-answer-refused");
    }
}

#[tokio::test]
async fn a_service_that_moves_is_found() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    {
        let listening = &mut device.service.deployment().queuing.listening;
        listening.hang_up();
        listening.refusal = Some(410);
    }
    listener.notice().await.unwrap();
    {
        let listening = &mut device.service.deployment().queuing.listening;
        (listening.url, listening.refusal) = ("wss://elsewhere.example.org/v1".to_owned(), None);
    }
    listener.notice().await.unwrap();
    assert_eq!(connections(&device), 2);
}

#[tokio::test]
async fn where_to_listen_is_asked_for_without_saying_who_asks() {
    let (device, mut listener) = listening().await;
    let before = device.service.deployment().requests.len();
    listener.notice().await.unwrap();
    let deployment = device.service.deployment();
    let [request] = &deployment.requests[before..] else { panic!("one request is enough") };
    assert_eq!((request.method, request.path.as_str()), (Method::Get, "/v1/qs/keys"));
    assert!(!request.headers.iter().any(|(name, _)| name.starts_with("signature")));
}

#[tokio::test]
async fn an_answer_that_fails_is_an_error_at_first_and_later_a_reason_to_wait() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let failing = std::sync::Arc::new(Mutex::new(5));
    let options = device.instead({
        let failing = failing.clone();
        move |request: &Request| {
            let failing = &mut *failing.lock().unwrap();
            let is_hit = *failing > 0 && request.path == "/v1/qs/keys";
            *failing -= usize::from(is_hit);
            is_hit.then(|| Err(TransportError("unplugged".to_owned())))
        }
    });
    let mut listener = listener(&device, options);
    assert!(matches!(listener.notice().await, Err(Error::Api(ApiError::Unreachable { .. }))));
    listener.notice().await.unwrap();
    *failing.lock().unwrap() = 23;
    {
        let listening = &mut device.service.deployment().queuing.listening;
        listening.hang_up();
        listening.failing_connects = 1;
    }
    listener.notice().await.unwrap();
    assert_eq!((connections(&device), *failing.lock().unwrap()), (2, 0));
}

#[tokio::test]
async fn a_device_without_a_queue_cannot_listen() {
    let device = Device::new();
    let options = device.instead(|request: &Request| {
        (request.path == "/v1/qs/users").then(|| Err(TransportError("unplugged".to_owned())))
    });
    device.register_with(ALICE, options).await.result.unwrap_err();
    let client = device.client();
    let session = client.session().unwrap();
    assert!(matches!(Listener::new(&session), Err(Error::RegistrationUnderWay(_))));
}

#[tokio::test]
async fn the_request_is_signed_anew_for_every_connection() {
    let (device, mut listener) = listening().await;
    listener.notice().await.unwrap();
    // The fake service checks that the request is of this moment.
    device.clock.advance(Duration::from_secs(6 * 60));
    device.service.deployment().queuing.listening.hang_up();
    listener.notice().await.unwrap();
    assert_eq!(connections(&device), 2);
}
