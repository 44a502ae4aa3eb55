//! The scenarios of tokens.

use serde_json::{Value, json};
use vestibule_protocol::endpoint::{Endpoint as _, IssueTokens, IssueTokensResponse};
use vestibule_tests::{Answer, Applicant};
use vestibule_tokens::TOKEN_RESPONSE_LENGTH;

use super::{Prepared, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    function: IssueTokens::DESCRIPTION.function,
    prepare: |cloud| {
        Box::pin(async {
            let alice = Applicant::enrolled(cloud, "alice@localhost", 1).await;
            let batch = cloud.token_batch(1).await;
            Prepared {
                stable,
                settled: |item| Some(without_proof(item)),
                ..Prepared::new(move |cloud| alice.issuing_call(cloud, &batch))
            }
        })
    },
    // One read of the client, one of its allowance, one write.
    budget: 3,
    rate_limits: 0,
    posts: 0,
}];

/// The proof that an answer was made with the right key is two random scalars at its end; the rest is the same each time.
const PROOF_LENGTH: usize = 64;

fn stable(answer: &Answer) -> Value {
    let IssueTokensResponse { token_response, next_allowance_at } = answer.success();
    json!({ "elements": token_response.0[..TOKEN_RESPONSE_LENGTH - PROOF_LENGTH], "next_allowance_at": next_allowance_at })
}

fn without_proof(mut item: Value) -> Value {
    if let Some(batches) = item.get_mut("batches").and_then(|batches| batches["L"].as_array_mut()) {
        for batch in batches {
            let text = batch["B"].as_str().expect("a batch is bytes");
            // Four characters are three bytes.
            *batch = json!(text[..text.len() - (PROOF_LENGTH / 3 + 1) * 4]);
        }
    }
    item
}
