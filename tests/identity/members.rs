//! A user with an identity, to be spoiled.

use vestibule_identity::PreparedCommit;
use vestibule_protocol::endpoint::CommitIdentityRequest;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::identity::Device;
use vestibule_tests::{Call, TestCloud};

/// Alice with her phone and her laptop, both members.
pub(super) struct Members {
    pub(super) cloud: TestCloud,
    pub(super) phone: Device,
    pub(super) laptop: Device,
}

impl Members {
    pub(super) async fn new() -> Self {
        let cloud = TestCloud::start().await;
        let mut phone = Device::first(&cloud, "alice@localhost", 1).await;
        let laptop = phone.link(&cloud, 2).await;
        Self { cloud, phone, laptop }
    }

    /// Sends a call and checks that it leaves nothing behind.
    pub(super) async fn problem_with(&self, call: &Call) -> ProblemType {
        problem_with(&self.cloud, call).await
    }

    /// The problem with a change of the phone's.
    pub(super) async fn problem_with_phones(&self, prepared: &PreparedCommit) -> ProblemType {
        self.problem_with(&self.phone.call(&self.cloud, prepared)).await
    }

    /// The problem with a request of the phone's.
    pub(super) async fn problem_with_request(&self, request: &CommitIdentityRequest) -> ProblemType {
        self.problem_with(&self.phone.committing_call(&self.cloud, request)).await
    }

    /// Sends a call that is right, and checks that it leaves nothing behind.
    pub(super) async fn changes_nothing(&self, call: &Call) {
        let before = self.cloud.state().await;
        let answer = self.cloud.send(call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(self.cloud.state().await, before);
    }
}

/// Sends a call and checks that it leaves nothing behind.
pub(super) async fn problem_with(cloud: &TestCloud, call: &Call) -> ProblemType {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert_eq!(cloud.state().await, before, "{}", answer.text());
    answer.problem()
}
