//! What a user's clients tell each other beside their commits.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::CommitIdentityRequest;
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queuing::QsUserId;
use vestibule_protocol::symmetric::{
    DeviceLabelKey, FriendshipEncryptionKey, FriendshipToken, WelcomeAttributionInfoKey,
};
use vestibule_protocol::user_secrets::{UserSecrets, UserSecretsError};
use vestibule_tests::identity::{epoch_of, seal_user_secrets, user_secrets_key};

use super::members::Members;

fn secrets(rotation: u64) -> UserSecrets {
    let rng = &mut StdRng::seed_from_u64(rotation);
    let qs_user_record_key = SigningKey::generate(rng);
    UserSecrets {
        rotation,
        qs_user_id: QsUserId::of(&qs_user_record_key.verifying_key()),
        qs_user_record_key,
        friendship_token: FriendshipToken::generate(rng),
        friendship_encryption_key: FriendshipEncryptionKey::generate(rng),
        welcome_attribution_info_key: WelcomeAttributionInfoKey::generate(rng),
        device_label_key: DeviceLabelKey::generate(rng),
    }
}

#[tokio::test]
async fn secrets_of_another_length_or_in_the_wrong_place_are_refused() {
    let mut members = Members::new().await;
    let prepared = members.phone.prepare_update();
    let right = members.phone.request(&prepared);
    let length = right.encrypted_user_secrets.as_ref().unwrap().0.len();
    for encrypted_user_secrets in [None, Some(0), Some(length - 1), Some(length + 1), Some(4 * length)] {
        let encrypted_user_secrets = encrypted_user_secrets.map(|length| Bytes(vec![1; length]));
        let request = CommitIdentityRequest { encrypted_user_secrets, ..right.clone() };
        assert_eq!(members.problem_with_request(&request).await, ProblemType::InvalidField);
    }
    let (_, start) = members.phone.start(1, None);
    let start = CommitIdentityRequest { encrypted_user_secrets: right.encrypted_user_secrets.clone(), ..start };
    assert_eq!(members.problem_with_request(&start).await, ProblemType::InvalidField);
    members.phone.commit(&members.cloud, prepared).await;
}

#[tokio::test]
async fn every_commit_is_given_out_with_what_its_committer_told_and_a_repetition_does_not_change_it() {
    let mut members = Members::new().await;
    let before = members.phone.position();
    let mut told = Vec::new();
    for rotation in [5, 6] {
        let prepared = members.phone.prepare_update();
        let encrypted = seal_user_secrets(Some(&secrets(rotation)), &prepared.next);
        let request = members.phone.request(&prepared);
        let request = CommitIdentityRequest { encrypted_user_secrets: Some(encrypted.clone()), ..request };
        let call = members.phone.committing_call(&members.cloud, &request);
        let other = CommitIdentityRequest {
            encrypted_user_secrets: Some(Bytes(vec![1; encrypted.0.len()])),
            ..request.clone()
        };
        let other = members.phone.committing_call(&members.cloud, &other);
        members.phone.accepted(&members.cloud, &request, prepared.next).await;
        members.changes_nothing(&call).await;
        assert_eq!(members.problem_with(&other).await, ProblemType::IdentitySuperseded);
        told.push(Some(encrypted));
    }
    let history = members.cloud.identity(members.phone.client.user_name(), before).await;
    assert_eq!(history.commits.len(), 2);
    assert_eq!(history.encrypted_user_secrets, told);
}

#[tokio::test]
async fn who_is_removed_by_a_commit_cannot_read_what_is_told_with_it() {
    let mut members = Members::new().await;
    let phone = &mut members.phone;
    phone.client.remove(&members.cloud, &members.laptop.client).await;
    let prepared = phone.prepare_remove(&members.laptop.client);
    let encrypted = seal_user_secrets(Some(&secrets(1)), &prepared.next);
    let request = phone.request(&prepared);
    let request = CommitIdentityRequest { encrypted_user_secrets: Some(encrypted.clone()), ..request };
    phone.accepted(&members.cloud, &request, prepared.next).await;

    let after = phone.identity();
    let read = UserSecrets::open(&encrypted.0, &epoch_of(after), &user_secrets_key(after));
    assert_eq!(read.unwrap().unwrap().rotation, 1);
    // Its own keys are those of the epoch before, whatever epoch it says that it is.
    let its_key = user_secrets_key(members.laptop.identity());
    for epoch in [epoch_of(after), epoch_of(members.laptop.identity())] {
        assert_eq!(UserSecrets::open(&encrypted.0, &epoch, &its_key).unwrap_err(), UserSecretsError);
    }
}
