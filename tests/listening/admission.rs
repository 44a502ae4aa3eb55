//! Who may listen, and until when.

use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::limits::CLOCK_TOLERANCE;
use vestibule_protocol::queuing::ListenRequest;
use vestibule_protocol::time::{DAY, MONTH};
use vestibule_tests::listening::Ear;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Pseudonym, TestCloud, left_out_in_processes};

use super::alice;

/// Asserts that this header lets nobody in and changes nothing.
async fn assert_refused(cloud: &TestCloud, header: &str, status: u16, why: &str) {
    let before = cloud.state().await;
    assert_eq!(Ear::open(cloud, header).await.err(), Some(status), "{why}");
    assert_eq!(cloud.state().await, before, "{why}");
}

#[tokio::test]
async fn only_the_key_of_the_clients_record_lets_in() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let laptop = alice.add(&cloud, 2).await;
    let stranger = Pseudonym::new(&cloud, "bob@localhost", 3).await;
    let header = alice.listen_header(&cloud);
    let request = header.strip_prefix("vestibule.listen.1, ").unwrap().to_owned();
    let (beginning, end) = header.split_at(header.len() - 40);
    let altered = format!("{beginning}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
    let (of_laptop, of_nobody) = (&laptop.client_record_key, SigningKey::generate(&mut alice.rng));
    for (header, status, why) in [
        ("vestibule.listen.1".to_owned(), 400, "nothing is shown"),
        ("chat".to_owned(), 400, "another protocol"),
        (request.clone(), 400, "the protocol is not asked for"),
        (format!("vestibule.relay.1, {request}"), 400, "that of the relay is asked for"),
        (format!("{header}, {request}"), 400, "two requests"),
        (header[..header.len() - 8].to_owned(), 400, "truncated"),
        (format!("{header}AAAA"), 400, "with something behind it"),
        (altered, 401, "another signature"),
        (alice.listen_header_with(&cloud, of_laptop), 401, "signed by another client of the user"),
        (alice.listen_header_with(&cloud, &of_nobody), 401, "signed by nobody"),
        (stranger.listen_header(&cloud), 404, "a client that there is not"),
    ] {
        assert_refused(&cloud, &header, status, why).await;
    }
    Ear::open(&cloud, &header).await.unwrap();
}

#[tokio::test]
async fn a_request_is_for_one_deployment_and_some_minutes() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let (id, key) = (alice.qs_client_id(), &alice.client_record_key);
    let elsewhere = ListenRequest::issue("example.org".parse().unwrap(), id, cloud.now(), key).to_subprotocols();
    assert_refused(&cloud, &elsewhere, 401, "another deployment").await;
    let tomorrow = ListenRequest::issue(cloud.domain(), id, cloud.now().saturating_add(DAY), key).to_subprotocols();
    assert_refused(&cloud, &tomorrow, 401, "of the future").await;
    let header = alice.listen_header(&cloud);
    cloud.cloud.clock().advance(CLOCK_TOLERANCE);
    drop(Ear::open(&cloud, &header).await.unwrap());
    cloud.cloud.clock().advance(std::time::Duration::from_secs(1));
    assert_eq!(Ear::open(&cloud, &header).await.err(), Some(401));
}

#[tokio::test]
async fn a_request_that_is_refused_for_its_form_or_time_costs_no_call() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let old = alice.listen_header(&cloud);
    cloud.cloud.clock().advance(2 * CLOCK_TOLERANCE);
    cloud.cloud.forget_calls();
    for header in [old.as_str(), "vestibule.listen.1"] {
        Ear::open(&cloud, header).await.err().unwrap();
    }
    assert!(cloud.cloud.calls().is_empty());
}

#[tokio::test]
async fn whoever_listens_anew_takes_the_place_of_the_former_connection() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut former = alice.listen(&cloud).await;
    let former_connection = alice.listener(&cloud).await.unwrap();
    let mut ear = alice.listen(&cloud).await;
    former.closed().await;
    let connection = alice.listener(&cloud).await.unwrap();
    assert_ne!(connection, former_connection);
    // Its end, said late or twice, is not the end of the later one.
    for _ in 0..2 {
        assert_eq!(cloud.unlistened(&former_connection).await, 200);
    }
    assert_eq!(alice.listener(&cloud).await, Some(connection));
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
}

#[tokio::test]
async fn another_key_of_the_client_ends_the_listening_with_the_one_before() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    let key = SigningKey::generate(&mut alice.rng);
    let call = alice.client_updating_call(&cloud, 1, &key, None);
    assert_eq!(cloud.send(&call).await.status, 200);
    assert_eq!(alice.listener(&cloud).await, None);
    // Queue configs that the key before has signed still lead to the queue.
    alice.receive(&cloud, [b"not announced to a thief".to_vec()]).await;
    ear.assert_nothing_came().await;
    assert_refused(&cloud, &alice.listen_header(&cloud), 401, "the key before").await;

    let header = alice.listen_header_with(&cloud, &key);
    let mut ear = Ear::open(&cloud, &header).await.unwrap();
    alice.receive(&cloud, [b"announced".to_vec()]).await;
    ear.notice().await;
    // The same update again, signed by the key before, ends nothing.
    assert_eq!(cloud.send(&call).await.status, 200);
    alice.receive(&cloud, [b"announced, too".to_vec()]).await;
    ear.notice().await;
}

#[tokio::test]
async fn a_new_push_token_alone_ends_no_listening() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut ear = alice.listen(&cloud).await;
    let key = vestibule_tests::copy(&alice.client_record_key);
    assert_eq!(cloud.send(&alice.client_updating_call(&cloud, 1, &key, None)).await.status, 200);
    alice.receive(&cloud, [b"hello".to_vec()]).await;
    ear.notice().await;
}

#[tokio::test]
async fn a_client_that_is_deleted_is_told_nothing_and_cannot_listen() {
    let cloud = TestCloud::start().await;
    let phone = alice(&cloud).await;
    let mut laptop = phone.add(&cloud, 2).await;
    let mut ear = laptop.listen(&cloud).await;
    let connection = laptop.listener(&cloud).await.unwrap();
    let call = sending_call(&laptop.queue_config(), b"hello");
    assert_eq!(cloud.send(&laptop.client_deleting_call(&cloud)).await.status, 200);
    assert_eq!(cloud.send(&call).await.status, 404);
    ear.assert_nothing_came().await;
    assert_refused(&cloud, &laptop.listen_header(&cloud), 404, "deleted").await;
    // The end of its connection brings nothing of the queue back, and nor does that of one that nobody knows.
    for connection in [connection.as_str(), connection.as_str(), "unknown"] {
        assert_eq!(cloud.unlistened(connection).await, 200);
    }
    assert!(cloud.listening_connections().await.is_empty());
    assert_eq!(laptop.listener(&cloud).await, None);
    let queues = cloud.cloud.items("QsQueueTable").await.unwrap();
    assert!(queues.iter().all(|item| item["pk"]["S"] != format!("CLIENT#{}", laptop.qs_client_id())));

    let mut ear = phone.listen(&cloud).await;
    assert_eq!(cloud.send(&phone.user_deleting_call(&cloud)).await.status, 200);
    ear.assert_nothing_came().await;
    assert_refused(&cloud, &phone.listen_header(&cloud), 404, "the user is deleted").await;
}

#[tokio::test]
async fn nobody_listens_to_a_queue_that_has_expired() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    cloud.cloud.clock().advance(MONTH + 90 * DAY);
    assert_refused(&cloud, &alice.listen_header(&cloud), 404, "expired").await;
}
