//! The scenarios of the queuing service's WebSocket API.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;
use vestibule_tests::Answer;
use vestibule_tests::listening::Ear;

use super::qs_records::alice;
use super::{Prepared, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: "qs-listen",
        prepare: |cloud| {
            Box::pin(async {
                // Whoever listened before is replaced, when it is performed again.
                let (alice, ears) = (Arc::new(alice(cloud).await), Arc::new(Mutex::new(Vec::new())));
                let prepared = Prepared::performing(move |cloud| {
                    let (alice, ears) = (Arc::clone(&alice), Arc::clone(&ears));
                    Box::pin(async move {
                        let opened = Ear::open(cloud, &alice.listen_header(cloud)).await;
                        let status = opened.as_ref().map_or_else(|status| *status, |_| 200);
                        ears.lock().await.extend(opened.ok());
                        answer(status)
                    })
                });
                Prepared { settled: without_connections, ..prepared }
            })
        },
        // One read, two writes.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: "qs-unlisten",
        prepare: |cloud| {
            Box::pin(async {
                let alice = alice(cloud).await;
                let ear = Arc::new(alice.listen(cloud).await);
                let connection = alice.listener(cloud).await.expect("she listens");
                let prepared = Prepared::performing(move |cloud| {
                    let (connection, ear) = (connection.clone(), Arc::clone(&ear));
                    Box::pin(async move {
                        let status = cloud.unlistened(&connection).await;
                        drop(ear);
                        answer(status)
                    })
                });
                Prepared { settled: without_connections, ..prepared }
            })
        },
        // One read, two writes.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
];

fn answer(status: u16) -> Answer {
    Answer { status, headers: BTreeMap::new(), body: Vec::new() }
}

/// An item without the connections, which are others every time, and so are the tokens that the preparation has cost.
pub(super) fn without_connections(mut item: Value) -> Option<Value> {
    if item["sk"]["S"] == "CONNECTION" || item["sk"]["S"] == "TOKEN" {
        return None;
    }
    if let Some(listener) = item.get_mut("listener") {
        *listener = "somebody".into();
    }
    Some(item)
}
