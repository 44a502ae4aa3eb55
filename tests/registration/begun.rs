//! A registration under way, to be spoiled.

use rand::rngs::OsRng;
use vestibule_protocol::endpoint::FinishRegistrationRequest;
use vestibule_protocol::keys::{ClientCredentialKey, SigningKey};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, TestCloud};

/// A registration that was initiated and waits to be finished.
pub(super) struct Begun {
    pub(super) cloud: TestCloud,
    pub(super) alice: Applicant,
    pub(super) completion: FinishRegistrationRequest,
}

impl Begun {
    pub(super) async fn new() -> Self {
        let cloud = TestCloud::start().await;
        let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
        let completion = alice.initiate(&cloud).await;
        Self { cloud, alice, completion }
    }

    pub(super) fn call(&self) -> Call {
        self.alice.finishing_call(&self.cloud, &self.completion)
    }

    /// Sends a call, checks that it leaves nothing behind, and that the right call is still welcome.
    pub(super) async fn problem_with(&self, call: &Call) -> ProblemType {
        let before = self.cloud.state().await;
        let answer = self.cloud.send(call).await;
        assert_eq!(self.cloud.state().await, before);
        answer.problem()
    }

    /// The problem with a completion that is spoiled, and signed like that.
    pub(super) async fn problem_with_completion(mut self, change: impl FnOnce(&mut Self)) -> ProblemType {
        change(&mut self);
        self.problem_with(&self.call()).await
    }
}

pub(super) fn another_key() -> SigningKey<ClientCredentialKey> {
    SigningKey::generate(&mut OsRng)
}
