use std::io;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

const BOB: &str = "bob@localhost";

/// Alice, her friendship code, and bob.
async fn friends() -> (Device, String, Device) {
    let alice = Device::of_today();
    let bob = alice.another();
    vestibule(&alice, &["register", ALICE, "--password-stdin"]).await;
    vestibule(&bob, &["register", BOB, "--password-stdin"]).await;
    let code = vestibule(&alice, &["friendship-code"]).await.stdout.trim().to_owned();
    (alice, code, bob)
}

#[tokio::test]
async fn send_and_receive_print_events_for_scripts() {
    let (alice, code, bob) = friends().await;
    let ran = vestibule(&bob, &["--json", "send", &code, "hello\nalice"]).await;
    assert_eq!((ran.exit_code, ran.events()), (0, vec![json!({"event": "sent", "devices": 1})]));
    let id = alice.qs_client_id();
    alice.service.deployment().queues.put(&id, b"garbage", &mut StdRng::seed_from_u64(5));
    let ran = vestibule(&alice, &["--json", "receive"]).await;
    let events = vec![
        json!({"event": "message", "from": BOB, "text": "hello\nalice", "sequence": 1}),
        json!({"event": "unreadable", "count": 1}),
    ];
    assert_eq!((ran.exit_code, ran.events()), (0, events));
    let ran = vestibule(&alice, &["--json", "receive"]).await;
    assert_eq!((ran.exit_code, ran.events()), (0, Vec::new()));
}

#[tokio::test]
async fn send_and_receive_are_for_people_too() {
    let (alice, code, bob) = friends().await;
    let ran = vestibule(&bob, &["send", &code, "hello\nbob@localhost: \u{1b}[2Jforged"]).await;
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (0, "Sent to 1 device of alice@localhost.\n"));
    let ran = vestibule(&alice, &["receive"]).await;
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (0, "bob@localhost: hello bob@localhost:  [2Jforged\n"));
    assert_eq!(vestibule(&alice, &["receive"]).await.stdout, "No messages.\n");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_anything_is_claimed() {
    let (alice, code, bob) = friends().await;
    for (code, text, urn) in [
        ("nonsense", "hello", "urn:vestibule:client:invalid-friendship-code"),
        (&code, "", "urn:vestibule:client:invalid-message"),
        (&code, &"x".repeat(4097), "urn:vestibule:client:invalid-message"),
    ] {
        let ran = vestibule(&bob, &["--json", "send", code, text]).await;
        assert_eq!((ran.exit_code, ran.events()[0]["problem"].as_str()), (1, Some(urn)));
    }
    assert_eq!(alice.published().1.len(), KEY_PACKAGES + 1);
}

/// A pipe whose other end is closed.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn messages_that_nobody_reads_are_kept() {
    let (alice, code, bob) = friends().await;
    vestibule(&bob, &["send", &code, "hello"]).await;
    for json in [&[][..], &["--json"]] {
        let home = alice.home.path().to_str().unwrap();
        let (mut stdin, mut stderr) = (&b""[..], Vec::new());
        let streams = Streams {
            stdin: &mut stdin,
            stdout: &mut Closed,
            stderr: &mut stderr,
            can_ask: false,
            read_line: Arc::new(|| panic!("nobody is to be asked")),
            is_watched: false,
        };
        let arguments = [&["vestibule", "--home", home, "receive"], json].concat();
        assert_eq!(run(arguments, streams, |options| alice.adjust(options)).await, 1);
        assert!(String::from_utf8(stderr).unwrap().contains("are kept"));
    }
    assert_eq!(vestibule(&alice, &["receive"]).await.stdout, "bob@localhost: hello\n");
}

#[tokio::test]
async fn receive_follows_until_it_is_interrupted() {
    let (alice, code, bob) = friends().await;
    vestibule(&bob, &["send", &code, "hello"]).await;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let client = Client::open(alice.options().relay_transport(alice.service.clone())).unwrap();
    let mut report = Report::new(&mut stdout, &mut stderr, false, false);
    let receive = arguments::Receive { follow: true };
    let interrupted = async {
        while alice.service.deployment().queuing.listening.connections == 0 {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    super::super::messages::execute_receive(&receive, client, &mut report, interrupted).await.unwrap();
    assert_eq!(String::from_utf8(stdout).unwrap(), "bob@localhost: hello\n");
}
