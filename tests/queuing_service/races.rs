//! Many at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vestibule_protocol::endpoint::ClaimKeyPackagesResponse;
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::{Answer, Pseudonym, TestCloud, all_at_once, left_out_in_processes};

async fn started() -> (Arc<TestCloud>, Pseudonym) {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
    (cloud, alice)
}

/// The one package of each answer.
fn claimed(answers: &[Answer]) -> Vec<Vec<u8>> {
    let package = |answer: &Answer| {
        let mut packages = answer.success::<ClaimKeyPackagesResponse>().add_packages;
        assert_eq!(packages.len(), 1);
        packages.remove(0).0
    };
    answers.iter().map(package).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_claims_at_once_get_sixty_four_packages_and_two_hundred_get_each_once() {
    left_out_in_processes!("each of two hundred calls at once would be a process");
    let (cloud, mut alice) = started().await;
    let generation = alice.publish(&cloud, 1, 100).await;
    let published: HashSet<_> = generation.add_packages.into_iter().map(|package| package.0).collect();
    let first = claimed(&all_at_once(&cloud, (0..64).map(|_| alice.claiming_call())).await);
    let first: HashSet<_> = first.into_iter().collect();
    assert_eq!(first.len(), 64);
    assert!(first.is_subset(&published));

    let rest = claimed(&all_at_once(&cloud, (0..136).map(|_| alice.claiming_call())).await);
    let mut counts: HashMap<Vec<u8>, usize> = first.into_iter().map(|package| (package, 1)).collect();
    for package in rest {
        *counts.entry(package).or_default() += 1;
    }
    let last_resort = generation.last_resort_add_package.unwrap().0;
    assert_eq!(counts.remove(&last_resort), Some(100));
    assert_eq!(counts.keys().cloned().collect::<HashSet<_>>(), published);
    assert!(counts.values().all(|count| *count == 1));
    assert_eq!(alice.supply(&cloud).await.last_resort_uses, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_claims_at_once_get_each_of_a_hundred_packages_once() {
    left_out_in_processes!("each of two hundred calls at once would be a process");
    let (cloud, mut alice) = started().await;
    let generation = alice.publish(&cloud, 1, 100).await;
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    for package in claimed(&all_at_once(&cloud, (0..200).map(|_| alice.claiming_call())).await) {
        *counts.entry(package).or_default() += 1;
    }
    assert_eq!(counts.remove(&generation.last_resort_add_package.unwrap().0), Some(100));
    for package in generation.add_packages {
        assert_eq!(counts.remove(&package.0), Some(1));
    }
    assert!(counts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_while_others_claim_never_mixes_generations() {
    let (cloud, mut alice) = started().await;
    let old = alice.publish(&cloud, 1, 40).await;
    let new = alice.generation(&cloud, 2, 40);
    let publishing = alice.publishing_call(&cloud, &new);
    let calls = (0..60).map(|number| if number == 10 { publishing.clone() } else { alice.claiming_call() });
    let answers = all_at_once(&cloud, calls).await;
    let claims: Vec<_> = answers.into_iter().filter(|answer| answer.text().contains("claim_answer")).collect();
    assert_eq!(claims.len(), 59);
    let packages = claimed(&claims);
    let of = |generation: &[vestibule_protocol::encoding::Bytes], package: &Vec<u8>| {
        generation.iter().any(|published| published.0 == *package)
    };
    // Whoever finds the old generation used up may come to its last-resort package or, a moment later, to the new one's.
    let last_resorts = [&old, &new].map(|generation| generation.last_resort_add_package.as_ref().unwrap().0.clone());
    let ordinary: Vec<_> = packages.into_iter().filter(|package| !last_resorts.contains(package)).collect();
    assert_eq!(ordinary.iter().collect::<HashSet<_>>().len(), ordinary.len());
    let from_new = ordinary.iter().filter(|package| of(&new.add_packages, package)).count();
    assert!(ordinary.iter().all(|package| of(&old.add_packages, package) || of(&new.add_packages, package)));

    // From now on there is nothing but the new generation, and all of it.
    let supply = alice.supply(&cloud).await;
    assert_eq!((supply.generation, supply.remaining), (2, 40 - from_new as u64));
    let rest = claimed(&all_at_once(&cloud, (0..supply.remaining).map(|_| alice.claiming_call())).await);
    assert!(rest.iter().all(|package| of(&new.add_packages, package)));
    let all: HashSet<_> = ordinary.iter().filter(|package| of(&new.add_packages, package)).chain(&rest).collect();
    assert_eq!(all.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_publications_of_one_generation_one_is_published_whole() {
    let (cloud, mut alice) = started().await;
    let publications: Vec<_> = (0..6).map(|_| alice.generation(&cloud, 1, 12)).collect();
    let calls: Vec<_> = publications.iter().map(|publication| alice.publishing_call(&cloud, publication)).collect();
    let answers = all_at_once(&cloud, calls).await;
    let (winners, losers): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(winners.len(), 1);
    assert!(losers.iter().all(|loser| loser.problem() == ProblemType::GenerationTaken));
    let packages: HashSet<_> =
        claimed(&all_at_once(&cloud, (0..12).map(|_| alice.claiming_call())).await).into_iter().collect();
    let whole = publications.iter().filter(|publication| {
        publication.add_packages.iter().map(|package| package.0.clone()).collect::<HashSet<_>>() == packages
    });
    assert_eq!(whole.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_publication_sent_many_times_at_once_is_published_once() {
    let (cloud, mut alice) = started().await;
    let generation = alice.generation(&cloud, 1, 30);
    let calls: Vec<_> = (0..8).map(|_| alice.publishing_call(&cloud, &generation)).collect();
    let answers = all_at_once(&cloud, calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let packages: HashSet<_> =
        claimed(&all_at_once(&cloud, (0..30).map(|_| alice.claiming_call())).await).into_iter().collect();
    assert_eq!(packages.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_creation_sent_many_times_at_once_is_one_user() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Pseudonym::new(&cloud, "alice@localhost", 1).await;
    let creation = alice.creation();
    let answers = all_at_once(&cloud, (0..16).map(|_| alice.creating_call(&cloud, &creation))).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body), "{answers:?}");
}
