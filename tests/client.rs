//! The client library against the local cloud.

use std::path::Path;
use std::sync::Arc;

use rand::rngs::OsRng;
use vestibule_client::{
    Client, Error, Fuse, HttpTransport, Options, Password, Registered, Request, Sending, Transport, TransportError,
    UserName, Waiting,
};
use vestibule_protocol::problem::ProblemType;
use vestibule_tests::TestCloud;

fn options(cloud: &TestCloud, home: &Path) -> Options {
    Options::new(home)
        .server(cloud.cloud.url().parse().unwrap())
        .clock(cloud.cloud.clock().clone())
        .waiting(Waiting::skipped())
}

async fn register(options: Options, user_name: &str) -> Result<Registered, Error> {
    let user_name: UserName = user_name.parse().unwrap();
    let password = || Ok(Password::new("correct horse".to_owned()));
    Client::open(options)?.register(&user_name, "phone", password, |_| ()).await
}

async fn number_of_users(cloud: &TestCloud) -> usize {
    cloud.state().await.iter().filter(|item| item["sk"]["S"] == "USER").count()
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
        points += 1;
        assert_eq!(number_of_users(&cloud).await, points, "one user for each home");
    }
    assert!(points > 20, "there are {points} points only");
}

#[tokio::test]
async fn a_registration_that_is_killed_twice_is_completed_by_the_third_run() {
    let cloud = TestCloud::start().await;
    for (first, second) in (0..40).step_by(3).zip((0..40).step_by(2)) {
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
    sent: std::sync::Mutex<std::collections::HashSet<(String, Vec<u8>)>>,
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
    assert_eq!(number_of_users(&cloud).await, 1);
}

#[tokio::test]
async fn a_server_of_another_domain_is_not_asked_for_a_credential() {
    let cloud = TestCloud::start_with(|builder| builder.parameter("Domain", "example.org")).await;
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
    let second = TestCloud::start_with(|builder| {
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
