use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use vestibule_protocol::time::Timestamp;

use super::*;
use crate::policy::IamRequest;
use crate::testing::{PUPPET, PUPPET_TEMPLATE, command, dynamodb_endpoint, post, puppet_cloud};
use crate::{FunctionEntry, Service};

async fn cloud() -> LocalCloud {
    puppet_cloud().start().await.unwrap()
}

/// What the puppet says it got.
async fn act(cloud: &LocalCloud, act: &str, pk: &str) -> String {
    let answer = cloud.invoke("puppet", command(act, pk)).await.unwrap();
    answer["body"].as_str().unwrap().to_owned()
}

async fn number_of_people(cloud: &LocalCloud) -> usize {
    cloud.items("People").await.unwrap().len()
}

/// Injects the fault into the first `attempts` calls.
fn inject(cloud: &LocalCloud, fault: Fault, attempts: u64) {
    cloud.inject(move |call| (call.number < attempts).then_some(fault));
}

#[tokio::test]
async fn a_function_reads_what_it_wrote() {
    let cloud = cloud().await;
    assert_eq!(act(&cloud, "get", "USER#alice").await, "nothing");
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
    assert_eq!(act(&cloud, "get", "USER#alice").await, "found");
    assert_eq!(cloud.items("People").await.unwrap(), [json!({"pk": {"S": "USER#alice"}, "sk": {"S": "-"}})]);
}

#[tokio::test]
async fn calls_are_recorded_with_what_iam_was_asked() {
    let cloud = cloud().await;
    act(&cloud, "put", "USER#alice").await;
    act(&cloud, "put twice", "USER#bob").await;
    let calls = cloud.calls();
    let summary: Vec<_> =
        calls.iter().map(|call| (call.function.as_str(), call.number, call.service, call.operation.as_str())).collect();
    let expected =
        [("puppet", 0, Service::DynamoDb, "PutItem"), ("puppet", 1, Service::DynamoDb, "TransactWriteItems")];
    assert_eq!(summary, expected);
    let put = IamRequest {
        action: "dynamodb:PutItem".to_owned(),
        resource: "arn:aws:dynamodb:us-east-1:000000000000:table/People".to_owned(),
        leading_keys: vec!["USER#bob".to_owned()],
    };
    assert_eq!(calls[1].iam_requests, [put.clone(), put]);
    cloud.forget_calls();
    assert!(cloud.calls().is_empty());
}

#[tokio::test]
async fn only_the_latest_calls_are_remembered() {
    let cloud = puppet_cloud().remembered_calls(1).start().await.unwrap();
    act(&cloud, "put", "USER#alice").await;
    act(&cloud, "get", "USER#alice").await;
    assert_eq!(cloud.calls().iter().map(|call| call.operation.as_str()).collect::<Vec<_>>(), ["GetItem"]);
}

#[tokio::test]
async fn a_call_that_the_policy_does_not_allow_is_denied_and_named() {
    let cloud = cloud().await;
    assert_eq!(act(&cloud, "delete", "USER#alice").await, "AccessDeniedException");
    assert_eq!(act(&cloud, "put", "QUEUE#alice").await, "AccessDeniedException");
    assert_eq!(act(&cloud, "put twice", "QUEUE#alice").await, "AccessDeniedException");
    let refusal = "on People: no statement in template.yaml allows it (leading keys:";
    assert_eq!(
        cloud.denied(),
        [
            format!("function puppet may not call dynamodb:DeleteItem {refusal} USER#…)"),
            format!("function puppet may not call dynamodb:PutItem {refusal} QUEUE#…)"),
            format!("function puppet may not call dynamodb:PutItem {refusal} QUEUE#…)"),
        ]
    );
    assert_eq!((number_of_people(&cloud).await, cloud.calls().len()), (0, 0));
}

#[tokio::test]
async fn a_function_reads_the_secrets_it_may_read() {
    let cloud = cloud().await;
    assert_eq!(act(&cloud, "read key", "").await, "ResourceNotFoundException");
    cloud.secrets().put("Key", "a key").unwrap();
    cloud.secrets().put("Hidden", "another").unwrap();
    assert_eq!(act(&cloud, "read key", "").await, "a key");
    assert_eq!(act(&cloud, "read hidden", "").await, "AccessDeniedException");
    let denied = "function puppet may not call secretsmanager:GetSecretValue on Hidden: \
                  no statement in template.yaml allows it";
    assert_eq!(cloud.denied(), [denied]);
    assert!(cloud.secrets().put("Unknown", "a key").is_err());
    assert!(!format!("{:?}", cloud.secrets()).contains("a key"));
}

#[tokio::test]
async fn a_fault_before_the_effect_leaves_nothing_behind() {
    let cloud = cloud().await;
    inject(&cloud, Fault::BeforeEffect, u64::MAX);
    assert_eq!(act(&cloud, "put", "USER#alice").await, "InternalServerError");
    assert_eq!((number_of_people(&cloud).await, cloud.calls().len()), (0, 3), "every attempt is a call");
    cloud.clear_faults();
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
}

#[tokio::test]
async fn a_fault_after_the_effect_loses_the_answer_only() {
    let cloud = cloud().await;
    inject(&cloud, Fault::AfterEffect, u64::MAX);
    assert_eq!(act(&cloud, "put", "USER#alice").await, "dispatch failure");
    assert_eq!((number_of_people(&cloud).await, cloud.calls().len()), (1, 3));
}

#[tokio::test]
async fn the_sdk_tries_again_after_a_passing_fault() {
    for fault in [Fault::BeforeEffect, Fault::AfterEffect, Fault::Throttled] {
        let cloud = cloud().await;
        inject(&cloud, fault, 1);
        assert_eq!(act(&cloud, "put", "USER#alice").await, "done", "{fault:?}");
        assert_eq!(cloud.calls().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_throttled_call_does_nothing() {
    let cloud = cloud().await;
    cloud.secrets().put("Key", "a key").unwrap();
    inject(&cloud, Fault::Throttled, u64::MAX);
    for command in ["put", "put twice", "get", "read key"] {
        assert_eq!(act(&cloud, command, "USER#alice").await, "ThrottlingException", "{command}");
    }
    assert_eq!(number_of_people(&cloud).await, 0);
}

#[tokio::test]
async fn a_conflict_happens_to_writes_only() {
    let cloud = cloud().await;
    inject(&cloud, Fault::TransactionConflict, u64::MAX);
    assert_eq!(act(&cloud, "put", "USER#alice").await, "TransactionConflictException");
    assert_eq!(act(&cloud, "put twice", "USER#alice").await, "TransactionCanceledException");
    assert_eq!(act(&cloud, "get", "USER#alice").await, "nothing");
    assert_eq!(number_of_people(&cloud).await, 0);
}

#[tokio::test]
async fn a_plan_sees_what_is_called() {
    let cloud = cloud().await;
    cloud.inject(|call| {
        let is_bob = call.body["Item"]["pk"]["S"] == "USER#bob";
        (call.function == "puppet" && call.operation == "PutItem" && is_bob).then_some(Fault::BeforeEffect)
    });
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
    assert_eq!(act(&cloud, "put", "USER#bob").await, "InternalServerError");
}

#[tokio::test]
async fn the_operator_is_neither_confined_nor_recorded_nor_hit() {
    let cloud = cloud().await;
    inject(&cloud, Fault::BeforeEffect, u64::MAX);
    for sk in ["2", "1"] {
        cloud.put_item("People", json!({"pk": {"S": "CREDENTIALS"}, "sk": {"S": sk}})).await.unwrap();
    }
    let sort_keys: Vec<_> = cloud.items("People").await.unwrap().iter().map(|item| item["sk"]["S"].clone()).collect();
    assert_eq!(sort_keys, ["1", "2"]);
    assert!(cloud.calls().is_empty() && cloud.denied().is_empty());
    assert!(cloud.items("Strangers").await.is_err());
    assert!(cloud.put_item("People", json!({"pk": {"S": "no sort key"}})).await.is_err());
}

#[tokio::test]
async fn a_table_is_read_to_its_last_page() {
    let cloud = cloud().await;
    let padding = "x".repeat(300_000);
    for sk in ["1", "2", "3", "4"] {
        let item = json!({"pk": {"S": "USER#alice"}, "sk": {"S": sk}, "padding": {"S": padding}});
        cloud.put_item("People", item).await.unwrap();
    }
    assert_eq!(number_of_people(&cloud).await, 4);
}

#[tokio::test]
async fn functions_see_the_parameters_and_the_clock() {
    let clock = Clock::manual(Timestamp::from_seconds(1_000));
    let cloud = puppet_cloud().parameter("Greeting", "moin").clock(clock.clone()).start().await.unwrap();
    assert_eq!(act(&cloud, "greet", "").await, "moin");
    clock.advance(Duration::from_secs(5));
    assert_eq!(act(&cloud, "tell time", "").await, "1005");
    assert_eq!(cloud.operator().parameter("Greeting"), Some("moin"));
}

#[tokio::test]
async fn provisioning_comes_before_the_functions_start() {
    let cloud = puppet_cloud().provision(|operator| async move {
        assert!(!operator.has_secret("Key") && operator.state_directory().is_none());
        operator.put_secret("Key", "provisioned")?;
        operator.put_item("People", json!({"pk": {"S": "USER#first"}, "sk": {"S": "-"}})).await?;
        Ok(())
    });
    let cloud = cloud.start().await.unwrap();
    assert_eq!(act(&cloud, "read key", "").await, "provisioned");
    assert_eq!(act(&cloud, "get", "USER#first").await, "found");
}

#[tokio::test]
async fn a_failure_to_provision_stops_the_start() {
    let error = puppet_cloud().provision(|_| async { Err("no keys".into()) }).start().await.unwrap_err();
    assert_eq!(error.to_string(), "cannot provision the deployment: no keys");
}

#[tokio::test]
async fn the_state_directory_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let provisioned = Arc::new(AtomicUsize::new(0));
    for round in ["first", "second"] {
        let provisioned = Arc::clone(&provisioned);
        let cloud = puppet_cloud().state_directory(directory.path()).provision(move |operator| async move {
            if !operator.has_secret("Key") {
                operator.put_secret("Key", "kept")?;
                provisioned.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let cloud = cloud.start().await.unwrap();
        assert_eq!(act(&cloud, "put", &format!("USER#{round}")).await, "done");
        assert_eq!(act(&cloud, "get", "USER#first").await, "found");
        assert_eq!(act(&cloud, "read key", "").await, "kept");
    }
    assert_eq!(provisioned.load(Ordering::Relaxed), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_on_disk_only_its_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;

    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state");
    let cloud = puppet_cloud().state_directory(&directory).start().await.unwrap();
    cloud.secrets().put("Key", "a key").unwrap();
    act(&cloud, "put", "USER#alice").await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for file in std::fs::read_dir(&directory).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_state_directory_has_one_cloud_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let builder = || puppet_cloud().state_directory(directory.path());
    let first = builder().start().await.unwrap();
    assert!(matches!(builder().start().await, Err(LocalCloudError::StateInUse { .. })));
    drop(first);
    builder().start().await.unwrap();
}

#[tokio::test]
async fn a_state_directory_with_other_tables_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(puppet_cloud().state_directory(directory.path()).start().await.unwrap());
    let other_keys = PUPPET_TEMPLATE.replace("AttributeName: sk", "AttributeName: other");
    let error = puppet_cloud().template(other_keys).state_directory(directory.path()).start().await.unwrap_err();
    assert!(error.to_string().contains("other keys"), "{error}");
}

#[tokio::test]
async fn two_clouds_do_not_interfere() {
    let (first, second) = tokio::join!(cloud(), cloud());
    inject(&second, Fault::BeforeEffect, u64::MAX);
    first.secrets().put("Key", "the first's").unwrap();
    let (put, failed) = tokio::join!(act(&first, "put", "USER#alice"), act(&second, "put", "USER#alice"));
    assert_eq!((put.as_str(), failed.as_str()), ("done", "InternalServerError"));
    assert_eq!((number_of_people(&first).await, number_of_people(&second).await), (1, 0));
    assert_eq!((first.calls().len(), second.calls().len()), (1, 3));
    assert!(!second.secrets().has("Key"));
    assert_ne!(first.url(), second.url());
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = cloud().await;
    let port: u16 = first.url().rsplit(':').next().unwrap().parse().unwrap();
    let error = puppet_cloud().port(port).start().await.unwrap_err();
    assert_eq!(error.to_string(), format!("port {port} is taken by another process"));
}

#[tokio::test]
async fn dropping_a_cloud_frees_its_port() {
    let first = cloud().await;
    let port: u16 = first.url().rsplit(':').next().unwrap().parse().unwrap();
    assert!(post(&first, "/act", &command("greet", "")).await.ends_with("hello"));
    drop(first);
    // The task that listens ends when it is its turn.
    tokio::task::yield_now().await;
    puppet_cloud().port(port).start().await.unwrap();
}

#[tokio::test]
async fn template_and_code_must_name_the_same_functions() {
    let error = puppet_cloud().functions([]).start().await.unwrap_err();
    assert_eq!(error.to_string(), "template.yaml names the function puppet, but there is no code for it");
    let surplus = FunctionEntry { name: "marionette", ..PUPPET };
    let error = puppet_cloud().functions([PUPPET, surplus]).start().await.unwrap_err();
    assert_eq!(error.to_string(), "there is code for the function marionette, but template.yaml does not name it");
}

#[tokio::test]
async fn a_function_that_does_not_start_is_named() {
    let template = PUPPET_TEMPLATE.replace("GREETING: !Ref Greeting, ", "");
    let error = puppet_cloud().template(template).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the function puppet does not start: the environment variable GREETING is not set");
}

#[tokio::test]
async fn an_unknown_function_cannot_be_invoked() {
    let error = cloud().await.invoke("marionette", json!({})).await.unwrap_err();
    assert_eq!(error, InvocationError::UnknownFunction("marionette".to_owned()));
}

#[tokio::test]
async fn a_cloud_can_use_the_dynamodb_behind_an_endpoint() {
    let endpoint = dynamodb_endpoint().await;
    let cloud = puppet_cloud().dynamodb_endpoint(&endpoint).start().await.unwrap();
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
    assert_eq!(act(&cloud, "delete", "USER#alice").await, "AccessDeniedException");
    inject(&cloud, Fault::BeforeEffect, u64::MAX);
    assert_eq!(act(&cloud, "put", "USER#bob").await, "InternalServerError");
    drop(cloud);
    let next = puppet_cloud().dynamodb_endpoint(&endpoint).start().await.unwrap();
    assert_eq!(next.items("People").await.unwrap(), [json!({"pk": {"S": "USER#alice"}, "sk": {"S": "-"}})]);
}

/// The SDK keeps one quota of retries for all clients of a region in a process, unless it is told otherwise.
#[tokio::test]
async fn a_function_that_has_used_up_its_retries_leaves_those_of_others_alone() {
    let (broken, other) = (Arc::new(cloud().await), cloud().await);
    inject(&broken, Fault::BeforeEffect, u64::MAX);
    let mut puts = tokio::task::JoinSet::new();
    for _ in 0..80 {
        let broken = Arc::clone(&broken);
        puts.spawn(async move { act(&broken, "put", "USER#alice").await });
    }
    puts.join_all().await;
    assert!(broken.calls().len() < 80 * 3, "the quota of the broken cloud is used up");
    inject(&other, Fault::BeforeEffect, 1);
    assert_eq!(act(&other, "put", "USER#alice").await, "done");
}

#[tokio::test]
async fn a_cloud_can_begin_with_what_another_one_holds() {
    let first = cloud().await;
    first.secrets().put("Key", "a key").unwrap();
    act(&first, "put", "USER#alice").await;
    let snapshot = first.snapshot().unwrap().unwrap();
    act(&first, "put", "USER#bob").await;
    let begin = || puppet_cloud().provision(|_| async { Err("not needed".into()) }).snapshot(snapshot.clone()).start();
    let (second, third) = (begin().await.unwrap(), begin().await.unwrap());
    assert_eq!(act(&second, "read key", "").await, "a key");
    assert_eq!(act(&second, "get", "USER#alice").await, "found");
    assert_eq!(act(&second, "get", "USER#bob").await, "nothing");
    act(&second, "put", "USER#carol").await;
    assert_eq!((number_of_people(&first).await, number_of_people(&third).await), (2, 1));
}

#[tokio::test]
async fn functions_can_start_with_their_first_event() {
    let template = PUPPET_TEMPLATE.replace("GREETING: !Ref Greeting, ", "");
    let cloud = puppet_cloud().template(template).start_functions_on_demand().start().await.unwrap();
    let error = cloud.invoke("puppet", command("greet", "")).await.unwrap_err();
    let reason = "the environment variable GREETING is not set".to_owned();
    assert_eq!(error, InvocationError::Failed(reason));
    let cloud = puppet_cloud().start_functions_on_demand().start().await.unwrap();
    assert_eq!(act(&cloud, "greet", "").await, "hello");
    assert_eq!(act(&cloud, "put", "USER#alice").await, "done");
}
