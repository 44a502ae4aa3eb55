//! A device that was removed, with everything that it ever knew.

use vestibule_protocol::endpoint::{ClaimKeyPackagesResponse, GetQsUserResponse};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::keys::{QsUserRecordKey, SigningKey};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::listening::Ear;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Call, Pseudonym, TestCloud};

/// Alice's phone, which stays, and her laptop, which was removed: the phone has rotated what both knew and then deleted its
/// client.
struct Removal {
    cloud: TestCloud,
    phone: Pseudonym,
    laptop: Pseudonym,
    new_key: SigningKey<QsUserRecordKey>,
    new_code: FriendshipCode,
}

impl Removal {
    async fn new() -> Self {
        let cloud = TestCloud::start().await;
        let mut phone = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
        let mut laptop = phone.add(&cloud, 2).await;
        phone.publish(&cloud, 1, 5).await;
        laptop.publish(&cloud, 1, 5).await;
        laptop.receive(&cloud, [b"before".to_vec()]).await;
        let (new_key, new_code) = phone.rotation();
        let deletion = phone.sign_with(&cloud, &laptop.client_deleting_call(&cloud), &new_key);
        for call in [phone.updating_call(&cloud, &new_key, &new_code), deletion] {
            let answer = cloud.send(&call).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        Self { cloud, phone, laptop, new_key, new_code }
    }

    async fn problem_with(&self, call: &Call) -> ProblemType {
        self.cloud.problem_with(call).await
    }
}

#[tokio::test]
async fn a_removed_device_reads_nothing() {
    let removal = Removal::new().await;
    let Removal { cloud, phone, laptop, .. } = &removal;
    for (call, expected) in [
        (laptop.fetching_call(cloud, 0), ProblemType::QueueUnknown),
        (laptop.supply_call(cloud), ProblemType::QsClientUnknown),
        (laptop.record_call(cloud), ProblemType::SignatureInvalid),
        (laptop.claiming_call(), ProblemType::FriendshipTokenUnknown),
        // It never had the keys of the others.
        (laptop.sign(cloud, &phone.fetching_call(cloud, 0)), ProblemType::SignatureInvalid),
    ] {
        assert_eq!(removal.problem_with(&call).await, expected, "{} {}", call.method, call.path);
    }
    // Nor is it told when the others receive something.
    for (header, status) in
        [(laptop.listen_header(cloud), 404), (phone.listen_header_with(cloud, &laptop.client_record_key), 401)]
    {
        assert_eq!(Ear::open(cloud, &header).await.err(), Some(status));
    }
}

#[tokio::test]
async fn a_removed_device_changes_and_deletes_nothing_and_locks_nobody_out() {
    let mut removal = Removal::new().await;
    let publication = removal.laptop.generation(&removal.cloud, 2, 1);
    let (its_key, its_code) = removal.laptop.rotation();
    let its_client_key = SigningKey::generate(&mut removal.laptop.rng);
    let Removal { cloud, phone, laptop, new_key, new_code } = &removal;
    let another = laptop.another(9);
    for (call, expected) in [
        (laptop.publishing_call(cloud, &publication), ProblemType::QsClientUnknown),
        (laptop.client_updating_call(cloud, 1, &its_client_key, None), ProblemType::QsClientUnknown),
        (laptop.client_creating_call(cloud, &laptop.client_creation()), ProblemType::SignatureInvalid),
        (another.client_creating_call(cloud, &another.client_creation()), ProblemType::SignatureInvalid),
        (laptop.updating_call(cloud, &its_key, &its_code), ProblemType::SignatureInvalid),
        (laptop.user_deleting_call(cloud), ProblemType::SignatureInvalid),
        (laptop.sign_as_user(cloud, &phone.client_deleting_call(cloud)), ProblemType::SignatureInvalid),
    ] {
        assert_eq!(removal.problem_with(&call).await, expected, "{} {}", call.method, call.path);
    }
    let record = phone.sign_with(cloud, &phone.record_call(cloud), new_key);
    let record: GetQsUserResponse = cloud.send(&record).await.success();
    assert_eq!(record.qs_client_ids, [phone.qs_client_id()]);
    assert_eq!(record.friendship_token_hash.0, new_code.token.hash().as_bytes());
}

#[tokio::test]
async fn nobody_finds_or_reaches_a_removed_device_and_everybody_the_others() {
    let mut removal = Removal::new().await;
    let queue_config = removal.laptop.queue_config();
    let call = sending_call(&queue_config, b"after");
    assert_eq!(removal.problem_with(&call).await, ProblemType::QueueUnknown);
    let Removal { cloud, phone, new_code, .. } = &mut removal;
    phone.code = new_code.clone();
    let claim = phone.claiming_call();
    let claimed: ClaimKeyPackagesResponse = cloud.send(&claim).await.success();
    assert_eq!(claimed.add_packages.len(), 1);
    phone.receive(cloud, [b"after".to_vec()]).await;
    let mut inbox = phone.inbox();
    phone.fetch_all(cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"after"]);
}
