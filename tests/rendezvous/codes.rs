//! How a new device gets a code.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use vestibule_protocol::endpoint::CreateRendezvousResponse;
use vestibule_protocol::limits::{RENDEZVOUS_LIFETIME, RENDEZVOUS_RETENTION};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::rendezvous::{MailboxId, RENDEZVOUS_CODE_BITS, RendezvousCode};
use vestibule_tests::rendezvous::{creating_call, ticket};
use vestibule_tests::{Applicant, Call, TestCloud, all_at_once, left_out_in_processes};

#[tokio::test]
async fn a_new_device_is_given_a_code_of_16_bits_for_ten_minutes() {
    let cloud = TestCloud::start().await;
    let answer = cloud.send(&creating_call(&ticket(1))).await;
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (201, "no-store"));
    let created: CreateRendezvousResponse = answer.success();
    assert!(created.code.number() < 1 << RENDEZVOUS_CODE_BITS);
    assert_eq!(created.expires_at, cloud.now().saturating_add(RENDEZVOUS_LIFETIME));
    assert_eq!(Some(created.relay_url.as_str()), cloud.cloud.websocket_url("RsWebSocketApi"));
}

#[tokio::test]
async fn the_same_ticket_again_gets_the_same_answer() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let call = creating_call(&ticket(1));
    let first = cloud.send(&call).await;
    let state = cloud.state().await;
    for wait in [0, 5 * 60, 50 * 60] {
        cloud.cloud.clock().advance(Duration::from_secs(wait));
        assert_eq!(cloud.send(&call).await, first);
    }
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn the_same_ticket_many_times_at_once_gets_one_code() {
    let cloud = Arc::new(TestCloud::start().await);
    let answers = all_at_once(&cloud, vec![creating_call(&ticket(1)); 16]).await;
    let first: CreateRendezvousResponse = answers[0].success();
    for answer in &answers {
        assert_eq!(answer.success::<CreateRendezvousResponse>(), first);
    }
    let codes = cloud.state().await.iter().filter(|item| item["sk"]["S"] == "CODE").count();
    assert_eq!(codes, 1);
}

#[tokio::test]
async fn devices_that_come_at_once_get_codes_and_mailboxes_of_their_own() {
    let cloud = Arc::new(TestCloud::start().await);
    let answers = all_at_once(&cloud, (0..32).map(|seed| creating_call(&ticket(seed)))).await;
    let created = answers.iter().map(|answer| answer.success::<CreateRendezvousResponse>());
    let mut created: Vec<_> = created.map(|created| (created.code, created.mailbox_id.to_string())).collect();
    created.sort();
    created.dedup_by(|left, right| left.0 == right.0 || left.1 == right.1);
    assert_eq!(created.len(), 32);
}

#[tokio::test]
async fn an_existing_devices_ticket_creates_nothing() {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let [_, existing] = cloud.pair(&alice, 1).await;
    let state = cloud.state().await;
    assert_eq!(cloud.send(&creating_call(&existing.ticket)).await.problem(), ProblemType::RendezvousTicketTaken);
    assert_eq!(cloud.state().await, state);
}

/// A cloud in which the first code that comes up, and those after it as long as they have 16 bits, are in use or rest.
async fn crowded(seed: u64, retention: Duration) -> (TestCloud, Vec<RendezvousCode>) {
    let cloud = TestCloud::start_with(|builder| builder.randomness(Randomness::seeded(seed))).await;
    // What the function will draw.
    let rng = &mut StdRng::seed_from_u64(seed);
    MailboxId::generate(rng);
    let codes: Vec<_> = (0..5).map(|_| RendezvousCode::generate(RENDEZVOUS_CODE_BITS, rng)).collect();
    for code in &codes {
        let expires_at = cloud.now().saturating_add(retention).seconds();
        let item = json!({
            "pk": {"S": format!("CODE#{code}")}, "sk": {"S": "CODE"},
            "mailbox_id": {"S": "A".repeat(43)}, "expires_at": {"N": expires_at.to_string()},
        });
        cloud.cloud.put_item("RsTable", item).await.unwrap();
    }
    (cloud, codes)
}

#[tokio::test]
async fn codes_are_wider_while_those_of_16_bits_are_crowded_and_narrow_again_after() {
    left_out_in_processes!("it knows what seeded functions draw");
    let mut widest = 0;
    for seed in 0..8 {
        let (cloud, taken) = crowded(seed, RENDEZVOUS_RETENTION).await;
        let wide = cloud.new_device(1).await.code;
        assert!(!taken.contains(&wide));
        assert!(wide.number() < 1 << 18, "the next two bits suffice: {wide}");
        widest = widest.max(wide.number());
        let narrow = cloud.new_device(2).await.code;
        assert!(narrow.number() < 1 << RENDEZVOUS_CODE_BITS, "{narrow}");
    }
    assert!(widest >= 1 << RENDEZVOUS_CODE_BITS, "none of the codes was wider: {widest}");
}

#[tokio::test]
async fn a_code_rests_after_its_life_and_is_then_given_out_again() {
    left_out_in_processes!("it moves the clock");
    assert!(RENDEZVOUS_RETENTION > 2 * RENDEZVOUS_LIFETIME);
    let (cloud, codes) = crowded(1, RENDEZVOUS_RETENTION).await;
    cloud.cloud.clock().advance(RENDEZVOUS_RETENTION - Duration::from_secs(1));
    assert!(!codes.contains(&cloud.new_device(1).await.code));

    let (cloud, codes) = crowded(1, RENDEZVOUS_RETENTION).await;
    cloud.cloud.clock().advance(RENDEZVOUS_RETENTION);
    assert_eq!(cloud.new_device(1).await.code, codes[0], "what has expired is not there");
}

#[tokio::test]
async fn a_ticket_that_was_forgotten_begins_anew() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let first = cloud.new_device(1).await;
    cloud.cloud.clock().advance(RENDEZVOUS_RETENTION);
    let second = cloud.new_device(1).await;
    assert_ne!(first.mailbox_id, second.mailbox_id);
}

#[tokio::test]
async fn one_source_gets_so_many_codes_in_an_hour() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start_with(|builder| builder.parameter("RendezvousPerSourceAndHour", "3")).await;
    for seed in 0..3 {
        cloud.new_device(seed).await;
    }
    let state = cloud.state().await;
    let refused = cloud.send(&creating_call(&ticket(3))).await;
    assert_eq!(refused.problem(), ProblemType::RateLimited);
    assert_eq!(cloud.state().await, state);
    cloud.cloud.clock().advance(Duration::from_secs(60 * 60));
    cloud.new_device(3).await;
}

#[tokio::test]
async fn a_request_that_is_not_one_changes_nothing() {
    let cloud = TestCloud::start().await;
    let state = cloud.state().await;
    for (body, problem) in [
        (json!({}), ProblemType::InvalidField),
        (json!({"ticket": "A".repeat(42)}), ProblemType::InvalidField),
        (json!({"ticket": "!".repeat(43)}), ProblemType::MalformedBase64),
        (json!({"ticket": "A".repeat(43), "code": 1}), ProblemType::InvalidField),
        (json!({"ticket": "A".repeat(2000)}), ProblemType::BodyTooLarge),
    ] {
        let call = Call { body: serde_json::to_vec(&body).unwrap(), ..creating_call(&ticket(1)) };
        assert_eq!(cloud.send(&call).await.problem(), problem, "{body}");
    }
    assert_eq!(cloud.state().await, state);
}
