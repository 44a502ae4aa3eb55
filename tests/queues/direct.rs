//! Strangers: how they get a connection package, and how what they write reaches a client.

use std::collections::BTreeSet;
use std::sync::Arc;

use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClaimConnectionPackages, ClaimConnectionPackagesResponse, DequeueResponse, UserPath,
};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Applicant, Call, TestCloud, all_at_once, left_out_in_processes};

async fn alice(cloud: &TestCloud) -> Applicant {
    Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await
}

fn claiming_call(user: &Applicant) -> Call {
    Call::new::<ClaimConnectionPackages>(&user.user_path(), Vec::new())
}

/// Claims, and checks what a stranger would check.
async fn claim(cloud: &TestCloud, user: &Applicant) -> Bytes {
    let mut claimed: ClaimConnectionPackagesResponse = cloud.send(&claiming_call(user)).await.success();
    assert_eq!(claimed.connection_packages.len(), 1);
    let claimed = claimed.connection_packages.remove(0);
    let (_, intermediate) = cloud.credentials().await;
    let credential = ClientCredential::verify_chain(&claimed.client_credential.0, &intermediate, cloud.now()).unwrap();
    let key = &credential.payload().verifying_key;
    ConnectionPackage::verify_owner(&claimed.connection_package.0, &user.client_id, key, cloud.now()).unwrap();
    claimed.connection_package
}

#[tokio::test]
async fn what_strangers_write_reaches_the_client_whose_package_they_claimed() {
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    claim(&cloud, &alice).await;
    let mut inbox = alice.inbox();
    for message in ["may I?", "and I?"] {
        assert_eq!(cloud.send(&alice.writing_call(message.as_bytes())).await.status, 200);
        // Sent again, it is there once.
        assert_eq!(cloud.send(&alice.writing_call(message.as_bytes())).await.status, 200);
    }
    let page: DequeueResponse = cloud.send(&alice.fetching_call(&cloud, 0)).await.success();
    inbox.take(&page);
    assert_eq!(inbox.messages, [b"may I?", b"and I?"]);
    let page: DequeueResponse = cloud.send(&alice.fetching_call(&cloud, inbox.position())).await.success();
    assert_eq!((page.messages.len(), page.next_sequence), (0, 3));
    let left = cloud.cloud.items("AsQueueTable").await.unwrap();
    assert!(!left.iter().any(|item| item["sk"]["S"].as_str().unwrap().starts_with("MESSAGE#")));
}

#[tokio::test]
async fn every_package_is_handed_out_once_but_the_last_which_stays() {
    let cloud = TestCloud::start().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    assert_eq!(cloud.send(&alice.finishing_call(&cloud, &completion)).await.status, 201);
    let mut claimed = Vec::new();
    for _ in 0..5 {
        claimed.push(claim(&cloud, &alice).await);
    }
    let [first, second, last] = completion.connection_packages.try_into().unwrap();
    assert_eq!(claimed, [first, second, last.clone(), last.clone(), last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_claim_at_once_no_two_get_the_same_package_but_the_last() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let mut completion = alice.initiate(&cloud).await;
    completion.connection_packages = (0..20).map(|_| alice.connection_package(&cloud).to_bytes()).collect();
    assert_eq!(cloud.send(&alice.finishing_call(&cloud, &completion)).await.status, 201);
    let answers = all_at_once(&cloud, vec![claiming_call(&alice); 40]).await;
    let package = |answer: &vestibule_tests::Answer| {
        answer.success::<ClaimConnectionPackagesResponse>().connection_packages.remove(0).connection_package.0
    };
    let claimed: Vec<_> = answers.iter().map(package).collect();
    let last = completion.connection_packages.last().unwrap().0.clone();
    let mut others: Vec<_> = claimed.into_iter().filter(|package| *package != last).collect();
    assert_eq!(others.len(), 19);
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 19);
    let published: BTreeSet<_> = completion.connection_packages.into_iter().map(|package| package.0).collect();
    assert!(others.iter().all(|package| published.contains(package)));
}

#[tokio::test]
async fn nobody_is_given_a_package_that_is_not_valid_any_more_or_of_somebody_who_is_not_there() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let alice = alice(&cloud).await;
    let nobody =
        Call::new::<ClaimConnectionPackages>(&UserPath { user_name: "nobody@localhost".parse().unwrap() }, Vec::new());
    assert_eq!(cloud.send(&nobody).await.problem(), ProblemType::NoConnectionPackages);
    cloud.cloud.clock().advance(90 * DAY);
    assert_eq!(cloud.send(&claiming_call(&alice)).await.problem(), ProblemType::NoConnectionPackages);
}

#[tokio::test]
async fn claims_and_messages_of_one_source_are_limited() {
    let cloud = TestCloud::start_with(|builder| {
        builder
            .parameter("ConnectionPackagesPerSourceAndHour", "3")
            .parameter("ConnectionPackagesPerNameAndHour", "2")
            .parameter("DirectMessagesPerSourceAndHour", "2")
    })
    .await;
    let alice = alice(&cloud).await;
    let bob = Applicant::new(&cloud, "bob@localhost", 2).await.register(&cloud).await;
    let claims = [&alice, &alice, &alice, &bob].map(claiming_call);
    let mut statuses = Vec::new();
    for call in &claims {
        statuses.push(cloud.send(call).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429], "first the name's allowance is used up, then the source's");
    for (number, expected) in [200, 200, 429].into_iter().enumerate() {
        assert_eq!(cloud.send(&alice.writing_call(&[number as u8])).await.status, expected);
    }
}

#[tokio::test]
async fn a_direct_queue_is_its_clients_alone_and_ends_with_it() {
    let cloud = TestCloud::start().await;
    let phone = alice(&cloud).await;
    let mut laptop = phone.another(&cloud, 2).await;
    phone.add(&cloud, &laptop).await;
    cloud.confirm(&laptop).await;
    let bob = Applicant::new(&cloud, "bob@localhost", 3).await.register(&cloud).await;
    assert_eq!(cloud.send(&phone.writing_call(b"may I?")).await.status, 200);
    let before = cloud.state().await;
    let call = phone.fetching_call(&cloud, 1);
    for other in [laptop.sign(&cloud, &call), bob.sign(&cloud, &call)] {
        assert_eq!(cloud.send(&other).await.problem(), ProblemType::ClientUnknown);
    }
    // A client that was linked has no direct queue before it has connection packages that lead to one.
    assert_eq!(cloud.send(&laptop.fetching_call(&cloud, 0)).await.problem(), ProblemType::QueueUnknown);
    assert_eq!(cloud.send(&laptop.writing_call(b"and you?")).await.problem(), ProblemType::QueueUnknown);
    assert_eq!(cloud.state().await, before);

    laptop.remove(&cloud, &phone).await;
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::ClientUnknown);
    assert_eq!(cloud.send(&phone.writing_call(b"still?")).await.problem(), ProblemType::QueueUnknown);
    assert_eq!(cloud.send(&claiming_call(&phone)).await.problem(), ProblemType::NoConnectionPackages);
}
