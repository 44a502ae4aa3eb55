//! How an identity is followed: in pages, from any place on, by anybody.

use vestibule_protocol::endpoint::IdentityPosition;
use vestibule_protocol::limits::IDENTITY_PAGE_LENGTH;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::identity::{Device, identity_call};
use vestibule_tests::{Call, TestCloud};

fn at(epoch: u64) -> IdentityPosition {
    IdentityPosition { generation: 1, epoch }
}

#[tokio::test]
async fn a_long_history_comes_in_pages() {
    let cloud = TestCloud::start().await;
    let mut phone = Device::first(&cloud, "alice@localhost", 1).await;
    let user_name = phone.client.user_name().clone();
    let length = IDENTITY_PAGE_LENGTH as u64 + 5;
    for _ in 0..length {
        phone.confirm(&cloud).await;
    }
    let first = cloud.identity(&user_name, at(0)).await;
    assert_eq!((first.commits.len(), first.last_epoch), (IDENTITY_PAGE_LENGTH, length));
    assert!(first.start.is_some());
    let second = cloud.identity(&user_name, at(IDENTITY_PAGE_LENGTH as u64)).await;
    assert_eq!((second.commits.len(), second.start), (5, None));
    let from_one = cloud.identity(&user_name, at(1)).await;
    assert_eq!((from_one.commits.len(), from_one.start), (IDENTITY_PAGE_LENGTH, None));
    assert_eq!(from_one.commits[0], first.commits[1]);
    assert_eq!(from_one.commits[99], second.commits[0]);
    for epoch in [length, length + 1, u64::MAX - 1, u64::MAX] {
        let end = cloud.identity(&user_name, at(epoch)).await;
        assert_eq!((end.commits.len(), end.start, end.last_epoch), (0, None, length));
        assert_eq!(end.group_info, first.group_info);
    }
    let follower = cloud.follow(&user_name, 1, None).await;
    assert_eq!(follower.fingerprint(), phone.identity().follower().fingerprint());
}

#[tokio::test]
async fn what_is_not_there_is_unknown() {
    let cloud = TestCloud::start().await;
    let phone = Device::first(&cloud, "alice@localhost", 1).await;
    let user_name = phone.client.user_name();
    let state = cloud.state().await;
    for generation in [0, 2, u64::MAX] {
        let call = identity_call(user_name, IdentityPosition { generation, epoch: 0 });
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::IdentityUnknown);
    }
    let call = identity_call(&"nobody@localhost".parse().unwrap(), at(0));
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::IdentityUnknown);
    assert_eq!(cloud.state().await, state);
}

#[tokio::test]
async fn a_place_is_two_numbers() {
    let cloud = TestCloud::start().await;
    let phone = Device::first(&cloud, "alice@localhost", 1).await;
    let right = identity_call(phone.client.user_name(), at(0));
    let (path, query) = right.path.split_once('?').unwrap();
    assert_eq!(query, "generation=1&epoch=0");
    for query in [
        "",
        "generation=1",
        "epoch=0",
        "generation=&epoch=0",
        "generation=one&epoch=0",
        "generation=-1&epoch=0",
        "generation=%2B1&epoch=0",
        "generation=1.0&epoch=0",
        "generation=1&epoch=18446744073709551616",
        "generation=1&epoch=0&epoch=1",
        "Generation=1&epoch=0",
    ] {
        let call = Call { path: format!("{path}?{query}"), ..right.clone() };
        assert_eq!(cloud.send(&call).await.problem(), ProblemType::InvalidIdentityPosition, "{query}");
    }
    let in_another_order = Call { path: format!("{path}?epoch=0&something=else&generation=1"), ..right.clone() };
    assert_eq!(cloud.send(&in_another_order).await, cloud.send(&right).await);
}

#[tokio::test]
async fn a_deleted_users_identity_is_gone_with_its_history() {
    let cloud = TestCloud::start().await;
    let mut phone = Device::first(&cloud, "alice@localhost", 1).await;
    for _ in 0..30 {
        phone.confirm(&cloud).await;
    }
    let call = identity_call(phone.client.user_name(), at(0));
    assert_eq!(cloud.send(&call).await.status, 200);
    let prepared = phone.prepare_update();
    let committing = phone.call(&cloud, &prepared);
    phone.client.delete_user(&cloud).await;
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::IdentityUnknown);
    assert_eq!(cloud.send(&committing).await.problem(), ProblemType::ClientUnknown);
    let state = cloud.state().await;
    assert!(!state.iter().any(|item| item["sk"]["S"].as_str().unwrap().starts_with("IDENTITY")), "{state:?}");
}
