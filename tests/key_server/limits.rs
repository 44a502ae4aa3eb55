//! Who may try how often.

use std::time::Duration;

use vestibule_protocol::key_server::Request;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Call, KeyServerUser, TestCloud, left_out_in_processes, opening_call};

async fn cloud() -> TestCloud {
    TestCloud::start_with(|builder| {
        builder.parameter("LoginsPerNameAndHour", "10").parameter("LoginsPerClientAndHour", "5")
    })
    .await
}

fn opening(user: &mut KeyServerUser, password: &str) -> Call {
    opening_call(&user.opening::<Request>(password).1)
}

#[tokio::test]
async fn a_stranger_is_stopped_and_the_owner_on_her_own_device_is_not() {
    left_out_in_processes!("it moves the clock");
    let cloud = cloud().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    for number in 0..10 {
        let guess = opening(&mut alice, &format!("guess {number}"));
        assert_eq!(cloud.send(&guess).await.status, 201);
    }
    let state = cloud.state().await;
    let guess = opening(&mut alice, KeyServerUser::PASSWORD);
    let refused = cloud.send(&guess).await;
    assert_eq!(refused.problem(), ProblemType::RateLimited);
    assert_eq!(refused.headers["retry-after"], "3600");
    assert_eq!(cloud.state().await, state);

    for _ in 0..5 {
        let login = opening(&mut alice, KeyServerUser::PASSWORD);
        assert_eq!(cloud.send(&alice.sign(&cloud, &login)).await.status, 201);
    }
    let login = opening(&mut alice, KeyServerUser::PASSWORD);
    assert_eq!(cloud.send(&alice.sign(&cloud, &login)).await.problem(), ProblemType::RateLimited);

    cloud.cloud.clock().advance(Duration::from_secs(3600));
    assert_eq!(cloud.send(&guess).await.status, 201);
    assert_eq!(cloud.send(&alice.sign(&cloud, &login)).await.status, 201);
}

#[tokio::test]
async fn names_that_nobody_has_are_counted_like_others() {
    let cloud = cloud().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    for name in ["alice@localhost", "nobody@localhost"] {
        let (_, mut request) = alice.opening::<Request>("guess");
        request.user_name = name.parse().unwrap();
        let call = opening_call(&request);
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(cloud.send(&call).await.status);
        }
        assert_eq!(statuses, [201, 201, 201, 201, 201, 201, 201, 201, 201, 201, 429, 429], "{name}");
    }
}

#[tokio::test]
async fn only_a_client_of_the_user_has_the_clients_allowance() {
    let cloud = cloud().await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let bob = KeyServerUser::new(&cloud, "bob@localhost", 2).await;
    let login = opening(&mut alice, KeyServerUser::PASSWORD);
    let state = cloud.state().await;
    assert_eq!(cloud.send(&bob.sign(&cloud, &login)).await.problem(), ProblemType::ClientUnknown);

    // Alice's name on Bob's signature, a client that she does not have, a signature over something else.
    let tag = "vestibule:ks:localhost";
    let with_key_id = |key_id: &str| login.signed(&bob.client.client_key, key_id, tag, cloud.now());
    let hers = with_key_id(&alice.client.client_id.to_string());
    assert_eq!(cloud.send(&hers).await.problem(), ProblemType::SignatureInvalid);
    let not_hers = format!("alice@localhost/{}", bob.client.client_id.uuid);
    for key_id in [not_hers.as_str(), "alice@localhost", ""] {
        assert_eq!(cloud.send(&with_key_id(key_id)).await.problem(), ProblemType::ClientUnknown, "{key_id}");
    }
    let key_id = alice.client.client_id.to_string();
    let elsewhere = login.signed(&alice.client.client_key, &key_id, "vestibule:as:localhost", cloud.now());
    assert_eq!(cloud.send(&elsewhere).await.problem(), ProblemType::SignatureForAnotherService);
    let half = alice.sign(&cloud, &login).without_header("signature-input");
    assert_eq!(cloud.send(&half).await.problem(), ProblemType::SignatureMissing);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn one_source_opens_so_many_sessions_and_no_more() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("SessionsPerSourceAndHour", "2")).await;
    let mut alice = KeyServerUser::new(&cloud, "alice@localhost", 1).await;
    let mut bob = KeyServerUser::new(&cloud, "bob@localhost", 2).await;
    assert_eq!(cloud.send(&opening(&mut alice, "guess")).await.status, 201);
    assert_eq!(cloud.send(&opening(&mut bob, "guess")).await.status, 201);
    let call = opening(&mut alice, "guess");
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::RateLimited);
    assert_eq!(cloud.send(&alice.sign(&cloud, &call)).await.status, 201);
}
