use std::sync::atomic::{AtomicUsize, Ordering};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{ClaimKeyPackages, ClaimKeyPackagesRequest, CreateQsUser, CreateQsUserRequest};
use vestibule_protocol::keys::{HpkePrivateKey, QsUserRecordKey, SigningKey};
use vestibule_protocol::limits::TOKEN_BATCH_SIZE;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::queuing::{QsClientRecord, QsUserId};
use vestibule_protocol::time::DAY;

use super::paying::{pay, pay_signed};
use super::*;
use crate::api::RequestSigner;
use crate::fuse::Fuse;
use crate::testing::{Device, replacing};
use crate::transport::{Request, Response, TransportError};

const ALICE: &str = "alice@localhost";

/// A device that is registered, and as if it had never had a token.
async fn registered() -> Device {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    std::fs::remove_file(device.home.path().join("tokens")).unwrap();
    device.service.deployment().tokens.forget_everybody();
    device
}

/// Pays for a pseudonym, for every number another.
async fn pay_for(device: &Device, options: crate::client::Options, number: u8) -> Result<(), Error> {
    let rng = &mut StdRng::seed_from_u64(number.into());
    let (user_key, client_key) = (SigningKey::<QsUserRecordKey>::generate(rng), SigningKey::generate(rng));
    let qs_user_id = QsUserId::of(&user_key.verifying_key());
    let encryption_key = Bytes(HpkePrivateKey::generate(rng).public_key().as_bytes().to_vec());
    let request = CreateQsUserRequest {
        user_record_verifying_key: Bytes(user_key.verifying_key().as_bytes().to_vec()),
        client_record: QsClientRecord::issue(qs_user_id, &client_key).to_bytes(),
        friendship_token_hash: Bytes(vec![number; 32]),
        queue: QueueKeys { encryption_key, ratchet_key: RatchetKey::generate(rng) },
    };
    let body = serde_json::to_vec(&request).unwrap();
    let domain = device.account().user_name.domain().clone();
    let signer = RequestSigner { key: &user_key, key_id: qs_user_id.to_string(), domain };
    let client = device.client_with(options);
    pay_signed::<CreateQsUser, _>(&client.session().unwrap(), &(), &body, &signer).await.map(drop)
}

/// Pays for a claim of one's own packages.
async fn pay_for_claim(device: &Device, options: crate::client::Options) -> Result<(), Error> {
    let friendship_token = device.account().pseudonym.unwrap().user_secrets.friendship_token;
    let claim = ClaimKeyPackagesRequest { friendship_token, nonce: Bytes(vec![7; 16]) };
    let body = serde_json::to_vec(&claim).unwrap();
    let client = device.client_with(options);
    pay::<ClaimKeyPackages>(&client.session().unwrap(), &(), &body).await.map(drop)
}

/// Loses the answers to the first `count` requests to this path.
fn losing(
    path: &'static str,
    count: usize,
) -> impl Fn(&Request, Response) -> Result<Response, TransportError> + Send + Sync + 'static {
    let losses = AtomicUsize::new(0);
    move |request, response| {
        if request.path == path && losses.fetch_add(1, Ordering::SeqCst) < count {
            return Err(TransportError("lost".into()));
        }
        Ok(response)
    }
}

fn available(device: &Device) -> usize {
    device.client().tokens().unwrap().available
}

#[tokio::test]
async fn a_wallet_is_filled_up_when_it_is_low() {
    let device = registered().await;
    assert_eq!(device.client().tokens().unwrap(), Tokens { available: 0, next_allowance_at: None });
    assert_eq!(device.client().refill_tokens().await.unwrap().available, TOKEN_BATCH_SIZE);
    assert_eq!(device.client().refill_tokens().await.unwrap().available, TOKEN_BATCH_SIZE, "it is not low");
    assert_eq!(device.service.deployment().tokens.batches_taken(), 1);
}

#[tokio::test]
async fn keys_are_asked_for_by_nobody_and_tokens_by_the_client() {
    let device = registered().await;
    device.service.deployment().requests.clear();
    device.client().refill_tokens().await.unwrap();
    let deployment = device.service.deployment();
    let [keys, tokens] = &deployment.requests[..] else { panic!("two requests are needed") };
    assert_eq!((keys.path.as_str(), tokens.path.as_str()), ("/v1/qs/keys", "/v1/as/tokens"));
    assert!(keys.headers.iter().all(|(name, _)| *name == "accept"));
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_asked_for_again_with_the_same_bytes() {
    let device = registered().await;
    device.service.deployment().requests.clear();
    let error =
        device.client_with(device.through(losing("/v1/as/tokens", usize::MAX))).refill_tokens().await.unwrap_err();
    assert!(error.to_string().contains("lost"), "{error}");
    assert_eq!(device.client().refill_tokens().await.unwrap().available, TOKEN_BATCH_SIZE);
    let deployment = device.service.deployment();
    assert_eq!(deployment.tokens.batches_taken(), 1, "one batch was taken");
    let mut bodies: Vec<_> = deployment.requests.iter().filter(|sent| sent.path == "/v1/as/tokens").collect();
    bodies.dedup_by(|left, right| left.body == right.body);
    assert_eq!(bodies.len(), 1);
}

#[tokio::test]
async fn wherever_taking_tokens_is_stopped_the_next_run_has_them() {
    for breath in 0.. {
        let device = registered().await;
        let stopped = device.client_with(device.options().fuse(Fuse::after(breath))).refill_tokens().await;
        let Err(error) = stopped else {
            assert!(breath > 4, "there are places to stop at");
            return;
        };
        assert!(error.is_stopped(), "{error}");
        assert_eq!(device.client().refill_tokens().await.unwrap().available, TOKEN_BATCH_SIZE, "stopped at {breath}");
        assert_eq!(device.service.deployment().tokens.batches_taken(), 1, "stopped at {breath}");
    }
}

#[tokio::test]
async fn a_request_under_a_key_that_was_replaced_is_made_anew() {
    let device = registered().await;
    let unplugged =
        |request: &Request| (request.path == "/v1/as/tokens").then(|| Err(TransportError("unplugged".into())));
    device.client_with(device.instead(unplugged)).refill_tokens().await.unwrap_err();
    device.service.deployment().tokens.replace_keys(device.clock.now(), &mut StdRng::seed_from_u64(9));
    assert_eq!(device.client().refill_tokens().await.unwrap().available, TOKEN_BATCH_SIZE);
}

#[tokio::test]
async fn a_client_that_has_had_its_allowance_waits_for_the_next() {
    let device = registered().await;
    device.service.deployment().tokens.allowance = 0;
    let tomorrow = device.clock.now().saturating_add(DAY);
    let expected = Tokens { available: 0, next_allowance_at: Some(tomorrow) };
    assert_eq!(device.client().refill_tokens().await.unwrap(), expected);
    device.service.deployment().requests.clear();
    assert_eq!(device.client().refill_tokens().await.unwrap(), expected);
    assert!(device.service.deployment().requests.is_empty(), "it is not asked before");
    let error = pay_for(&device, device.options(), 1).await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:no-tokens-left");

    device.clock.advance(DAY);
    device.service.deployment().tokens.allowance = 1;
    assert_eq!(device.client().refill_tokens().await.unwrap().available, TOKEN_BATCH_SIZE);
}

#[tokio::test]
async fn keys_and_answers_that_could_mark_the_client_are_refused() {
    let device = registered().await;
    let published = device.service.deployment().tokens.published.clone();
    let three = json!([published[0], published[0], published[0]]);
    for (field, value, expected) in [
        ("token_keys", three, "one or two token keys are wanted"),
        ("token_keys", json!([]), "one or two token keys are wanted"),
        ("token_challenge", json!("AAUAA2Zvbw"), "another service or deployment"),
    ] {
        let options = device.through(replacing("/v1/qs/keys", field, value));
        let error = device.client_with(options).refill_tokens().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.urn(), "urn:vestibule:client:tokens-refused");
    }
    assert_eq!(device.service.deployment().tokens.batches_taken(), 0, "nothing was asked for");

    // An answer that another key made.
    let other = Device::of_deployment(2).service;
    let forging = move |request: &Request, mut response: Response| {
        if request.path == "/v1/as/tokens" {
            let body: vestibule_protocol::endpoint::IssueTokensRequest = serde_json::from_slice(&request.body).unwrap();
            let mut token_request = body.token_request.0;
            let deployment = other.deployment();
            let key = &deployment.tokens.published[0].public_key.0;
            let key = vestibule_tokens::TokenPublicKey::from_bytes(key).unwrap();
            token_request[2] = key.id().truncated();
            let now = deployment.tokens.published[0].validity.not_before;
            let forged = deployment.tokens.keys.issue(&token_request, now).unwrap();
            response.body =
                serde_json::to_vec(&json!({ "token_response": Bytes(forged), "next_allowance_at": 0 })).unwrap();
        }
        Ok(response)
    };
    let error = device.client_with(device.through(forging)).refill_tokens().await.unwrap_err();
    assert!(error.to_string().contains("not made with the key that is published"), "{error}");
    assert_eq!(available(&device), 0);
}

#[tokio::test]
async fn a_request_is_paid_for_with_one_token_however_often_it_is_sent() {
    let device = registered().await;
    device.client().refill_tokens().await.unwrap();
    pay_for(&device, device.through(losing("/v1/qs/users", usize::MAX)), 1).await.unwrap_err();
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 1);
    pay_for(&device, device.options(), 1).await.unwrap();
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 1);
    assert_eq!(device.service.deployment().tokens.spent.len(), 1);
    pay_for(&device, device.options(), 2).await.unwrap();
    assert_eq!(device.service.deployment().tokens.spent.len(), 2);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_paid_for_once_more() {
    let device = registered().await;
    device.client().refill_tokens().await.unwrap();
    pay_for_claim(&device, device.through(losing("/v1/qs/key-packages/claim", 1))).await.unwrap();
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 2);
    assert_eq!(device.service.deployment().tokens.spent.len(), 2);

    // If no answer comes, its token is not known to be spent: that and no other is with the claim when it is sent again.
    pay_for_claim(&device, device.through(losing("/v1/qs/key-packages/claim", usize::MAX))).await.unwrap_err();
    assert_eq!(device.service.deployment().tokens.spent.len(), 3);
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 3);
}

#[tokio::test]
async fn a_token_that_the_service_has_no_use_for_is_replaced_by_another() {
    let device = registered().await;
    device.client().refill_tokens().await.unwrap();
    device.service.deployment().tokens.refusals = vec![ProblemType::TokenKeyUnknown, ProblemType::TokenSpent];
    pay_for(&device, device.options(), 1).await.unwrap();
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 3);

    // A service that refuses every token does not get the whole wallet.
    device.service.deployment().tokens.refusals = vec![ProblemType::TokenSpent; 50];
    let error = pay_for(&device, device.options(), 2).await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:problem:token-spent");
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 6);
}

#[tokio::test]
async fn a_token_comes_back_from_a_request_that_did_nothing() {
    let device = registered().await;
    device.client().refill_tokens().await.unwrap();
    device.service.deployment().tokens.refusals = vec![ProblemType::InvalidField];
    pay_for(&device, device.options(), 1).await.unwrap_err();
    assert_eq!(available(&device), TOKEN_BATCH_SIZE);
    assert!(device.service.deployment().tokens.spent.is_empty());
}

#[tokio::test]
async fn an_empty_wallet_is_filled_up_when_there_is_no_other_way() {
    let device = registered().await;
    pay_for(&device, device.options(), 1).await.unwrap();
    assert_eq!(available(&device), TOKEN_BATCH_SIZE - 1);
}

#[tokio::test]
async fn wherever_paying_is_stopped_no_token_is_lost_or_pays_for_two_requests() {
    for breath in 0.. {
        let device = registered().await;
        device.client().refill_tokens().await.unwrap();
        let stopped = pay_for(&device, device.options().fuse(Fuse::after(breath)), 1).await;
        if stopped.is_ok() {
            assert!(breath > 4, "there are places to stop at");
            return;
        }
        pay_for(&device, device.options(), 2).await.unwrap();
        pay_for(&device, device.options(), 1).await.unwrap();
        // Stopped between its answer and the one who asked, the first request is paid for again, like any new one.
        let spent = device.service.deployment().tokens.spent.clone();
        let requests: std::collections::BTreeSet<_> = spent.values().collect();
        assert_eq!(requests.len(), 2, "stopped at {breath}");
        assert_eq!(available(&device), TOKEN_BATCH_SIZE - spent.len(), "stopped at {breath}: no token is lost");
    }
}
