//! Clouds whose puppet is a process of its own: this very test binary, told to be one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_backend::Environment;

use super::LambdaService;
use super::runtime_api::RuntimeApi;
use crate::http_server;
use crate::lifeline::Life;
use crate::testing::{PUPPET_TEMPLATE, command, http_to, post, puppet_cloud, start_puppet};
use crate::{Fault, InvocationError, Limits, LocalCloud, LocalCloudBuilder};

/// The `main` of the puppet's process.
#[tokio::test]
#[ignore = "it is run by the Lambda service, in a process of its own"]
async fn puppet_process() {
    let handler = start_puppet(Environment::of_lambda().unwrap()).await;
    let Ok(handler) = handler.inspect_err(|error| eprintln!("cannot start: {error}")) else { std::process::exit(1) };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| handler(event.payload))).await.unwrap();
}

/// The `main` of a process that asks for an event and, without having answered it, for the next.
#[tokio::test]
#[ignore = "it is run by the Lambda service, in a process of its own"]
async fn forgetful_process() {
    let url = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let (authority, segment) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let path = format!("/{segment}/2018-06-01/runtime/invocation/next");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    for _ in 0..2 {
        http_to(authority, &request).await;
    }
}

/// A directory with the puppet's binary, and a cloud to be that uses it.
fn puppet_in_a_process() -> (TempDir, LocalCloudBuilder) {
    process("puppet_process")
}

/// The same, where the puppet's binary is one of the processes above.
fn process(main: &str) -> (TempDir, LocalCloudBuilder) {
    let this = std::env::current_exe().unwrap();
    let arguments = format!("--ignored --exact lambda_service::tests::{main} --nocapture --quiet");
    script(&format!("exec '{}' {arguments}", this.display()))
}

/// The same, where the puppet's binary is a shell script.
fn script(line: &str) -> (TempDir, LocalCloudBuilder) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("puppet");
    std::fs::write(&program, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let cloud = puppet_cloud().processes(directory.path());
    (directory, cloud)
}

async fn cloud() -> (TempDir, LocalCloud) {
    let (directory, cloud) = puppet_in_a_process();
    (directory, cloud.start().await.unwrap())
}

/// What the puppet says it got.
async fn act(cloud: &LocalCloud, act: &str, pk: &str) -> String {
    let answer = cloud.invoke("puppet", command(act, pk)).await.unwrap();
    answer["body"].as_str().unwrap().to_owned()
}

async fn failure(cloud: &LocalCloud, act: &str) -> String {
    match cloud.invoke("puppet", command(act, "")).await.unwrap_err() {
        InvocationError::Failed(reason) => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_function_in_a_process_does_what_it_does_in_this_one() {
    let (_directory, cloud) = cloud().await;
    cloud.secrets().put("Key", "a key").unwrap();
    assert!(post(&cloud, "/act", &command("greet", "")).await.ends_with("hello"));
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
    assert_eq!(act(&cloud, "get", "USER#alice").await, "found");
    assert_eq!(act(&cloud, "read key", "").await, "a key");
    assert_eq!(cloud.items("People").await.unwrap(), [json!({"pk": {"S": "USER#alice"}, "sk": {"S": "-"}})]);
    let calls: Vec<_> = cloud.calls().into_iter().map(|call| (call.function, call.number, call.operation)).collect();
    let expected = [(0, "PutItem"), (1, "GetItem"), (2, "GetSecretValue")];
    assert_eq!(calls, expected.map(|(number, operation)| ("puppet".to_owned(), number, operation.to_owned())));
}

#[tokio::test]
async fn a_process_is_confined_by_its_functions_policy() {
    let (_directory, cloud) = cloud().await;
    assert_eq!(act(&cloud, "delete", "USER#alice").await, "AccessDeniedException");
    assert_eq!(act(&cloud, "read hidden", "").await, "AccessDeniedException");
    assert!(cloud.denied()[0].starts_with("function puppet may not call dynamodb:DeleteItem on People"));
    assert!(cloud.calls().is_empty());
}

#[tokio::test]
async fn faults_happen_to_the_calls_of_processes_too() {
    let (_directory, cloud) = cloud().await;
    cloud.inject(|call| (call.number < 2).then_some(Fault::Throttled));
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
    assert_eq!(cloud.calls().len(), 3);
    cloud.forget_calls();
    cloud.inject(|_| Some(Fault::AfterEffect));
    assert_eq!(act(&cloud, "put", "USER#bob").await, "dispatch failure");
    assert_eq!((cloud.items("People").await.unwrap().len(), cloud.calls().len()), (2, 3));
}

#[tokio::test]
async fn a_process_is_kept_for_later_events_and_handles_one_at_a_time() {
    let (_directory, cloud) = cloud().await;
    let first = act(&cloud, "tell process", "").await;
    assert_ne!(first, std::process::id().to_string());
    assert_eq!(act(&cloud, "tell process", "").await, first);
    let hanging = cloud.invoke("puppet", command("put and hang", "USER#alice"));
    let other = async {
        while cloud.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        act(&cloud, "tell process", "").await
    };
    tokio::select! {
        answer = hanging => panic!("{answer:?}"),
        other = other => {
            assert_ne!(other, first);
            assert_eq!(act(&cloud, "tell process", "").await, other);
        }
    }
}

#[tokio::test]
async fn a_cold_start_is_one_of_a_process_that_ends_with_it() {
    let (_directory, cloud) = cloud().await;
    let kept = act(&cloud, "tell process", "").await;
    let start = cloud.cold_start("puppet", command("tell process", "")).await.unwrap();
    let process = start.answer["body"].as_str().unwrap();
    assert_ne!(process, kept);
    assert!(has_ended(process) && Duration::ZERO < start.to_ready && start.to_ready < start.to_answer);
    assert!(cloud.cold_start("marionette", json!({})).await.is_err());
    assert!(puppet_cloud().start().await.unwrap().cold_start("puppet", json!({})).await.is_err());
}

#[tokio::test]
async fn a_process_that_ends_fails_its_event_and_is_replaced() {
    let (_directory, cloud) = cloud().await;
    let first = act(&cloud, "tell process", "").await;
    let reason = failure(&cloud, "exit").await;
    assert!(reason.starts_with("Runtime exited with exit status: 3"), "{reason}");
    assert_ne!(act(&cloud, "tell process", "").await, first);
}

#[tokio::test]
async fn an_error_of_the_handler_leaves_its_process_alone() {
    let (_directory, cloud) = cloud().await;
    let first = act(&cloud, "tell process", "").await;
    assert_eq!(failure(&cloud, "fail").await, "the puppet was told to fail");
    assert_eq!(failure(&cloud, "panic").await, "Lambda panicked: the puppet was told to panic");
    assert_eq!(act(&cloud, "tell process", "").await, first);
}

#[tokio::test]
async fn a_process_that_takes_too_long_is_killed_and_replaced() {
    let (_directory, cloud) = puppet_in_a_process();
    let limits = Limits { function_timeout: Duration::from_secs(1), ..Limits::default() };
    let cloud = cloud.limits(limits).start().await.unwrap();
    let first = act(&cloud, "tell process", "").await;
    let error = cloud.invoke("puppet", command("hang", "")).await.unwrap_err();
    assert_eq!(error, InvocationError::Failed("Task timed out after 1.00 seconds".to_owned()));
    assert_ne!(act(&cloud, "tell process", "").await, first);
    assert!(has_ended(&first));
}

#[tokio::test]
async fn a_process_that_does_not_start_says_why() {
    let (_directory, cloud) = puppet_in_a_process();
    let template = PUPPET_TEMPLATE.replace("GREETING: !Ref Greeting, ", "");
    let cloud = cloud.template(template).start().await.unwrap();
    let reason = "the environment variable GREETING is not set";
    assert_eq!(failure(&cloud, "greet").await, format!("Runtime exited with exit status: 1: cannot start: {reason}"));
}

#[tokio::test]
async fn a_process_that_asks_for_the_next_event_has_not_answered_the_one_before() {
    let (_directory, cloud) = process("forgetful_process");
    let cloud = cloud.start().await.unwrap();
    assert_eq!(failure(&cloud, "greet").await, "the function asked for an event before it answered");
}

#[tokio::test]
async fn a_process_may_write_what_is_not_utf_8() {
    let (_directory, cloud) = script(r"printf 'caf\351\nand more\r\n'; exit 3");
    let cloud = cloud.start().await.unwrap();
    assert_eq!(failure(&cloud, "greet").await, "Runtime exited with exit status: 3: and more");
}

/// Others on this machine find the port, but not the segment of the path.
#[tokio::test]
async fn nobody_calls_a_process_or_answers_for_it_who_does_not_know_the_path() {
    let (_life, lifeline) = Life::new();
    let (listener, runtime_port) = http_server::listen(0).await.unwrap();
    let (api, ends) = RuntimeApi::new("arn".to_owned(), "segment");
    tokio::spawn(Arc::new(api).serve(listener, lifeline.clone()));
    let (listener, invoke_port) = http_server::listen(0).await.unwrap();
    tokio::spawn(Arc::new(LambdaService::new(Vec::new(), "segment", 100, lifeline.clone())).serve(listener));
    for segment in ["", "/other"] {
        for (port, request, error) in [
            (runtime_port, "GET /2018-06-01/runtime/invocation/next", "UnknownOperation"),
            (invoke_port, "POST /2015-03-31/functions/puppet/invocations", "UnknownOperationException"),
        ] {
            let request = request.replacen(" /", &format!(" {segment}/"), 1);
            let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let answer = http_to(&format!("127.0.0.1:{port}"), &request).await;
            assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains(error), "{answer}");
        }
    }
    assert!(!*ends.is_ready.borrow());
    let request = "POST /segment/2015-03-31/functions/puppet/invocations HTTP/1.1\r\nhost: localhost\r\n\
                   content-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = http_to(&format!("127.0.0.1:{invoke_port}"), request).await;
    assert!(answer.contains("ResourceNotFoundException"), "{answer}");
}

#[tokio::test]
async fn a_function_without_a_binary_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = puppet_cloud().processes(directory.path()).start().await.unwrap_err();
    assert!(error.to_string().starts_with("there is no binary of the function puppet in "), "{error}");
    assert!(error.to_string().ends_with("; build it with cargo build --workspace --bins"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn dropping_the_cloud_ends_its_processes() {
    let (_directory, cloud) = cloud().await;
    let process = act(&cloud, "tell process", "").await;
    assert!(!has_ended(&process));
    drop(cloud);
    let end = async {
        while !has_ended(&process) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), end).await.unwrap();
}

/// Where there is no `/proc`, it is not seen.
fn has_ended(process: &str) -> bool {
    !cfg!(target_os = "linux") || !Path::new("/proc").join(process).exists()
}

/// A cloud whose functions would be behind an Invoke API if anything were there.
async fn cloud_before_nothing() -> LocalCloud {
    puppet_cloud().invoke("http://127.0.0.1:1").start().await.unwrap()
}

#[tokio::test]
async fn an_invoke_api_that_is_not_there_is_named() {
    let error = cloud_before_nothing().await.invoke("puppet", command("greet", "")).await.unwrap_err();
    assert_eq!(error, InvocationError::Failed("nothing answers at http://127.0.0.1:1".to_owned()));
    for url in [
        "",
        "127.0.0.1:9000",
        "https://lambda.us-east-1.amazonaws.com",
        "https://127.0.0.1:9000",
        "http://192.0.2.1:9000",
        "http://localhost.example.org:9000",
        "http://localhost@example.org:9000",
        "http://user@localhost:9000",
    ] {
        let error = puppet_cloud().invoke(url).start().await.unwrap_err();
        assert!(error.to_string().contains("is not the URL of a Lambda Invoke API"), "{error}");
    }
}

#[tokio::test]
async fn an_invoke_api_is_on_this_machine() {
    for url in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000/path"] {
        puppet_cloud().invoke(url).start().await.unwrap();
    }
}

#[tokio::test]
async fn an_invoke_api_that_breaks_off_is_not_called_absent() {
    let (listener, port) = http_server::listen(0).await.unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let cloud = puppet_cloud().invoke(format!("http://127.0.0.1:{port}")).start().await.unwrap();
    let reason = format!("http://127.0.0.1:{port} breaks off instead of answering");
    assert_eq!(failure(&cloud, "greet").await, reason);
}

#[tokio::test]
async fn functions_behind_an_invoke_api_share_one_environment() {
    let cloud = LocalCloud::builder().invoke("http://127.0.0.1:1").start().await.unwrap();
    let environment = cloud.process_environment().unwrap();
    let endpoint = &environment["AWS_ENDPOINT_URL"];
    assert_eq!(environment["RS_CONNECTIONS_URL"], format!("{endpoint}/rswebsocketapi/v1"));
    assert_eq!(environment["RELAY_URL"], cloud.websocket_url("RsWebSocketApi").unwrap());
    assert_eq!((environment["AS_TABLE"].as_str(), environment["DOMAIN"].as_str()), ("AsTable", "localhost"));
    assert!(!environment.contains_key("AWS_LAMBDA_FUNCTION_NAME"));
}

#[tokio::test]
async fn an_environment_in_which_a_variable_had_two_values_is_refused() {
    let second = "  Second:\n    Type: AWS::Serverless::Function\n    Metadata: {BuildProperties: {Binary: second}}\n    \
                  Properties: {Environment: {Variables: {GREETING: other}}}\n  People:\n";
    let template = PUPPET_TEMPLATE.replace("  People:\n", second);
    let functions = ["puppet", "second"].map(|name| crate::FunctionEntry { name, ..crate::testing::PUPPET });
    let cloud = puppet_cloud().template(template).functions(functions).invoke("http://127.0.0.1:1");
    let error = cloud.start().await.unwrap_err().to_string();
    assert!(error.starts_with("the variable GREETING has another value in one function"), "{error}");
}

#[tokio::test]
async fn whoever_is_no_function_is_not_served() {
    let cloud = cloud_before_nothing().await;
    let environment = cloud.process_environment().unwrap();
    let key = &environment["AWS_ACCESS_KEY_ID"];
    let authority = environment["AWS_ENDPOINT_URL"].strip_prefix("http://").unwrap();
    for (key, agent, refusal) in [
        ("AKIAIOSFODNN7EXAMPLE", "app/puppet", "UnrecognizedClientException"),
        ("", "app/puppet", "UnrecognizedClientException"),
        (key, "app/marionette", "AccessDeniedException"),
        (key, "aws-sdk-rust", "AccessDeniedException"),
    ] {
        let body = r#"{"TableName": "People", "Key": {"pk": {"S": "USER#alice"}, "sk": {"S": "-"}}}"#;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {authority}\r\nx-amz-target: DynamoDB_20120810.GetItem\r\nx-amz-user-agent: {agent}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={key}/20270101/us-east-1/dynamodb/aws4_request\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = http_to(authority, &request).await;
        assert!(answer.contains(refusal), "{answer}");
    }
    assert!(cloud.calls().is_empty());
}
