//! Whoever sees everything that the authentication service keeps of a batch cannot tell whose a token is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vestibule_tests::{Applicant, TestCloud, captured_log, left_out_in_processes};
use vestibule_tokens::TOKEN_LENGTH;

/// Every binary value of what is stored about allowances, by user.
async fn stored(cloud: &TestCloud) -> BTreeMap<String, Vec<Vec<u8>>> {
    let items = cloud.state().await.into_iter().filter(|item| item["pk"]["S"].as_str().unwrap().starts_with("TOKENS#"));
    let binary = |item: &serde_json::Value| {
        let list = item["batches"]["L"].as_array().unwrap();
        list.iter().map(|value| STANDARD.decode(value["B"].as_str().unwrap()).unwrap()).collect()
    };
    items.map(|item| (item["pk"]["S"].as_str().unwrap().to_owned(), binary(&item))).collect()
}

#[tokio::test]
async fn nothing_of_a_token_is_stored_or_logged_where_it_was_issued() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let tokens = alice.take_tokens(&cloud, 1).await;
    let stored = stored(&cloud).await;
    assert_eq!(stored["TOKENS#alice@localhost"].len(), 1);
    let log = captured_log();
    assert!(log.contains("as-issue-tokens"));
    for token in &tokens {
        // The digest of the challenge and the id of the key are the same in all tokens.
        for part in [&token.as_bytes()[2..34], &token.as_bytes()[98..TOKEN_LENGTH]] {
            for half in part.chunks(16) {
                let is_in = |place: &[u8]| place.windows(16).any(|window| window == half);
                assert!(!stored.values().flatten().any(|bytes| is_in(bytes)));
            }
            assert!(!log.contains(&vestibule_protocol::encoding::encode(part)));
        }
    }
}

#[tokio::test]
async fn what_is_stored_of_every_batch_has_the_same_form() {
    let cloud = TestCloud::start().await;
    for (name, seed) in [("alice@localhost", 1), ("bob-with-a-long-name@localhost", 2)] {
        Applicant::enrolled(&cloud, name, seed).await.take_tokens(&cloud, seed).await;
    }
    let lengths: Vec<_> = stored(&cloud).await.into_values().flatten().map(|bytes| bytes.len()).collect();
    assert_eq!(lengths.len(), 2);
    assert_eq!(lengths[0], lengths[1]);
}
