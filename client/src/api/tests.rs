use std::collections::VecDeque;
use std::sync::Mutex;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use vestibule_protocol::endpoint::{FinishRegistration, GetCredentials, InitiateRegistration, UserPath};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::{RequestSignature, SignatureFields};
use vestibule_protocol::time::Timestamp;

use super::*;
use crate::transport::{Sending, TransportError};

/// When the tests take place.
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

type Answer = Result<Response, TransportError>;

/// Gives the answers it was made with, one after the other.
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request>>,
}

impl Transport for Script {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        self.requests.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop_front().expect("no more attempts were expected");
        Box::pin(async { answer })
    }
}

struct Scene {
    script: Arc<Script>,
    waiting: Waiting,
    api: Api,
}

fn scene(answers: impl IntoIterator<Item = Answer>) -> Scene {
    scene_with(answers, Fuse::none())
}

fn scene_with(answers: impl IntoIterator<Item = Answer>, fuse: Fuse) -> Scene {
    let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), requests: Mutex::default() });
    let waiting = Waiting::skipped();
    let connection = Connection {
        server: ServerUrl::default(),
        transport: script.clone(),
        clock: Clock::manual(NOW),
        randomness: Randomness::seeded(1),
        retry_policy: RetryPolicy::default(),
        waiting: waiting.clone(),
        fuse,
    };
    Scene { script, waiting, api: Api::new(Service::Authentication, connection) }
}

impl Scene {
    async fn get_credentials(&self) -> Result<(), ApiError> {
        self.api.call::<GetCredentials>(&(), &[]).await.map(|_| ())
    }

    fn attempts(&self) -> usize {
        self.script.requests.lock().unwrap().len()
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl serde::Serialize) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Response { status, headers, body: serde_json::to_vec(&body).unwrap() })
}

fn credentials() -> Answer {
    answer(200, &[], json!({"as_credentials": [], "as_intermediate_credentials": [], "revoked_fingerprints": []}))
}

fn problem(problem_type: ProblemType, headers: &[(&str, &str)]) -> Answer {
    answer(problem_type.status(), headers, Problem::new(problem_type, "a detail").document())
}

fn lost() -> Answer {
    Err(TransportError("connection reset".to_owned()))
}

#[tokio::test]
async fn a_signed_request_is_repeated_with_the_same_body_under_a_fresh_signature() {
    let done = answer(201, &[], json!({"client_credential": ""}));
    let scene = scene([lost(), problem(ProblemType::TemporarilyUnavailable, &[]), done]);
    let key = SigningKey::<ClientCredentialKey>::generate(&mut StdRng::seed_from_u64(1));
    let domain: Domain = "localhost".parse().unwrap();
    let signer = RequestSigner { key: &key, key_id: "alice".to_owned(), domain: domain.clone() };
    let path = UserPath { user_name: "alice@localhost".parse().unwrap() };
    scene.api.call_signed::<FinishRegistration, _>(&path, b"{\"a\":1}", &signer).await.unwrap();

    let requests = scene.script.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    let mut signatures = Vec::new();
    for request in &*requests {
        assert_eq!(request.body, b"{\"a\":1}");
        assert_eq!(request.path, "/v1/as/users/alice@localhost");
        let header = |wanted: &str| {
            request.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone()).unwrap()
        };
        assert_eq!(header("content-type"), "application/json");
        let covered = CoveredRequest {
            method: request.method.as_str(),
            path: &request.path,
            query: "",
            authorization: None,
            body: &request.body,
        };
        let fields = SignatureFields {
            content_digest: header("content-digest").into(),
            signature_input: header("signature-input").into(),
            signature: header("signature").into(),
        };
        let tag = Service::Authentication.tag(&domain);
        let checked = RequestSignature::check(covered, &fields, &tag, NOW).unwrap();
        checked.verify(&key.verifying_key()).unwrap();
        assert_eq!(checked.key_id(), "alice");
        signatures.push(fields.signature);
    }
    signatures.dedup();
    assert_eq!(signatures.len(), 3);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let throttled = answer(429, &[], json!({"message": "Too Many Requests"}));
    let gateway = answer(502, &[], json!({"message": "Internal Server Error"}));
    let scene = scene([lost(), throttled, gateway, problem(ProblemType::InternalError, &[]), credentials()]);
    scene.get_credentials().await.unwrap();
    assert_eq!(scene.attempts(), 5);
    let waits = scene.waiting.waits();
    assert_eq!(waits.len(), 4);
    for (wait, ceiling) in waits.iter().zip([200, 400, 800, 1600]) {
        assert!(*wait <= Duration::from_millis(ceiling), "{wait:?} is more than {ceiling} ms");
    }
}

#[tokio::test]
async fn the_attempts_are_bounded() {
    let scene = scene([lost(), lost(), lost(), lost(), lost()]);
    let error = scene.get_credentials().await.unwrap_err();
    let wanted = "no answer from http://127.0.0.1:8787: connection reset \
                  (`cargo dev` starts a server on this computer)";
    assert_eq!(error.to_string(), wanted);
    assert_eq!(scene.attempts(), 5);
}

#[tokio::test]
async fn a_server_that_names_a_time_is_given_it() {
    let scene = scene([problem(ProblemType::RateLimited, &[("retry-after", "7")]), credentials()]);
    scene.get_credentials().await.unwrap();
    let waits = scene.waiting.waits();
    assert!(waits.len() == 1 && (7.0..=7.2).contains(&waits[0].as_secs_f64()), "{waits:?}");
}

#[tokio::test]
async fn a_server_that_names_a_long_time_is_not_waited_for() {
    let scene = scene([problem(ProblemType::RateLimited, &[("retry-after", "3600")])]);
    let error = scene.get_credentials().await.unwrap_err();
    assert_eq!(error.to_string(), "a detail (try again in 60 minutes)");
    assert!(matches!(error, ApiError::Problem { retry_after: Some(3600), status: 429, .. }));
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let scene = scene([problem(ProblemType::UserNameTaken, &[])]);
    let error = scene.api.call::<InitiateRegistration>(&(), b"{}").await.unwrap_err();
    assert_eq!(error.problem_type(), Some(ProblemType::UserNameTaken));
    assert_eq!(error.to_string(), "a detail");
}

#[tokio::test]
async fn an_answer_of_the_gateway_or_of_a_later_protocol_is_still_an_answer() {
    for (body, wanted_urn, wanted_detail) in [
        (json!({"message": "Not Found"}), "about:blank", "Not Found"),
        (json!({"type": "urn:vestibule:problem:new", "title": "New"}), "urn:vestibule:problem:new", "New"),
        (json!("<html>"), "about:blank", "the server answered with status 404"),
    ] {
        match scene([answer(404, &[], body)]).get_credentials().await.unwrap_err() {
            ApiError::Problem { problem_type: None, urn, status: 404, detail, .. } => {
                assert_eq!((urn.as_str(), detail.as_str()), (wanted_urn, wanted_detail));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_endpoints_is_refused() {
    for unexpected in [answer(204, &[], json!({})), answer(301, &[], json!({})), answer(200, &[], json!({"a": 1}))] {
        let error = scene([unexpected]).get_credentials().await.unwrap_err();
        assert!(matches!(error, ApiError::UnexpectedAnswer { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_fuse_blows_before_and_after_an_attempt_and_ends_them() {
    for (points, attempts) in [(0, 0), (1, 1), (2, 1)] {
        let scene = scene_with([lost(), lost()], Fuse::after(points));
        assert!(matches!(scene.get_credentials().await, Err(ApiError::Stopped(_))));
        assert_eq!(scene.attempts(), attempts);
    }
}
