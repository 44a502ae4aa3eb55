//! For every function, one request that does its work: what the fault harness breaks and the budget test counts.
//!
//! A function that is added is added here too: a test compares this list with the list of functions.

mod clients;
mod identity;
mod listening;
mod qs_records;
mod queues;
mod rendezvous;
mod tokens;

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use tokio::sync::OnceCell;
use vestibule_protocol::endpoint::{
    ClaimKeyPackages, ClaimKeyPackagesResponse, CreateQsUser, Endpoint as _, FinishRegistration, GetCredentials,
    GetKeyPackages, GetQsKeys, GetQsKeysResponse, InitiateRegistration, OpenSession, PublishKeyPackages,
    PublishKeyPackagesRequest, UseSession,
};
use vestibule_protocol::key_server::{
    DeleteStorageKey, Operation, ReadAuditLog, Request, RetrieveStorageKey, StorageKey,
};
use vestibule_tests::{Answer, Applicant, Call, KeyServerUser, Pseudonym, TestCloud, json_body, opening_call};

/// An endpoint's scenario.
pub(crate) struct Scenario {
    /// The function under test.
    pub(crate) function: &'static str,
    /// Brings a fresh cloud to the point where the function is called. The same in every cloud.
    pub(crate) prepare: fn(&TestCloud) -> Pin<Box<dyn Future<Output = Prepared> + Send + '_>>,
    /// How many DynamoDB calls one request makes (design, section 7), the rate limit's apart.
    pub(crate) budget: usize,
    /// Against how many rate limits one request counts.
    pub(crate) rate_limits: usize,
    /// How many messages one request posts to WebSocket connections.
    pub(crate) posts: usize,
}

/// A request on its way to its answer.
pub(crate) type Performing<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A request that is ready to be made.
pub(crate) struct Prepared {
    /// Makes the request anew, as a client does that tries again: the same body, under a fresh signature.
    pub(crate) perform: Box<dyn Fn(&TestCloud) -> Performing<'_> + Send + Sync>,
    /// What of the answer is the same every time.
    pub(crate) stable: fn(&Answer) -> Value,
    /// What of an item is the same, however often the request had to be sent; none if the item may be gone.
    pub(crate) settled: fn(Value) -> Option<Value>,
    /// Whether the request can be made in another cloud that holds the same: it needs no connection of this one.
    pub(crate) is_portable: bool,
}

impl Prepared {
    /// A request to the HTTP API.
    pub(crate) fn new(call: impl Fn(&TestCloud) -> Call + Send + Sync + 'static) -> Self {
        let prepared = Self::performing(move |cloud| {
            let call = call(cloud);
            Box::pin(async move { cloud.send(&call).await })
        });
        Self { is_portable: true, ..prepared }
    }

    /// A request of another kind.
    pub(crate) fn performing(perform: impl Fn(&TestCloud) -> Performing<'_> + Send + Sync + 'static) -> Self {
        Self {
            perform: Box::new(perform),
            stable: |answer| serde_json::from_slice(&answer.body).unwrap_or(Value::Null),
            settled: Some,
            is_portable: false,
        }
    }
}

const REGISTRATION: &[Scenario] = &[
    Scenario {
        function: GetCredentials::DESCRIPTION.function,
        prepare: |_| Box::pin(async { Prepared::new(|_| Call::new::<GetCredentials>(&(), Vec::new())) }),
        budget: 1,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: InitiateRegistration::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let body = json_body(&Applicant::new(cloud, "alice@localhost", 1).await.initiation());
                let call = move |_: &TestCloud| Call::new::<InitiateRegistration>(&(), body.clone());
                // Every answer has a credential identifier of its own, so it is the same in form only.
                Prepared { stable: |answer| answer.status.into(), ..Prepared::new(call) }
            })
        },
        budget: 1,
        rate_limits: 1,
        posts: 0,
    },
    Scenario {
        function: FinishRegistration::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = Applicant::new(cloud, "alice@localhost", 1).await;
                let completion = alice.initiate(cloud).await;
                Prepared::new(move |cloud| alice.finishing_call(cloud, &completion))
            })
        },
        budget: 1,
        rate_limits: 0,
        posts: 0,
    },
];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: OpenSession::DESCRIPTION.function,
        prepare: |cloud| Box::pin(opening(cloud, false)),
        // One read, one write.
        budget: 2,
        rate_limits: 2,
        posts: 0,
    },
    Scenario {
        function: OpenSession::DESCRIPTION.function,
        prepare: |cloud| Box::pin(opening(cloud, true)),
        // The same, and one read of the client that signs.
        budget: 3,
        rate_limits: 1,
        posts: 0,
    },
    Scenario {
        function: UseSession::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = KeyServerUser::new(cloud, "alice@localhost", 1).await;
                let storage_key = StorageKey::generate(alice.rng());
                let (_, call) = alice.completing_call(cloud, &storage_key).await;
                Prepared::new(move |_| call.clone())
            })
        },
        // One read, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: UseSession::DESCRIPTION.function,
        prepare: |cloud| Box::pin(request_over_session(cloud, RetrieveStorageKey)),
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: UseSession::DESCRIPTION.function,
        prepare: |cloud| Box::pin(request_over_session(cloud, ReadAuditLog { before: None })),
        // One read, one query, one transaction.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: UseSession::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = KeyServerUser::new(cloud, "alice@localhost", 1).await;
                let storage_key = alice.complete(cloud).await;
                let call = alice.changing_call(cloud, KeyServerUser::PASSWORD, "battery staple", &storage_key).await;
                Prepared::new(move |_| call.clone())
            })
        },
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: UseSession::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let prepared = request_over_session(cloud, DeleteStorageKey).await;
                // Entries of a deleted log that a failure leaves expire.
                let without_log = |item: Value| {
                    (!item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("AUDIT#"))).then_some(item)
                };
                Prepared { settled: without_log, ..prepared }
            })
        },
        // One read, one transaction; to remove the log a query and a batch for each 25 entries, and a last query.
        budget: 5,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: GetQsKeys::DESCRIPTION.function,
        prepare: |_| {
            Box::pin(async {
                let call = |_: &TestCloud| Call::new::<GetQsKeys>(&(), Vec::new());
                Prepared {
                    // In each cloud one listens elsewhere.
                    stable: |answer| {
                        let keys: GetQsKeysResponse = answer.success();
                        serde_json::json!(GetQsKeysResponse { listen_url: String::new(), ..keys })
                    },
                    ..Prepared::new(call)
                }
            })
        },
        budget: 1,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: CreateQsUser::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = Pseudonym::new(cloud, "alice@localhost", 1).await;
                let call = alice.creating_call(cloud, &alice.creation());
                // The same token again, as a client does that does not know what became of it.
                Prepared::new(move |cloud| alice.sign_as_user(cloud, &call))
            })
        },
        budget: 1,
        rate_limits: 1,
        posts: 0,
    },
    Scenario {
        function: PublishKeyPackages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let (alice, generation) = with_packages(cloud).await;
                Prepared::new(move |cloud| alice.publishing_call(cloud, &generation))
            })
        },
        // One read, two batches, one update.
        budget: 4,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: GetKeyPackages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = published(cloud).await;
                Prepared::new(move |cloud| alice.supply_call(cloud))
            })
        },
        budget: 1,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: ClaimKeyPackages::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let call = published(cloud).await.claiming_call();
                Prepared {
                    // Another package each time, and one may be wasted if an answer gets lost.
                    stable: |answer| answer.success::<ClaimKeyPackagesResponse>().add_packages.len().into(),
                    settled: without_packages,
                    // The token of a claim that failed may be spent.
                    ..Prepared::new(move |_| call.clone().paid())
                }
            })
        },
        // The token, a query, and for the one client an update and a delete.
        budget: 4,
        rate_limits: 2,
        posts: 0,
    },
];

/// Every scenario.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    let of_services = [REGISTRATION, clients::SCENARIOS, identity::SCENARIOS, tokens::SCENARIOS, SCENARIOS];
    let of_queues = [qs_records::SCENARIOS, queues::SCENARIOS];
    let of_web_sockets = [listening::SCENARIOS, rendezvous::RELAY];
    of_services.into_iter().chain(of_queues).chain([rendezvous::CODES]).chain(of_web_sockets).flatten()
}

/// Alice opens a session, as anybody or as one of her clients.
async fn opening(cloud: &TestCloud, is_signed: bool) -> Prepared {
    let mut alice = KeyServerUser::new(cloud, "alice@localhost", 1).await;
    let (_, request) = alice.opening::<Request>(KeyServerUser::PASSWORD);
    let call = opening_call(&request);
    Prepared {
        // A session is another one each time, and one that nobody uses is forgotten.
        stable: |answer| answer.status.into(),
        settled: |item| (!item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("SESSION#"))).then_some(item),
        ..Prepared::new(move |cloud| if is_signed { alice.sign(cloud, &call) } else { call.clone() })
    }
}

/// Alice, who has stored a storage key, has opened a session for `operation`.
async fn request_over_session(cloud: &TestCloud, operation: impl Operation<Session = Request>) -> Prepared {
    let mut alice = KeyServerUser::new(cloud, "alice@localhost", 1).await;
    alice.complete(cloud).await;
    let (_, call) = alice.open::<Request>(cloud).await.send(operation);
    Prepared::new(move |_| call.clone())
}

/// How many ordinary packages the scenarios publish: one more than fits into a batch.
const PACKAGES: usize = 26;

/// Alice at the queuing service, and a generation for her to publish. HPKE takes its randomness from the system, so the
/// packages are made once: every cloud is to store the same.
async fn with_packages(cloud: &TestCloud) -> (Pseudonym, PublishKeyPackagesRequest) {
    static GENERATION: OnceCell<PublishKeyPackagesRequest> = OnceCell::const_new();
    let mut alice = Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await;
    let generation = GENERATION.get_or_init(|| async { alice.generation(cloud, 1, PACKAGES) }).await.clone();
    (alice, generation)
}

async fn published(cloud: &TestCloud) -> Pseudonym {
    let (alice, generation) = with_packages(cloud).await;
    assert_eq!(cloud.send(&alice.publishing_call(cloud, &generation)).await.status, 200);
    alice
}

/// An item without what claims wear out.
fn without_packages(mut item: Value) -> Option<Value> {
    if item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("KEY_PACKAGE#") || key == "TOKEN") {
        return None;
    }
    let attributes = item.as_object_mut()?;
    attributes.remove("head");
    attributes.remove("last_resort_uses");
    Some(item)
}

#[test]
fn every_function_has_a_scenario() {
    let mut functions: Vec<_> = all().map(|scenario| scenario.function).collect();
    functions.dedup();
    assert_eq!(functions, vestibule_local::FUNCTIONS.iter().map(|function| function.name).collect::<Vec<_>>());
}
