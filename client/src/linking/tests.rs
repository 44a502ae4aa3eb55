use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use vestibule_protocol::device_label::DeviceLabel;
use vestibule_protocol::problem::ProblemType;

use super::*;
use crate::client::{Client, Options};
use crate::fuse::Fuse;
use crate::home::Account;
use crate::registration::{Stage, StageState};
use crate::testing::{Device, FakeRendezvous, KEY_PACKAGES, password};

mod aborts;
mod interruptions;
mod joining;
mod mischief;

const ALICE: &str = "alice@localhost";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A new device, an existing one, and the relay between them.
struct Pair {
    devices: [Device; 2],
    fake: Arc<FakeRendezvous>,
    /// What the new device shows and the other's user reads.
    screen: watch::Sender<Option<Pairing>>,
    /// What the persons answer.
    answers: [bool; 2],
    asked: Mutex<Vec<LinkingQuestion>>,
    /// What the new device was told of the end.
    told: Mutex<Vec<&'static str>>,
    progress: Mutex<Vec<(Stage, StageState)>>,
    /// Whose the new device is to be.
    wanted_user: Option<UserName>,
}

/// The person at one of them.
struct Person<'p> {
    pair: &'p Pair,
    side: usize,
}

impl LinkingInteraction for Person<'_> {
    fn show_code(&mut self, pairing: &Pairing, _: Timestamp) {
        self.pair.screen.send_replace(Some(pairing.clone()));
    }

    fn step(&mut self, _: LinkingStep) {}

    fn linked(&mut self, linked: &Linked) {
        assert_eq!((self.side, linked.device_name.as_str()), (0, "tablet"));
        self.pair.told.lock().unwrap().push("linked");
    }

    fn progress(&mut self, progress: Progress) {
        self.pair.progress.lock().unwrap().push((progress.stage, progress.state));
    }

    fn decide<'a>(&'a mut self, question: &'a LinkingQuestion) -> Deciding<'a> {
        self.pair.asked.lock().unwrap().push(question.clone());
        let answer = self.pair.answers[self.side];
        Box::pin(async move { Ok(answer) })
    }
}

impl Pair {
    async fn new() -> Self {
        let existing_device = Device::new();
        existing_device.register(ALICE).await.result.unwrap();
        Self::of([existing_device.another(), existing_device])
    }

    fn of(devices: [Device; 2]) -> Self {
        let fake = FakeRendezvous::new(devices[0].service.clone(), devices[0].clock.clone());
        let screen = watch::Sender::new(None);
        Self {
            devices,
            fake,
            screen,
            answers: [true; 2],
            asked: Mutex::default(),
            told: Mutex::default(),
            progress: Mutex::default(),
            wanted_user: None,
        }
    }

    fn options(&self, side: usize) -> Options {
        self.devices[side].options().transport(self.fake.clone()).relay_transport(self.fake.clone())
    }

    fn client(&self, side: usize, fuse: Fuse) -> Result<Client, Error> {
        Client::open(self.options(side).fuse(fuse))
    }

    /// A process of the new device.
    async fn link(&self, fuse: Fuse) -> Result<Linked, Error> {
        self.client(0, fuse)?.link("tablet", self.wanted_user.as_ref(), &mut Person { pair: self, side: 0 }).await
    }

    /// A process of the existing device.
    async fn approve(&self, shown: &Pairing, fuse: Fuse) -> Result<Linked, Error> {
        self.client(1, fuse)?.approve(Some(shown), &mut Person { pair: self, side: 1 }).await
    }

    /// Both devices, each in a process that lasts.
    async fn meet(&self) -> [Result<Linked, Error>; 2] {
        self.meet_with([Fuse::none(), Fuse::none()]).await
    }

    /// Both devices, each with this fuse at first and none after it was killed. What a new process shows is typed again.
    async fn meet_with(&self, [new, existing]: [Fuse; 2]) -> [Result<Linked, Error>; 2] {
        let is_over = watch::Sender::new(false);
        let linking = async {
            let mut result = self.link(new).await;
            while result.as_ref().is_err_and(Error::is_stopped) {
                result = self.link(Fuse::none()).await;
            }
            is_over.send_replace(true);
            result
        };
        let approving = async {
            let (mut over, mut screen) = (is_over.subscribe(), self.screen.subscribe());
            screen.wait_for(Option::is_some).await.unwrap();
            let mut fuse = existing;
            loop {
                let shown = screen.borrow_and_update().clone().unwrap();
                let mut result = self.approve(&shown, fuse).await;
                fuse = Fuse::none();
                while result.as_ref().is_err_and(Error::is_stopped) {
                    result = self.approve(&shown, Fuse::none()).await;
                }
                if result.is_ok() {
                    return result;
                }
                tokio::select! {
                    biased;
                    changed = screen.changed() => changed.unwrap(),
                    _ = over.wait_for(|is_over| *is_over) => return result,
                }
            }
        };
        let both = Box::pin(async { tokio::join!(linking, approving) });
        tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever").into()
    }

    /// Asserts that the server, the new device and the existing one agree that they are linked.
    async fn assert_linked(&self, linked: &Linked) {
        let mut lists = Vec::new();
        for side in [1, 0] {
            let mut client = self.client(side, Fuse::none()).unwrap();
            assert_eq!(client.catch_up().await.unwrap(), [], "on side {side}");
            let devices = client.devices().await.unwrap();
            let listed =
                devices.iter().map(|device| (device.client_id.clone(), device.name.clone().unwrap().to_string()));
            assert!(devices.iter().all(|device| device.is_confirmed));
            lists.push(listed.collect::<Vec<_>>());
        }
        let mut names: Vec<_> = lists[0].iter().map(|(_, name)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["laptop", "tablet"]);
        assert!(lists[0].contains(&(linked.client_id.clone(), "tablet".to_owned())));
        assert_eq!(lists[0], lists[1]);
        assert_eq!(self.clients_at_the_server(), (2, 2));
        self.assert_no_rendezvous_is_left();
        self.assert_reachable();
    }

    /// Asserts that the queuing service knows the new device under the pseudonym that its label names, as one of the user's,
    /// with KeyPackages.
    fn assert_reachable(&self) {
        let device = &self.devices[0];
        let account = device.account();
        let qs_client_id = device.qs_client_id();
        assert_eq!(labelled_qs_client_id(&account), Some(qs_client_id.clone()));
        let (generation, packages) = device.published();
        assert_eq!((generation, packages.len()), (1, KEY_PACKAGES + 1));
        device.assert_private_parts_are_kept();
        let deployment = device.service.deployment();
        let user = account.pseudonym.unwrap().user_secrets.qs_user_id().to_string();
        assert_eq!(deployment.queuing.clients[&qs_client_id].qs_user_id, user);
        assert!(deployment.queuing.users.keys().eq([&user]));
    }

    /// Asserts that nothing is left of a linking.
    async fn assert_nothing_is_left(&self) {
        self.client(1, Fuse::none()).unwrap().catch_up().await.unwrap();
        assert_eq!(self.clients_at_the_server(), (1, 1));
        assert!(self.devices[1].account().approval.is_none());
        if let Some(home) = self.home(0) {
            assert!(home.load().unwrap().is_none());
        }
        self.assert_no_rendezvous_is_left();
    }

    /// The same existing device and another new one, after the one that may be linked was removed.
    async fn again(self) -> Self {
        let mut client = self.client(1, Fuse::none()).unwrap();
        for device in client.devices().await.unwrap().iter().filter(|device| !device.is_this) {
            client.remove_device(&device.client_id.to_string(), password()).await.unwrap();
        }
        drop(client);
        let [_, existing_device] = self.devices;
        Self::of([existing_device.another(), existing_device])
    }

    fn home(&self, side: usize) -> Option<crate::home::Home> {
        let directory = self.devices[side].home.path();
        crate::home::Home::open(directory, vestibule_protocol::randomness::Randomness::system(), Fuse::none()).unwrap()
    }

    /// How many live clients there are, and how many members the identity has.
    fn clients_at_the_server(&self) -> (usize, usize) {
        let deployment = self.devices[0].service.deployment();
        let members = deployment.identities[ALICE].follower().members().len();
        (deployment.clients.count(ALICE, self.devices[0].clock.now()), members)
    }

    fn assert_no_rendezvous_is_left(&self) {
        for device in &self.devices {
            assert!(!device.home.path().join("rendezvous").exists());
        }
    }
}

/// The pseudonym that the label in the client's own leaf names.
fn labelled_qs_client_id(account: &Account) -> Option<String> {
    let identity = account.identity.as_ref()?;
    let label = identity.member().follower().member(account.client_uuid)?.encrypted_device_label?;
    let label = DeviceLabel::open(&label.0, &account.client_id(), &identity.device_label_key).ok()?;
    label.qs_client_id.map(|id| id.to_string())
}

fn ending(result: &Result<Linked, Error>) -> Option<Ending> {
    match result {
        Err(Error::Linking(ending)) => Some(*ending),
        _ => None,
    }
}

#[tokio::test]
async fn a_device_is_linked_and_is_one_of_the_users_on_both_sides() {
    let pair = Pair::new().await;
    let [new, existing] = pair.meet().await;
    let linked = new.unwrap();
    assert_eq!(linked, existing.unwrap());
    assert_eq!((linked.user_name.as_str(), linked.device_name.as_str()), (ALICE, "tablet"));
    pair.assert_linked(&linked).await;
    let asked = pair.asked.lock().unwrap().clone();
    let (user_name, device_name) = (linked.user_name.clone(), linked.device_name.clone());
    let join = LinkingQuestion::Join { user_name: user_name.clone(), device_name: device_name.clone() };
    assert_eq!(asked, [join, LinkingQuestion::Approve { user_name, device_name }]);
    // It is told so again.
    assert_eq!(pair.link(Fuse::none()).await.unwrap(), linked);
}

#[tokio::test]
async fn linking_can_be_left_to_another_thread() {
    fn assert_send(future: impl Send) {
        drop(future);
    }
    let pair = Pair::new().await;
    let (mut new, mut existing) = (pair.client(0, Fuse::none()).unwrap(), pair.client(1, Fuse::none()).unwrap());
    let mut persons = [0, 1].map(|side| Person { pair: &pair, side });
    let [at_new, at_existing] = &mut persons;
    assert_send(new.link("tablet", None, at_new));
    assert_send(existing.approve(None, at_existing));
    assert_send(existing.abort_linking());
    assert_send(existing.catch_up());
}
