use std::io;
use std::sync::{Arc, Mutex};

use vestibule_protocol::rendezvous::Pairing;

use super::*;
use crate::cli::rendezvous::{RendezvousCommand, execute};
use crate::testing::FakeRendezvous;

/// Two devices, and the relay between them.
struct Pair {
    devices: [Device; 2],
    fake: Arc<FakeRendezvous>,
}

/// What a command prints, readable while it runs.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Lets the others run until there is something to read.
    async fn read(&self) -> String {
        while self.text().is_empty() {
            tokio::task::yield_now().await;
        }
        self.text()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pair {
    async fn new() -> Self {
        let new_device = Device::new();
        let existing_device = new_device.another();
        existing_device.register(ALICE).await.result.unwrap();
        let fake = FakeRendezvous::new(new_device.service.clone(), new_device.clock.clone());
        Self { devices: [new_device, existing_device], fake }
    }

    fn adjust(&self, side: usize, options: Options) -> Options {
        self.devices[side].adjust(options).transport(self.fake.clone()).relay_transport(self.fake.clone())
    }

    /// Runs `vestibule rendezvous …` on a device.
    async fn run(&self, side: usize, arguments: &[&str]) -> Ran {
        let screen = Screen::default();
        let (exit_code, stderr) = self.run_on(side, arguments, &screen).await;
        Ran { exit_code, stdout: screen.text(), stderr }
    }

    async fn run_on(&self, side: usize, arguments: &[&str], screen: &Screen) -> (u8, String) {
        let home = self.devices[side].home.path().to_str().unwrap();
        let base = ["vestibule", "--home", home, "rendezvous"];
        let (mut stdout, mut stderr) = (screen.clone(), Vec::new());
        let streams = Streams {
            stdin: &mut io::empty(),
            stdout: &mut stdout,
            stderr: &mut stderr,
            can_ask: false,
            is_watched: false,
        };
        let exit_code = run([&base, arguments].concat(), streams, |options| self.adjust(side, options)).await;
        (exit_code, String::from_utf8(stderr).unwrap())
    }
}

#[tokio::test]
async fn two_devices_print_events_for_scripts() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let joining = async {
        let code: Value = serde_json::from_str(screen.read().await.lines().next().unwrap()).unwrap();
        pair.run(1, &["join", "--json", code["words"].as_str().unwrap()]).await
    };
    let ((exit_code, stderr), joined) = tokio::join!(pair.run_on(0, &["new", "--json"], &screen), joining);
    assert_eq!((exit_code, stderr.as_str()), (0, ""));
    let mut events = screen.events();
    let code = events.remove(0);
    let pairing: Pairing = code["uri"].as_str().unwrap().parse().unwrap();
    let wanted = json!({
        "event": "code",
        "words": pairing.to_words().as_str(),
        "digits": pairing.to_digits().as_str(),
        "uri": pairing.to_uri().as_str(),
        "expires_at": "2027-01-15T08:10:00Z",
    });
    assert_eq!(code, wanted);
    let told = |text: &str| {
        [
            json!({"event": "peer-joined"}),
            json!({"event": "secured"}),
            json!({"event": "message", "text": text}),
            json!({"event": "finished"}),
        ]
    };
    assert_eq!(events, told("Hello from the existing device!"));
    assert_eq!((joined.exit_code, joined.stderr.as_str()), (0, ""));
    assert_eq!(joined.events(), told("Hello from the new device!"));
}

#[tokio::test]
async fn people_are_shown_words_digits_and_a_qr_code() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let joining = async {
        let text = screen.read().await;
        let words = text.lines().find_map(|line| line.strip_prefix("    vestibule rendezvous join ")).unwrap();
        // As somebody types it: several arguments, upper case.
        let words = words.replace('-', " ").to_uppercase();
        pair.run(1, &[&["join"], words.split(' ').collect::<Vec<_>>().as_slice()].concat()).await
    };
    let ((exit_code, _), joined) = tokio::join!(pair.run_on(0, &["new"], &screen), joining);
    let shown = screen.text();
    assert_eq!(exit_code, 0, "{shown}");
    // 25 modules and a margin of 4 on each side, two rows in a line.
    let is_of_qr_code =
        |line: &&str| line.chars().count() == 33 && line.chars().all(|character| "█▀▄ ".contains(character));
    assert_eq!(shown.lines().filter(is_of_qr_code).count(), 17, "{shown}");
    assert!(shown.contains("It is good until 2027-01-15T08:10:00Z, and once."), "{shown}");
    assert!(shown.ends_with(
        "The other device is there.\n\
         The connection is secured: nobody else reads it.\n\
         It says: Hello from the existing device!\n\
         Done: each device has the other's line.\n"
    ));
    assert!(joined.stdout.ends_with("It says: Hello from the new device!\nDone: each device has the other's line.\n"));
    assert_eq!((joined.exit_code, joined.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn a_typo_is_said_before_anything_is_sent() {
    let pair = Pair::new().await;
    for (arguments, line) in [
        (vec!["join", "27182"], "something is missing"),
        (vec!["join", "27182-aardvarc-breakaway"], "the first word is mistyped"),
        (vec!["join", "27182", "breakaway", "aardvark"], "the two words are in the wrong order"),
        (vec!["join", "27182-99999"], "five digits, at most 65535"),
    ] {
        let ran = pair.run(1, &arguments).await;
        assert!(ran.exit_code == 1 && ran.stderr.starts_with("error: ") && ran.stderr.contains(line), "{ran:?}");
        let event = pair.run(1, &[&["--json"], arguments.as_slice()].concat()).await.events().remove(0);
        assert_eq!(event["problem"], "urn:vestibule:client:invalid-rendezvous-code");
    }
    assert!(pair.fake.relay().requests.is_empty());
    assert_eq!(pair.run(1, &["join"]).await.exit_code, 2);
    assert_eq!(pair.run(1, &[]).await.exit_code, 2);
}

#[tokio::test]
async fn wrong_words_are_told_as_an_ended_connection_on_both_devices() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let joining = async {
        let code: Value = serde_json::from_str(screen.read().await.lines().next().unwrap()).unwrap();
        let words = code["words"].as_str().unwrap();
        let wrong =
            if words.ends_with("-adroitness") { "27182-aardvark-breakaway" } else { "27182-aardvark-adroitness" };
        pair.run(1, &["join", "--json", wrong]).await
    };
    let ((exit_code, stderr), joined) = tokio::join!(pair.run_on(0, &["new", "--json"], &screen), joining);
    for (exit_code, stderr, mut events) in
        [(exit_code, stderr, screen.events()), (joined.exit_code, joined.stderr.clone(), joined.events())]
    {
        assert_eq!((exit_code, stderr.as_str()), (1, "error: the connection ended\n"));
        let error = json!({
            "event": "error",
            "problem": "urn:vestibule:client:rendezvous-ended",
            "detail": "the connection ended",
        });
        assert_eq!(events.pop(), Some(error));
        assert_eq!(events.pop(), Some(json!({"event": "aborted", "reason": "connection-ended"})));
    }
}

#[tokio::test]
async fn an_interrupted_command_ends_it_for_the_other_device() {
    let pair = Pair::new().await;
    let (mut screen, mut stderr) = (Screen::default(), Vec::new());
    let shown = screen.clone();
    let mut report = Report::new(&mut screen, &mut stderr, true, false);
    let options = pair.adjust(0, Options::new(pair.devices[0].home.path()));
    let interrupted = async {
        shown.read().await;
        Ok(())
    };
    let error = execute(&RendezvousCommand::New, options, &mut report, interrupted).await.unwrap_err();
    assert_eq!(error.to_string(), "cancelled on this device");
    assert_eq!(shown.events().pop(), Some(json!({"event": "aborted", "reason": "cancelled"})));

    let words = shown.events()[0]["words"].as_str().unwrap().to_owned();
    let joined = pair.run(1, &["join", &words]).await;
    assert_eq!((joined.exit_code, joined.stderr.as_str()), (1, "error: the connection ended\n"));
}

#[tokio::test]
async fn what_an_earlier_process_left_is_ended_before_another_code_is_shown() {
    let pair = Pair::new().await;
    {
        let options = pair.adjust(0, Options::new(pair.devices[0].home.path()));
        Client::open(options).unwrap().create_rendezvous().await.unwrap();
    }
    let screen = Screen::default();
    let joining = async {
        let code: Value = serde_json::from_str(screen.read().await.lines().next().unwrap()).unwrap();
        pair.run(1, &["join", code["digits"].as_str().unwrap()]).await
    };
    let ((exit_code, _), joined) = tokio::join!(pair.run_on(0, &["new", "--json"], &screen), joining);
    assert_eq!((exit_code, joined.exit_code), (0, 0));
    let relay = pair.fake.relay();
    let outcomes: Vec<_> = relay.mailboxes.iter().map(|mailbox| json!(mailbox.outcome)).collect();
    assert_eq!(outcomes, ["aborted", "linked"]);
}
