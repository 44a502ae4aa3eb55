//! What a deployment counts of itself.

use vestibule_local::{Fault, Service};
use vestibule_protocol::key_server::{Request, RetrieveStorageKey};
use vestibule_protocol::login::LoginProof;
use vestibule_protocol::rendezvous::frame::DeviceFrame;
use vestibule_tests::{
    Applicant, KeyServerUser, Pseudonym, TestCloud, altered_use, captured_log, left_out_in_processes, removal_of,
};

/// A cloud whose lines in the log are its own: those of all tests stand in one log, and a stage of its own tells them apart.
struct Watched {
    cloud: TestCloud,
    stage: &'static str,
}

impl Watched {
    /// Starts one, with a stage that no other test has.
    async fn start(stage: &'static str) -> Self {
        captured_log();
        Self { cloud: TestCloud::start_with(|builder| builder.parameter("Stage", stage)).await, stage }
    }

    /// What the answers of a function counted as, those that counted as nothing left out.
    fn measured(&self, function: &str) -> Vec<String> {
        let (stage, function) = (format!("stage=\"{}\"", self.stage), format!("function=\"{function}\""));
        let log = captured_log();
        let of_function = log.lines().filter(|line| line.contains(&stage) && line.contains(&function));
        of_function.filter_map(|line| Some(line.split_once("measured=\"")?.1.split('"').next()?.to_owned())).collect()
    }
}

#[tokio::test]
async fn registrations_and_tokens_are_counted() {
    left_out_in_processes!("it reads the log");
    let watched = Watched::start("registrations").await;
    let cloud = &watched.cloud;
    assert_eq!(watched.measured("as-finish-registration"), [""; 0]);
    let alice = Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await;
    assert_eq!(watched.measured("as-initiate-registration"), ["Registrations.initiated=1 IntermediateDaysLeft=364"]);
    assert_eq!(watched.measured("as-finish-registration"), ["Registrations.finished=1 IntermediateDaysLeft=364"]);
    alice.take_tokens(cloud, 1).await;
    assert_eq!(watched.measured("as-issue-tokens"), ["Tokens.batch-issued=1 TokenKeyDaysLeft=55"]);
}

#[tokio::test]
async fn a_login_at_the_authentication_service_is_counted_once_for_each_proof() {
    left_out_in_processes!("it reads the log");
    let watched = Watched::start("as-logins").await;
    let cloud = &watched.cloud;
    let mut phone = Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await;
    let laptop = phone.another(cloud, 2).await;
    phone.add(cloud, &laptop).await;
    cloud.confirm(&laptop).await;
    let right = phone.log_in(cloud, removal_of(&laptop)).await;
    assert_eq!(watched.measured("as-initiate-login"), ["Logins.opened=1"]);
    let with = |change: fn(&mut LoginProof)| {
        let mut login = right.clone();
        change(&mut login);
        phone.removing_call(cloud, &laptop, Some(login))
    };
    for (call, status) in [
        (with(|login| login.ke3.0[0] ^= 1), 403),
        (with(|login| login.ke3.0.clear()), 400),
        (with(|login| login.sealed_login.0.clear()), 403),
        (with(|_| ()), 200),
    ] {
        assert_eq!(cloud.send(&call).await.status, status);
    }
    let expected = ["password-refused", "invalid-opaque-message", "login-invalid", "finished"];
    assert_eq!(watched.measured("as-remove-client"), expected.map(|outcome| format!("Logins.{outcome}=1")));
}

#[tokio::test]
async fn a_login_at_the_key_server_is_counted_where_its_proof_is_checked() {
    left_out_in_processes!("it reads the log");
    let watched = Watched::start("ks-logins").await;
    let cloud = &watched.cloud;
    let mut alice = KeyServerUser::new(cloud, "alice@localhost", 1).await;
    alice.complete(cloud).await;
    assert_eq!(watched.measured("ks-open-session"), ["Logins.opened=1"]);
    let (_, call) = alice.open::<Request>(cloud).await.send(RetrieveStorageKey);
    let calls = [
        altered_use(&call, |request| request.ke3.0[0] ^= 1),
        altered_use(&call, |request| request.ke3.0.clear()),
        // The login is good, and what comes with it is not.
        altered_use(&call, |request| request.sealed_request.0.clear()),
        // Nobody looks at the proof.
        altered_use(&call, |request| request.user_name = "nobody@localhost".parse().unwrap()),
    ];
    for call in calls {
        assert!(cloud.send(&call).await.status >= 400);
    }
    // The second time it is the answer that was kept.
    for _ in 0..2 {
        assert_eq!(cloud.send(&call).await.status, 200);
    }
    let expected = ["finished", "password-refused", "invalid-opaque-message", "finished", "finished"];
    assert_eq!(watched.measured("ks-use-session"), expected.map(|outcome| format!("Logins.{outcome}=1")));
}

#[tokio::test]
async fn key_packages_and_the_tokens_that_pay_for_them_are_counted() {
    left_out_in_processes!("it reads the log");
    let watched = Watched::start("key-packages").await;
    let cloud = &watched.cloud;
    let mut alice = Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await;
    assert_eq!(watched.measured("qs-create-user"), ["Tokens.redeemed=1"]);
    alice.publish(cloud, 1, 1).await;
    let published = watched.measured("qs-publish-key-packages");
    assert_eq!(published, ["KeyPackages.published=1"]);
    for _ in 0..2 {
        assert_eq!(cloud.send(&alice.claiming_call()).await.status, 200);
    }
    let claimed = ["claimed", "last-resort"].map(|outcome| format!("Tokens.redeemed=1 KeyPackages.{outcome}=1"));
    assert_eq!(watched.measured("qs-claim-key-packages"), claimed);
}

#[tokio::test]
async fn links_are_counted_to_their_end() {
    left_out_in_processes!("it reads the log");
    let watched = Watched::start("links").await;
    let cloud = &watched.cloud;
    let alice = Applicant::enrolled(cloud, "alice@localhost", 1).await;
    for (seed, frames) in [(1, vec![DeviceFrame::Finish {}; 2]), (2, vec![DeviceFrame::Abort {}])] {
        let [new, existing] = cloud.pair(&alice, seed).await;
        let (mut new_link, _) = new.resume(cloud, 0).await;
        let (_existing_link, _) = existing.resume(cloud, 0).await;
        new_link.frame().await;
        let connections = [new.connection(cloud, "new").await, existing.connection(cloud, "existing").await];
        for ((seat, connection), frame) in [new, existing].iter().zip(connections).zip(frames) {
            assert_eq!(cloud.relay(&connection, &seat.frame(frame)).await, 200);
        }
    }
    assert_eq!(watched.measured("rs-relay"), ["Links.linked=1", "Links.aborted=1"]);
    assert_eq!(watched.measured("rs-create"), ["Links.begun=1"; 2]);
    assert_eq!(watched.measured("rs-join"), ["Links.joined=1"; 2]);
}

#[tokio::test]
async fn an_answer_that_is_our_fault_is_a_failure_and_one_that_is_the_clients_is_none() {
    left_out_in_processes!("it reads the log");
    let watched = Watched::start("failures").await;
    let cloud = &watched.cloud;
    let mut alice = Applicant::new(cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(cloud).await;
    cloud.cloud.inject(|call| (call.service == Service::DynamoDb).then_some(Fault::BeforeEffect));
    assert!(cloud.send(&alice.finishing_call(cloud, &completion)).await.status >= 500);
    cloud.cloud.clear_faults();
    let mut unsigned = alice.unsigned_finishing_call(&completion);
    unsigned.headers.remove("signature");
    assert_eq!(cloud.send(&unsigned).await.status, 401);
    let expected = [
        "Registrations.temporarily-unavailable=1 IntermediateDaysLeft=364 Failures=1",
        "Registrations.signature-missing=1 IntermediateDaysLeft=364",
    ];
    assert_eq!(watched.measured("as-finish-registration"), expected);
}
