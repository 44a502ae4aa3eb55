//! `docs/vectors/tokens.json`: what another implementation checks its keys, requests, tokens and headers with.
//! `VESTIBULE_BLESS=1` writes it.
//!
//! The proof of an answer is randomized, so the committed one stays as long as it proves the right thing.

use serde_json::{Value, json};
use vestibule_protocol::encoding::{Bytes, SecretBytes as _, encode};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::{DAY, ExpirationData, Timestamp};

use crate::http::{authorization, challenge_members, www_authenticate};
use crate::{
    BATCH_LENGTH, IssuerKeyDocument, IssuerKeysDocument, IssuerPrivateKey, TOKEN_REQUEST_LENGTH, TokenBatch,
    TokenChallenge,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/tokens.json");

/// 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[test]
fn the_vectors_of_tokens_are_current() {
    let committed = std::fs::read_to_string(PATH).unwrap_or_default();
    let committed: Value = serde_json::from_str(&committed).unwrap_or_default();

    let private_key = IssuerPrivateKey::from_secret_bytes(&[1; 32]).unwrap();
    let public_key = private_key.public_key();
    let key_id = Bytes(public_key.id().as_bytes().to_vec());
    let validity = ExpirationData::starting(NOW.start_of_day(), 56 * DAY);
    let document = IssuerKeysDocument { keys: vec![IssuerKeyDocument { private_key, key_id, validity }] };
    let published = document.published();
    let keys = document.open().unwrap();

    let challenge = TokenChallenge::of(Service::Queuing, &"example.org".parse().unwrap());
    let seed = [2; 32];
    let batch = json!({ "public_key": encode(public_key.as_bytes()), "seed": encode(&seed) });
    let batch: TokenBatch = serde_json::from_value(batch).unwrap();
    let request = batch.request(&challenge);
    assert_eq!(request.len(), TOKEN_REQUEST_LENGTH);
    let response = committed["response"].as_str().and_then(unhex);
    let response = response.filter(|response| batch.finish(&challenge, response).is_ok());
    let response = response.unwrap_or_else(|| keys.issue(&request, NOW).unwrap());
    assert_eq!(response[..BATCH_LENGTH], keys.issue(&request, NOW).unwrap()[..BATCH_LENGTH]);
    let tokens = batch.finish(&challenge, &response).unwrap();
    keys.check(&tokens[0], &challenge, NOW).unwrap();

    let members = challenge_members(&challenge, &public_key);
    let some_tokens = [0, 1, 99].map(|index| {
        let token = &tokens[index];
        json!({ "index": index, "nonce": hex(token.nonce()), "token": hex(token.as_bytes()) })
    });
    let generated = json!({
        "now": NOW,
        "key": {
            "private_key_seed": hex([1; 32]),
            "public_key": hex(public_key.as_bytes()),
            "key_id": hex(public_key.id().as_bytes()),
            "published": published,
        },
        "challenge": {
            "issuer": "example.org",
            "origin": "qs.example.org",
            "challenge": hex(challenge.as_bytes()),
            "digest": hex(challenge.digest()),
            "www_authenticate": www_authenticate(&members),
            "problem_members": members,
        },
        "batch_seed": hex(seed),
        "request": hex(&request),
        "response": hex(&response),
        "tokens": some_tokens,
        "authorization": authorization(&tokens[0]).as_str(),
    });
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        std::fs::write(PATH, format!("{}\n", serde_json::to_string_pretty(&generated).unwrap())).unwrap();
        return;
    }
    assert!(committed == generated, "docs/vectors/tokens.json is not current: run the tests with VESTIBULE_BLESS=1");
}
