//! A request to every endpoint that takes tokens.

use vestibule_protocol::endpoint::{ClaimKeyPackages, CreateQsClient, CreateQsUser, EnqueueQsMessage};
use vestibule_protocol::endpoint::{Endpoint as _, QsUserPath};
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Answer, Call, Pseudonym, TestCloud, json_body};

/// What can be paid for at Alice's, who has a queue and KeyPackages: each of these requests is right but for the token.
pub(super) struct Till {
    pub(super) cloud: TestCloud,
    pub(super) alice: Pseudonym,
    laptop: Pseudonym,
    bob: Pseudonym,
    claim: Call,
    message: Call,
}

/// The functions that take tokens.
pub(super) const FUNCTIONS: [&str; 4] = [
    CreateQsUser::DESCRIPTION.function,
    CreateQsClient::DESCRIPTION.function,
    ClaimKeyPackages::DESCRIPTION.function,
    EnqueueQsMessage::DESCRIPTION.function,
];

impl Till {
    pub(super) async fn open() -> Self {
        let cloud = TestCloud::start().await;
        let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
        alice.publish(&cloud, 1, 3).await;
        let message = sending_call(&alice.queue_config(), b"hello");
        Self {
            laptop: alice.another(2),
            bob: Pseudonym::new(&cloud, "bob@localhost", 3).await,
            claim: alice.claiming_call(),
            message,
            cloud,
            alice,
        }
    }

    /// The request to a function, with this in `Authorization`, signed if it is to be.
    pub(super) fn call(&self, function: &str, authorization: Option<&str>) -> Call {
        let QsUserPath { qs_user_id } = self.alice.qs_user_path();
        let call = match function {
            "qs-create-user" => Call::new::<CreateQsUser>(&(), json_body(&self.bob.creation())),
            "qs-create-client" => {
                Call::new::<CreateQsClient>(&QsUserPath { qs_user_id }, json_body(&self.laptop.client_creation()))
            }
            "qs-claim-key-packages" => self.claim.clone(),
            "qs-enqueue" => self.message.clone(),
            other => panic!("{other} takes no token"),
        };
        let call = call.without_header("authorization");
        let call = match authorization {
            Some(value) => call.with_header("authorization", value),
            None => call,
        };
        match function {
            "qs-create-user" => self.bob.sign_as_user(&self.cloud, &call),
            "qs-create-client" => self.alice.sign_as_user(&self.cloud, &call),
            _ => call,
        }
    }

    /// The request to a function, paid for with this token.
    pub(super) fn paid(&self, function: &str, token: &vestibule_tokens::Token) -> Call {
        self.call(function, Some(&vestibule_tokens::http::authorization(token)))
    }

    /// Sends a call and asserts that it is answered as it should be.
    pub(super) async fn sell(&self, call: &Call) -> Answer {
        let answer = self.cloud.send(call).await;
        assert!(answer.status < 300, "{}", answer.text());
        answer
    }
}
