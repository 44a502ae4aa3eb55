//! Every DynamoDB call of every endpoint fails in turn, in every way, and the client tries again: what is left at the end
//! is what is left without the fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vestibule_local::{Fault, Service, ServiceCall, Snapshot};
use vestibule_protocol::time::Timestamp;
use vestibule_tests::{TestCloud, left_out_in_processes};

use crate::scenarios::{self, Prepared, Scenario};

const FAULTS: [Fault; 5] =
    [Fault::BeforeEffect, Fault::AfterEffect, Fault::Throttled, Fault::TransactionConflict, Fault::Unprocessed];

/// How long a fault lasts.
#[derive(Clone, Copy, Debug)]
enum Duration {
    /// One attempt: the SDK's own retry may get through.
    OneAttempt,
    /// All attempts of the call, so that the function gives up and the client has to try again.
    EveryAttempt,
}

/// What is there when all is done.
#[derive(Debug, PartialEq)]
struct Outcome {
    answer: Value,
    state: Vec<Value>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_the_retry_ends_as_if_nothing_had() {
    left_out_in_processes!("it compares what seeded functions store");
    for scenario in scenarios::all() {
        let start = Start::of(scenario).await;
        let (expected, operations) = undisturbed(scenario, &start).await;
        assert!(!operations.is_empty(), "{} calls DynamoDB", scenario.function);
        // Much of the time goes by in waiting for the next attempt, so several wait together.
        let mut runs = JoinSet::new();
        let places = Arc::new(Semaphore::new(8));
        for (position, operation) in operations.into_iter().enumerate() {
            for fault in FAULTS.into_iter().filter(|fault| can_happen(*fault, &operation)) {
                for duration in [Duration::OneAttempt, Duration::EveryAttempt] {
                    let (places, operation, start) = (Arc::clone(&places), operation.clone(), start.clone());
                    runs.spawn(async move {
                        let _place = places.acquire().await;
                        let what = format!("{fault:?} for {duration:?} at call {position}, {operation}");
                        (what, disturbed(scenario, &start, position, fault, duration).await)
                    });
                }
            }
        }
        for (what, outcome) in runs.join_all().await {
            assert_eq!(outcome, expected, "{}: {what}", scenario.function);
        }
    }
}

/// Whether the fault is one for this operation: reads and batches cannot conflict, and only batches are left undone.
fn can_happen(fault: Fault, operation: &str) -> bool {
    let is_batch = operation.starts_with("Batch");
    match fault {
        Fault::TransactionConflict => !is_batch && !matches!(operation, "GetItem" | "Query"),
        Fault::Unprocessed => is_batch,
        _ => true,
    }
}

/// From where a scenario's runs start.
#[derive(Clone)]
enum Start {
    /// From the point where the function is called, and the time of that point.
    Prepared(Snapshot, Timestamp, Arc<Prepared>),
    /// From the beginning, because there are connections to make.
    Scratch,
}

impl Start {
    async fn of(scenario: &Scenario) -> Self {
        let cloud = TestCloud::start().await;
        let prepared = (scenario.prepare)(&cloud).await;
        if prepared.is_portable {
            Self::Prepared(cloud.snapshot(), cloud.now(), Arc::new(prepared))
        } else {
            Self::Scratch
        }
    }

    async fn cloud(&self, scenario: &Scenario) -> (TestCloud, Arc<Prepared>) {
        match self {
            Self::Prepared(snapshot, now, prepared) => {
                let cloud = TestCloud::start_from(snapshot).await;
                cloud.cloud.clock().advance(now.saturating_since(cloud.now()));
                (cloud, Arc::clone(prepared))
            }
            Self::Scratch => {
                let cloud = TestCloud::start().await;
                let prepared = (scenario.prepare)(&cloud).await;
                (cloud, Arc::new(prepared))
            }
        }
    }
}

/// Runs a scenario without a fault. Also tells which DynamoDB operations it makes.
async fn undisturbed(scenario: &Scenario, start: &Start) -> (Outcome, Vec<String>) {
    let (cloud, prepared) = start.cloud(scenario).await;
    cloud.cloud.forget_calls();
    let answer = (prepared.perform)(&cloud).await;
    assert!(answer.status < 300, "{}: {}", scenario.function, answer.text());
    // Not those of a function that learns late of a connection's end.
    let is_its = |call: &ServiceCall| call.function == scenario.function && call.service == Service::DynamoDb;
    let operations = cloud.cloud.calls().into_iter().filter(is_its).map(|call| call.operation).collect();
    (outcome(&cloud, &prepared, &answer).await, operations)
}

/// Runs a scenario in which the DynamoDB call at `position` fails, then has the client try again.
async fn disturbed(scenario: &Scenario, start: &Start, position: usize, fault: Fault, duration: Duration) -> Outcome {
    let (cloud, prepared) = start.cloud(scenario).await;
    let function = scenario.function;
    let (seen, hits) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&hits);
    cloud.cloud.inject(move |call| {
        if call.function != function || call.service != Service::DynamoDb {
            return None;
        }
        let number = seen.fetch_add(1, Ordering::SeqCst);
        let is_hit = match duration {
            Duration::OneAttempt => number == position,
            Duration::EveryAttempt => number >= position,
        };
        counted.fetch_add(usize::from(is_hit), Ordering::SeqCst);
        is_hit.then_some(fault)
    });
    let first = (prepared.perform)(&cloud).await;
    cloud.cloud.clear_faults();
    assert_ne!(hits.load(Ordering::SeqCst), 0, "{function}: there was no call {position} for {fault:?} to hit");
    if first.status < 300 {
        return outcome(&cloud, &prepared, &first).await;
    }
    assert_eq!(first.status, 503, "a fault that passes is said to pass: {}", first.text());
    if !first.body.is_empty() {
        first.problem();
    }
    let again = (prepared.perform)(&cloud).await;
    assert!(again.status < 300, "{function}: {}", again.text());
    outcome(&cloud, &prepared, &again).await
}

async fn outcome(cloud: &TestCloud, prepared: &Prepared, answer: &vestibule_tests::Answer) -> Outcome {
    Outcome {
        answer: (prepared.stable)(answer),
        state: cloud.state().await.into_iter().filter_map(prepared.settled).collect(),
    }
}
