//! For every endpoint, one call that does its work: what the fault harness breaks and the budget test counts.
//!
//! An endpoint that is added is added here too: a test compares this list with the list of endpoints.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use vestibule_protocol::endpoint::{Endpoint as _, FinishRegistration, GetCredentials, InitiateRegistration};
use vestibule_tests::{Answer, Applicant, Call, TestCloud, json_body};

/// An endpoint's scenario.
pub(crate) struct Scenario {
    /// The function under test.
    pub(crate) function: &'static str,
    /// Brings a fresh cloud to the point where the function is called. The same in every cloud.
    pub(crate) prepare: fn(&TestCloud) -> Pin<Box<dyn Future<Output = Prepared> + Send + '_>>,
    /// The most DynamoDB calls that one request may make (design, section 7), the rate limit's apart.
    pub(crate) budget: usize,
    /// Whether the endpoint counts against a rate limit.
    pub(crate) is_rate_limited: bool,
}

/// A call that is ready to be made.
pub(crate) struct Prepared {
    /// Makes the request anew, as a client does that tries again: the same body, under a fresh signature.
    pub(crate) call: Box<dyn Fn(&TestCloud) -> Call + Send>,
    /// What of the answer is the same every time.
    pub(crate) stable: fn(&Answer) -> Value,
}

impl Prepared {
    fn new(call: impl Fn(&TestCloud) -> Call + Send + 'static) -> Self {
        Self { call: Box::new(call), stable: |answer| serde_json::from_slice(&answer.body).unwrap_or(Value::Null) }
    }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: GetCredentials::DESCRIPTION.function,
        prepare: |_| Box::pin(async { Prepared::new(|_| Call::new::<GetCredentials>(&(), Vec::new())) }),
        budget: 1,
        is_rate_limited: false,
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
        is_rate_limited: true,
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
        is_rate_limited: false,
    },
];

#[test]
fn every_endpoint_has_a_scenario() {
    let functions: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.function).collect();
    let endpoints: Vec<_> = vestibule_protocol::endpoint::ENDPOINTS.iter().map(|endpoint| endpoint.function).collect();
    assert_eq!(functions, endpoints);
}
