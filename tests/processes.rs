//! Functions as processes: they start with what is theirs, or stop at once with one line that says what is wrong.
//!
//! Every other test runs through processes too if `VESTIBULE_FUNCTIONS` says where the binaries are; these only then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use rand::rngs::OsRng;
use serde_json::Value;
use vestibule_local::template::{Function, TEMPLATE, Template};
use vestibule_local::{InvocationError, LocalCloud};
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

    /// Runs a function to its end.
    async fn run(&self, function: &str, environment: BTreeMap<String, String>) -> Output {
        let mut command = Command::new(self.directory.join(function));
        command.env_clear().envs(environment);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        output.expect("the binary can be run")
    }

    /// Runs a function that cannot start, and gives back why not.
    async fn reason(&self, function: &str, environment: BTreeMap<String, String>) -> String {
        reason(function, &self.run(function, environment).await)
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
