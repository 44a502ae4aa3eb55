use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::time::DAY;

use super::*;
use crate::{BatchError, IssuerKeysDocument, TOKEN_LENGTH, TokenBatch, TokenKeys, TokenPublicKey};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn challenge() -> TokenChallenge {
    TokenChallenge::of(Service::Queuing, &"example.org".parse().unwrap())
}

fn days_later(days: u32) -> Timestamp {
    NOW.saturating_add(DAY * days)
}

/// The issuer of a deployment, its current public key, and a batch under it.
struct Deployment {
    keys: IssuerKeys,
    public_key: TokenPublicKey,
    batch: TokenBatch,
}

impl Deployment {
    fn new(seed: u64) -> Self {
        let rng = &mut StdRng::seed_from_u64(seed);
        let document = IssuerKeysDocument::generate(NOW, rng);
        let public_key = TokenKeys::read(&document.published()).unwrap().current(NOW).unwrap();
        Self { keys: document.open().unwrap(), public_key, batch: TokenBatch::new(public_key, rng) }
    }

    fn tokens(&self) -> Vec<Token> {
        let response = self.keys.issue(&self.batch.request(&challenge()), NOW).unwrap();
        self.batch.finish(&challenge(), &response).unwrap()
    }
}

#[test]
fn a_batch_is_issued_and_every_token_of_it_is_good() {
    let deployment = Deployment::new(1);
    let tokens = deployment.tokens();
    assert_eq!(tokens.len(), TOKEN_BATCH_SIZE);
    let mut nonces = std::collections::BTreeSet::new();
    for token in &tokens {
        let checked = deployment.keys.check(token, &challenge(), NOW).unwrap();
        assert_eq!(checked.nonce, token.nonce());
        assert_eq!(checked.not_after, days_later(56).start_of_day());
        assert!(nonces.insert(checked.nonce));
    }
}

#[test]
fn a_batch_survives_its_file_and_finishes_any_answer_to_its_request() {
    let deployment = Deployment::new(2);
    let request = deployment.batch.request(&challenge());
    let file = serde_json::to_string(&deployment.batch).unwrap();
    let read: TokenBatch = serde_json::from_str(&file).unwrap();
    assert_eq!(read.request(&challenge()), request);
    let (first, second) =
        (deployment.keys.issue(&request, NOW).unwrap(), deployment.keys.issue(&request, NOW).unwrap());
    assert_ne!(first, second, "the proof is randomized");
    let (first, second) = (read.finish(&challenge(), &first).unwrap(), read.finish(&challenge(), &second).unwrap());
    assert!(first.iter().zip(&second).all(|(first, second)| first.as_bytes() == second.as_bytes()));
}

#[test]
fn neither_request_nor_answer_holds_what_a_token_shows() {
    let deployment = Deployment::new(3);
    let request = deployment.batch.request(&challenge());
    let response = deployment.keys.issue(&request, NOW).unwrap();
    let tokens = deployment.batch.finish(&challenge(), &response).unwrap();
    for token in tokens {
        for part in token.as_bytes()[2..].chunks(16) {
            assert!(!request.windows(16).any(|window| window == part));
            assert!(!response.windows(16).any(|window| window == part));
        }
    }
}

#[test]
fn a_token_altered_in_any_byte_is_refused() {
    let deployment = Deployment::new(4);
    let token = deployment.tokens().remove(0);
    for at in 2..TOKEN_LENGTH {
        let mut bytes = *token.as_bytes();
        bytes[at] ^= 1;
        let altered = Token::from_bytes(&bytes).unwrap();
        let error = deployment.keys.check(&altered, &challenge(), NOW).unwrap_err();
        let expected = match at {
            34..66 => RedemptionError::ForAnotherService,
            66..98 => RedemptionError::KeyUnknown,
            _ => RedemptionError::NotGenuine,
        };
        assert_eq!(error, expected, "byte {at}");
    }
}

#[test]
fn a_token_of_another_origin_deployment_or_time_is_refused() {
    let (deployment, other) = (Deployment::new(5), Deployment::new(6));
    let token = deployment.tokens().remove(0);
    let elsewhere = |service, domain: &str| {
        let challenge = TokenChallenge::of(service, &domain.parse().unwrap());
        deployment.keys.check(&token, &challenge, NOW).unwrap_err()
    };
    assert_eq!(elsewhere(Service::Rendezvous, "example.org"), RedemptionError::ForAnotherService);
    assert_eq!(elsewhere(Service::Queuing, "example.net"), RedemptionError::ForAnotherService);
    assert_eq!(other.keys.check(&token, &challenge(), NOW), Err(RedemptionError::KeyUnknown));

    let end = days_later(56).start_of_day();
    let last_second = Timestamp::from_seconds(end.seconds() - 1);
    assert!(deployment.keys.check(&token, &challenge(), last_second).is_ok());
    assert_eq!(deployment.keys.check(&token, &challenge(), end), Err(RedemptionError::KeyUnknown));
    let start = NOW.start_of_day();
    assert!(deployment.keys.check(&token, &challenge(), start.saturating_sub(CLOCK_TOLERANCE)).is_ok());
    let too_early = Timestamp::from_seconds(start.saturating_sub(CLOCK_TOLERANCE).seconds() - 1);
    assert_eq!(deployment.keys.check(&token, &challenge(), too_early), Err(RedemptionError::KeyUnknown));
}

#[test]
fn tokens_are_issued_under_the_current_key_and_good_until_theirs_ends() {
    let rng = &mut StdRng::seed_from_u64(7);
    let mut document = IssuerKeysDocument::generate(NOW, rng);
    document.rotate(days_later(28), rng).unwrap();
    let published = TokenKeys::read(&document.published()).unwrap();
    let keys = document.open().unwrap();
    let change = days_later(30).start_of_day();
    let [old, new] = [days_later(29), change].map(|now| published.current(now).unwrap());
    let issue = |key, now| keys.issue(&TokenBatch::new(key, &mut StdRng::seed_from_u64(8)).request(&challenge()), now);

    assert_eq!([days_later(29), change].map(|now| keys.current(now)), [Some(old), Some(new)]);
    assert!(issue(old, days_later(29)).is_ok());
    assert_eq!(issue(new, days_later(29)), Err(IssueError::KeyNotCurrent));
    assert!(issue(new, change.saturating_sub(CLOCK_TOLERANCE)).is_ok());
    assert!(issue(old, change.saturating_add(CLOCK_TOLERANCE / 2)).is_ok());
    assert_eq!(issue(old, change.saturating_add(CLOCK_TOLERANCE)), Err(IssueError::KeyNotCurrent));
    assert!(issue(new, change).is_ok());
    assert_eq!(issue(new, days_later(90)), Err(IssueError::KeyNotCurrent));

    let batch = TokenBatch::new(old, rng);
    let response = keys.issue(&batch.request(&challenge()), days_later(29)).unwrap();
    let token = batch.finish(&challenge(), &response).unwrap().remove(0);
    assert!(keys.check(&token, &challenge(), days_later(55)).is_ok());
    assert_eq!(keys.check(&token, &challenge(), days_later(56)), Err(RedemptionError::KeyUnknown));
}

#[test]
fn a_request_that_is_no_whole_batch_is_refused() {
    let deployment = Deployment::new(9);
    let request = deployment.batch.request(&challenge());
    let malformed = |request: &[u8]| assert_eq!(deployment.keys.issue(request, NOW), Err(IssueError::Malformed));
    malformed(&[]);
    malformed(&request[..request.len() - 1]);
    malformed(&[&request[..], &[0]].concat());
    let with = |at: usize, bytes: &[u8]| {
        let mut altered = request.clone();
        altered[at..at + bytes.len()].copy_from_slice(bytes);
        altered
    };
    malformed(&with(0, &[0, 1]));
    // One element less than the length says, and 99 elements in the length of 100.
    malformed(&with(3, &[0x4c, 0x60]));
    // No element of the group, the identity, and a form of an element that is not its only one.
    malformed(&with(5, &[0xff; 32]));
    malformed(&with(5, &[0; 32]));
    malformed(&with(request.len() - 1, &[request[request.len() - 1] | 0x80]));
    let other_key = with(2, &[request[2] ^ 1]);
    assert_eq!(deployment.keys.issue(&other_key, NOW), Err(IssueError::KeyNotCurrent));
}

#[test]
fn an_answer_made_with_another_key_or_altered_gives_no_tokens() {
    let (deployment, other) = (Deployment::new(10), Deployment::new(11));
    let mut request = deployment.batch.request(&challenge());
    let response = deployment.keys.issue(&request, NOW).unwrap();
    let finish = |response: &[u8]| deployment.batch.finish(&challenge(), response).map(|tokens| tokens.len());
    assert_eq!(finish(&response), Ok(TOKEN_BATCH_SIZE));

    // A key of one's own, by which the client could be recognised.
    request[2] = other.public_key.id().truncated();
    assert_eq!(finish(&other.keys.issue(&request, NOW).unwrap()), Err(BatchError::NotProven));
    assert_eq!(finish(&response[..response.len() - 1]), Err(BatchError::Malformed));
    assert_eq!(finish(&[&response[..], &[0]].concat()), Err(BatchError::Malformed));
    let mut swapped = response.clone();
    swapped.copy_within(2..34, 34);
    assert_eq!(finish(&swapped), Err(BatchError::NotProven));
    let mut altered = response.clone();
    altered[crate::BATCH_LENGTH] ^= 1;
    assert_eq!(finish(&altered), Err(BatchError::NotProven));
    let mut altered = response;
    altered[2..34].copy_from_slice(&[0; 32]);
    assert_eq!(finish(&altered), Err(BatchError::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_and_no_answer_makes_a_reader_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..TOKEN_REQUEST_LENGTH + 100),
        is_almost in any::<bool>(),
    ) {
        if is_almost && bytes.len() >= 5 {
            bytes[..2].copy_from_slice(&[0, 5]);
            bytes[3..5].copy_from_slice(&[0x4c, 0x80]);
            bytes.resize(TOKEN_REQUEST_LENGTH, 0);
        }
        let deployment = Deployment::new(12);
        prop_assert!(deployment.keys.issue(&bytes, NOW).is_err());
        bytes.resize(TOKEN_RESPONSE_LENGTH, 1);
        prop_assert!(deployment.batch.finish(&challenge(), &bytes).is_err());
    }
}
