//! Linking devices with the client library, over the real relay.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use vestibule_client::{
    Client, Deciding, DeviceChange, Error, Linked, LinkingInteraction, LinkingQuestion, LinkingStep, Options, Pairing,
    Password, UserName, Waiting,
};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::Timestamp;
use vestibule_tests::TestCloud;

mod costs;
mod cuts;
mod deletions;
mod households;
mod messages;
mod revocations;
mod rotation;

const PASSWORD: &str = "correct horse";

/// How long a linking may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn password() -> Password {
    Password::new(PASSWORD.to_owned())
}

/// A user's devices, each with its home, and the cloud that they live in.
struct Household {
    cloud: Arc<TestCloud>,
    user_name: UserName,
    directory: TempDir,
    waiting: Waiting,
}

/// Somebody who shows the code to whoever reads it, and wants whatever is asked.
struct Agreeable<'s>(Option<&'s watch::Sender<Option<Pairing>>>);

impl LinkingInteraction for Agreeable<'_> {
    fn show_code(&mut self, pairing: &Pairing, _: Timestamp) {
        if let Some(screen) = self.0 {
            screen.send_replace(Some(pairing.clone()));
        }
    }

    fn step(&mut self, _: LinkingStep) {}

    fn decide<'a>(&'a mut self, _: &'a LinkingQuestion) -> Deciding<'a> {
        Box::pin(async { Ok(true) })
    }
}

impl Household {
    /// A user with a phone. Nobody there waits for anything but what comes.
    async fn new(cloud: &Arc<TestCloud>, user_name: &str) -> Self {
        Self::with_waiting(cloud, user_name, Waiting::skipped()).await
    }

    /// A user with a phone. Everybody there waits like this.
    async fn with_waiting(cloud: &Arc<TestCloud>, user_name: &str, waiting: Waiting) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let user_name = user_name.parse().unwrap();
        let household = Self { cloud: Arc::clone(cloud), user_name, directory, waiting };
        let register =
            household.client("phone").register(&household.user_name.clone(), "phone", |_| Ok(password()), |_| ()).await;
        register.unwrap();
        household
    }

    fn home(&self, device: &str) -> PathBuf {
        self.directory.path().join(device)
    }

    fn client(&self, device: &str) -> Client {
        Client::open(self.options(device)).unwrap()
    }

    fn options(&self, device: &str) -> Options {
        Options::new(self.home(device))
            .server(self.cloud.cloud.url().parse().unwrap())
            .clock(self.cloud.cloud.clock().clone())
            .waiting(self.waiting.clone())
            .key_packages(1)
    }

    /// Has one device link another one. Both sides must agree on what came of it.
    async fn link(&self, new: &str, existing: &str) -> Result<Linked, Error> {
        let screen = watch::Sender::new(None);
        let linking = async { self.client(new).link(new, None, &mut Agreeable(Some(&screen))).await };
        let approving = async {
            let pairing = screen.subscribe().wait_for(Option::is_some).await.unwrap().clone();
            self.client(existing).approve(pairing.as_ref(), &mut Agreeable(None)).await
        };
        let both = Box::pin(async { tokio::join!(linking, approving) });
        let (linked, approved) = tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever");
        assert_eq!(linked.is_ok(), approved.is_ok(), "{linked:?} {approved:?}");
        linked
    }

    /// The names of the devices as one of them lists them.
    async fn listed_by(&self, device: &str) -> Vec<String> {
        let mut client = self.client(device);
        client.catch_up().await.unwrap();
        let devices = client.devices().await.unwrap();
        assert!(devices.iter().all(|device| device.is_confirmed), "{devices:?}");
        let mut names: Vec<_> = devices.into_iter().map(|device| device.name.unwrap().to_string()).collect();
        names.sort();
        names
    }

    /// Asserts that these are the devices, and that all of them agree.
    async fn assert_devices(&self, devices: &[&str]) {
        let mut wanted: Vec<_> = devices.iter().map(|device| (*device).to_owned()).collect();
        wanted.sort();
        for device in devices {
            assert_eq!(self.listed_by(device).await, wanted, "as {device} has it");
        }
    }
}
