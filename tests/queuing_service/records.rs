//! Users and clients of the queuing service once they are created.

use std::sync::Arc;

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClaimKeyPackagesResponse, CreateQsClientResponse, GetQsUserResponse, UpdateQsClientRequest, UpdateQsUserRequest,
};
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::limits::MAX_QS_CLIENTS;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::push_token::{open_push_token, seal_push_token};
use vestibule_protocol::queue_config::QueueConfig;
use vestibule_protocol::queuing::QsUserRekey;
use vestibule_tests::queues::sending_call;
use vestibule_tests::{Call, Pseudonym, TestCloud, all_at_once_until_answered, json_body, sign_for_qs};

async fn alice(cloud: &TestCloud) -> Pseudonym {
    Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await
}

/// Sends a call that is right, and checks that it leaves nothing behind.
async fn changes_nothing(cloud: &TestCloud, call: &Call) {
    let before = cloud.state().await;
    let answer = cloud.send(call).await;
    assert!(answer.status < 300, "{}", answer.text());
    assert_eq!(cloud.state().await, before);
}

fn body<T: serde::de::DeserializeOwned>(call: &Call) -> T {
    serde_json::from_slice(&call.body).unwrap()
}

#[tokio::test]
async fn a_second_client_publishes_is_claimed_with_the_first_and_can_be_written_to() {
    let cloud = TestCloud::start().await;
    let mut phone = alice(&cloud).await;
    let mut laptop = phone.another(2);
    let call = laptop.client_creating_call(&cloud, &laptop.client_creation());
    let answer = cloud.send(&call).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.success::<CreateQsClientResponse>().qs_client_id, laptop.qs_client_id());
    changes_nothing(&cloud, &laptop.sign_as_user(&cloud, &call)).await;

    let record: GetQsUserResponse = cloud.send(&phone.record_call(&cloud)).await.success();
    let mut expected = vec![phone.qs_client_id(), laptop.qs_client_id()];
    expected.sort();
    assert_eq!(record.qs_client_ids, expected);
    assert_eq!(record.friendship_token_hash.0, phone.code.token.hash().as_bytes());

    phone.publish(&cloud, 1, 2).await;
    laptop.publish(&cloud, 1, 2).await;
    let claimed: ClaimKeyPackagesResponse = cloud.send(&phone.claiming_call()).await.success();
    assert_eq!(claimed.add_packages.len(), 2);

    laptop.receive(&cloud, [b"hello".to_vec()]).await;
    let mut inbox = laptop.inbox();
    laptop.fetch_all(&cloud, &mut inbox).await;
    assert_eq!(inbox.messages, [b"hello"]);
}

#[tokio::test]
async fn a_client_is_created_by_its_user_with_its_own_key_once() {
    let cloud = TestCloud::start().await;
    let phone = alice(&cloud).await;
    let bob = Pseudonym::new(&cloud, "bob@localhost", 2).await.create(&cloud).await;
    let laptop = phone.another(3);
    let creation = laptop.client_creation();
    let call = laptop.client_creating_call(&cloud, &creation);

    assert_eq!(cloud.problem_with(&bob.sign_as_user(&cloud, &call)).await, ProblemType::SignatureInvalid);
    assert_eq!(cloud.problem_with(&phone.sign(&cloud, &call)).await, ProblemType::SignatureInvalid);
    for (client_record, expected) in [
        (bob.another(4).client_creation().client_record, ProblemType::QsRecordInvalid),
        (Bytes(vec![1, 2, 3]), ProblemType::QsRecordInvalid),
        (phone.client_creation().client_record, ProblemType::QsRecordTaken),
    ] {
        let mut creation = creation.clone();
        creation.client_record = client_record;
        assert_eq!(cloud.problem_with(&laptop.client_creating_call(&cloud, &creation)).await, expected);
    }
    let mut without_key = creation.clone();
    without_key.queue.encryption_key = Bytes(vec![0; 32]);
    let call_without_key = laptop.client_creating_call(&cloud, &without_key);
    assert_eq!(cloud.problem_with(&call_without_key).await, ProblemType::QueueKeyInvalid);

    assert_eq!(cloud.send(&call).await.status, 201);
    let mut other_queue = creation.clone();
    other_queue.queue = bob.queue_keys();
    let call_with_other_queue = laptop.client_creating_call(&cloud, &other_queue);
    assert_eq!(cloud.problem_with(&call_with_other_queue).await, ProblemType::QsRecordTaken);

    let nobody = Pseudonym::new(&cloud, "carol@localhost", 5).await;
    let of_nobody = nobody.another(6);
    let call_of_nobody = of_nobody.client_creating_call(&cloud, &of_nobody.client_creation());
    assert_eq!(cloud.problem_with(&call_of_nobody).await, ProblemType::QsUserUnknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_ten_clients_at_most_however_many_come_at_once() {
    let cloud = Arc::new(TestCloud::start().await);
    let phone = alice(&cloud).await;
    let others: Vec<_> = (0..14).map(|seed| phone.another(100 + seed)).collect();
    let calls = others.iter().map(|other| other.client_creating_call(&cloud, &other.client_creation()));
    let answers = all_at_once_until_answered(&cloud, calls.collect::<Vec<_>>()).await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((created.len(), refused.len()), (MAX_QS_CLIENTS - 1, 5));
    assert!(refused.iter().all(|answer| answer.problem() == ProblemType::QsClientLimitReached));
    assert_eq!(phone.clients(&cloud).await.len(), MAX_QS_CLIENTS);
}

#[tokio::test]
async fn a_rotated_key_and_a_retired_friendship_token_are_of_no_use_to_anybody() {
    let cloud = TestCloud::start().await;
    let mut phone = alice(&cloud).await;
    let mut laptop = phone.add(&cloud, 2).await;
    phone.publish(&cloud, 1, 5).await;
    laptop.publish(&cloud, 1, 5).await;
    let (key, code) = phone.rotation();
    let update = phone.updating_call(&cloud, &key, &code);
    assert_eq!(cloud.send(&update).await.status, 200);
    // The answer was lost: the client does not know whether its key is the old one.
    changes_nothing(&cloud, &phone.sign_as_user(&cloud, &update)).await;

    // The old key.
    let (next_key, next_code) = phone.rotation();
    for call in [
        phone.record_call(&cloud),
        phone.updating_call(&cloud, &next_key, &next_code),
        phone.user_deleting_call(&cloud),
        laptop.client_deleting_call(&cloud),
        phone.another(3).client_creating_call(&cloud, &phone.another(3).client_creation()),
    ] {
        assert_eq!(cloud.problem_with(&call).await, ProblemType::SignatureInvalid, "{} {}", call.method, call.path);
    }
    // The old token, for friends and for others who would like to have it.
    assert_eq!(cloud.problem_with(&phone.claiming_call()).await, ProblemType::FriendshipTokenUnknown);
    let mut mallory = Pseudonym::new(&cloud, "mallory@localhost", 4).await;
    mallory.code.token = phone.code.token.clone();
    let creation = mallory.creation();
    assert_eq!(cloud.problem_with(&mallory.creating_call(&cloud, &creation)).await, ProblemType::FriendshipTokenTaken);

    // The new ones.
    let record = phone.sign_with(&cloud, &phone.record_call(&cloud), &key);
    let record: GetQsUserResponse = cloud.send(&record).await.success();
    assert_eq!(record.qs_client_ids.len(), 2);
    let old_code = std::mem::replace(&mut phone.code, code);
    let claimed: ClaimKeyPackagesResponse = cloud.send(&phone.claiming_call()).await.success();
    assert_eq!(claimed.add_packages.len(), 2);
    // There is no way back to the token before, not even for its owner.
    let back = phone.sign_with(&cloud, &phone.updating_call(&cloud, &next_key, &old_code), &key);
    assert_eq!(cloud.problem_with(&back).await, ProblemType::FriendshipTokenTaken);
    // The key can be rotated alone.
    let key_alone = phone.sign_with(&cloud, &phone.updating_call(&cloud, &next_key, &phone.code), &key);
    assert_eq!(cloud.send(&key_alone).await.status, 200);
    assert_eq!(cloud.send(&phone.claiming_call()).await.status, 200);
}

#[tokio::test]
async fn a_new_key_for_a_user_is_signed_by_itself_and_for_this_user() {
    let cloud = TestCloud::start().await;
    let mut phone = alice(&cloud).await;
    let bob = Pseudonym::new(&cloud, "bob@localhost", 2).await.create(&cloud).await;
    let (key, code) = phone.rotation();
    let right: UpdateQsUserRequest = body(&phone.updating_call(&cloud, &key, &code));
    let call = |request: &UpdateQsUserRequest| {
        let mut call = phone.updating_call(&cloud, &key, &code);
        call.body = json_body(request);
        phone.sign_as_user(&cloud, &call)
    };
    for rekey in [QsUserRekey::issue(bob.qs_user_id(), &key).to_bytes(), Bytes(vec![1]), Bytes(Vec::new())] {
        let request = UpdateQsUserRequest { rekey, ..right.clone() };
        assert_eq!(cloud.problem_with(&call(&request)).await, ProblemType::QsRecordInvalid);
    }
    let request = UpdateQsUserRequest { friendship_token_hash: Bytes(vec![0; 31]), ..right.clone() };
    assert_eq!(cloud.problem_with(&call(&request)).await, ProblemType::QsRecordInvalid);
    let taken = Bytes(bob.code.token.hash().as_bytes().to_vec());
    let request = UpdateQsUserRequest { friendship_token_hash: taken, ..right };
    assert_eq!(cloud.problem_with(&call(&request)).await, ProblemType::FriendshipTokenTaken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_created_while_its_user_rotates_is_in_the_new_list_or_refused() {
    for round in 0..4 {
        let cloud = Arc::new(TestCloud::start().await);
        let mut phone = alice(&cloud).await;
        let laptop = phone.another(10 + round);
        let (key, code) = phone.rotation();
        let calls =
            [phone.updating_call(&cloud, &key, &code), laptop.client_creating_call(&cloud, &laptop.client_creation())];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        let created = answers.iter().any(|answer| answer.status == 201);
        assert!(answers.iter().any(|answer| answer.status == 200));
        let record = phone.sign_with(&cloud, &phone.record_call(&cloud), &key);
        let record: GetQsUserResponse = cloud.send(&record).await.success();
        assert_eq!(record.qs_client_ids.len(), 1 + usize::from(created));
        let items = cloud.cloud.items("QsTable").await.unwrap();
        let partition = format!("FRIENDSHIP#{}", code.token.hash());
        let listed = items.iter().filter(|item| item["pk"]["S"] == partition && item["sk"]["S"] != "FRIENDSHIP");
        assert_eq!(listed.count(), 1 + usize::from(created));
    }
}

#[tokio::test]
async fn a_client_rotates_its_key_and_is_still_reached_by_the_queue_configs_of_the_one_before() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let old_config = alice.queue_config();
    let key = SigningKey::generate(&mut alice.rng);
    let token = seal_push_token(b"push", &alice.qs_client_id(), &alice.push_token_key, &mut alice.rng).unwrap();
    let update = alice.client_updating_call(&cloud, 1, &key, Some(token.clone()));
    assert_eq!(cloud.send(&update).await.status, 200);
    changes_nothing(&cloud, &alice.sign(&cloud, &update)).await;
    let stored = cloud.cloud.items("QsTable").await.unwrap();
    let stored = stored.iter().find_map(|item| item.pointer("/encrypted_push_token/B")).unwrap();
    let stored = stored.as_str().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_");
    assert_eq!(vestibule_protocol::encoding::decode(&stored).unwrap(), token.0);
    let opened = open_push_token(&token.0, &alice.qs_client_id(), &alice.push_token_key);
    assert_eq!(*opened.unwrap(), b"push");

    // The old key signs no requests any more, the new one does.
    let with_new_key = |call: &Call| sign_for_qs(&cloud, call, &key, &alice.qs_client_id().to_string());
    let calls = [alice.fetching_call(&cloud, 0), alice.supply_call(&cloud)];
    for call in &calls {
        assert_eq!(cloud.problem_with(call).await, ProblemType::SignatureInvalid);
        assert_eq!(cloud.send(&with_new_key(call)).await.status, 200);
    }
    let next = alice.client_updating_call(&cloud, 2, &key, None);
    assert_eq!(cloud.problem_with(&next).await, ProblemType::SignatureInvalid);

    // Leaves have queue configs of both keys; with the next rotation, the first one's end.
    let config = QueueConfig::issue(alice.qs_client_id(), &alice.push_token_key, &key);
    let new_config = alice.seal(&config);
    for queue_config in [&old_config, &new_config] {
        assert_eq!(cloud.send(&sending_call(queue_config, b"hello")).await.status, 200);
    }
    let with_new_key = |call: &Call| sign_for_qs(&cloud, call, &key, &alice.qs_client_id().to_string());
    let third_key = SigningKey::generate(&mut rand::rngs::OsRng);
    let next = with_new_key(&alice.client_updating_call(&cloud, 2, &third_key, None));
    assert_eq!(cloud.send(&next).await.status, 200);
    let refused = sending_call(&old_config, b"hello again");
    assert_eq!(cloud.problem_with(&refused).await, ProblemType::QueueConfigInvalid);
    assert_eq!(cloud.send(&sending_call(&new_config, b"hello again")).await.status, 200);
    // The push token is gone: it was not in the last update.
    let stored = cloud.cloud.items("QsTable").await.unwrap();
    assert!(!stored.iter().any(|item| item.get("encrypted_push_token").is_some()));
}

#[tokio::test]
async fn an_update_of_a_client_that_comes_late_changes_nothing() {
    let cloud = TestCloud::start().await;
    let mut alice = alice(&cloud).await;
    let key = vestibule_tests::copy(&alice.client_record_key);
    let id = alice.qs_client_id();
    let tokens = [0, 1].map(|_| seal_push_token(b"push", &id, &alice.push_token_key, &mut alice.rng));
    let [first, second] = tokens;
    let first = alice.client_updating_call(&cloud, 1, &key, first);
    let second = alice.client_updating_call(&cloud, 2, &key, second);
    assert_eq!(cloud.send(&first).await.status, 200);
    assert_eq!(cloud.send(&second).await.status, 200);
    assert_eq!(cloud.problem_with(&first).await, ProblemType::RecordUpdateOutdated);
    changes_nothing(&cloud, &second).await;
    let other = alice.client_updating_call(&cloud, 2, &key, None);
    assert_eq!(cloud.problem_with(&other).await, ProblemType::RecordUpdateOutdated);

    let mut bad: UpdateQsClientRequest = body(&second);
    bad.version = 3;
    bad.encrypted_push_token = Some(Bytes(vec![1; 551]));
    let mut call = second.clone();
    call.body = json_body(&bad);
    assert_eq!(cloud.problem_with(&alice.sign(&cloud, &call)).await, ProblemType::PushTokenInvalid);
    bad.rekey = Bytes(vec![1]);
    call.body = json_body(&bad);
    assert_eq!(cloud.problem_with(&alice.sign(&cloud, &call)).await, ProblemType::QsRecordInvalid);
}

#[tokio::test]
async fn the_last_client_takes_the_user_with_it() {
    let cloud = TestCloud::start().await;
    let phone = alice(&cloud).await;
    let laptop = phone.add(&cloud, 2).await;
    let creation = phone.creating_call(&cloud, &phone.creation());
    assert_eq!(cloud.send(&laptop.client_deleting_call(&cloud)).await.status, 200);
    changes_nothing(&cloud, &laptop.client_deleting_call(&cloud)).await;
    assert_eq!(phone.clients(&cloud).await, [phone.qs_client_id()]);
    assert_eq!(cloud.send(&phone.client_deleting_call(&cloud)).await.status, 200);
    changes_nothing(&cloud, &phone.client_deleting_call(&cloud)).await;
    changes_nothing(&cloud, &phone.user_deleting_call(&cloud)).await;
    assert_eq!(cloud.problem_with(&phone.record_call(&cloud)).await, ProblemType::QsUserUnknown);
    assert_eq!(cloud.problem_with(&phone.claiming_call()).await, ProblemType::FriendshipTokenUnknown);
    // Nothing brings it back.
    assert_eq!(cloud.problem_with(&creation).await, ProblemType::QsRecordTaken);
    let again = laptop.client_creating_call(&cloud, &laptop.client_creation());
    assert_eq!(cloud.problem_with(&again).await, ProblemType::QsUserUnknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_two_clients_deleted_at_once_take_the_user_with_them() {
    for seed in 0..4 {
        let cloud = Arc::new(TestCloud::start().await);
        let phone = alice(&cloud).await;
        let laptop = phone.add(&cloud, 20 + seed).await;
        let calls = [phone.client_deleting_call(&cloud), laptop.client_deleting_call(&cloud)];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(cloud.send(&phone.record_call(&cloud)).await.problem(), ProblemType::QsUserUnknown);
        assert_eq!(cloud.cloud.items("QsQueueTable").await.unwrap(), Vec::<serde_json::Value>::new());
    }
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_all_clients() {
    let cloud = TestCloud::start().await;
    let mut phone = alice(&cloud).await;
    let mut laptop = phone.add(&cloud, 2).await;
    phone.publish(&cloud, 1, 2).await;
    let bob = Pseudonym::new(&cloud, "bob@localhost", 3).await.create(&cloud).await;
    let call = phone.user_deleting_call(&cloud);
    assert_eq!(cloud.problem_with(&bob.sign_as_user(&cloud, &call)).await, ProblemType::SignatureInvalid);
    assert_eq!(cloud.send(&call).await.status, 200);
    changes_nothing(&cloud, &call).await;
    let publication = phone.generation(&cloud, 2, 1);
    for (call, expected) in [
        (phone.supply_call(&cloud), ProblemType::QsClientUnknown),
        (phone.publishing_call(&cloud, &publication), ProblemType::QsClientUnknown),
        (phone.fetching_call(&cloud, 0), ProblemType::QueueUnknown),
        (laptop.fetching_call(&cloud, 0), ProblemType::QueueUnknown),
        (sending_call(&laptop.queue_config(), b"hello"), ProblemType::QueueUnknown),
        (phone.claiming_call(), ProblemType::FriendshipTokenUnknown),
        (phone.record_call(&cloud), ProblemType::QsUserUnknown),
    ] {
        assert_eq!(cloud.problem_with(&call).await, expected, "{} {}", call.method, call.path);
    }
}
