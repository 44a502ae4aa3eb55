//! Test messages between clients of the library, through the real services.

use std::sync::Arc;

use tempfile::TempDir;
use vestibule_client::{Client, Error, FriendshipCode, Fuse, MessageText, Options, Password, Received, Sent, Waiting};
use vestibule_key_packages::{NewPackage, PrivateKeyPackage};
use vestibule_protocol::endpoint::PublishKeyPackagesRequest;
use vestibule_test_messages::{OpenedMessage, SenderTrust, TestMessage};
use vestibule_tests::{Pseudonym, TestCloud};

/// How many ordinary KeyPackages clients publish here.
const KEY_PACKAGES: usize = 2;

/// A device of a user, with its home.
struct Device {
    cloud: Arc<TestCloud>,
    home: TempDir,
}

impl Device {
    async fn registered(cloud: &Arc<TestCloud>, user_name: &str) -> Self {
        let device = Self { cloud: Arc::clone(cloud), home: tempfile::tempdir().unwrap() };
        let password = |_| Ok(Password::new("correct horse".to_owned()));
        device.client().register(&user_name.parse().unwrap(), "phone", password, |_| ()).await.unwrap();
        device
    }

    fn options(&self) -> Options {
        Options::new(self.home.path())
            .server(self.cloud.cloud.url().parse().unwrap())
            .clock(self.cloud.cloud.clock().clone())
            .waiting(Waiting::skipped())
            .key_packages(KEY_PACKAGES)
    }

    fn client(&self) -> Client {
        self.client_with(Fuse::none())
    }

    fn client_with(&self, fuse: Fuse) -> Client {
        Client::open(self.options().fuse(fuse)).unwrap()
    }

    fn code(&self) -> FriendshipCode {
        self.client().friendship_code().unwrap()
    }

    /// Sends a text. What is told of it is not always what comes of the call.
    async fn send_with(&self, fuse: Fuse, code: &FriendshipCode, text: &str) -> (Option<Sent>, Result<(), Error>) {
        let mut told = None;
        let text: MessageText = text.parse().unwrap();
        let result = self.client_with(fuse).send_message(code, text, |sent| told = Some(sent.clone())).await;
        (told, result)
    }

    async fn send(&self, code: &FriendshipCode, text: &str) -> Sent {
        let (told, result) = self.send_with(Fuse::none(), code, text).await;
        result.unwrap();
        told.unwrap()
    }

    /// Receives and acknowledges what there is.
    async fn receive(&self) -> Received {
        let mut client = self.client();
        let received = client.receive().await.unwrap();
        if let Some(sequence) = received.last_sequence {
            client.acknowledge(sequence).unwrap();
        }
        received
    }
}

/// Who said what.
fn said(received: &Received) -> Vec<(&str, &str)> {
    assert_eq!(received.unreadable, 0);
    received.messages.iter().map(|message| (message.from.user_name.as_str(), message.text.as_str())).collect()
}

/// A device of alice's, request by request, with a package that friends claim.
struct RawDevice {
    pseudonym: Pseudonym,
    private: PrivateKeyPackage,
}

impl RawDevice {
    async fn publishing(cloud: &TestCloud, pseudonym: Pseudonym) -> Self {
        let rng = &mut pseudonym.rng.clone();
        let mut make = |is_last_resort| pseudonym.maker().make(is_last_resort, cloud.now(), rng).unwrap();
        let (ordinary, NewPackage { add_package, .. }) = (make(false), make(true));
        let publication = PublishKeyPackagesRequest {
            generation: 1,
            add_packages: vec![ordinary.add_package],
            last_resort_add_package: Some(add_package),
        };
        let answer = cloud.send(&pseudonym.publishing_call(cloud, &publication)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self { pseudonym, private: ordinary.private }
    }

    /// The one message in its queue.
    async fn only_message(&self, cloud: &TestCloud) -> OpenedMessage {
        let mut inbox = self.pseudonym.inbox();
        self.pseudonym.fetch_all(cloud, &mut inbox).await;
        let [message] = &inbox.messages[..] else { panic!("{} messages", inbox.messages.len()) };
        let (root, _) = cloud.credentials().await;
        let trust = SenderTrust { root: &root, revoked: &[] };
        TestMessage::from_bytes(message).unwrap().open(&self.private, trust, cloud.now()).unwrap()
    }
}

/// Alice's phone and her laptop, request by request.
async fn alices_devices(cloud: &TestCloud) -> [RawDevice; 2] {
    let phone = Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await;
    let mut laptop = phone.add(cloud, 2).await;
    // Friends see a client of its own.
    let Pseudonym { client_credential, client_key, .. } = Pseudonym::new(cloud, "alice@localhost", 3).await;
    (laptop.client_credential, laptop.client_key) = (client_credential, client_key);
    [RawDevice::publishing(cloud, phone).await, RawDevice::publishing(cloud, laptop).await]
}

#[tokio::test]
async fn a_message_reaches_both_devices_of_its_receiver() {
    let cloud = Arc::new(TestCloud::start().await);
    let devices = alices_devices(&cloud).await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    assert_eq!(bob.send(&devices[0].pseudonym.code, "hello").await.devices, 2);
    for device in &devices {
        let opened = device.only_message(&cloud).await;
        assert_eq!(opened.from, bob.client().status().unwrap().client_id);
        assert_eq!(opened.text.as_str(), "hello");
    }
}

#[tokio::test]
async fn a_device_that_was_deleted_gets_nothing_and_the_others_do() {
    let cloud = Arc::new(TestCloud::start().await);
    let [phone, laptop] = alices_devices(&cloud).await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    let answer = cloud.send(&laptop.pseudonym.client_deleting_call(&cloud)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = bob.send(&phone.pseudonym.code, "hello").await;
    assert_eq!((sent.devices, sent.unreachable), (1, 0), "nobody was offered a package of its");
    assert_eq!(phone.only_message(&cloud).await.text.as_str(), "hello");
    let queue = format!("CLIENT#{}", laptop.pseudonym.qs_client_id());
    let items = cloud.cloud.items("QsQueueTable").await.unwrap();
    assert!(items.iter().all(|item| item["pk"]["S"] != queue));
}

#[tokio::test]
async fn friends_write_to_each_other() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Device::registered(&cloud, "alice@localhost").await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    assert_eq!(alice.receive().await.last_sequence, None);
    for round in 0..20 {
        let [question, answer] = ["question", "answer"].map(|kind| format!("{kind} {round}"));
        bob.send(&alice.code(), &question).await;
        assert_eq!(said(&alice.receive().await), [("bob@localhost", question.as_str())]);
        alice.send(&bob.code(), &answer).await;
        assert_eq!(said(&bob.receive().await), [("alice@localhost", answer.as_str())]);
        // What is acknowledged is gone from the service.
        let items = cloud.cloud.items("QsQueueTable").await.unwrap();
        let left = items.iter().filter(|item| item["sk"]["S"].as_str().unwrap().starts_with("MESSAGE#"));
        assert_eq!(left.count(), 0, "in round {round}");
    }
}

#[tokio::test]
async fn two_senders_with_the_same_last_resort_package_are_both_read() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Device::registered(&cloud, "alice@localhost").await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    let carol = Device::registered(&cloud, "carol@localhost").await;
    for _ in 0..KEY_PACKAGES {
        bob.client().claim_key_packages(&alice.code()).await.unwrap();
    }
    bob.send(&alice.code(), "from bob").await;
    carol.send(&alice.code(), "from carol").await;
    let supply = alice.client().key_package_supply().await.unwrap();
    assert_eq!((supply.remaining, supply.last_resort_uses), (0, 2));
    let received = alice.receive().await;
    assert_eq!(said(&received), [("bob@localhost", "from bob"), ("carol@localhost", "from carol")]);
}

#[tokio::test]
async fn a_sender_that_is_killed_anywhere_and_run_again_sends_once() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Device::registered(&cloud, "alice@localhost").await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    let code = alice.code();
    for points in 0.. {
        let text = format!("hello {points}");
        let (told, result) = bob.send_with(Fuse::after(points), &code, &text).await;
        let is_over = match result {
            Ok(()) => true,
            Err(error) if error.is_stopped() => false,
            Err(error) => panic!("at point {points}: {error}"),
        };
        if told.is_none() {
            assert_eq!(bob.send(&code, &text).await.devices, 1, "at point {points}");
        }
        assert_eq!(said(&alice.receive().await), [("bob@localhost", text.as_str())], "at point {points}");
        if is_over {
            assert!(points > 15, "there are {points} points only");
            return;
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_killed_anywhere_and_run_again_loses_nothing() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Device::registered(&cloud, "alice@localhost").await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    let code = alice.code();
    for points in 0.. {
        let text = format!("hello {points}");
        bob.send(&code, &text).await;
        let mut client = alice.client_with(Fuse::after(points));
        let first = client.receive().await;
        let acknowledged = first.as_ref().ok().map(|received| client.acknowledge(received.last_sequence.unwrap()));
        drop(client);
        let again = alice.receive().await;
        match (&first, &acknowledged) {
            (Ok(first), Some(Ok(()))) => {
                assert_eq!((said(first), again.last_sequence), (vec![("bob@localhost", text.as_str())], None));
                assert!(points > 8, "there are {points} points only");
                return;
            }
            // It may come again, under the same number.
            (Ok(first), _) => assert!(again == *first || again.last_sequence.is_none(), "at point {points}"),
            (Err(error), _) => {
                assert!(error.is_stopped(), "at point {points}: {error}");
                assert_eq!(said(&again), [("bob@localhost", text.as_str())], "at point {points}");
            }
        }
    }
}

#[tokio::test]
async fn who_follows_is_told_at_once() {
    let cloud = Arc::new(TestCloud::start().await);
    let alice = Device::registered(&cloud, "alice@localhost").await;
    let bob = Device::registered(&cloud, "bob@localhost").await;
    // From then on the home is in use.
    let code = alice.code();
    let (taken, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let mut client = Client::open(alice.options().waiting(Waiting::real())).unwrap();
    let take = |received: &Received| {
        received.messages.iter().for_each(|message| taken.send(message.text.as_str().to_owned()).unwrap());
        Ok::<_, Error>(())
    };
    let writing = async {
        for text in ["first", "second", "third"] {
            bob.send(&code, text).await;
            assert_eq!(arrived.recv().await.unwrap(), text);
        }
    };
    let both = async {
        tokio::select! {
            Err(error) = client.follow(take) => panic!("{error}"),
            () = writing => {}
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), both).await.expect("nobody is told");
}
