//! A client that is removed, has lapsed or whose user is deleted is refused by every endpoint that clients sign for, at
//! whichever service; one that is unconfirmed likewise.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    Authentication, CommitIdentity, CommitIdentityRequest, ENDPOINTS, ResetIdentity, ResetIdentityPath,
    ResetIdentityRequest,
};
use vestibule_protocol::key_server::{Request, SessionOpening};
use vestibule_protocol::limits::CLIENT_CONFIRMATION_TIME;
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::rendezvous::RendezvousCode;
use vestibule_protocol::request_signature::Service;
use vestibule_tests::rendezvous::ticket;
use vestibule_tests::{Applicant, Call, TestCloud, json_body, left_out_in_processes, no_login, opening_call};

use super::household::Household;

/// A request of this client to every function that clients sign for.
async fn calls_of(cloud: &TestCloud, client: &mut Applicant, other: &Applicant) -> Vec<(&'static str, Call)> {
    let password = Password::new(Applicant::PASSWORD.to_owned());
    let rng = &mut StdRng::seed_from_u64(1);
    let (_, opening) = SessionOpening::<Request>::start(client.user_name().clone(), password, rng);
    let key_server = Service::KeyServer.tag(&cloud.domain());
    let key_id = client.client_id.to_string();
    let opening = opening_call(&opening).signed(&client.client_key, &key_id, &key_server, cloud.now());
    let start = CommitIdentityRequest {
        generation: 1,
        epoch: 0,
        commit: None,
        group_info: Bytes(Vec::new()),
        encrypted_user_secrets: None,
    };
    let reset = ResetIdentityRequest { login: no_login(), group_info: Bytes(Vec::new()) };
    let generation = ResetIdentityPath { user_name: client.user_name().clone(), generation: 2 };
    let (_, login) = client.login_call(cloud, LoginOperation::DeleteUser {}, Applicant::PASSWORD);
    let new = client.another(cloud, 77).await;
    let publication = client.connection_publication(cloud, 0, 1);
    vec![
        ("as-add-client", client.adding_call(cloud, &new)),
        ("as-remove-client", client.removing_call(cloud, other, None)),
        ("as-initiate-login", login),
        ("as-delete-user", client.deleting_call(cloud, no_login())),
        (
            "as-commit-identity",
            client.sign(cloud, &Call::new::<CommitIdentity>(&client.user_path(), json_body(&start))),
        ),
        ("as-reset-identity", client.sign(cloud, &Call::new::<ResetIdentity>(&generation, json_body(&reset)))),
        ("as-issue-tokens", client.token_call(cloud, Vec::new())),
        ("ks-open-session", opening),
        ("as-publish-connection-packages", client.publishing_call(cloud, &publication)),
        ("as-dequeue", client.fetching_call(cloud, 0)),
        ("rs-join", client.joining_call(cloud, RendezvousCode::from_number(1), &ticket(1))),
    ]
}

async fn assert_refused(household: &mut Household, problem: ProblemType) {
    let calls = calls_of(&household.cloud, &mut household.laptop, &household.phone).await;
    for (function, call) in &calls {
        assert_eq!(household.problem_with(call).await, problem, "{function}");
    }
}

#[tokio::test]
async fn every_endpoint_that_clients_sign_for_is_tried() {
    let mut household = Household::new().await;
    let calls = calls_of(&household.cloud, &mut household.laptop, &household.phone).await;
    let tried: BTreeSet<_> = calls.into_iter().map(|(function, _)| function).collect();
    let signed = ENDPOINTS.iter().filter(|endpoint| match endpoint.authentication {
        Authentication::ClientCredentialKey
        | Authentication::ClientIfSigned
        | Authentication::ClientOfUser
        | Authentication::ClientOfUserAndPassword => true,
        Authentication::None
        | Authentication::ProvisionalCredential
        | Authentication::QsUserRecordKey
        | Authentication::QsUserRecordKeyAndToken
        | Authentication::QsClientRecordKey
        | Authentication::FriendshipTokenAndToken
        | Authentication::QueueConfigAndToken
        | Authentication::Password => false,
    });
    assert_eq!(tried, signed.map(|endpoint| endpoint.function).collect());
}

#[tokio::test]
async fn a_client_that_was_never_added_is_refused_everywhere() {
    assert_refused(&mut Household::new().await, ProblemType::ClientUnknown).await;
}

#[tokio::test]
async fn an_unconfirmed_client_is_refused_everywhere() {
    assert_refused(&mut Household::unconfirmed().await, ProblemType::ClientUnconfirmed).await;
}

#[tokio::test]
async fn a_lapsed_client_is_refused_everywhere() {
    left_out_in_processes!("it moves the clock");
    let mut household = Household::unconfirmed().await;
    household.cloud.cloud.clock().advance(CLIENT_CONFIRMATION_TIME);
    assert_refused(&mut household, ProblemType::ClientUnknown).await;
}

#[tokio::test]
async fn a_removed_client_is_refused_everywhere() {
    let mut household = Household::confirmed().await;
    household.phone.remove(&household.cloud, &household.laptop).await;
    assert_refused(&mut household, ProblemType::ClientUnknown).await;
}

#[tokio::test]
async fn a_withdrawn_client_is_refused_everywhere() {
    let mut household = Household::unconfirmed().await;
    let call = household.phone.removing_call(&household.cloud, &household.laptop, None);
    assert_eq!(household.cloud.send(&call).await.status, 200);
    assert_refused(&mut household, ProblemType::ClientUnknown).await;
}

#[tokio::test]
async fn every_client_of_a_deleted_user_is_refused_everywhere() {
    let mut household = Household::confirmed().await;
    household.phone.delete_user(&household.cloud).await;
    assert_refused(&mut household, ProblemType::ClientUnknown).await;
    std::mem::swap(&mut household.phone, &mut household.laptop);
    assert_refused(&mut household, ProblemType::ClientUnknown).await;
}
