//! The client library against the local cloud.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rand::rngs::OsRng;
use vestibule_client::{
    Client, Error, FriendshipCode, Fuse, HttpTransport, Options, Password, Published, Registered, Request, Sending,
    Transport, TransportError, UserName, Waiting,
};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, FriendshipToken};
use vestibule_tests::{TestCloud, left_out_in_processes};

/// How many ordinary KeyPackages clients publish here: few, so that tests are fast.
const KEY_PACKAGES: usize = 2;

fn options(cloud: &TestCloud, home: &Path) -> Options {
    Options::new(home)
        .server(cloud.cloud.url().parse().unwrap())
        .clock(cloud.cloud.clock().clone())
        .waiting(Waiting::skipped())
        .key_packages(KEY_PACKAGES)
}

async fn register(options: Options, user_name: &str) -> Result<Registered, Error> {
    let user_name: UserName = user_name.parse().unwrap();
    let password = |_| Ok(Password::new("correct horse".to_owned()));
    Client::open(options)?.register(&user_name, "phone", password, |_| ()).await
}

async fn number_of_users(cloud: &TestCloud) -> usize {
    cloud.state().await.iter().filter(|item| item["sk"]["S"] == "USER_ID").count()
}

/// How many pseudonyms the queuing service has: clients that are no one's by name.
async fn number_of_pseudonyms(cloud: &TestCloud) -> usize {
    let items = cloud.cloud.items("QsTable").await.unwrap();
    items.iter().filter(|item| item["sk"]["S"] == "CLIENT").count()
}

#[tokio::test]
async fn a_registration_that_is_killed_anywhere_is_completed_by_the_next_run() {
    let cloud = TestCloud::start().await;
    let mut points = 0;
    loop {
        let home = tempfile::tempdir().unwrap();
        let name = format!("user{points}@localhost");
        match register(options(&cloud, home.path()).fuse(Fuse::after(points)), &name).await {
            Ok(_) => break,
            Err(error) => assert!(error.is_stopped(), "at point {points}: {error}"),
        }
        let registered = register(options(&cloud, home.path()), &name).await.unwrap();
        let status = Client::open(options(&cloud, home.path())).unwrap().status().unwrap();
        assert_eq!(status.client_id, registered.client_id, "at point {points}");
        let supply = Client::open(options(&cloud, home.path())).unwrap().key_package_supply().await.unwrap();
        assert_eq!((supply.generation, supply.remaining), (1, KEY_PACKAGES as u64), "at point {points}");
        points += 1;
        assert_eq!(number_of_users(&cloud).await, points, "one user for each home");
        assert_eq!(number_of_pseudonyms(&cloud).await, points, "one pseudonym for each home");
    }
    assert!(points > 45, "there are {points} points only");
}

#[tokio::test]
async fn a_registration_that_is_killed_twice_is_completed_by_the_third_run() {
    let cloud = TestCloud::start().await;
    for (first, second) in (0..60).step_by(4).zip((0..60).step_by(3)) {
        let home = tempfile::tempdir().unwrap();
        let name = format!("user{first}-{second}@localhost");
        for points in [first, second] {
            let _ = register(options(&cloud, home.path()).fuse(Fuse::after(points)), &name).await;
        }
        register(options(&cloud, home.path()), &name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_that_register_one_name_at_once_make_one_user() {
    let cloud = Arc::new(TestCloud::start().await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let cloud = Arc::clone(&cloud);
        clients.spawn(async move {
            let home = tempfile::tempdir().unwrap();
            register(options(&cloud, home.path()), "alice@localhost").await
        });
    }
    let results = clients.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = |result: &&Result<_, _>| matches!(result, Err(Error::UserNameTaken(_)));
    assert_eq!(results.iter().filter(refused).count(), 15);
    assert_eq!(number_of_users(&cloud).await, 1);
}

/// Leaves a home in which the request that finishes a registration is on disk, and not sent yet.
async fn begin_registration(cloud: &TestCloud, home: &Path, user_name: &str) {
    for points in 0.. {
        if home.exists() {
            std::fs::remove_dir_all(home).unwrap();
        }
        let result = register(options(cloud, home).fuse(Fuse::after(points)), user_name).await;
        assert!(result.is_err_and(|error| error.is_stopped()), "it was finished before it was seen on disk");
        let status = Client::open(options(cloud, home)).and_then(|client| client.status());
        if matches!(status, Err(Error::RegistrationUnderWay(_))) {
            return;
        }
    }
}

#[tokio::test]
async fn a_registration_that_waited_too_long_starts_over() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let home = tempfile::tempdir().unwrap();
    begin_registration(&cloud, home.path(), "alice@localhost").await;
    assert_eq!(number_of_users(&cloud).await, 0);
    cloud.cloud.clock().advance(std::time::Duration::from_secs(16 * 60));
    register(options(&cloud, home.path()), "alice@localhost").await.unwrap();
    assert_eq!(number_of_users(&cloud).await, 1);
}

/// Loses every answer once: the request arrives, the client never learns of it.
struct LosesAnswers {
    transport: HttpTransport,
    sent: std::sync::Mutex<HashSet<(String, Vec<u8>)>>,
}

impl Transport for LosesAnswers {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        Box::pin(async move {
            let answer = self.transport.send(request).await?;
            let is_first = self.sent.lock().unwrap().insert((request.path.clone(), request.body.clone()));
            if is_first { Err(TransportError("the answer is lost".to_owned())) } else { Ok(answer) }
        })
    }
}

#[tokio::test]
async fn a_client_whose_every_answer_is_lost_once_still_registers_once() {
    let cloud = TestCloud::start().await;
    let home = tempfile::tempdir().unwrap();
    let transport = LosesAnswers {
        transport: HttpTransport::new(cloud.cloud.url().parse().unwrap()).unwrap(),
        sent: std::sync::Mutex::default(),
    };
    register(options(&cloud, home.path()).transport(Arc::new(transport)), "alice@localhost").await.unwrap();
    assert_eq!((number_of_users(&cloud).await, number_of_pseudonyms(&cloud).await), (1, 1));
    let supply = Client::open(options(&cloud, home.path())).unwrap().key_package_supply().await.unwrap();
    assert_eq!((supply.generation, supply.remaining), (1, KEY_PACKAGES as u64));
}

#[tokio::test]
async fn a_friend_claims_every_package_once_and_the_last_resort_one_for_ever_until_the_supply_is_refilled() {
    let cloud = TestCloud::start().await;
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    register(options(&cloud, homes[0].path()), "alice@localhost").await.unwrap();
    register(options(&cloud, homes[1].path()), "bob@localhost").await.unwrap();
    let mut alice = Client::open(options(&cloud, homes[0].path())).unwrap();
    let bob = Client::open(options(&cloud, homes[1].path())).unwrap();
    let code = alice.friendship_code().unwrap().to_text().parse().unwrap();

    let mut seen = HashSet::new();
    for index in 0..KEY_PACKAGES + 2 {
        let claimed = bob.claim_key_packages(&code).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].client_id, alice.status().unwrap().client_id);
        assert_eq!(claimed[0].is_last_resort, index >= KEY_PACKAGES);
        assert!(alice.private_key_package(&claimed[0].key_package_ref).unwrap().is_some());
        seen.insert(claimed[0].key_package_ref);
    }
    assert_eq!(seen.len(), KEY_PACKAGES + 1);
    let supply = alice.key_package_supply().await.unwrap();
    assert_eq!((supply.generation, supply.remaining, supply.last_resort_uses), (1, 0, 2));

    let supply = alice.refill_key_packages().await.unwrap();
    assert_eq!((supply.generation, supply.remaining, supply.last_resort_uses), (2, KEY_PACKAGES as u64, 0));
    let claimed = bob.claim_key_packages(&code).await.unwrap();
    assert!(!claimed[0].is_last_resort && seen.insert(claimed[0].key_package_ref));
}

#[tokio::test]
async fn a_client_publishes_as_many_packages_as_it_may() {
    let cloud = TestCloud::start().await;
    let home = tempfile::tempdir().unwrap();
    register(options(&cloud, home.path()), "alice@localhost").await.unwrap();
    let mut alice = Client::open(options(&cloud, home.path())).unwrap();
    assert_eq!(alice.publish_key_packages(100).await.unwrap(), Published { generation: 2, count: 100 });
    assert_eq!(alice.key_package_supply().await.unwrap().remaining, 100);
}

#[tokio::test]
async fn an_unknown_friendship_code_is_told_with_its_problem_type() {
    let cloud = TestCloud::start().await;
    let home = tempfile::tempdir().unwrap();
    register(options(&cloud, home.path()), "bob@localhost").await.unwrap();
    let code = FriendshipCode {
        token: FriendshipToken::generate(&mut OsRng),
        encryption_key: FriendshipEncryptionKey::generate(&mut OsRng),
        user_name: "alice@localhost".parse().unwrap(),
    };
    let bob = Client::open(options(&cloud, home.path())).unwrap();
    let error = bob.claim_key_packages(&code).await.unwrap_err();
    assert_eq!(error.urn(), ProblemType::FriendshipTokenUnknown.urn());
}

#[tokio::test]
async fn a_server_of_another_domain_is_not_asked_for_a_credential() {
    let cloud = TestCloud::start_afresh_with(|builder| builder.parameter("Domain", "example.org")).await;
    let home = tempfile::tempdir().unwrap();
    let error = register(options(&cloud, home.path()), "alice@localhost").await.unwrap_err();
    assert!(matches!(error, Error::Credentials(_)), "{error}");
    assert_eq!(number_of_users(&cloud).await, 0);
}

#[tokio::test]
async fn a_root_that_changed_is_not_trusted() {
    let home = tempfile::tempdir().unwrap();
    let first = TestCloud::start().await;
    begin_registration(&first, home.path(), "alice@localhost").await;
    let second = TestCloud::start_afresh_with(|builder| {
        builder.provision(|operator| async move { vestibule_local::provision(&operator, &mut OsRng).await })
    })
    .await;
    let error = register(options(&second, home.path()), "alice@localhost").await.unwrap_err();
    assert!(matches!(error, Error::Credentials(_)), "{error}");
    assert_eq!(number_of_users(&second).await, 0);
}

#[tokio::test]
async fn a_rate_limit_is_told_with_its_problem_type() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("RegistrationsPerSourceAndHour", "1")).await;
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    register(options(&cloud, homes[0].path()), "alice@localhost").await.unwrap();
    let error = register(options(&cloud, homes[1].path()), "bob@localhost").await.unwrap_err();
    assert_eq!(error.urn(), ProblemType::RateLimited.urn());
}
