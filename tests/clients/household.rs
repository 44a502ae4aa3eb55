//! A user and two devices, to be spoiled.

use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, TestCloud};

/// Alice, who has registered with her phone and has a laptop that nobody knows yet.
pub(super) struct Household {
    pub(super) cloud: TestCloud,
    pub(super) phone: Applicant,
    pub(super) laptop: Applicant,
}

impl Household {
    pub(super) async fn new() -> Self {
        let cloud = TestCloud::start().await;
        let phone = Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
        let laptop = phone.another(&cloud, 2).await;
        Self { cloud, phone, laptop }
    }

    /// The same with a laptop that was added.
    pub(super) async fn unconfirmed() -> Self {
        let household = Self::new().await;
        household.phone.add(&household.cloud, &household.laptop).await;
        household
    }

    /// The same with a laptop that is a client like the phone.
    pub(super) async fn confirmed() -> Self {
        let household = Self::unconfirmed().await;
        household.cloud.confirm(&household.laptop).await;
        household
    }

    /// Sends a call and checks that it leaves nothing behind.
    pub(super) async fn problem_with(&self, call: &Call) -> ProblemType {
        let before = self.cloud.state().await;
        let answer = self.cloud.send(call).await;
        assert_eq!(self.cloud.state().await, before, "{}", answer.text());
        answer.problem()
    }

    /// Sends a call that is right, and checks that it leaves nothing behind.
    pub(super) async fn changes_nothing(&self, call: &Call) {
        let before = self.cloud.state().await;
        let answer = self.cloud.send(call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(self.cloud.state().await, before);
    }
}
