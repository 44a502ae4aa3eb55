//! How many DynamoDB calls a request makes, and what they cost.

use vestibule_local::Service;
use vestibule_tests::{TestCloud, left_out_in_processes};

use crate::scenarios;

#[tokio::test]
async fn every_endpoint_makes_as_many_dynamodb_calls_as_its_budget() {
    left_out_in_processes!("one of the scenarios moves the clock");
    let mut table = String::from("DynamoDB calls and capacity units per request\n");
    let mut off_budget = Vec::new();
    for scenario in scenarios::all() {
        let cloud = TestCloud::start().await;
        let prepared = (scenario.prepare)(&cloud).await;
        cloud.cloud.forget_calls();
        cloud.cloud.measure_capacity();
        let answer = (prepared.perform)(&cloud).await;
        assert!(answer.status < 300, "{}", answer.text());
        let calls = cloud.cloud.calls();
        let consumed = cloud.cloud.measure_capacity();
        let consumed = consumed.get(scenario.function).copied().unwrap_or_default();
        let of_function = calls.iter().filter(|call| call.function == scenario.function);
        let posts = of_function.clone().filter(|call| call.operation == "PostToConnection").count();
        let (buckets, calls): (Vec<_>, Vec<_>) = of_function
            .filter(|call| call.service == Service::DynamoDb)
            .partition(|call| call.iam_requests[0].leading_keys.iter().any(|key| key.contains("BUCKET#")));
        let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
        table.push_str(&format!(
            "{:<28} {} of {} {operations:?}, {} for the rate limit, {posts} posts, {} read and {} write units\n",
            scenario.function,
            calls.len(),
            scenario.budget,
            buckets.len(),
            consumed.read_units,
            consumed.write_units,
        ));
        if calls.len() != scenario.budget || buckets.len() != scenario.rate_limits || posts != scenario.posts {
            off_budget.push(scenario.function);
        }
    }
    eprintln!("{table}");
    assert!(off_budget.is_empty(), "not as budgeted: {off_budget:?}\n{table}");
}
