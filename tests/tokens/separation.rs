//! Whoever sees everything that both services keep, and all that they are sent, cannot tell whose a token is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use vestibule_protocol::encoding;
use vestibule_protocol::endpoint::{IssueTokensRequest, IssueTokensResponse};
use vestibule_protocol::time::DAY;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Applicant, Pseudonym, TestCloud, captured_log, left_out_in_processes};
use vestibule_tokens::{TOKEN_LENGTH, Token};

use crate::queuing_service::separation::{GUESSES_BY_CHANCE, binary, by_rank};

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
            assert!(!log.contains(&encoding::encode(part)));
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

/// What is known of every user under the same name: a field of an item, or a part of what was sent.
type Fields = BTreeMap<String, BTreeMap<usize, Vec<u8>>>;

fn note(fields: &mut Fields, name: String, user: usize, bytes: &[u8]) {
    fields.entry(name).or_default().insert(user, bytes.to_vec());
}

/// Notes some bytes as a whole and piece by piece.
fn note_pieces(fields: &mut Fields, name: &str, user: usize, bytes: &[u8]) {
    for (number, piece) in bytes.chunks(32).take(12).enumerate() {
        note(fields, format!("{name} {number}"), user, piece);
    }
    note(fields, name.to_owned(), user, bytes);
}

/// The attributes of a stored item, but for the partition key where that names the user.
fn note_item(fields: &mut Fields, name: &str, user: usize, item: &serde_json::Value) {
    for (attribute, value) in item.as_object().unwrap() {
        let bytes = match (value["B"].as_str(), value["S"].as_str(), value["N"].as_str()) {
            (Some(bytes), ..) => binary(bytes),
            (_, Some(text), _) if name != "allowance" || attribute == "sk" => text.as_bytes().to_vec(),
            (.., Some(number)) => format!("{number:>24}").into_bytes(),
            _ => continue,
        };
        note(fields, format!("{name} {attribute}"), user, &bytes);
    }
}

const USERS: usize = 40;
/// How many tokens every user pays with.
const PAYMENTS: usize = 3;

fn in_some_order(seed: u64) -> Vec<usize> {
    let mut users: Vec<_> = (0..USERS).collect();
    users.shuffle(&mut StdRng::seed_from_u64(seed));
    users
}

fn name(user: usize) -> String {
    format!("{}{user}@localhost", "u".repeat(1 + user % 30))
}

/// Everybody takes a batch, over several days. What the authentication service is sent and answers, and the tokens.
async fn take(cloud: &TestCloud, fields: &mut Fields) -> BTreeMap<usize, Vec<Token>> {
    let mut wallets = BTreeMap::new();
    for (turn, user) in in_some_order(1).into_iter().enumerate() {
        let client = Applicant::enrolled(cloud, &name(user), 1000 + user as u64).await;
        let batch = cloud.token_batch(2000 + user as u64).await;
        let call = client.issuing_call(cloud, &batch);
        let request: IssueTokensRequest = serde_json::from_slice(&call.body).unwrap();
        let response: IssueTokensResponse = cloud.send(&call).await.success();
        note_pieces(fields, "request", user, &request.token_request.0[5..]);
        note_pieces(fields, "answer", user, &response.token_response.0);
        note(fields, "proof".to_owned(), user, &response.token_response.0[3266 - 64..]);
        wallets.insert(user, batch.finish(&cloud.token_challenge(), &response.token_response.0).unwrap());
        for item in cloud.state().await {
            let list = item["batches"]["L"].as_array().filter(|_| item["pk"]["S"] == format!("TOKENS#{}", name(user)));
            if let Some([batch]) = list.map(Vec::as_slice) {
                note_pieces(fields, "stored batch", user, &binary(batch["B"].as_str().unwrap()));
                note_item(fields, "allowance", user, &item);
            }
        }
        cloud.cloud.clock().advance(if turn % 10 == 9 { DAY } else { std::time::Duration::from_secs(61) });
    }
    wallets
}

/// Everybody pays, for a pseudonym, a claim and a message, in another order, the tokens in that in which they were taken.
async fn pay(cloud: &TestCloud, wallets: &BTreeMap<usize, Vec<Token>>) -> Fields {
    for (turn, user) in in_some_order(2).into_iter().enumerate() {
        let tokens = &wallets[&user];
        let mut pseudonym = Pseudonym::new(cloud, &name(user), 3000 + user as u64).await;
        let creation = pseudonym.creating_call(cloud, &pseudonym.creation()).paid_with(&tokens[0]);
        assert_eq!(cloud.send(&pseudonym.sign_as_user(cloud, &creation)).await.status, 201);
        cloud.send(&pseudonym.claiming_call().paid_with(&tokens[1])).await;
        let message = sending_call(&pseudonym.queue_config(), b"hello").paid_with(&tokens[2]);
        assert_eq!(cloud.send(&message).await.status, 200);
        cloud.cloud.clock().advance(if turn % 10 == 9 { DAY } else { std::time::Duration::from_secs(61) });
    }
    let mut fields = Fields::new();
    let items = cloud.cloud.items("QsTable").await.unwrap();
    for (user, tokens) in wallets {
        for (number, token) in tokens[..PAYMENTS].iter().enumerate() {
            let key = format!("TOKEN#{}", encoding::encode(&token.nonce()));
            let item = items.iter().find(|item| item["pk"]["S"] == key).expect("it is spent");
            note_item(&mut fields, &format!("payment {number}"), *user, item);
            note(&mut fields, format!("nonce {number}"), *user, &token.nonce());
            note(&mut fields, format!("authenticator {number}"), *user, &token.as_bytes()[98..]);
        }
    }
    fields
}

#[tokio::test]
async fn nothing_that_is_kept_or_was_sent_connects_a_batch_with_a_token_that_was_redeemed() {
    left_out_in_processes!("it reads the log");
    captured_log();
    let cloud = TestCloud::start().await;
    let mut at_issue = Fields::new();
    let wallets = take(&cloud, &mut at_issue).await;
    let at_redemption = pay(&cloud, &wallets).await;
    assert!(at_issue.len() > 40 && at_redemption.len() > 12, "{} {}", at_issue.len(), at_redemption.len());
    for fields in [&at_issue, &at_redemption] {
        for (name, of_users) in fields {
            let lengths: BTreeSet<_> = of_users.values().map(Vec::len).collect();
            assert_eq!((of_users.len(), lengths.len()), (USERS, 1), "{name}");
        }
    }

    // Nothing is in both places.
    let said_once = |name: &str| !name.ends_with("expires_at") && !name.ends_with("sk");
    let redeemed = at_redemption.iter().filter(|(name, _)| said_once(name)).flat_map(|(_, of_users)| of_users.values());
    let redeemed: HashSet<&[u8]> = redeemed.flat_map(|bytes| bytes.windows(16)).collect();
    for (name, of_users) in &at_issue {
        let is_redeemed = of_users.values().flat_map(|bytes| bytes.windows(16)).any(|part| redeemed.contains(part));
        assert!(!is_redeemed, "something of {name} is in what was redeemed");
    }
    let log = captured_log();
    assert!(log.contains("as-issue-tokens") && log.contains("qs-claim-key-packages"));
    for token in wallets.values().flat_map(|tokens| &tokens[..PAYMENTS]) {
        for part in [&token.as_bytes()[..], &token.nonce(), &token.as_bytes()[98..]] {
            assert!(!log.contains(&encoding::encode(part)), "a part of a token is in the log");
        }
    }

    // And no order of the one side is that of the other.
    let ranks = |fields: &Fields, seed| {
        let rank = |(name, of_users): (&String, _)| (name.clone(), by_rank(of_users, seed));
        fields.iter().map(rank).collect::<Vec<_>>()
    };
    let right_guesses = |one: &[usize], other: &[usize]| one.iter().zip(other).filter(|(l, r)| l == r).count();
    let redeemed_ranks = ranks(&at_redemption, 4);
    for (issue_name, issue_rank) in ranks(&at_issue, 3) {
        for (name, rank) in &redeemed_ranks {
            let right = right_guesses(&issue_rank, rank);
            assert!(right <= GUESSES_BY_CHANCE, "{issue_name} and {name} match {right} users");
        }
    }
    // What does tell is noticed.
    let nonces = &at_redemption["nonce 0"];
    assert_eq!(right_guesses(&by_rank(nonces, 3), &by_rank(nonces, 4)), USERS);
}

#[tokio::test]
async fn a_spent_token_does_not_say_when_it_was_taken_or_spent_or_for_what() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut wallets = Vec::new();
    for seed in 1..4 {
        let client = Applicant::enrolled(&cloud, &format!("user{seed}@localhost"), seed).await;
        wallets.extend(client.take_tokens(&cloud, seed).await.into_iter().take(PAYMENTS));
        cloud.cloud.clock().advance(DAY);
    }
    let mut alice = Pseudonym::new(&cloud, "alice@localhost", 9).await.create(&cloud).await;
    for (number, token) in wallets.iter().enumerate() {
        let message = sending_call(&alice.queue_config(), &vec![7; number * 1000]);
        let call = if number % 2 == 0 { message } else { alice.claiming_call() };
        cloud.send(&call.paid_with(token)).await;
        cloud.cloud.clock().advance(DAY);
    }
    let items = cloud.cloud.items("QsTable").await.unwrap();
    let spent: Vec<_> = items.iter().filter(|item| item["sk"]["S"] == "TOKEN").collect();
    assert_eq!(spent.len(), wallets.len() + 1);
    for item in spent {
        let names: Vec<_> = item.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(names, ["expires_at", "pk", "request_mac", "sk"]);
        assert_eq!(item["expires_at"], items.iter().find(|item| item["sk"]["S"] == "TOKEN").unwrap()["expires_at"]);
        assert_eq!(binary(item["request_mac"]["B"].as_str().unwrap()).len(), 32);
    }
}
