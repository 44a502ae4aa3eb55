//! Functions as processes: they start with what is theirs, or stop at once with one line that says what is wrong.
//!
//! Every other test runs through processes too if `VESTIBULE_FUNCTIONS` says where the binaries are; these only then, but for the last.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rand::rngs::OsRng;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use vestibule_local::template::{Function, TEMPLATE, Template};
use vestibule_local::{InvocationError, LocalCloud};
use vestibule_protocol::time::Timestamp;
use vestibule_tests::functions_directory;

/// Whose secret is put in place of a function's own: all have another purpose than any other.
const SECRETS: [(&str, &str); 8] = [
    ("AS_SIGNING_SECRET", "AsSigningSecret"),
    ("OPAQUE_SECRET", "OpaqueSecret"),
    ("QS_SECRET", "QsSecret"),
    ("SEALING_AS_SECRET", "SealingAsSecret"),
    ("SEALING_KS_SECRET", "SealingKsSecret"),
    ("SEALING_QS_SECRET", "SealingQsSecret"),
    ("SEALING_RS_SECRET", "SealingRsSecret"),
    ("TOKENS_SECRET", "TokensSecret"),
];

/// The binaries, and a cloud for processes that this test starts itself.
struct Deployment {
    directory: PathBuf,
    template: Template,
    cloud: LocalCloud,
}

impl Deployment {
    /// Nothing, with a word about it, if it is not said where the binaries are.
    async fn new() -> Option<Self> {
        let Some(directory) = functions_directory() else {
            eprintln!("left out, for VESTIBULE_FUNCTIONS does not say where the functions' binaries are");
            return None;
        };
        let cloud = LocalCloud::builder()
            .invoke("http://127.0.0.1:1")
            .provision(|operator| async move { vestibule_local::provision(&operator, &mut OsRng).await });
        let cloud = cloud.start().await.expect("the local cloud starts");
        Some(Self { directory, template: Template::parse(TEMPLATE, &[]).expect("the template"), cloud })
    }

    /// Each function with each of its secrets: the variable and the secret's logical id.
    fn secrets(&self) -> impl Iterator<Item = (&Function, &'static str, &'static str)> {
        self.template.functions.iter().flat_map(|function| {
            let of_function = SECRETS.iter().filter(|(variable, _)| function.variables.contains_key(*variable));
            of_function.map(move |(variable, logical_id)| (function, *variable, *logical_id))
        })
    }

    /// What Lambda would set, and the local cloud sets for all functions.
    fn environment(&self, function: &str) -> BTreeMap<String, String> {
        let mut environment = self.cloud.process_environment().expect("they are behind an Invoke API").clone();
        for (name, value) in [
            // Nothing is there: whoever asks for an event ends too.
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
            ("AWS_LAMBDA_FUNCTION_NAME", function),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        environment
    }

    /// The binary of a function, as cargo leaves it or as `cargo lambda build` does.
    fn binary(&self, function: &str) -> PathBuf {
        let file = self.directory.join(format!("{function}{}", std::env::consts::EXE_SUFFIX));
        if file.is_file() { file } else { self.directory.join(function).join("bootstrap") }
    }

    /// Runs a function to its end.
    async fn run(&self, function: &str, environment: BTreeMap<String, String>) -> Output {
        let mut command = Command::new(self.binary(function));
        command.env_clear().envs(environment);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        output.expect("the binary can be run")
    }

    /// Has a function handle one event that it is given at a port of this test, to which these of its variables lead:
    /// what it wrote, and what it asked for there.
    async fn handle(&self, function: &str, event: &str, leading_here: &[&str]) -> (Output, Vec<&'static str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let mut environment = self.environment(function);
        environment.extend(leading_here.iter().map(|variable| ((*variable).to_owned(), url.clone())));
        let mut command = Command::new(self.binary(function));
        command.env_clear().envs(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary can be run");
        let requests = tokio::time::timeout(Duration::from_secs(60), serve_one_event(listener, event)).await;
        process.kill().expect("it waits for another event");
        let output = process.wait_with_output().expect("it has ended");
        let requests = requests.unwrap_or_else(|_| panic!("{function} handles no event: {output:?}"));
        (output, requests)
    }

    /// Runs a function that cannot start, and gives back why not.
    async fn reason(&self, function: &str, environment: BTreeMap<String, String>) -> String {
        reason(function, &self.run(function, environment).await)
    }
}

/// Is a Runtime API that has one event, and a DynamoDB that is well and empty. Gives the requests in the order of their
/// coming, up to the one for a second event.
async fn serve_one_event(listener: TcpListener, event: &str) -> Vec<&'static str> {
    let (requests, mut order) = mpsc::unbounded_channel();
    let event = event.to_owned();
    let serving = async move {
        loop {
            let (stream, _) = listener.accept().await.expect("the port is open");
            tokio::spawn(serve_connection(BufReader::new(stream), event.clone(), requests.clone()));
        }
    };
    let listening = async {
        let mut seen = Vec::new();
        while seen.iter().filter(|request| **request == "GET …/next").count() < 2 {
            seen.extend(order.recv().await);
        }
        seen
    };
    tokio::select! {
        () = serving => unreachable!("it serves for ever"),
        seen = listening => seen,
    }
}

async fn serve_connection(
    mut stream: BufReader<TcpStream>,
    event: String,
    requests: mpsc::UnboundedSender<&'static str>,
) -> io::Result<()> {
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while stream.read_line(&mut head).await? > 2 {
            let line = head.lines().next_back().unwrap_or_default().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        let (request, answer) = match head.lines().next().unwrap_or_default() {
            "" => return Ok(()),
            "POST / HTTP/1.1" => ("POST /", "{}"),
            "GET /ping HTTP/1.1" => ("GET /ping", "healthy"),
            line if line.ends_with("/next HTTP/1.1") => ("GET …/next", event.as_str()),
            line if line.ends_with("/response HTTP/1.1") => ("POST …/response", "{}"),
            line => panic!("{line}"),
        };
        let _ = requests.send(request);
        let headers = "lambda-runtime-aws-request-id: one\r\nlambda-runtime-deadline-ms: 4102444800000\r\n\
                       lambda-runtime-invoked-function-arn: arn\r\ncontent-type: application/json";
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// What the one line of a function says that has not started.
#[track_caller]
fn reason(function: &str, output: &Output) -> String {
    let (lines, rest) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), lines.lines().count(), &*rest), (Some(1), 1, ""), "{function}: {lines}{rest}");
    let line: Value = serde_json::from_str(&lines).expect("it logs JSON");
    let fields = &line["fields"];
    assert_eq!((&line["level"], &fields["message"]), (&"ERROR".into(), &"cannot start".into()), "{line}");
    assert_eq!(fields["function"], function, "{line}");
    fields["reason"].as_str().expect("a reason").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_its_secret_stops_with_one_line() {
    let Some(deployment) = Deployment::new().await else { return };
    for (function, variable, _) in deployment.secrets() {
        let mut environment = deployment.environment(&function.name);
        environment.remove(variable);
        let reason = deployment.reason(&function.name, environment).await;
        assert_eq!(reason, format!("the environment variable {variable} is not set"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_a_wrong_secret_stops_with_one_line_that_repeats_nothing_of_it() {
    let Some(deployment) = Deployment::new().await else { return };
    let secret = "correct horse battery staple";
    for (_, logical_id) in SECRETS {
        deployment.cloud.secrets().put(logical_id, secret).unwrap();
    }
    for (function, _, _) in deployment.secrets() {
        let reason = deployment.reason(&function.name, deployment.environment(&function.name)).await;
        assert!(reason.ends_with("could not be read: it is not a secret document"), "{}: {reason}", function.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_another_purposes_secret_stops_with_one_line() {
    let Some(deployment) = Deployment::new().await else { return };
    let domain = "localhost".parse().unwrap();
    let keys = vestibule_keys::Deployment::generate(domain, deployment.cloud.clock().now(), &mut OsRng);
    let documents: Vec<_> =
        keys.secrets.iter().chain(&keys.queuing_service.secrets).chain([&keys.token_issuer.secret]).collect();
    for (secret, next) in documents.iter().zip(documents.iter().cycle().skip(1)) {
        deployment.cloud.secrets().put(secret.logical_id, &next.json).unwrap();
    }
    for (function, _, _) in deployment.secrets() {
        let reason = deployment.reason(&function.name, deployment.environment(&function.name)).await;
        assert!(reason.contains("could not be read: it is for the purpose "), "{}: {reason}", function.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_given_a_foreign_services_secret_is_not_let_near_it() {
    let Some(deployment) = Deployment::new().await else { return };
    for (function, variable, _) in deployment.secrets() {
        let mut environment = deployment.environment(&function.name);
        for (foreign, _) in SECRETS.iter().filter(|(foreign, _)| !function.variables.contains_key(*foreign)) {
            environment.insert(variable.to_owned(), environment[*foreign].clone());
            let reason = deployment.reason(&function.name, environment.clone()).await;
            assert!(reason.ends_with("could not be read: AccessDeniedException"), "{}: {reason}", function.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_outside_lambda_says_what_is_missing() {
    let Some(deployment) = Deployment::new().await else { return };
    for function in &deployment.template.functions {
        let reason = deployment.reason(&function.name, BTreeMap::new()).await;
        assert_eq!(reason, "the environment variable AWS_LAMBDA_RUNTIME_API is not set");
    }
}

/// The line is in the answer of the Lambda service here, as it is in the log on Lambda.
#[tokio::test]
async fn a_deployment_without_secrets_answers_nothing() {
    let Some(directory) = functions_directory() else { return };
    let cloud = LocalCloud::builder().processes(directory).start().await.expect("the local cloud starts");
    let error = cloud.invoke("as-initiate-registration", Value::Null).await.unwrap_err();
    let InvocationError::Failed(reason) = error else { panic!("{error}") };
    assert!(reason.contains("the secret named by AS_SIGNING_SECRET could not be read"), "{reason}");
}

/// A function without secrets and one with some, and an event for each.
const EVENTS: [(&str, &str); 2] = [
    ("as-get-credentials", include_str!("../docs/events/http-get.json")),
    ("rs-create", include_str!("../docs/events/http-post.json")),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_function_opens_its_connection_to_dynamodb_before_it_asks_for_an_event() {
    let Some(deployment) = Deployment::new().await else { return };
    for (function, event) in EVENTS {
        let leading_here = ["AWS_LAMBDA_RUNTIME_API", "AWS_ENDPOINT_URL_DYNAMODB"];
        let (_, requests) = deployment.handle(function, event, &leading_here).await;
        assert!(requests.starts_with(&["GET /ping", "GET …/next"]), "{function}: {requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_logs_what_cloudwatch_reads_as_metrics() {
    let Some(deployment) = Deployment::new().await else { return };
    let (function, event) = EVENTS[1];
    let (output, requests) = deployment.handle(function, event, &["AWS_LAMBDA_RUNTIME_API"]).await;
    assert_eq!(requests, ["GET …/next", "POST …/response", "GET …/next"]);
    let lines = String::from_utf8(output.stdout).expect("it logs text");
    let before = Timestamp::now().saturating_sub(Duration::from_secs(60));
    let line: Value = serde_json::from_str(lines.trim()).expect("it logs one line of JSON");
    let logged_at = line["_aws"]["Timestamp"].as_u64().expect("milliseconds") / 1000;
    assert!(before.seconds() < logged_at, "{line}");
    assert_eq!(line["timestamp"], Timestamp::from_seconds(logged_at).rfc_3339().to_string(), "{line}");
    assert_eq!((&line["level"], &line["function"], &line["outcome"]), (&"INFO".into(), &function.into(), &"ok".into()));
    assert_eq!((&line["Links"], &line["Outcome"], &line["Service"]), (&1.into(), &"begun".into(), &"rs".into()));
    assert_eq!(line["Stage"], deployment.environment(function)["STAGE"]);
    let directive = json!({
        "Namespace": "Vestibule", "Dimensions": [["Outcome", "Service", "Stage"]],
        "Metrics": [{"Name": "Links", "Unit": "Count"}],
    });
    assert_eq!(line["_aws"]["CloudWatchMetrics"], json!([directive]));
}

#[test]
fn every_secret_of_the_template_is_tried() {
    let template = Template::parse(TEMPLATE, &[]).unwrap();
    let variables = template.functions.iter().flat_map(|function| function.variables.keys());
    let mut secrets: Vec<_> = variables.filter(|name| name.ends_with("_SECRET")).map(String::as_str).collect();
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets, SECRETS.map(|(variable, _)| variable));
    assert!(template.secrets.iter().all(|secret| SECRETS.iter().any(|(_, id)| *id == secret.logical_id)));
}
