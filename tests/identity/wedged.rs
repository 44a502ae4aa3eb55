//! A commit that nobody can follow: the service cannot see it, and the user's other clients get over it.

use vestibule_identity::ProcessError;
use vestibule_protocol::endpoint::IdentityPosition;
use vestibule_protocol::problem::ProblemType;

use super::forged::{entry, with_wrong_confirmation_tag};
use super::members::Members;

#[tokio::test]
async fn a_commit_with_a_wrong_confirmation_tag_is_accepted_and_survived() {
    let mut members = Members::new().await;
    let mut tablet = members.phone.link(&members.cloud, 3).await;
    members.laptop.catch_up(&members.cloud).await;
    let prepared = members.laptop.prepare_update();
    let request = with_wrong_confirmation_tag(&members.laptop, &prepared);
    let answer = members.cloud.send(&members.laptop.committing_call(&members.cloud, &request)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    // Everybody sees whose fault it is.
    let user_name = members.phone.client.user_name().clone();
    let stuck_at = members.phone.position();
    let commits = members.cloud.identity(&user_name, stuck_at).await.commits;
    for device in [&mut members.phone, &mut tablet] {
        let error = device.identity.as_mut().unwrap().process(&commits[0].0).unwrap_err();
        assert_eq!(error, ProcessError::Unfollowable { by: members.laptop.client.client_id.clone() });
    }
    // Nobody can go on from where they are.
    let prepared = members.phone.prepare_update();
    assert_eq!(members.problem_with_phones(&prepared).await, ProblemType::IdentitySuperseded);

    // One of them removes it, and starts anew without it.
    members.phone.client.remove(&members.cloud, &members.laptop.client).await;
    let stuck = members.cloud.follow(&user_name, 1, None).await;
    members.phone.reset(&members.cloud, &stuck).await;
    let started = members.cloud.follow(&user_name, 2, Some(&stuck)).await;
    let entering = tablet.prepare_entry(&members.cloud, &started).await;
    let call = tablet.committing_call(&members.cloud, &vestibule_tests::identity::request_after(&started, &entering));
    assert_eq!(members.cloud.send(&call).await.status, 200);
    tablet.identity = Some(entering.next);
    members.phone.catch_up(&members.cloud).await;
    assert_eq!(members.phone.position(), IdentityPosition { generation: 2, epoch: 1 });
    assert_eq!(members.phone.identity().follower().fingerprint(), tablet.identity().follower().fingerprint());

    // The offender is out, for good.
    let now = members.cloud.follow(&user_name, 2, Some(&stuck)).await;
    let group_info = members.cloud.identity(&user_name, members.phone.position()).await.group_info;
    let forged = entry(&mut members.laptop, &now, &group_info);
    let call = members.laptop.committing_call(&members.cloud, &forged);
    assert_eq!(members.problem_with(&call).await, ProblemType::ClientUnknown);
    tablet.link(&members.cloud, 4).await;
}
