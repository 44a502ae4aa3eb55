//! A local cloud for a test, and raw requests to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use vestibule_local::{LocalCloud, LocalCloudBuilder, Snapshot};
use vestibule_protocol::clock::Clock;
use vestibule_protocol::credential::{AsCredential, AsIntermediateCredential};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{Description, Endpoint, GetCredentials, GetCredentialsResponse, Path};
use vestibule_protocol::keys::{KeyPurpose, SigningKey};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::request_signature::{self, CoveredRequest, SignatureFields};
use vestibule_protocol::time::{DAY, Timestamp};

/// Where the binaries of the functions are, if the tests are to run them as processes: the value of the environment variable
/// `VESTIBULE_FUNCTIONS`, below the repository unless it is absolute.
///
/// ```console
/// $ cargo build --workspace --bins
/// $ VESTIBULE_FUNCTIONS=target/debug cargo test -p vestibule-tests
/// ```
pub fn functions_directory() -> Option<PathBuf> {
    let repository =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in a directory of it");
    std::env::var_os("VESTIBULE_FUNCTIONS").map(|directory| repository.join(directory))
}

/// Leaves a test out where the functions are processes, which have the system's clock and randomness and logs of their own.
/// Says so, and why.
#[macro_export]
macro_rules! left_out_in_processes {
    ($because:literal) => {
        if $crate::functions_directory().is_some() {
            eprintln!("left out, for the functions are processes: {}", $because);
            return;
        }
    };
}

/// A local cloud in memory with a clock that stands still. Two of them have the same keys, so that what is stored in one
/// can be compared with what is stored in the other.
pub struct TestCloud {
    /// The cloud.
    pub cloud: LocalCloud,
    http: reqwest::Client,
}

impl TestCloud {
    /// What the deployment's keys follow from.
    pub const KEY_SEED: u64 = 0;

    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(|builder| builder).await
    }

    /// Starts one that differs from the usual, but not in its tables, keys or domain: those are made once per process.
    pub async fn start_with(change: impl FnOnce(LocalCloudBuilder) -> LocalCloudBuilder) -> Self {
        static FRESH: OnceCell<Snapshot> = OnceCell::const_new();
        let fresh = FRESH.get_or_init(|| async { Self::start_afresh_with(|builder| builder).await.snapshot() }).await;
        Self::start_afresh_with(|builder| change(builder.snapshot(fresh.clone()).start_functions_on_demand())).await
    }

    /// Starts one that holds what another one held, and draws other random numbers.
    pub async fn start_from(snapshot: &Snapshot) -> Self {
        Self::start_with(|builder| builder.snapshot(snapshot.clone()).randomness(Randomness::seeded(2))).await
    }

    /// Starts one that differs from the usual, with tables and keys of its own.
    pub async fn start_afresh_with(change: impl FnOnce(LocalCloudBuilder) -> LocalCloudBuilder) -> Self {
        let builder = LocalCloud::builder()
            .clock(Self::common_clock())
            .randomness(Randomness::seeded(1))
            .parameter("RegistrationsPerSourceAndHour", "1000000")
            .parameter("LoginsPerNameAndHour", "1000000")
            .parameter("LoginsPerClientAndHour", "1000000")
            .parameter("SessionsPerSourceAndHour", "1000000")
            .parameter("QsUsersPerSourceAndHour", "1000000")
            .parameter("ClaimsPerSourceAndHour", "1000000")
            .parameter("ClaimsPerFriendshipTokenAndHour", "1000000")
            .parameter("ConnectionPackagesPerSourceAndHour", "1000000")
            .parameter("ConnectionPackagesPerNameAndHour", "1000000")
            .parameter("DirectMessagesPerSourceAndHour", "1000000")
            .parameter("RendezvousPerSourceAndHour", "1000000")
            .parameter("JoinsPerClientAndHour", "1000000")
            .provision(|operator| async move {
                vestibule_local::provision(&operator, &mut StdRng::seed_from_u64(Self::KEY_SEED)).await
            });
        let builder = match functions_directory() {
            Some(directory) => builder.processes(directory),
            None => builder,
        };
        let cloud = change(builder).start().await.expect("the local cloud starts");
        Self { cloud, http: http_client() }
    }

    /// A clock that shows the same time in every cloud of this process: 12:00 UTC of today. Signatures and lifetimes are
    /// judged by it, so what is stored does not depend on when a cloud was started. Processes have the system's.
    pub fn common_clock() -> Clock {
        if functions_directory().is_some() {
            return Clock::system();
        }
        Clock::manual(Timestamp::now().start_of_day().saturating_add(DAY / 2))
    }

    /// What is in its tables now.
    pub fn snapshot(&self) -> Snapshot {
        self.cloud.snapshot().expect("there is room").expect("its DynamoDB is in this process")
    }

    /// The time that the functions see.
    pub fn now(&self) -> Timestamp {
        self.cloud.clock().now()
    }

    /// The deployment's domain.
    pub fn domain(&self) -> Domain {
        "localhost".parse().expect("a domain")
    }

    /// The deployment's root and the newest of its intermediates that is valid now, checked.
    pub async fn credentials(&self) -> (AsCredential, AsIntermediateCredential) {
        let answer = self.send(&Call::new::<GetCredentials>(&(), Vec::new())).await;
        let credentials: GetCredentialsResponse = answer.success();
        let root = AsCredential::verify_root(&credentials.as_credentials[0].0, &self.domain(), self.now())
            .expect("the root verifies");
        let verified = |bytes: &Bytes| AsIntermediateCredential::verify_chain(&bytes.0, &root, self.now()).ok();
        let intermediate = credentials.as_intermediate_credentials.iter().find_map(verified);
        let intermediate = intermediate.expect("an intermediate verifies");
        (root, intermediate)
    }

    /// Sends `call` once.
    pub async fn send(&self, call: &Call) -> Answer {
        let method = reqwest::Method::from_bytes(call.method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{}", self.cloud.url(), call.path));
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let response = request.body(call.body.clone()).send().await.expect("the local cloud answers");
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .filter(|(name, _)| !matches!(name.as_str(), "apigw-requestid" | "date"))
            .collect();
        Answer { status, headers, body: response.bytes().await.expect("a body").to_vec() }
    }

    /// Sends `call`, and again for as long as it is told to.
    pub async fn send_until_answered(&self, call: &Call) -> Answer {
        loop {
            let answer = self.send(call).await;
            if answer.status != 503 {
                return answer;
            }
        }
    }

    /// Every item of every table, but for the counts of rate limits.
    pub async fn state(&self) -> Vec<Value> {
        let mut items = Vec::new();
        for table in ["AsTable", "AsQueueTable", "KsTable", "KsSessionTable", "QsTable", "QsQueueTable", "RsTable"] {
            items.extend(self.cloud.items(table).await.expect("the table can be read"));
        }
        items.retain(|item| !item["pk"]["S"].as_str().expect("a key").contains("BUCKET#"));
        items
    }
}

/// A client that connects to this machine alone.
fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client")
}

/// A request, byte for byte.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The path, and the query if there is one.
    pub path: String,
    /// The header fields, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// A request to an endpoint, not signed.
    pub fn new<E: Endpoint>(path: &E::Path, body: Vec<u8>) -> Self {
        let Description { method, path: template, .. } = E::DESCRIPTION;
        let headers = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
        let (path, query) = (path.expand(template), path.query());
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        Self { method: method.as_str().to_owned(), path, headers, body }
    }

    /// The same request, signed afresh.
    pub fn signed<P: KeyPurpose>(&self, key: &SigningKey<P>, key_id: &str, tag: &str, created: Timestamp) -> Self {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let authorization = self.headers.get("authorization").map(String::as_str);
        let covered = CoveredRequest { method: &self.method, path, query, authorization, body: &self.body };
        let rng = &mut StdRng::from_entropy();
        let SignatureFields { content_digest, signature_input, signature } =
            request_signature::sign(covered, key, key_id, tag, created, rng);
        self.clone()
            .with_header("content-digest", &content_digest)
            .with_header("signature-input", &signature_input)
            .with_header("signature", &signature)
    }

    /// The same request with another value of a header field.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same request without a header field.
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }
}

/// Sends all calls at once and gives their answers, in the order of the calls.
pub async fn all_at_once(cloud: &Arc<TestCloud>, calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    let send = |call: Call| {
        let cloud = Arc::clone(cloud);
        tokio::spawn(async move { cloud.send(&call).await })
    };
    in_order(calls.into_iter().map(send).collect()).await
}

/// Sends all calls at once, each again for as long as it is told to, and gives their answers, in the order of the calls.
pub async fn all_at_once_until_answered(cloud: &Arc<TestCloud>, calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    let send = |call: Call| {
        let cloud = Arc::clone(cloud);
        tokio::spawn(async move { cloud.send_until_answered(&call).await })
    };
    in_order(calls.into_iter().map(send).collect()).await
}

async fn in_order(sending: Vec<tokio::task::JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(sending.len());
    for task in sending {
        answers.push(task.await.expect("to send a call does not panic"));
    }
    answers
}

/// The JSON of a request.
pub fn json_body(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("our own types are JSON")
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, names in lower case, but for those that are others every time.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of an answer that says all is well.
    #[track_caller]
    pub fn success<T: DeserializeOwned>(&self) -> T {
        assert!((200..300).contains(&self.status), "{}", self.text());
        serde_json::from_slice(&self.body).expect("the endpoint's response type")
    }

    /// The problem that the answer tells of. Checks its form on the way.
    #[track_caller]
    pub fn problem(&self) -> ProblemType {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text());
        let document: Value = serde_json::from_slice(&self.body).expect("JSON");
        let urn = document["type"].as_str().expect("a type");
        let problem_type = ProblemType::from_urn(urn).expect("a type that the protocol knows");
        assert_eq!(document["status"], self.status);
        assert_eq!(problem_type.status(), self.status);
        assert_eq!(document["title"], problem_type.title());
        assert!(!document["detail"].as_str().expect("a detail").is_empty());
        assert_eq!(self.headers.contains_key("retry-after"), matches!(self.status, 429 | 503));
        problem_type
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
