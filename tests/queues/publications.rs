//! Clients replace their connection packages, and those that were linked get a direct queue with their first.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClaimConnectionPackages, ClaimConnectionPackagesResponse, DequeueResponse, PublishConnectionPackagesRequest,
};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Answer, Applicant, Call, TestCloud, all_at_once, left_out_in_processes, removal_of};

/// How many packages everybody registers with.
const REGISTERED: u64 = 3;

async fn alice(cloud: &TestCloud) -> Applicant {
    Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await
}

/// Alice's phone, and a laptop that was linked.
async fn devices(cloud: &TestCloud) -> [Applicant; 2] {
    let phone = alice(cloud).await;
    let laptop = phone.another(cloud, 2).await;
    phone.add(cloud, &laptop).await;
    cloud.confirm(&laptop).await;
    [phone, laptop]
}

fn claiming_call(user: &Applicant) -> Call {
    Call::new::<ClaimConnectionPackages>(&user.user_path(), Vec::new())
}

fn claimed(answer: &Answer) -> Vec<Bytes> {
    let claimed: ClaimConnectionPackagesResponse = answer.success();
    claimed.connection_packages.into_iter().map(|claimed| claimed.connection_package).collect()
}

async fn claim(cloud: &TestCloud, user: &Applicant) -> Vec<Bytes> {
    claimed(&cloud.send(&claiming_call(user)).await)
}

/// Sends a call that is refused, and checks that it leaves nothing behind.
async fn problem_with(cloud: &TestCloud, call: &Call) -> ProblemType {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert_eq!(cloud.state().await, before, "{}", answer.text());
    answer.problem()
}

/// Sends a call that is right, and checks that it leaves nothing behind.
async fn changes_nothing(cloud: &TestCloud, call: &Call) {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(cloud.state().await, before);
}

fn sort_key(item: &Value) -> &str {
    item["sk"]["S"].as_str().unwrap()
}

#[tokio::test]
async fn strangers_reach_a_client_that_was_linked_once_it_has_published() {
    let cloud = TestCloud::start().await;
    let [phone, mut laptop] = devices(&cloud).await;
    assert_eq!(claim(&cloud, &phone).await.len(), 1);
    let published = laptop.publish(&cloud, 0, 2).await;
    let both = claim(&cloud, &phone).await;
    assert_eq!((both.len(), both.contains(&published[0])), (2, true));

    let mut inbox = laptop.inbox();
    assert_eq!(cloud.send(&laptop.writing_call(b"may I?")).await.status, 200);
    let page: DequeueResponse = cloud.send(&laptop.fetching_call(&cloud, 0)).await.success();
    inbox.take(&page);
    assert_eq!(inbox.messages, [b"may I?"]);
}

#[tokio::test]
async fn new_packages_take_the_place_of_those_before_and_the_queue_goes_on() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut inbox = alice.inbox();
    assert_eq!(cloud.send(&alice.writing_call(b"before")).await.status, 200);
    claim(&cloud, &alice).await;
    let published = alice.publish(&cloud, REGISTERED, 3).await;
    for expected in [&published[0], &published[1], &published[2], &published[2]] {
        assert_eq!(claim(&cloud, &alice).await, std::slice::from_ref(expected));
    }
    assert_eq!(cloud.send(&alice.writing_call(b"after")).await.status, 200);
    inbox.take(&cloud.send(&alice.fetching_call(&cloud, 0)).await.success());
    assert_eq!(inbox.messages, [b"before".as_slice(), b"after"]);
}

#[tokio::test]
async fn a_client_that_publishes_in_time_can_be_reached_for_ever() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let mut inbox = alice.inbox();
    for round in 0..4 {
        cloud.cloud.clock().advance(60 * DAY);
        let published = alice.publish(&cloud, REGISTERED + round, 1).await;
        assert_eq!(claim(&cloud, &alice).await, published);
        assert_eq!(cloud.send(&alice.writing_call(&[round as u8])).await.status, 200);
    }
    inbox.take(&cloud.send(&alice.fetching_call(&cloud, 0)).await.success());
    assert_eq!(inbox.messages, [[0], [1], [2], [3]]);
}

#[tokio::test]
async fn a_package_expires_with_its_item() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    alice.publish(&cloud, REGISTERED, 2).await;
    let items = cloud.cloud.items("AsTable").await.unwrap();
    let packages: Vec<_> = items.iter().filter(|item| sort_key(item).starts_with("CONNECTION_PACKAGE#")).collect();
    assert_eq!(packages.len(), 5);
    let expires_at = alice.connection_package(&cloud).payload().expiration_data.not_after.seconds().to_string();
    assert!(packages.iter().all(|item| item["expires_at"]["N"] == expires_at.as_str()));
}

#[tokio::test]
async fn the_same_publication_again_changes_nothing_however_late() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let [_, mut laptop] = devices(&cloud).await;
    for first_index in [0, 2] {
        let publication = laptop.connection_publication(&cloud, first_index, 2);
        let first = cloud.send(&laptop.publishing_call(&cloud, &publication)).await;
        assert_eq!(first.status, 200, "{}", first.text());
        claim(&cloud, &laptop).await;
        changes_nothing(&cloud, &laptop.publishing_call(&cloud, &publication)).await;
        cloud.cloud.clock().advance(91 * DAY);
        changes_nothing(&cloud, &laptop.publishing_call(&cloud, &publication)).await;
    }
}

#[tokio::test]
async fn a_publication_of_before_comes_too_late() {
    let cloud = TestCloud::start().await;
    let [_, mut laptop] = devices(&cloud).await;
    let first = laptop.connection_publication(&cloud, 0, 2);
    assert_eq!(cloud.send(&laptop.publishing_call(&cloud, &first)).await.status, 200);
    laptop.publish(&cloud, 2, 2).await;
    let call = laptop.publishing_call(&cloud, &first);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::ConnectionPackagesOutdated);
    // Other packages do not make it another one.
    for first_index in [0, 2, 3, 5, u64::MAX] {
        let other = laptop.connection_publication(&cloud, first_index, 1);
        let call = laptop.publishing_call(&cloud, &other);
        assert_eq!(problem_with(&cloud, &call).await, ProblemType::ConnectionPackagesOutdated, "{first_index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_publications_at_once_one_is_made() {
    let cloud = Arc::new(TestCloud::start().await);
    let [_, mut laptop] = devices(&cloud).await;
    let same = laptop.connection_publication(&cloud, 0, 3);
    let answers = all_at_once(&cloud, vec![laptop.publishing_call(&cloud, &same); 8]).await;
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.problem(), ProblemType::TemporarilyUnavailable);
    }
    changes_nothing(&cloud, &laptop.publishing_call(&cloud, &same)).await;

    let different: Vec<_> = (0..8).map(|_| laptop.connection_publication(&cloud, 3, 2)).collect();
    let calls: Vec<_> = different.iter().map(|publication| laptop.publishing_call(&cloud, publication)).collect();
    all_at_once(&cloud, calls.clone()).await;
    let mut made = 0;
    for call in &calls {
        let answer = cloud.send(call).await;
        made += usize::from(answer.status == 200);
        assert!(answer.status == 200 || answer.problem() == ProblemType::ConnectionPackagesOutdated);
    }
    assert_eq!(made, 1);
    let items = cloud.cloud.items("AsTable").await.unwrap();
    let prefix = format!("CONNECTION_PACKAGE#{}", laptop.client_id.uuid);
    assert_eq!(items.iter().filter(|item| sort_key(item).starts_with(&prefix)).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_while_packages_are_replaced_gets_one_and_no_two_the_same_but_a_last_one() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut alice = alice(&cloud).await;
    let mut last = BTreeSet::new();
    let mut all = Vec::new();
    for round in 0..3 {
        let publication = alice.connection_publication(&cloud, REGISTERED + 10 * round, 10);
        last.insert(publication.connection_packages[9].0.clone());
        let calls = vec![claiming_call(&alice); 6].into_iter();
        let calls = calls.chain([alice.publishing_call(&cloud, &publication)]).chain(vec![claiming_call(&alice); 6]);
        for (number, answer) in all_at_once(&cloud, calls).await.iter().enumerate() {
            match (number, answer.status) {
                (6, 200) | (_, 503) => {}
                (6, _) => panic!("{}", answer.text()),
                _ => all.extend(claimed(answer)),
            }
        }
        let answer = cloud.send(&alice.publishing_call(&cloud, &publication)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // The last of the registration's is the third: whatever is claimed twice is a last one.
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<_> =
        all.iter().filter(|package| !seen.insert(package.0.clone())).map(|p| p.0.clone()).collect();
    assert!(twice.difference(&last).count() <= 1);
    assert!(seen.len() > 10, "{}", seen.len());
}

#[tokio::test]
async fn a_client_publishes_for_itself_alone() {
    let cloud = TestCloud::start().await;
    let [phone, mut laptop] = devices(&cloud).await;
    let bob = Applicant::new(&cloud, "bob@localhost", 3).await.register(&cloud).await;
    let publication = laptop.connection_publication(&cloud, 0, 1);
    let call = laptop.publishing_call(&cloud, &publication);
    for other in [&phone, &bob] {
        assert_eq!(problem_with(&cloud, &other.sign(&cloud, &call)).await, ProblemType::ClientUnknown);
        // Nor are packages of one client good for another.
        let of_another =
            PublishConnectionPackagesRequest { first_index: REGISTERED, queue: None, ..publication.clone() };
        let call = other.publishing_call(&cloud, &of_another);
        assert_eq!(problem_with(&cloud, &call).await, ProblemType::ConnectionPackageInvalid);
    }
    let unsigned = call.clone().without_header("signature-input");
    assert_eq!(problem_with(&cloud, &unsigned).await, ProblemType::SignatureMissing);
    let uuid = laptop.client_id.uuid.to_string();
    let nobody = Call { path: call.path.replace(&uuid, "nobody"), ..call.clone() };
    assert_eq!(problem_with(&cloud, &laptop.sign(&cloud, &nobody)).await, ProblemType::InvalidClientUuid);
}

#[tokio::test]
async fn packages_and_queue_must_be_right() {
    let cloud = TestCloud::start().await;
    let [mut phone, mut laptop] = devices(&cloud).await;
    let right = laptop.connection_publication(&cloud, 0, 1);
    let with =
        |packages: Vec<Bytes>| PublishConnectionPackagesRequest { connection_packages: packages, ..right.clone() };
    let package = right.connection_packages[0].clone();
    let many = (0..51).map(|_| laptop.connection_package(&cloud).to_bytes()).collect();
    let altered = Bytes([&package.0[..package.0.len() - 1], &[package.0.last().unwrap() ^ 1]].concat());
    let truncated = Bytes(package.0[..package.0.len() - 1].to_vec());
    let key = laptop.connection_package(&cloud).payload().encryption_key;
    let long_ago = cloud.now().saturating_sub(91 * DAY);
    let expired = ConnectionPackage::issue(laptop.client_id.clone(), key, &laptop.client_key, long_ago).to_bytes();
    let mut with_bad_key = right.clone();
    with_bad_key.queue.as_mut().unwrap().encryption_key.0.pop();
    for (publication, expected) in [
        (with(Vec::new()), ProblemType::ConnectionPackageCount),
        (with(many), ProblemType::ConnectionPackageCount),
        (with(vec![package.clone(), package]), ProblemType::ConnectionPackageDuplicate),
        (with(vec![altered]), ProblemType::ConnectionPackageInvalid),
        (with(vec![truncated]), ProblemType::ConnectionPackageInvalid),
        (with(vec![expired]), ProblemType::ConnectionPackageInvalid),
        (PublishConnectionPackagesRequest { queue: None, ..right.clone() }, ProblemType::QueueMisplaced),
        (PublishConnectionPackagesRequest { first_index: 1, ..right.clone() }, ProblemType::QueueMisplaced),
        (with_bad_key, ProblemType::QueueKeyInvalid),
    ] {
        let call = laptop.publishing_call(&cloud, &publication);
        assert_eq!(problem_with(&cloud, &call).await, expected, "{publication:?}");
    }
    // Who has a queue brings no other one.
    let second =
        PublishConnectionPackagesRequest { first_index: REGISTERED, ..phone.connection_publication(&cloud, 0, 1) };
    assert_eq!(problem_with(&cloud, &phone.publishing_call(&cloud, &second)).await, ProblemType::QueueMisplaced);
}

#[tokio::test]
async fn packages_that_would_lead_nowhere_are_refused() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    cloud.cloud.clock().advance(121 * DAY);
    let publication = alice.connection_publication(&cloud, REGISTERED, 1);
    let call = alice.publishing_call(&cloud, &publication);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::QueueUnknown);
}

#[tokio::test]
async fn of_a_removed_client_nothing_is_left_that_could_be_claimed() {
    let cloud = TestCloud::start().await;
    let [mut phone, mut laptop] = devices(&cloud).await;
    laptop.publish(&cloud, 0, 2).await;
    laptop.publish(&cloud, 2, 2).await;
    let late = laptop.connection_publication(&cloud, 4, 1);
    phone.remove(&cloud, &laptop).await;
    let call = laptop.publishing_call(&cloud, &late);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::ClientUnknown);
    assert_eq!(cloud.send(&laptop.writing_call(b"still?")).await.problem(), ProblemType::QueueUnknown);
    assert_eq!(claim(&cloud, &phone).await.len(), 1, "of the phone alone");
    let uuid = laptop.client_id.uuid.to_string();
    let left: Vec<_> = cloud.state().await.into_iter().filter(|item| item.to_string().contains(&uuid)).collect();
    // The tombstone, and the two that had been replaced, which expire.
    assert_eq!(left.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_and_a_publication_at_once_leave_nothing_of_the_client() {
    for _ in 0..4 {
        let cloud = Arc::new(TestCloud::start().await);
        let [mut phone, mut laptop] = devices(&cloud).await;
        let publication = laptop.connection_publication(&cloud, 0, 2);
        let login = phone.log_in(&cloud, removal_of(&laptop)).await;
        let removing = phone.removing_call(&cloud, &laptop, Some(login));
        let publishing = laptop.publishing_call(&cloud, &publication);
        all_at_once(&cloud, vec![publishing.clone(), removing.clone()]).await;
        assert_eq!(cloud.send_until_answered(&removing).await.status, 200);
        assert_eq!(problem_with(&cloud, &publishing).await, ProblemType::ClientUnknown);
        let uuid = laptop.client_id.uuid.to_string();
        let left = cloud.state().await.into_iter().filter(|item| item.to_string().contains(&uuid)).count();
        assert_eq!(left, 1, "the tombstone");
    }
}

#[tokio::test]
async fn of_a_deleted_user_no_package_is_left_not_even_one_that_was_replaced() {
    let cloud = TestCloud::start().await;
    let [mut phone, mut laptop] = devices(&cloud).await;
    laptop.publish(&cloud, 0, 2).await;
    laptop.publish(&cloud, 2, 2).await;
    phone.publish(&cloud, REGISTERED, 2).await;
    phone.delete_user(&cloud).await;
    let left = cloud.state().await;
    assert!(!left.iter().any(|item| sort_key(item).starts_with("CONNECTION_PACKAGE#") || sort_key(item) == "QUEUE"));
    let publication = laptop.connection_publication(&cloud, 4, 1);
    let call = laptop.publishing_call(&cloud, &publication);
    assert_eq!(problem_with(&cloud, &call).await, ProblemType::ClientUnknown);
}
