//! What users cost: the calls and capacity units of whole flows, for the table in `docs/operations.md`.

use std::collections::BTreeMap;

use vestibule_local::{Capacity, Service};

use super::*;

/// What functions have consumed, and prints it.
fn consumed(cloud: &TestCloud, flow: &str) -> Capacity {
    let mut calls = BTreeMap::<String, usize>::new();
    for call in cloud.cloud.calls().into_iter().filter(|call| call.service == Service::DynamoDb) {
        *calls.entry(call.function).or_default() += 1;
    }
    cloud.cloud.forget_calls();
    let mut sum = Capacity::default();
    let mut table = format!("{flow}: DynamoDB calls, read units, write units\n");
    for (function, Capacity { read_units, write_units }) in cloud.cloud.measure_capacity() {
        table.push_str(&format!("{function:<28} {:>3} {read_units:>6} {write_units:>6}\n", calls[&function]));
        sum.read_units += read_units;
        sum.write_units += write_units;
    }
    eprintln!("{table}{:<28} {:>3} {:>6} {:>6}\n", "", calls.values().sum::<usize>(), sum.read_units, sum.write_units);
    sum
}

#[tokio::test]
async fn registering_looking_after_oneself_and_linking_stay_affordable() {
    let cloud = Arc::new(TestCloud::start().await);
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new(directory.path())
        .server(cloud.cloud.url().parse().unwrap())
        .clock(cloud.cloud.clock().clone())
        .waiting(Waiting::skipped());
    let mut alice = Client::open(options).unwrap();
    cloud.cloud.forget_calls();
    cloud.cloud.measure_capacity();
    alice.register(&"alice@localhost".parse().unwrap(), "phone", |_| Ok(password()), |_| ()).await.unwrap();
    // Most of it are the hundred KeyPackages and the first tokens.
    assert!(consumed(&cloud, "registration").write_units < 400.0);

    alice.catch_up().await.unwrap();
    alice.refill_key_packages().await.unwrap();
    assert!(consumed(&cloud, "a status").write_units == 0.0);

    let household = Household::new(&cloud, "bob@localhost").await;
    consumed(&cloud, "registration with one KeyPackage");
    household.link("laptop", "phone").await.unwrap();
    assert!(consumed(&cloud, "linking").write_units < 400.0);
}
