//! What a deployment counts of itself.

use vestibule_local::{Fault, Service};
use vestibule_tests::{Applicant, KeyServerUser, TestCloud, captured_log, left_out_in_processes};

use crate::scenarios;

/// What the lines about the answers of a function say that they count as.
fn measured(function: &str) -> Vec<String> {
    let log = captured_log();
    let of_function = log.lines().filter(|line| line.contains(&format!("function=\"{function}\"")));
    of_function.filter_map(|line| Some(line.split_once("measured=\"")?.1.split('"').next()?.to_owned())).collect()
}

#[track_caller]
fn assert_measured(function: &str, expected: &str) {
    let measured = measured(function);
    assert!(measured.iter().any(|measured| measured.contains(expected)), "{function}: {expected} in {measured:?}");
}

#[tokio::test]
async fn registrations_logins_links_key_packages_and_tokens_are_counted() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let alice = Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    assert_measured("as-initiate-registration", "Registrations.initiated=1 IntermediateDaysLeft=364");
    assert_measured("as-finish-registration", "Registrations.finished=1 IntermediateDaysLeft=364");
    alice.take_tokens(&cloud, 1).await;
    assert_measured("as-issue-tokens", "Tokens.batch-issued=1 TokenKeyDaysLeft=55");

    let mut bob = KeyServerUser::new(&cloud, "bob@localhost", 2).await;
    bob.complete(&cloud).await;
    assert_measured("ks-open-session", "Logins.opened=1");
    assert_measured("ks-use-session", "Logins.finished=1");

    for (function, expected) in [
        ("as-remove-client", "Logins.finished=1"),
        ("qs-publish-key-packages", "KeyPackages.published="),
        ("qs-claim-key-packages", "KeyPackages.claimed=1"),
        ("rs-create", "Links.begun=1"),
        ("rs-join", "Links.joined=1"),
    ] {
        let scenario = scenarios::all().find(|scenario| scenario.function == function).unwrap();
        let cloud = TestCloud::start().await;
        let prepared = (scenario.prepare)(&cloud).await;
        assert!((prepared.perform)(&cloud).await.status < 300);
        assert_measured(function, expected);
    }
}

#[tokio::test]
async fn an_answer_that_is_our_fault_is_a_failure_and_one_that_is_the_clients_is_none() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    cloud.cloud.inject(|call| (call.service == Service::DynamoDb).then_some(Fault::BeforeEffect));
    assert!(cloud.send(&alice.finishing_call(&cloud, &completion)).await.status >= 500);
    let failures = "Registrations.temporarily-unavailable=1 IntermediateDaysLeft=364 Failures=1";
    assert_measured("as-finish-registration", failures);
    cloud.cloud.clear_faults();
    let mut unsigned = alice.unsigned_finishing_call(&completion);
    unsigned.headers.remove("signature");
    assert_eq!(cloud.send(&unsigned).await.status, 401);
    assert_measured("as-finish-registration", "Registrations.signature-missing=1");
    let of_clients = measured("as-finish-registration").into_iter().filter(|line| line.contains("signature-missing"));
    assert!(of_clients.clone().count() > 0 && of_clients.clone().all(|line| !line.contains("Failures")));
}
