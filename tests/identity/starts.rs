//! How an identity begins: with the first client, once.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CommitIdentityRequest, CommitIdentityResponse, IdentityPosition};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::identity::{Device, identity_call};
use vestibule_tests::{Applicant, Call, TestCloud, left_out_in_processes};

use super::members::problem_with;

const BEGINNING: IdentityPosition = IdentityPosition { generation: 1, epoch: 0 };

async fn registered() -> (TestCloud, Device) {
    let cloud = TestCloud::start().await;
    let phone = Device::registered(&cloud, "alice@localhost", 1).await;
    (cloud, phone)
}

#[tokio::test]
async fn an_identity_begins_with_the_first_client_alone() {
    let (cloud, mut phone) = registered().await;
    let before = cloud.state().await.len();
    let call = identity_call(phone.client.user_name(), BEGINNING);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::IdentityUnknown);
    let (_, request) = phone.start(1, None);
    let answer = cloud.send(&phone.committing_call(&cloud, &request)).await;
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"));
    let response: CommitIdentityResponse = answer.success();
    assert_eq!((response.generation, response.epoch), (1, 0));
    assert_eq!(cloud.state().await.len(), before + 2, "where it is, and how it began");

    let history = cloud.identity(phone.client.user_name(), BEGINNING).await;
    assert_eq!((history.current_generation, history.last_epoch), (1, 0));
    assert_eq!(history.start, Some(request.group_info.clone()));
    assert_eq!((history.commits.len(), history.group_info), (0, request.group_info));
    let follower = cloud.follow(phone.client.user_name(), 1, None).await;
    let members: Vec<_> = follower.members().into_iter().map(|member| member.client_id).collect();
    assert_eq!(members, [phone.client.client_id.clone()]);
}

#[tokio::test]
async fn the_same_start_again_gets_the_same_answer_and_another_is_superseded() {
    let (cloud, mut phone) = registered().await;
    let (identity, request) = phone.start(1, None);
    phone.accepted(&cloud, &request, identity).await;
    let first = cloud.send(&phone.committing_call(&cloud, &request)).await;
    let (_, other) = phone.start(1, None);
    assert_ne!(request, other);
    assert_eq!(problem_with(&cloud, &phone.committing_call(&cloud, &other)).await, ProblemType::IdentitySuperseded);
    // However much has happened since.
    let laptop = phone.link(&cloud, 2).await;
    assert_eq!(cloud.send(&phone.committing_call(&cloud, &request)).await, first);
    assert_eq!(cloud.send(&laptop.committing_call(&cloud, &request)).await, first);
    assert_eq!(problem_with(&cloud, &phone.committing_call(&cloud, &other)).await, ProblemType::IdentitySuperseded);
}

#[tokio::test]
async fn a_start_of_anything_else_is_refused() {
    let (cloud, mut phone) = registered().await;
    let (_, right) = phone.start(1, None);
    let (first, _) = phone.start(1, None);
    let (_, second_generation) = phone.start_generation(2, Some(first.follower()));
    let mut bob = Device::registered(&cloud, "bob@localhost", 9).await;
    let (_, bobs) = bob.start(1, None);
    let mut stranger = Device::new(phone.client.another(&cloud, 3).await, phone.client_credential.clone(), 3);
    stranger.client_credential = vestibule_protocol::signed::Verified::sign(
        stranger.client.requested.clone(),
        &vestibule_protocol::keys::SigningKey::generate(&mut stranger.rng),
    );
    let (_, of_another_client) = stranger.start(1, None);
    let mut altered = right.group_info.clone();
    *altered.0.last_mut().unwrap() ^= 1;
    let truncated = Bytes(right.group_info.0[..right.group_info.0.len() - 1].to_vec());
    let extended = Bytes([right.group_info.0.as_slice(), &[0]].concat());
    let too_long = Bytes(vec![0; vestibule_protocol::limits::MAX_IDENTITY_MESSAGE_LENGTH + 1]);
    let no_group_info = [Bytes(Vec::new()), altered, truncated, extended, too_long];
    let of_others = [second_generation, bobs.group_info, of_another_client.group_info];
    for group_info in no_group_info.into_iter().chain(of_others) {
        let call = phone.committing_call(&cloud, &CommitIdentityRequest { group_info, ..right.clone() });
        assert_eq!(problem_with(&cloud, &call).await, ProblemType::GroupInfoRefused);
    }
    for (generation, epoch) in [(0, 0), (2, 0), (1, 1), (u64::MAX, u64::MAX)] {
        let call = phone.committing_call(&cloud, &CommitIdentityRequest { generation, epoch, ..right.clone() });
        assert_eq!(problem_with(&cloud, &call).await, ProblemType::InvalidField);
    }
    assert_eq!(cloud.send(&phone.committing_call(&cloud, &right)).await.status, 200);
}

#[tokio::test]
async fn an_identity_begins_with_the_clients_current_credential() {
    left_out_in_processes!("it moves the clock");
    let (cloud, mut phone) = registered().await;
    let (_, before) = phone.start(1, None);
    cloud.cloud.clock().advance(DAY);
    let (_, intermediate) = cloud.credentials().await;
    phone.client.renew(&cloud, &intermediate);
    phone.client_credential = phone.client.add(&cloud, &phone.client).await;
    assert_eq!(problem_with(&cloud, &phone.committing_call(&cloud, &before)).await, ProblemType::GroupInfoRefused);
    let (identity, after) = phone.start(1, None);
    phone.accepted(&cloud, &after, identity).await;
}

#[tokio::test]
async fn nobody_but_a_confirmed_client_of_the_user_starts_an_identity() {
    let (cloud, mut phone) = registered().await;
    let mut laptop = phone.added(&cloud, 2).await;
    let (_, of_laptop) = laptop.start(1, None);
    let call = laptop.committing_call(&cloud, &of_laptop);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::ClientUnconfirmed);
    let (_, right) = phone.start(1, None);
    let call = phone.committing_call(&cloud, &right);
    let bob = Applicant::new(&cloud, "bob@localhost", 9).await.register(&cloud).await;
    assert_eq!(problem_with(&cloud, &bob.sign(&cloud, &call)).await, ProblemType::ClientUnknown);
    let unsigned = call.clone().without_header("signature");
    assert_eq!(problem_with(&cloud, &unsigned).await, ProblemType::SignatureMissing);
    let of_bobs = Call { path: call.path.replace("alice@", "bob@"), ..call.clone() };
    assert_eq!(problem_with(&cloud, &bob.sign(&cloud, &of_bobs)).await, ProblemType::GroupInfoRefused);
}

#[tokio::test]
async fn there_is_nothing_to_commit_to_before_the_start() {
    let (cloud, mut phone) = registered().await;
    let (identity, _) = phone.start(1, None);
    phone.identity = Some(identity);
    let prepared = phone.prepare_update();
    assert_eq!(problem_with(&cloud, &phone.call(&cloud, &prepared)).await, ProblemType::IdentityUnknown);
}
