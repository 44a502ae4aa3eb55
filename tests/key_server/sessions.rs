//! A session is one login and one request, for one user, for sixty seconds.

use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{OpenSessionRequest, SessionPath, UseSession};
use vestibule_protocol::key_server::{ReadAuditLog, Request, RetrieveStorageKey, SessionId, SessionKind, StorageKey};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{
    Call, KeyServerUser, TestCloud, all_at_once, altered_use, json_body, left_out_in_processes, opening_call, response,
};

async fn alice(cloud: &TestCloud) -> KeyServerUser {
    let mut alice = KeyServerUser::new(cloud, "alice@localhost", 1).await;
    alice.complete(cloud).await;
    alice
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_for_sixty_seconds() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let first = cloud.send(&call).await;
    assert_eq!(first.status, 200);
    let state = cloud.state().await;
    for wait in [0, 30, 29] {
        cloud.cloud.clock().advance(Duration::from_secs(wait));
        assert_eq!(cloud.send(&call).await, first);
    }
    cloud.cloud.clock().advance(Duration::from_secs(1));
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::SessionUnknown);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn a_session_that_was_not_used_in_time_is_over() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let state = cloud.state().await;
    cloud.cloud.clock().advance(Duration::from_secs(60));
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::SessionUnknown);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn any_other_second_request_is_refused() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    assert_eq!(cloud.send(&call).await.status, 200);
    let state = cloud.state().await;
    let (_, other) = alice.open::<Request>(&cloud).await.send(ReadAuditLog { before: None });
    let crossed = Call { path: call.path.clone(), ..other };
    let altered = altered_use(&call, |request| request.sealed_request.0[0] ^= 1);
    // The same JSON with a space before it is another request.
    let spaced = Call { body: [b" ".as_slice(), &call.body].concat(), ..call.clone() };
    for call in [crossed, altered, spaced] {
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::SessionUsed);
    }
    super::assert_a_session_was_opened(&cloud, &state).await;
}

#[tokio::test]
async fn nothing_of_a_session_that_was_used_opens_its_channel() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let path = call.path.strip_prefix("/v1/ks/sessions/").unwrap().to_owned();
    assert_eq!(cloud.send(&call).await.status, 200);
    let items = cloud.cloud.items("KsSessionTable").await.unwrap();
    let used = items.iter().find(|item| item["sk"]["S"] == format!("SESSION#{path}")).unwrap();
    assert!(used.get("sealed_session").is_none() && used.get("sealed_response").is_some(), "{used}");
}

#[tokio::test]
async fn a_session_that_was_copied_to_another_user_is_unknown() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut mallory = KeyServerUser::new(&cloud, "mallory@localhost", 2).await;
    mallory.complete(&cloud).await;
    let (_, call) = mallory.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let id = call.path.strip_prefix("/v1/ks/sessions/").unwrap().to_owned();
    let items = cloud.cloud.items("KsSessionTable").await.unwrap();
    let mut item = items.into_iter().find(|item| item["sk"]["S"] == format!("SESSION#{id}")).unwrap();
    item["pk"]["S"] = format!("USER#{}", alice.user_name()).into();
    cloud.cloud.put_item("KsSessionTable", item).await.unwrap();
    let name = alice.user_name();
    let as_alice = altered_use(&call, |request| request.user_name = name);
    let state = cloud.state().await;
    assert_eq!(cloud.send(&as_alice).await.problem(), ProblemType::SessionUnknown);
    assert_eq!(cloud.state().await, state);
    assert!(alice.retrieve_with(&cloud, KeyServerUser::PASSWORD).await.is_some());
}

#[tokio::test]
async fn a_wrong_session_or_another_users_is_unknown() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut bob = KeyServerUser::new(&cloud, "bob@localhost", 2).await;
    bob.complete(&cloud).await;
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let (_, bobs_call) = bob.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let state = cloud.state().await;

    let elsewhere = SessionPath { session_id: SessionId::generate(alice.rng()) };
    let wrong_session = Call { path: Call::new::<UseSession>(&elsewhere, Vec::new()).path, ..call.clone() };
    let bobs_name = bob.user_name();
    let as_bob = altered_use(&call, |request| request.user_name = bobs_name);
    let over_bobs = Call { path: bobs_call.path.clone(), ..call.clone() };
    let nobody = altered_use(&call, |request| request.user_name = "nobody@localhost".parse().unwrap());
    for call in [wrong_session, as_bob, over_bobs, nobody] {
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::SessionUnknown);
    }
    for path in ["/v1/ks/sessions/AA", "/v1/ks/sessions/not-a-session", "/v1/ks/sessions/AAAAAAAAAAAAAAAAAAAAAA%3D"] {
        let malformed = Call { path: path.to_owned(), ..call.clone() };
        assert_eq!(cloud.send(&malformed).await.problem(), ProblemType::InvalidSessionId, "{path}");
    }
    assert_eq!(cloud.state().await, state);
    assert_eq!(cloud.send(&call).await.status, 200, "none of it used the session up");
}

#[tokio::test]
async fn what_was_altered_or_sealed_for_another_session_is_refused() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let (_, other) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
    let other: vestibule_protocol::endpoint::UseSessionRequest = serde_json::from_slice(&other.body).unwrap();
    let state = cloud.state().await;
    let attempts = [
        (altered_use(&call, |request| request.sealed_request.0[0] ^= 1), ProblemType::SessionRequestInvalid),
        (altered_use(&call, |request| request.sealed_request.0.truncate(16)), ProblemType::SessionRequestInvalid),
        (altered_use(&call, |request| request.sealed_request = Bytes(Vec::new())), ProblemType::SessionRequestInvalid),
        (
            altered_use(&call, |request| request.sealed_request = other.sealed_request.clone()),
            ProblemType::SessionRequestInvalid,
        ),
        (altered_use(&call, |request| request.ke3 = other.ke3.clone()), ProblemType::PasswordRefused),
        (altered_use(&call, |request| request.ke3.0[0] ^= 1), ProblemType::PasswordRefused),
        (altered_use(&call, |request| request.ke3.0.truncate(63)), ProblemType::InvalidOpaqueMessage),
        (altered_use(&call, |request| request.ke3.0.push(0)), ProblemType::InvalidOpaqueMessage),
    ];
    for (call, problem) in attempts {
        assert_eq!(cloud.send(&call).await.problem(), problem);
    }
    assert_eq!(cloud.state().await, state);
    assert_eq!(cloud.send(&call).await.status, 200, "none of it used the session up");
}

#[tokio::test]
async fn a_malformed_opening_is_refused_and_nothing_is_stored() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let (_, request) = alice.opening::<Request>(KeyServerUser::PASSWORD);
    let state = cloud.state().await;
    let registration = Bytes(vec![2; 32]);
    let attempts = [
        (OpenSessionRequest { ke1: Bytes(vec![]), ..request.clone() }, ProblemType::InvalidOpaqueMessage),
        (OpenSessionRequest { ke1: Bytes(vec![0; 96]), ..request.clone() }, ProblemType::InvalidOpaqueMessage),
        (
            OpenSessionRequest { ke1: Bytes([request.ke1.0.as_slice(), &[0]].concat()), ..request.clone() },
            ProblemType::InvalidOpaqueMessage,
        ),
        (
            OpenSessionRequest { user_name: "alice@example.org".parse().unwrap(), ..request.clone() },
            ProblemType::ForeignDomain,
        ),
        (
            OpenSessionRequest { opaque_registration_request: Some(registration.clone()), ..request.clone() },
            ProblemType::InvalidField,
        ),
        (OpenSessionRequest { kind: SessionKind::PasswordChange, ..request.clone() }, ProblemType::InvalidField),
        (
            OpenSessionRequest {
                kind: SessionKind::PasswordChange,
                opaque_registration_request: Some(Bytes(vec![0xff; 32])),
                ..request.clone()
            },
            ProblemType::InvalidOpaqueMessage,
        ),
    ];
    for (request, problem) in attempts {
        assert_eq!(cloud.send(&opening_call(&request)).await.problem(), problem, "{request:?}");
    }
    let mut unknown_kind = serde_json::to_value(&request).unwrap();
    unknown_kind["kind"] = "anything".into();
    let call = Call { body: json_body(&unknown_kind), ..opening_call(&request) };
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::InvalidField);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_over_one_session_at_once_one_takes_effect() {
    for _ in 0..4 {
        let cloud = Arc::new(TestCloud::start().await);
        let mut alice = alice(&cloud).await;
        let (_, call) = alice.open::<Request>(&cloud).await.send(RetrieveStorageKey);
        let spaced = Call { body: [b" ".as_slice(), &call.body].concat(), ..call.clone() };
        let answers = all_at_once(&cloud, [call, spaced]).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let entries = cloud.state().await.into_iter();
        let entries = entries.filter(|item| item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("AUDIT#")));
        assert_eq!(entries.count(), 2, "the registration, and one retrieval");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_sent_many_times_at_once_takes_effect_once() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let storage_key = StorageKey::generate(alice.rng());
    let (awaited, call) = alice.completing_call(&cloud, &storage_key).await;
    let answers = all_at_once(&cloud, std::iter::repeat_n(call.clone(), 8)).await;
    // Who meets another may be asked to send the same again.
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)));
    let answer = cloud.send(&call).await;
    assert!(answers.iter().filter(|other| other.status == 200).all(|other| other.body == answer.body));
    assert_eq!(response(&awaited, &answer).audit_entry.sequence, 1);
}
