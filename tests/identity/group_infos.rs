//! The GroupInfo that comes with a commit must be the commit's.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::CommitIdentityRequest;
use vestibule_protocol::limits::MAX_IDENTITY_MESSAGE_LENGTH;
use vestibule_protocol::problem::ProblemType;

use super::forged::{replaced, signed_again};
use super::members::Members;

#[tokio::test]
async fn a_group_info_that_does_not_fit_the_commit_is_refused() {
    let mut members = Members::new().await;
    let of_this_epoch = members.cloud.identity(members.phone.client.user_name(), members.phone.position()).await;
    let prepared = members.phone.prepare_update();
    let other = members.phone.prepare_update();
    let of_laptop = members.laptop.prepare_update();
    let right = members.phone.request(&prepared);
    let bytes = right.group_info.0.clone();
    let altered = |position: usize| {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1;
        Bytes(bytes)
    };
    let tag = &prepared.commit.0[prepared.commit.0.len() - 65..prepared.commit.0.len() - 33];
    let with_another_tag = replaced(&right.group_info, tag, &[7; 32]);
    let (phone_key, laptop_key) = (&members.phone.client.client_key, &members.laptop.client.client_key);
    let attempts = [
        of_this_epoch.group_info,
        other.group_info,
        of_laptop.group_info,
        prepared.commit.clone(),
        signed_again(&right.group_info, laptop_key),
        signed_again(&with_another_tag, phone_key),
        // Its tree, or its context, is another.
        signed_again(&altered(bytes.len() / 2), phone_key),
        signed_again(&altered(60), phone_key),
        altered(bytes.len() - 1),
        altered(2),
        Bytes(bytes[..bytes.len() - 1].to_vec()),
        Bytes([bytes.as_slice(), &[0]].concat()),
        Bytes(Vec::new()),
        Bytes(vec![0; MAX_IDENTITY_MESSAGE_LENGTH + 1]),
    ];
    for (number, group_info) in attempts.into_iter().enumerate() {
        let request = CommitIdentityRequest { group_info, ..right.clone() };
        assert_eq!(members.problem_with_request(&request).await, ProblemType::GroupInfoRefused, "{number}");
    }
    members.phone.commit(&members.cloud, prepared).await;
}
