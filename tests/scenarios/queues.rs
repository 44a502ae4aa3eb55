//! The scenarios of queues and connection packages.

use serde_json::Value;
use vestibule_protocol::endpoint::{
    ClaimConnectionPackages, ClaimConnectionPackagesResponse, DequeueMessages, DequeueQsMessages, Endpoint as _,
    EnqueueMessage, EnqueueQsMessage, PublishConnectionPackages,
};
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Applicant, Call, TestCloud};

use super::qs_records::alice;
use super::{Prepared, Scenario, listening};

/// How many messages wait in the queues that are read: with the key updates among them, more than a batch deletes.
const MESSAGES: u8 = 30;
/// The number from which on they are read.
const FROM: u64 = 28;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: EnqueueQsMessage::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = alice(cloud).await;
                alice.receive(cloud, [b"the first".to_vec()]).await;
                let call = sending_call(&alice.queue_config(), b"the second");
                Prepared::new(move |_| call.clone())
            })
        },
        // One read, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: EnqueueQsMessage::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let call = sending_call(&alice(cloud).await.queue_config(), b"the first, after a key update");
                Prepared { settled: without_fresh_randomness, ..Prepared::new(move |_| call.clone()) }
            })
        },
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: EnqueueQsMessage::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = alice(cloud).await;
                alice.receive(cloud, [b"the first".to_vec()]).await;
                let ear = alice.listen(cloud).await;
                let call = sending_call(&alice.queue_config(), b"the second, while she listens");
                let ear = std::sync::Arc::new(ear);
                let prepared = Prepared::performing(move |cloud| {
                    let (call, ear) = (call.clone(), std::sync::Arc::clone(&ear));
                    Box::pin(async move {
                        let answer = cloud.send(&call).await;
                        drop(ear);
                        answer
                    })
                });
                Prepared { settled: listening::without_connections, ..prepared }
            })
        },
        budget: 2,
        rate_limits: 0,
        posts: 1,
    },
    Scenario {
        function: DequeueQsMessages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = alice(cloud).await;
                alice.receive(cloud, (0..MESSAGES).map(|number| vec![number])).await;
                Prepared::new(move |cloud| alice.fetching_call(cloud, FROM))
            })
        },
        // One read, two batches, one write, one query.
        budget: 5,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: PublishConnectionPackages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = registered(cloud).await;
                let publication = alice.connection_publication(cloud, 3, 50);
                Prepared::new(move |cloud| alice.publishing_call(cloud, &publication))
            })
        },
        // One read of the client that signs, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: PublishConnectionPackages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let phone = registered(cloud).await;
                let mut laptop = phone.another(cloud, 2).await;
                phone.add(cloud, &laptop).await;
                cloud.confirm(&laptop).await;
                let publication = laptop.connection_publication(cloud, 0, 50);
                Prepared::new(move |cloud| laptop.publishing_call(cloud, &publication))
            })
        },
        // The same, and a queue in the transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: ClaimConnectionPackages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = registered(cloud).await;
                Prepared {
                    // Another package each time, and one may be wasted if an answer gets lost.
                    stable: |answer| {
                        answer.success::<ClaimConnectionPackagesResponse>().connection_packages.len().into()
                    },
                    settled: without_packages,
                    ..Prepared::new(move |_| Call::new::<ClaimConnectionPackages>(&alice.user_path(), Vec::new()))
                }
            })
        },
        // A query, and for the one client an update and a delete.
        budget: 3,
        rate_limits: 2,
        posts: 0,
    },
    Scenario {
        function: EnqueueMessage::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = registered(cloud).await;
                assert_eq!(cloud.send(&alice.writing_call(b"the first")).await.status, 200);
                let call = alice.writing_call(b"the second");
                Prepared::new(move |_| call.clone())
            })
        },
        budget: 2,
        rate_limits: 1,
        posts: 0,
    },
    Scenario {
        function: DequeueMessages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = registered(cloud).await;
                for number in 0..MESSAGES {
                    assert_eq!(cloud.send(&alice.writing_call(&[number])).await.status, 200);
                }
                Prepared::new(move |cloud| alice.fetching_call(cloud, FROM))
            })
        },
        // The same as at the queuing service, and one read of the client that signs.
        budget: 6,
        rate_limits: 0,
        posts: 0,
    },
];

/// Alice at the authentication service.
async fn registered(cloud: &TestCloud) -> Applicant {
    Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await
}

/// An item without what a key update makes another each time.
fn without_fresh_randomness(mut item: Value) -> Option<Value> {
    let attributes = item.as_object_mut()?;
    attributes.remove("ciphertext");
    attributes.remove("ratchet_key");
    Some(item)
}

/// An item without what claims wear out.
fn without_packages(mut item: Value) -> Option<Value> {
    if item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("CONNECTION_PACKAGE#")) {
        return None;
    }
    item.as_object_mut()?.remove("connection_packages_head");
    Some(item)
}
