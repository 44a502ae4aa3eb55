//! Changes of one identity that meet.

use std::sync::Arc;

use vestibule_protocol::problem::ProblemType;
use vestibule_tests::identity::Device;
use vestibule_tests::{Answer, TestCloud, all_at_once_until_answered};

use super::members::Members;

/// How often a race is run: who wins is chance.
const ROUNDS: u64 = 6;

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_commits_in_one_epoch_at_once_one_is_accepted() {
    let Members { cloud, mut phone, mut laptop } = Members::new().await;
    let cloud = Arc::new(cloud);
    for _ in 0..ROUNDS {
        let (of_phone, of_laptop) = (phone.prepare_update(), laptop.prepare_update());
        let before = phone.position().epoch;
        let calls = [phone.call(&cloud, &of_phone), laptop.call(&cloud, &of_laptop)];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        assert_eq!(statuses(&answers), [200, 409]);
        let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
        assert_eq!(refused.problem(), ProblemType::IdentitySuperseded);
        let accepted = cloud.identity(phone.client.user_name(), phone.position()).await.commits.remove(0);
        let (winner, loser, prepared) = if accepted == of_phone.commit {
            (&mut phone, &mut laptop, of_phone)
        } else {
            (&mut laptop, &mut phone, of_laptop)
        };
        winner.identity = Some(prepared.next);
        loser.catch_up(&cloud).await;
        assert_eq!(phone.identity().follower().fingerprint(), laptop.identity().follower().fingerprint());
        assert_eq!(phone.position().epoch, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_commit_sent_many_times_at_once_is_one_epoch() {
    let Members { cloud, mut phone, .. } = Members::new().await;
    let cloud = Arc::new(cloud);
    let prepared = phone.prepare_update();
    let calls: Vec<_> = (0..16).map(|_| phone.call(&cloud, &prepared)).collect();
    let answers = all_at_once_until_answered(&cloud, calls).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status == 200), "{answers:?}");
    let history = cloud.identity(phone.client.user_name(), phone.position()).await;
    assert_eq!(history.commits, [prepared.commit]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_confirmation_sent_many_times_at_once_confirms_once() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut phone = Device::first(&cloud, "alice@localhost", 1).await;
    let mut laptop = phone.welcome(&cloud, 2).await;
    let prepared = laptop.prepare_update();
    let calls: Vec<_> = (0..16).map(|_| laptop.call(&cloud, &prepared)).collect();
    let answers = all_at_once_until_answered(&cloud, calls).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status == 200), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_either_confirmed_or_withdrawn() {
    for seed in 0..ROUNDS {
        let cloud = Arc::new(TestCloud::start().await);
        let mut phone = Device::first(&cloud, "alice@localhost", 1).await;
        let mut laptop = phone.welcome(&cloud, 2 + seed).await;
        let prepared = laptop.prepare_update();
        let confirmation = laptop.call(&cloud, &prepared);
        let withdrawal = phone.client.removing_call(&cloud, &laptop.client, None);
        let answers = all_at_once_until_answered(&cloud, [confirmation, withdrawal]).await;
        let item = cloud.client_item(&laptop.client.client_id).await.unwrap();
        let is_removed = item.get("removed_on").is_some();
        let last_epoch = cloud.identity(phone.client.user_name(), phone.position()).await.last_epoch;
        if is_removed {
            assert_eq!(statuses(&answers), [200, 403]);
            assert_eq!(last_epoch, phone.position().epoch);
        } else {
            assert_eq!(statuses(&answers), [200, 401]);
            assert!(item.get("expires_at").is_none(), "{item}");
            assert_eq!(last_epoch, phone.position().epoch + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_generations_at_once_one_starts() {
    for _ in 0..ROUNDS / 2 {
        let Members { cloud, mut phone, mut laptop } = Members::new().await;
        let cloud = Arc::new(cloud);
        let old = phone.identity().follower().clone();
        let mut calls = Vec::new();
        for device in [&mut phone, &mut laptop] {
            let (_, group_info) = device.start_generation(2, Some(&old));
            let login = device.log_in_to_reset(&cloud, 2).await;
            let call = device.resetting_call(&cloud, 2, &group_info, login);
            calls.extend([call.clone(), call]);
        }
        let answers = all_at_once_until_answered(&cloud, calls).await;
        assert_eq!(statuses(&answers), [200, 200, 409, 409]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_commit_and_a_reset_at_once_the_one_that_loses_changes_nothing() {
    for _ in 0..ROUNDS / 2 {
        let Members { cloud, mut phone, mut laptop } = Members::new().await;
        let cloud = Arc::new(cloud);
        let old = phone.identity().follower().clone();
        let (_, group_info) = phone.start_generation(2, Some(&old));
        let login = phone.log_in_to_reset(&cloud, 2).await;
        let prepared = laptop.prepare_update();
        let calls = [phone.resetting_call(&cloud, 2, &group_info, login), laptop.call(&cloud, &prepared)];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        let history = cloud.identity(phone.client.user_name(), phone.position()).await;
        let what_holds = (history.current_generation, history.commits.len());
        match [answers[0].status, answers[1].status] {
            // The end of a generation is known when the next one starts.
            [200, 409] => assert_eq!(what_holds, (2, 0)),
            [409, 200] => assert_eq!(what_holds, (1, 1)),
            [200, 200] => assert_eq!(what_holds, (2, 1), "the commit came first"),
            statuses => panic!("{statuses:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_removed_while_it_commits_has_committed_before_or_not_at_all() {
    for _ in 0..ROUNDS / 2 {
        let Members { cloud, mut phone, mut laptop } = Members::new().await;
        let cloud = Arc::new(cloud);
        let login = phone.client.log_in(&cloud, vestibule_tests::removal_of(&laptop.client)).await;
        let prepared = laptop.prepare_update();
        let calls = [phone.client.removing_call(&cloud, &laptop.client, Some(login)), laptop.call(&cloud, &prepared)];
        let answers = all_at_once_until_answered(&cloud, calls).await;
        assert!(matches!(statuses(&answers).as_slice(), [200, 200] | [200, 403]), "{answers:?}");
        assert!(cloud.client_item(&laptop.client.client_id).await.unwrap().get("removed_on").is_some());
    }
}
