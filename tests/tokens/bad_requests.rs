//! Requests for tokens that are refused, and change nothing.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{IssueTokens, IssueTokensRequest};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Applicant, Call, TestCloud, json_body};

async fn problem_with(cloud: &TestCloud, call: &Call) -> ProblemType {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert_eq!(cloud.state().await, before, "{}", answer.text());
    answer.problem()
}

#[tokio::test]
async fn what_is_not_a_request_for_a_whole_batch_is_refused() {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let request = cloud.token_batch(1).await.request(&cloud.token_challenge());
    let mut of_another_type = request.clone();
    of_another_type[1] = 1;
    let mut one_less = request[..request.len() - 32].to_vec();
    one_less[3..5].copy_from_slice(&[0x4c, 0x60]);
    let mut no_element = request.clone();
    no_element[5..37].copy_from_slice(&[0xff; 32]);
    let mut identity = request.clone();
    identity[5..37].copy_from_slice(&[0; 32]);
    let longer = [&request[..], &[0]].concat();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("truncated", request[..request.len() - 1].to_vec()),
        ("longer", longer),
        ("of another type", of_another_type),
        ("99 tokens", one_less),
        ("no element", no_element),
        ("the identity", identity),
    ] {
        let problem = problem_with(&cloud, &alice.token_call(&cloud, bytes)).await;
        assert_eq!(problem, ProblemType::TokenRequestInvalid, "{what}");
    }
    let mut another_key = request;
    another_key[2] ^= 1;
    let problem = problem_with(&cloud, &alice.token_call(&cloud, another_key)).await;
    assert_eq!(problem, ProblemType::TokenKeyNotCurrent);
}

#[tokio::test]
async fn only_the_client_itself_takes_its_tokens() {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let bob = Applicant::enrolled(&cloud, "bob@localhost", 2).await;
    let call = alice.issuing_call(&cloud, &cloud.token_batch(1).await);
    assert_eq!(problem_with(&cloud, &bob.sign(&cloud, &call)).await, ProblemType::ClientUnknown);
    let stranger = Applicant::new(&cloud, "alice@localhost", 3).await;
    let strangers = stranger.issuing_call(&cloud, &cloud.token_batch(1).await);
    assert_eq!(problem_with(&cloud, &strangers).await, ProblemType::ClientUnknown);
    let unsigned = call.clone().without_header("signature");
    assert_eq!(problem_with(&cloud, &unsigned).await, ProblemType::SignatureMissing);
    let mut altered = call;
    altered.body[40] ^= 1;
    assert_eq!(problem_with(&cloud, &altered).await, ProblemType::ContentDigestMismatch);

    let request = cloud.token_batch(1).await.request(&cloud.token_challenge());
    let client_id = "alice@example.org/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap();
    let foreign = IssueTokensRequest { client_id, token_request: Bytes(request) };
    let foreign = alice.sign(&cloud, &Call::new::<IssueTokens>(&(), json_body(&foreign)));
    assert_eq!(problem_with(&cloud, &foreign).await, ProblemType::ForeignDomain);
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_the_allowance_as_it_was() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("TokenBatchesPerClientAndTimeFrame", "1")).await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    for _ in 0..3 {
        cloud.send(&alice.token_call(&cloud, vec![0; 3205])).await.problem();
    }
    alice.take_tokens(&cloud, 1).await;
}
