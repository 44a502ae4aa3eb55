//! A wrong password and a name that nobody has cannot be told apart.

use serde_json::Value;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{OpenSessionResponse, SessionPath, UseSession, UseSessionRequest};
use vestibule_protocol::key_server::{Request, SessionKind};
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::{ClientRegistration, Password};
use vestibule_tests::{Answer, Call, KeyServerUser, TestCloud, json_body, opening_call};

/// Everything about an attempt that could tell something: calls, sizes, answers.
#[derive(Debug, PartialEq)]
struct Trace {
    opened: Answer,
    used: Answer,
    calls: Vec<(String, String)>,
    /// What the tables have more than before, as the shape of the items.
    stored: Vec<Value>,
}

/// Somebody guesses the password of `user_name`, and goes on although the guess is wrong.
async fn attempt(
    cloud: &TestCloud,
    anybody: &mut KeyServerUser,
    kind: SessionKind,
    user_name: &str,
    times: usize,
) -> Trace {
    let user_name: UserName = user_name.parse().unwrap();
    let before = cloud.state().await;
    let (_, mut request) = anybody.opening::<Request>("guess");
    request.user_name = user_name.clone();
    request.kind = kind;
    if kind == SessionKind::PasswordChange {
        let (_, registration) = ClientRegistration::start(Password::new("mine".to_owned()), anybody.rng());
        request.opaque_registration_request = Some(registration);
    }
    cloud.cloud.forget_calls();
    let mut opened = cloud.send(&opening_call(&request)).await;
    for _ in 1..times {
        opened = cloud.send(&opening_call(&request)).await;
    }
    let answer: OpenSessionResponse = opened.success();
    let guess = UseSessionRequest { user_name, ke3: Bytes(vec![7; 64]), sealed_request: Bytes(vec![7; 40]) };
    let path = SessionPath { session_id: answer.session_id };
    let used = cloud.send(&Call::new::<UseSession>(&path, json_body(&guess))).await;
    let calls = cloud.cloud.calls().into_iter();
    let stored = cloud.state().await.into_iter().filter(|item| !before.contains(item)).map(shape).collect();
    Trace {
        opened: Answer { body: shape(serde_json::from_slice(&opened.body).unwrap()).to_string().into(), ..opened },
        used,
        calls: calls.map(|call| (call.function, call.operation)).collect(),
        stored,
    }
}

/// A value with only the lengths of its texts.
fn shape(value: Value) -> Value {
    match value {
        Value::String(text) => text.len().into(),
        Value::Array(values) => values.into_iter().map(shape).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, shape(value))).collect(),
        other => other,
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_make_the_same_calls_sizes_and_answers() {
    let cloud = TestCloud::start().await;
    let mut anybody = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    anybody.complete(&cloud).await;
    KeyServerUser::new(&cloud, "carol@localhost", 3).await;
    for kind in [SessionKind::Registration, SessionKind::Request, SessionKind::PasswordChange] {
        for times in [1, 2] {
            let known = attempt(&cloud, &mut anybody, kind, "alice@localhost", times).await;
            assert_eq!(known.used.status, 403);
            assert_eq!(known.stored.len(), times);
            // One who has no storage key, and one whom there is not.
            for name in ["carol@localhost", "nobod@localhost"] {
                assert_eq!(attempt(&cloud, &mut anybody, kind, name, times).await, known, "{kind:?} {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_answers_the_same_question_the_same_way() {
    let cloud = TestCloud::start().await;
    let mut anybody = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let (_, request) = anybody.opening::<Request>("guess");
    // The first 32 bytes of a KE2 are the OPRF's answer, which follows from the name and the question.
    let mut evaluations = Vec::new();
    for name in ["alice@localhost", "nobody@localhost", "somebody@localhost"] {
        for _ in 0..2 {
            let mut request = request.clone();
            request.user_name = name.parse().unwrap();
            let answer: OpenSessionResponse = cloud.send(&opening_call(&request)).await.success();
            evaluations.push(answer.ke2.0[..32].to_vec());
        }
    }
    for pair in evaluations.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert_ne!(evaluations[0], evaluations[2]);
    assert_ne!(evaluations[2], evaluations[4]);
}
