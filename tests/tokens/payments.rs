//! Paying: what a token pays for, how often, and which tokens are none.

use vestibule_protocol::endpoint::ENDPOINTS;
use vestibule_protocol::problem::{ProblemDocument, ProblemType};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::DAY;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Call, TestCloud, left_out_in_processes};
use vestibule_tokens::http::{ReceivedChallenge, authorization, read_www_authenticate};
use vestibule_tokens::{Token, TokenChallenge};

use super::till::{FUNCTIONS, Till};

/// What API Gateway makes of `WWW-Authenticate`.
const CHALLENGE: &str = "x-amzn-remapped-www-authenticate";

#[test]
fn every_endpoint_that_takes_tokens_is_tried() {
    let mut functions: Vec<_> = ENDPOINTS.iter().filter(|endpoint| endpoint.authentication.takes_token()).collect();
    functions.sort_by_key(|endpoint| FUNCTIONS.iter().position(|function| *function == endpoint.function));
    assert_eq!(functions.iter().map(|endpoint| endpoint.function).collect::<Vec<_>>(), FUNCTIONS);
}

/// What a function asked DynamoDB since the calls were forgotten, but for the user whose key verifies the signature.
fn asked(cloud: &TestCloud) -> Vec<String> {
    let calls = cloud.cloud.calls().into_iter().filter(|call| call.service == vestibule_local::Service::DynamoDb);
    let calls = calls.filter(|call| call.function != "qs-create-client" || call.operation != "GetItem");
    calls.map(|call| format!("{} {}", call.function, call.operation)).collect()
}

/// Sends a call whose token is no good, and checks that nobody was asked anything for it and nothing is changed.
async fn refused(till: &Till, call: &Call) -> (ProblemType, vestibule_tests::Answer) {
    let before = till.cloud.state().await;
    till.cloud.cloud.forget_calls();
    let answer = till.cloud.send(call).await;
    assert_eq!(asked(&till.cloud), Vec::<String>::new(), "{}", answer.text());
    assert_eq!(till.cloud.state().await, before);
    (answer.problem(), answer)
}

#[tokio::test]
async fn whoever_brings_no_token_is_told_which_one_is_wanted() {
    let till = Till::open().await;
    let current = till.cloud.token_keys().await.current(till.cloud.now());
    for function in FUNCTIONS {
        for value in [None, Some("Bearer AAAA"), Some("Basic YWxpY2U6c2VjcmV0")] {
            let (problem, answer) = refused(&till, &till.call(function, value)).await;
            assert_eq!(problem, ProblemType::TokenMissing, "{function} {value:?}");
            // RFC 9577, section 2.1: once in the header, once in the body.
            let in_header = read_www_authenticate(&answer.headers[CHALLENGE]).unwrap();
            let [in_header] = &in_header[..] else { panic!("one challenge is wanted") };
            let document: ProblemDocument = serde_json::from_slice(&answer.body).unwrap();
            let in_body = ReceivedChallenge::of_problem(&document.token_challenge.unwrap()).unwrap();
            assert_eq!(*in_header, in_body);
            assert!(in_body.is(&till.cloud.token_challenge()));
            assert_eq!(in_body.public_key(), current);
        }
    }
}

/// The same token with a bit of the byte at `index` turned over.
fn altered(token: &Token, index: usize) -> Token {
    let mut bytes = *token.as_bytes();
    bytes[index] ^= 1;
    Token::from_bytes(&bytes).unwrap()
}

#[tokio::test]
async fn a_token_that_is_none_here_is_refused_and_asks_nothing_of_anybody() {
    let till = Till::open().await;
    let token = TestCloud::token();
    let right = authorization(&token).to_string();
    let truncated = format!("{}\"", &right[..right.len() - 3]);
    let for_another = |service, domain: &str| {
        let challenge = TokenChallenge::of(service, &domain.parse().unwrap());
        authorization(&TestCloud::tokens_for(&challenge).remove(0)).to_string()
    };
    let of = |token: &Token| authorization(token).to_string();
    let tries = [
        ("truncated", truncated, ProblemType::TokenMalformed),
        ("longer", format!("{}AAAA\"", &right[..right.len() - 1]), ProblemType::TokenMalformed),
        ("no token", "PrivateToken".to_owned(), ProblemType::TokenMalformed),
        ("an empty token", "PrivateToken token=\"\"".to_owned(), ProblemType::TokenMalformed),
        ("two tokens", format!("{right}, {right}"), ProblemType::TokenMalformed),
        ("not base64url", right.replace("token=\"A", "token=\"!"), ProblemType::TokenMalformed),
        ("another deployment's", for_another(Service::Queuing, "example.org"), ProblemType::TokenForAnotherService),
        ("another service's", for_another(Service::Authentication, "localhost"), ProblemType::TokenForAnotherService),
        ("another challenge's", of(&altered(&token, 40)), ProblemType::TokenForAnotherService),
        ("another issuer's", of(&till.cloud.forged_tokens()[0]), ProblemType::TokenKeyUnknown),
        ("another key's", of(&altered(&token, 70)), ProblemType::TokenKeyUnknown),
        ("of another nonce", of(&altered(&token, 2)), ProblemType::TokenInvalid),
        ("of another authenticator", of(&altered(&token, 161)), ProblemType::TokenInvalid),
    ];
    for function in FUNCTIONS {
        for (what, value, expected) in &tries {
            let (problem, answer) = refused(&till, &till.call(function, Some(value))).await;
            assert_eq!(problem, *expected, "{function}: {what}");
            assert_eq!(answer.headers.contains_key(CHALLENGE), answer.status == 401, "{function}: {what}");
        }
    }
    // The token that it was tried with is still good.
    till.sell(&till.paid("qs-enqueue", &token)).await;
}

#[tokio::test]
async fn a_token_is_good_until_its_key_ends_and_no_longer() {
    left_out_in_processes!("it moves the clock");
    let till = Till::open().await;
    let (first, second) = (TestCloud::token(), TestCloud::token());
    let end = till.cloud.now().start_of_day().saturating_add(56 * DAY);
    let last_second = end.saturating_since(till.cloud.now()) - std::time::Duration::from_secs(1);
    till.cloud.cloud.clock().advance(last_second);
    till.sell(&till.paid("qs-enqueue", &first)).await;
    till.cloud.cloud.clock().advance(std::time::Duration::from_secs(1));
    for function in FUNCTIONS {
        for token in [&first, &second] {
            let (problem, _) = refused(&till, &till.paid(function, token)).await;
            assert_eq!(problem, ProblemType::TokenKeyUnknown, "{function}");
        }
    }
}

#[tokio::test]
async fn a_token_that_has_paid_somewhere_pays_nowhere_else() {
    for first in FUNCTIONS {
        let till = Till::open().await;
        let token = TestCloud::token();
        till.sell(&till.paid(first, &token)).await;
        for second in FUNCTIONS.into_iter().filter(|second| *second != first) {
            let spent = till.paid(second, &token);
            assert_eq!(till.cloud.problem_with(&spent).await, ProblemType::TokenSpent, "{first}, then {second}");
            let challenge = till.cloud.send(&spent).await.headers[CHALLENGE].clone();
            assert!(read_www_authenticate(&challenge).unwrap()[0].is(&till.cloud.token_challenge()));
            till.sell(&till.paid(second, &TestCloud::token())).await;
        }
    }
}

#[tokio::test]
async fn a_token_pays_for_one_message_of_many() {
    let mut till = Till::open().await;
    let (queue_config, token) = (till.alice.queue_config(), TestCloud::token());
    let [one, other] = [b"one", b"two"].map(|message| sending_call(&queue_config, message).paid_with(&token));
    till.sell(&one).await;
    assert_eq!(till.cloud.problem_with(&other).await, ProblemType::TokenSpent);
    // A request is known by all of it, and not by what it says alone.
    let same_said = Call { body: [&one.body[..], b" "].concat(), ..one };
    assert_eq!(till.cloud.problem_with(&same_said).await, ProblemType::TokenSpent);
}

#[tokio::test]
async fn the_same_request_with_the_same_token_is_answered_again_and_does_nothing() {
    let till = Till::open().await;
    for function in FUNCTIONS {
        let token = TestCloud::token();
        let first = till.sell(&till.paid(function, &token)).await;
        if function == "qs-claim-key-packages" {
            // It would take another package.
            assert_eq!(till.cloud.problem_with(&till.paid(function, &token)).await, ProblemType::TokenSpent);
            continue;
        }
        let before = till.cloud.state().await;
        assert_eq!(till.cloud.send(&till.paid(function, &token)).await, first, "{function}");
        assert_eq!(till.cloud.state().await, before, "{function}");
    }
}

#[tokio::test]
async fn what_is_done_already_costs_no_other_token() {
    let till = Till::open().await;
    for function in ["qs-create-user", "qs-create-client", "qs-enqueue"] {
        let first = till.sell(&till.paid(function, &TestCloud::token())).await;
        let before = till.cloud.state().await;
        let token = TestCloud::token();
        assert_eq!(till.cloud.send(&till.paid(function, &token)).await, first, "{function}");
        assert_eq!(till.cloud.state().await, before, "{function}");
        // Even one that is spent will do: nothing is sold.
        let claimed = TestCloud::token();
        till.sell(&till.paid("qs-claim-key-packages", &claimed)).await;
        assert_eq!(till.cloud.send(&till.paid(function, &claimed)).await, first, "{function}");
        till.sell(&till.paid("qs-claim-key-packages", &token)).await;
    }
}

#[tokio::test]
async fn a_message_is_known_by_its_token_longer_than_by_itself() {
    left_out_in_processes!("it moves the clock");
    let till = Till::open().await;
    let token = TestCloud::token();
    till.sell(&till.paid("qs-enqueue", &token)).await;
    till.cloud.cloud.clock().advance(3 * DAY);
    let before = till.cloud.state().await;
    till.sell(&till.paid("qs-enqueue", &token)).await;
    assert_eq!(till.cloud.state().await, before);
    // With another token it is another message by then.
    till.sell(&till.paid("qs-enqueue", &TestCloud::token())).await;
    let mut inbox = till.alice.inbox();
    till.alice.fetch_all(&till.cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello", b"hello"]);
}

#[tokio::test]
async fn a_signature_is_for_one_token_alone() {
    let till = Till::open().await;
    for function in ["qs-create-user", "qs-create-client"] {
        let call = till.paid(function, &TestCloud::token());
        let swapped = call.clone().paid();
        assert_eq!(till.cloud.problem_with(&swapped).await, ProblemType::SignatureInvalid, "{function}");
        let taken_away = call.without_header("authorization");
        assert_eq!(till.cloud.problem_with(&taken_away).await, ProblemType::SignatureCoverageInsufficient);
        let put_in = till.call(function, None).paid();
        assert_eq!(till.cloud.problem_with(&put_in).await, ProblemType::SignatureCoverageInsufficient);
    }
}

#[tokio::test]
async fn nothing_of_a_token_that_is_stored_tells_what_it_paid_for() {
    left_out_in_processes!("it moves the clock");
    let till = Till::open().await;
    let call = till.paid("qs-enqueue", &TestCloud::token());
    till.sell(&call).await;
    // The same request, paid for with two tokens, leaves two values.
    till.cloud.cloud.clock().advance(3 * DAY);
    till.sell(&call.clone().paid()).await;
    let items = till.cloud.cloud.items("QsTable").await.unwrap();
    let mut macs: Vec<_> = items.iter().filter_map(|item| item["request_mac"]["B"].as_str()).collect();
    assert_eq!(macs.len(), 3, "one is of the creation");
    macs.sort_unstable();
    macs.dedup();
    assert_eq!(macs.len(), 3);
}
