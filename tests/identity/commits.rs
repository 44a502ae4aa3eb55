//! What changes an identity.

use vestibule_protocol::endpoint::{CommitIdentityResponse, IdentityPosition};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::DAY;
use vestibule_tests::identity::Device;
use vestibule_tests::{TestCloud, left_out_in_processes};

use super::members::Members;

#[tokio::test]
async fn a_client_is_added_confirms_itself_and_is_a_member_like_any_other() {
    let cloud = TestCloud::start().await;
    let mut phone = Device::first(&cloud, "alice@localhost", 1).await;
    let mut laptop = phone.welcome(&cloud, 2).await;
    let follower = cloud.follow(phone.client.user_name(), 1, None).await;
    assert!(!follower.member(laptop.client.client_id.uuid).unwrap().is_confirmed);
    assert!(cloud.client_item(&laptop.client.client_id).await.unwrap().get("expires_at").is_some());

    laptop.confirm(&cloud).await;
    let item = cloud.client_item(&laptop.client.client_id).await.unwrap();
    assert!(item.get("expires_at").is_none() && item.get("client_credential").is_some(), "{item}");
    let follower = cloud.follow(phone.client.user_name(), 1, None).await;
    assert!(follower.members().iter().all(|member| member.is_confirmed));
    phone.catch_up(&cloud).await;
    assert_eq!(phone.identity().follower().fingerprint(), laptop.identity().follower().fingerprint());
    let secrets = [&phone, &laptop].map(|device| device.identity().export_secret("test", &[], 32).unwrap());
    assert_eq!(secrets[0], secrets[1]);

    // It links the next one.
    let tablet = laptop.link(&cloud, 3).await;
    phone.catch_up(&cloud).await;
    assert_eq!(phone.position(), tablet.position());
}

#[tokio::test]
async fn a_commit_is_answered_with_where_it_leads_and_again_the_same() {
    let Members { cloud, mut phone, mut laptop } = Members::new().await;
    let prepared = phone.prepare_update();
    let request = phone.request(&prepared);
    let answer = cloud.send(&phone.committing_call(&cloud, &request)).await;
    let IdentityPosition { generation, epoch } = phone.position();
    let expected = CommitIdentityResponse { generation, epoch: epoch + 1 };
    assert_eq!(answer.success::<CommitIdentityResponse>(), expected);
    let state = cloud.state().await;
    assert_eq!(cloud.send(&phone.committing_call(&cloud, &request)).await, answer);
    assert_eq!(cloud.state().await, state);
    // Also when others came after it, and whichever client asks.
    laptop.catch_up(&cloud).await;
    laptop.confirm(&cloud).await;
    let state = cloud.state().await;
    assert_eq!(cloud.send(&phone.committing_call(&cloud, &request)).await, answer);
    assert_eq!(cloud.send(&laptop.committing_call(&cloud, &request)).await, answer);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn of_two_commits_in_one_epoch_the_first_is_accepted_and_the_other_made_anew() {
    let Members { cloud, mut phone, mut laptop } = Members::new().await;
    let of_phone = phone.prepare_update();
    let of_laptop = laptop.prepare_update();
    let late = laptop.call(&cloud, &of_laptop);
    phone.commit(&cloud, of_phone).await;
    let state = cloud.state().await;
    assert_eq!(cloud.send(&late).await.problem(), ProblemType::IdentitySuperseded);
    assert_eq!(cloud.state().await, state);
    laptop.catch_up(&cloud).await;
    laptop.confirm(&cloud).await;
    phone.catch_up(&cloud).await;
    assert_eq!(phone.identity().follower().fingerprint(), laptop.identity().follower().fingerprint());
}

#[tokio::test]
async fn a_client_that_was_removed_is_removed_from_the_identity() {
    let Members { cloud, mut phone, laptop } = Members::new().await;
    phone.client.remove(&cloud, &laptop.client).await;
    let prepared = phone.prepare_remove(&laptop.client);
    phone.commit(&cloud, prepared).await;
    let follower = cloud.follow(phone.client.user_name(), 1, None).await;
    assert_eq!(follower.members().len(), 1);
}

#[tokio::test]
async fn clients_that_lapsed_or_were_withdrawn_are_removed_from_the_identity() {
    left_out_in_processes!("it moves the clock");
    let Members { cloud, mut phone, .. } = Members::new().await;
    let withdrawn = phone.welcome(&cloud, 3).await;
    let answer = cloud.send(&phone.client.removing_call(&cloud, &withdrawn.client, None)).await;
    assert_eq!(answer.status, 200);
    let lapsed = phone.welcome(&cloud, 4).await;
    cloud.cloud.clock().advance(vestibule_protocol::limits::CLIENT_CONFIRMATION_TIME);
    for gone in [&withdrawn, &lapsed] {
        let prepared = phone.prepare_remove(&gone.client);
        phone.commit(&cloud, prepared).await;
    }
    let follower = cloud.follow(phone.client.user_name(), 1, None).await;
    assert_eq!(follower.members().len(), 2);
}

#[tokio::test]
async fn a_renewed_credential_goes_into_the_leaf_and_the_old_one_may_stay() {
    left_out_in_processes!("it moves the clock");
    let Members { cloud, mut phone, .. } = Members::new().await;
    cloud.cloud.clock().advance(60 * DAY);
    let (_, intermediate) = cloud.credentials().await;
    phone.client.renew(&cloud, &intermediate);
    let renewed = phone.client.add(&cloud, &phone.client).await;
    phone.confirm(&cloud).await;
    let old = phone.client_credential.to_bytes();
    phone.client_credential = renewed.clone();
    assert_eq!(phone.identity().follower().member(phone.client.client_id.uuid).unwrap().client_credential, old);
    phone.confirm(&cloud).await;
    let follower = cloud.follow(phone.client.user_name(), 1, None).await;
    assert_eq!(follower.member(phone.client.client_id.uuid).unwrap().client_credential, renewed.to_bytes());
}
