use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::rendezvous::frame::MailboxOutcome;
use vestibule_protocol::rendezvous::{Pairing, RandomString};

use super::*;
use crate::api::Waiting;
use crate::client::{Client, Options};
use crate::fuse::Fuse;
use crate::testing::{Device, FakeRendezvous, Mishap, Planned};

mod ends;
mod interruptions;
mod web_socket;

const LINES: [&str; 2] = ["from the new device", "from the existing device"];

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two devices and the relay between them.
struct Pair {
    devices: [Device; 2],
    fake: Arc<FakeRendezvous>,
    waiting: Waiting,
    /// What the new device shows and the other's user reads.
    screen: watch::Sender<Option<Pairing>>,
    /// What the other's user types, if not that.
    typed: Option<Pairing>,
    presence: Mutex<Vec<PeerPresence>>,
}

/// How a device's part in a rendezvous ended.
#[derive(Debug)]
enum End {
    /// Well; with what it remembered of the other's lines.
    Finished(Vec<u8>),
    /// Not well.
    Failed(Error),
    /// In a process that was killed when everything was over.
    Gone,
}

impl Pair {
    async fn new() -> Self {
        let new_device = Device::new();
        let existing_device = new_device.another();
        existing_device.register("alice@localhost").await.result.unwrap();
        Self::of([new_device, existing_device])
    }

    fn of(devices: [Device; 2]) -> Self {
        let fake = FakeRendezvous::new(devices[0].service.clone(), devices[0].clock.clone());
        let (waiting, screen) = (Waiting::skipped(), watch::Sender::new(None));
        Self { devices, fake, waiting, screen, typed: None, presence: Mutex::default() }
    }

    /// The same devices, another relay.
    fn again(self) -> Self {
        Self::of(self.devices)
    }

    fn options(&self, side: usize) -> Options {
        let options = self.devices[side].options().waiting(self.waiting.clone());
        options.transport(self.fake.clone()).relay_transport(self.fake.clone())
    }

    /// A process of the new device, which ends as its fuse wants.
    async fn run_new(&self, fuse: Fuse) -> Result<End, Error> {
        let mut client = Client::open(self.options(0).fuse(fuse))?;
        if let Some(mut rendezvous) = client.resume_rendezvous()? {
            return self.converse(&mut rendezvous).await;
        }
        if self.screen.borrow().is_some() {
            return Ok(End::Gone);
        }
        let mut rendezvous = client.create_rendezvous().await?;
        self.screen.send_replace(rendezvous.pairing().cloned());
        self.converse(&mut rendezvous).await
    }

    /// A process of the existing device.
    async fn run_existing(&self, fuse: Fuse) -> Result<End, Error> {
        let mut screen = self.screen.subscribe();
        let shown = screen.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        let mut client = Client::open(self.options(1).fuse(fuse))?;
        if let Some(mut rendezvous) = client.resume_rendezvous()? {
            return self.converse(&mut rendezvous).await;
        }
        let mut rendezvous = client.join_rendezvous(self.typed.as_ref().unwrap_or(&shown)).await?;
        self.converse(&mut rendezvous).await
    }

    /// Says a line and closes when it has the other's. What it has is in what it remembers.
    async fn converse(&self, rendezvous: &mut Rendezvous<'_>) -> Result<End, Error> {
        let side = usize::from(rendezvous.role() == Role::ExistingDevice);
        let mut channel = rendezvous.secured(|presence| self.presence.lock().unwrap().push(presence)).await?;
        if channel.remembered().is_empty() {
            channel.send(LINES[side].as_bytes()).unwrap();
            channel.remember(b"said: ");
        }
        loop {
            match channel.receive().await? {
                Incoming::Message(message) => {
                    let remembered = [channel.remembered(), message.as_bytes()].concat();
                    channel.remember(&remembered);
                    channel.close().unwrap();
                }
                Incoming::PeerClosed => {}
                Incoming::Finished => return Ok(End::Finished(channel.remembered().to_vec())),
            }
        }
    }

    /// Both devices, each in a process that lasts.
    async fn meet(&self) -> [End; 2] {
        self.meet_with([Fuse::none(), Fuse::none()]).await
    }

    /// Both devices, each with this fuse at first and none after it was killed.
    async fn meet_with(&self, [new, existing]: [Fuse; 2]) -> [End; 2] {
        let new = async {
            let mut result = self.run_new(new).await;
            // Who was not shown a code has to begin again.
            while result.as_ref().is_err_and(|error| error.is_stopped() || self.screen.borrow().is_none()) {
                result = self.run_new(Fuse::none()).await;
            }
            result
        };
        let existing = async {
            match self.run_existing(existing).await {
                Err(error) if error.is_stopped() => match self.run_existing(Fuse::none()).await {
                    Err(error) if problem_type(&error) == Some(ProblemType::RendezvousCodeJoined) => Ok(End::Gone),
                    result => result,
                },
                result => result,
            }
        };
        let both = async { tokio::join!(new, existing) };
        let (new, existing) = tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever");
        [new, existing].map(|result| result.unwrap_or_else(End::Failed))
    }

    /// Asserts that both have the other's line, once, and that nothing is left.
    fn assert_both_finished(&self, ends: &[End; 2]) {
        for (side, end) in ends.iter().enumerate() {
            match end {
                End::Finished(remembered) => {
                    let wanted = format!("said: {}", LINES[1 - side]);
                    assert_eq!(String::from_utf8_lossy(remembered), wanted);
                }
                End::Gone => {}
                End::Failed(error) => panic!("side {side} failed: {error}"),
            }
        }
        self.assert_nothing_is_left();
    }

    fn assert_nothing_is_left(&self) {
        for device in &self.devices {
            assert!(!device.home.path().join("rendezvous").exists());
        }
    }
}

fn problem_type(error: &Error) -> Option<ProblemType> {
    match error {
        Error::Api(error) => error.problem_type(),
        _ => None,
    }
}

fn reason(end: &End) -> Option<&EndReason> {
    match end {
        End::Failed(Error::Rendezvous(RendezvousError::Ended(reason))) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn two_devices_meet_and_exchange_a_line_each_way() {
    let pair = Pair::new().await;
    let ends = pair.meet().await;
    pair.assert_both_finished(&ends);
    assert_eq!(pair.fake.outcome(), Some(MailboxOutcome::Linked));
    assert_eq!(pair.presence.lock().unwrap().first(), Some(&PeerPresence::Arrived));
}

#[tokio::test]
async fn a_new_device_keeps_nothing_and_needs_no_account() {
    let pair = Pair::new().await;
    pair.meet().await;
    let names = |directory: &std::path::Path| {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let home = pair.devices[0].home.path();
    assert!(names(home).iter().all(|name| name == "lock" || name.ends_with("-key")), "{:?}", names(home));
    assert!(matches!(pair.devices[0].client().status(), Err(Error::NotRegistered)));
    // It can still become a device of its own.
    pair.devices[0].register("bob@localhost").await.result.unwrap();
}

#[tokio::test]
async fn nothing_secret_is_readable_while_it_lasts() {
    let pair = Pair::new().await;
    let mut client = Client::open(pair.options(0)).unwrap();
    let rendezvous = client.create_rendezvous().await.unwrap();
    let pairing = rendezvous.pairing().unwrap().clone();
    let said = format!("{rendezvous:?}");
    assert_eq!(said, "Rendezvous(NewDevice, 27182)");
    drop(rendezvous);
    let body: serde_json::Value = serde_json::from_slice(&pair.fake.relay().requests[0].body).unwrap();
    let ticket = body["ticket"].as_str().unwrap().to_owned();
    let sealed = std::fs::read(pair.devices[0].home.path().join("rendezvous")).unwrap();
    let secrets = [ticket.as_bytes(), pairing.to_words().as_bytes(), pairing.to_digits().as_bytes(), b"relay_url"]
        .map(<[u8]>::to_vec);
    for secret in secrets {
        assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    }
}

#[tokio::test]
async fn long_messages_go_both_ways() {
    let pair = Pair::new().await;
    let long = |byte: u8| vec![byte; 100_000];
    let exchange = async |mut channel: SecuredChannel<'_, '_>, own: u8, other: u8| {
        channel.send(&long(own)).unwrap();
        let Incoming::Message(message) = channel.receive().await.unwrap() else { panic!("a message is wanted") };
        assert!(message.as_bytes() == long(other));
        channel.close().unwrap();
        assert!(matches!(channel.receive().await.unwrap(), Incoming::PeerClosed));
        assert!(matches!(channel.receive().await.unwrap(), Incoming::Finished));
    };
    let mut clients = [0, 1].map(|side| Client::open(pair.options(side)).unwrap());
    let [new, existing] = &mut clients;
    let mut new = new.create_rendezvous().await.unwrap();
    let pairing = new.pairing().unwrap().clone();
    let mut existing = existing.join_rendezvous(&pairing).await.unwrap();
    assert!(existing.pairing().is_none() && !existing.is_ended());
    assert_eq!((new.role(), existing.role()), (Role::NewDevice, Role::ExistingDevice));
    let new = async { exchange(new.secured(|_| {}).await.unwrap(), 1, 2).await };
    let existing = async { exchange(existing.secured(|_| {}).await.unwrap(), 2, 1).await };
    tokio::time::timeout(PATIENCE, async { tokio::join!(new, existing) }).await.unwrap();
}
