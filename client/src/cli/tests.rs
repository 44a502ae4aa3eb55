use serde_json::{Value, json};

use super::*;
use crate::testing::{Device, KEY_PACKAGES, PASSWORD};
use crate::transport::TransportError;

mod account;
mod key_server;
mod linking;
mod messages;
mod pair;
mod rotation;

const ALICE: &str = "alice@localhost";

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    exit_code: u8,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs a command on `device`, with its password on stdin.
async fn vestibule(device: &Device, arguments: &[&str]) -> Ran {
    vestibule_with(device, arguments, PASSWORD, |options| options).await
}

async fn vestibule_with(
    device: &Device,
    arguments: &[&str],
    stdin: &str,
    adjust: impl FnOnce(Options) -> Options,
) -> Ran {
    let stdin = format!("{stdin}\n");
    let base = ["vestibule", "--home", device.home.path().to_str().unwrap()];
    run_captured([&base, arguments].concat(), &stdin, |options| adjust(device.adjust(options))).await
}

async fn run_captured(arguments: Vec<&str>, stdin: &str, adjust: impl FnOnce(Options) -> Options) -> Ran {
    let (mut stdin, mut stdout, mut stderr) = (stdin.as_bytes(), Vec::new(), Vec::new());
    let streams = Streams {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        can_ask: false,
        read_line: Arc::new(|| panic!("nobody is to be asked")),
        is_watched: false,
    };
    let exit_code = run(arguments, streams, adjust).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit_code, stdout: text(stdout), stderr: text(stderr) }
}

#[tokio::test]
async fn register_prints_plain_lines_and_a_summary() {
    let device = Device::new();
    let ran = vestibule(&device, &["register", ALICE, "--device", "laptop", "--password-stdin"]).await;
    let wanted = "initiate: agree on keys and password with the authentication service\n\
                  initiate: done\n\
                  finish: create the user\n\
                  finish: done\n\
                  identity: start the group of the user's devices\n\
                  identity: done\n\
                  key-server: store a key that only the password opens\n\
                  key-server: done\n\
                  queuing-service: create a pseudonym at the queuing service\n\
                  queuing-service: done\n\
                  key-packages: publish KeyPackages for friends\n\
                  key-packages: done\n\
                  Welcome! You are registered as alice@localhost.\n\
                  This device is 'laptop'; its credential is valid until 2027-04-15T00:00:00Z.\n";
    assert_eq!((ran.exit_code, ran.stdout.as_str(), ran.stderr.as_str()), (0, wanted, ""));
}

#[tokio::test]
async fn register_and_status_print_events_for_scripts() {
    let device = Device::new();
    let register = ["--json", "register", ALICE, "--device", "laptop", "--password-stdin"];
    let ran = vestibule(&device, &register).await;
    let client_id = device.service.deployment().users[ALICE].client_id.clone();
    let (qs_user_id, qs_client_id) = {
        let queuing = &device.service.deployment().queuing;
        (queuing.users.keys().next().unwrap().clone(), queuing.clients.keys().next().unwrap().clone())
    };
    let registered = json!({
        "event": "registered",
        "user_name": ALICE,
        "client_id": client_id,
        "qs_user_id": qs_user_id,
        "qs_client_id": qs_client_id,
    });
    let events = [
        json!({"event": "stage", "name": "initiate", "state": "started"}),
        json!({"event": "stage", "name": "initiate", "state": "done"}),
        json!({"event": "stage", "name": "finish", "state": "started"}),
        json!({"event": "stage", "name": "finish", "state": "done"}),
        json!({"event": "stage", "name": "identity", "state": "started"}),
        json!({"event": "stage", "name": "identity", "state": "done"}),
        json!({"event": "stage", "name": "key-server", "state": "started"}),
        json!({"event": "stage", "name": "key-server", "state": "done"}),
        json!({"event": "stage", "name": "queuing-service", "state": "started"}),
        json!({"event": "stage", "name": "queuing-service", "state": "done"}),
        json!({"event": "stage", "name": "key-packages", "state": "started"}),
        json!({"event": "stage", "name": "key-packages", "state": "done"}),
        registered.clone(),
    ];
    assert_eq!((ran.exit_code, ran.events().as_slice()), (0, events.as_slice()));

    let again = vestibule(&device, &register).await;
    assert_eq!((again.exit_code, again.events()), (0, vec![registered]));

    let ran = vestibule(&device, &["status", "--json"]).await;
    let status = json!({
        "event": "status",
        "user_name": ALICE,
        "device": "laptop",
        "credential_expires_at": "2027-04-15T00:00:00Z",
        "device_changes": [],
        "key_packages": {"remaining": KEY_PACKAGES, "last_resort_uses": 0},
        "tokens": {"available": 99, "next_allowance_at": null},
    });
    assert_eq!((ran.exit_code, ran.events()), (0, vec![status]));
}

#[tokio::test]
async fn status_is_for_people_too() {
    let device = Device::new();
    vestibule(&device, &["register", ALICE, "--device", "laptop", "--password-stdin"]).await;
    let ran = vestibule(&device, &["status"]).await;
    let names: Vec<_> = ran.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["user", "device", "client", "credential", "devices", "packages", "tokens", "server", "root"]);
    assert!(ran.stdout.contains("credential  valid until 2027-04-15T00:00:00Z\n"), "{}", ran.stdout);
}

#[tokio::test]
async fn status_needs_no_server_for_what_is_known_here() {
    let device = Device::new();
    vestibule(&device, &["register", ALICE, "--password-stdin"]).await;
    let unplugged = || device.instead(|_| Some(Err(TransportError("unplugged".to_owned()))));
    let ran = vestibule_with(&device, &["status"], "", |_| unplugged()).await;
    let wanted = "packages    not known: no answer from http://127.0.0.1:8787: unplugged";
    assert!(ran.exit_code == 0 && ran.stdout.contains(wanted) && ran.stderr.is_empty(), "{ran:?}");
    let status = vestibule_with(&device, &["status", "--json"], "", |_| unplugged()).await.events().remove(0);
    assert_eq!((&status["event"], &status["key_packages"]), (&json!("status"), &Value::Null));
    assert_eq!(status["key_packages_problem"], "urn:vestibule:client:server-unreachable");
    assert_eq!(status["device_changes"], Value::Null);
    assert_eq!(status["device_changes_problem"], "urn:vestibule:client:server-unreachable");
}

#[tokio::test]
async fn key_packages_are_published_and_claimed_with_the_friendship_code() {
    let (alice, bob) = {
        let alice = Device::of_today();
        let bob = alice.another();
        (alice, bob)
    };
    vestibule(&alice, &["register", ALICE, "--password-stdin"]).await;
    vestibule(&bob, &["register", "bob@localhost", "--password-stdin"]).await;

    let published = vestibule(&alice, &["--json", "key-packages", "publish", "--count", "1"]).await;
    assert_eq!(published.events(), [json!({"event": "published", "count": 1, "last_resort": true})]);
    let event = vestibule(&alice, &["--json", "friendship-code"]).await.events().remove(0);
    let code = vestibule(&alice, &["friendship-code"]).await.stdout;
    assert_eq!(event, json!({"event": "friendship-code", "code": code.trim_end()}));

    for last_resort in [false, true, true] {
        let claimed = vestibule(&bob, &["--json", "key-packages", "claim", code.trim_end()]).await;
        let package = &claimed.events()[0]["packages"][0];
        assert_eq!((&package["user_name"], &package["last_resort"]), (&json!(ALICE), &json!(last_resort)));
        assert_eq!(package["key_package_ref"].as_str().unwrap().len(), 43);
    }
    let claimed = vestibule(&bob, &["key-packages", "claim", &code]).await;
    assert!(claimed.stdout.starts_with("alice@localhost: KeyPackage "), "{claimed:?}");
    let published = vestibule(&alice, &["key-packages", "publish", "--count", "0"]).await;
    assert_eq!(published.stdout, "Published 0 KeyPackages and a last-resort one.\n");
}

#[tokio::test]
async fn an_interrupted_registration_is_completed_by_the_same_command() {
    let device = Device::new();
    let arguments = ["register", ALICE, "--json", "--password-stdin"];
    let unplugged =
        device.instead(|request| request.path.contains("/users/").then(|| Err(TransportError("unplugged".to_owned()))));
    let ran = vestibule_with(&device, &arguments, PASSWORD, |_| unplugged).await;
    assert_eq!(ran.exit_code, 1);
    let error = ran.events().pop().unwrap();
    assert_eq!(error["problem"], "urn:vestibule:client:server-unreachable");

    let ran = vestibule(&device, &["status"]).await;
    let wanted = "error: a registration as alice@localhost is under way on this device: \
                  complete it with `vestibule register alice@localhost`\n";
    assert_eq!((ran.exit_code, ran.stderr.as_str()), (1, wanted));

    let ran = vestibule(&device, &arguments).await;
    assert_eq!(ran.events()[0], json!({"event": "stage", "name": "finish", "state": "resumed"}));
    assert_eq!(ran.exit_code, 0);
}

#[tokio::test]
async fn every_failure_is_one_line_and_an_event() {
    let device = Device::new();
    device.another().register("taken@localhost").await.result.unwrap();
    let register = |name: &'static str| vec!["register", name, "--password-stdin"];
    for (arguments, problem, line) in [
        (vec!["status"], "client:not-registered", "run `vestibule register NAME@DOMAIN`"),
        (register("alice"), "client:invalid-user-name", "'alice' is not a user name: "),
        (
            register("alice@example.org"),
            "client:foreign-domain",
            "user names that end in @localhost, not in @example.org",
        ),
        (register("taken@localhost"), "problem:user-name-taken", "the user name taken@localhost is taken"),
        (vec!["register", ALICE], "client:password-unusable", "use --password-stdin"),
        (vec!["--server", "http://example.org", "status"], "client:invalid-server", "use https://"),
        (vec!["register", ALICE, "--trusted-root", "x"], "client:invalid-fingerprint", "43 characters"),
        (vec!["key-packages", "publish", "--count", "101"], "client:not-registered", "run `vestibule register"),
        (vec!["key-packages", "publish", "--count", "many"], "client:invalid-count", "at most 100 KeyPackages"),
        (vec!["key-packages", "claim", "x"], "client:invalid-friendship-code", "was all of it copied?"),
        (vec!["friendship-code"], "client:not-registered", "run `vestibule register"),
        (vec!["storage-key", "check", "--password-stdin"], "client:user-name-needed", "name the user"),
        (vec!["storage-key", "check", "x", "--password-stdin"], "client:invalid-user-name", "'x' is not a user name: "),
        (vec!["storage-key", "check", ALICE], "client:password-unusable", "use --password-stdin"),
        (vec!["storage-key", "check", ALICE, "--password-stdin"], "client:wrong-password", "there is no such user"),
        (vec!["audit", ALICE, "--password-stdin"], "client:wrong-password", "the password is wrong, or"),
        (vec!["audit", "--password-stdin"], "client:user-name-needed", "name the user"),
        (vec!["password", "change", "--password-stdin"], "client:not-registered", "run `vestibule register"),
        (vec!["unlock", ALICE, "--password-stdin"], "client:not-registered", "run `vestibule register"),
        (vec!["register", ALICE, "--device", "\u{7}"], "client:invalid-device-name", "printable"),
    ] {
        let plain = vestibule(&device, &arguments).await;
        assert_eq!(plain.exit_code, 1, "{plain:?}");
        assert!(plain.stderr.starts_with("error: ") && plain.stderr.contains(line), "{plain:?}");
        assert_eq!(plain.stderr.lines().count(), 1, "{plain:?}");

        let json = vestibule(&device, &[&["--json"], arguments.as_slice()].concat()).await;
        let event = json.events().pop().unwrap();
        assert_eq!(event["event"], "error");
        assert_eq!(event["problem"], format!("urn:vestibule:{problem}"));
        assert_eq!(format!("error: {}\n", event["detail"].as_str().unwrap()), json.stderr);
        assert_eq!(plain.stderr, json.stderr);
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    // Port 1 of the loopback interface: nobody listens there, and no name needs to be resolved.
    let arguments = vec!["vestibule", "--home", home, "--server", "http://127.0.0.1:1", "register", ALICE];
    let ran = run_captured(arguments, "", |options| options.waiting(crate::Waiting::skipped())).await;
    assert_eq!(ran.exit_code, 1);
    assert!(ran.stderr.starts_with("error: no answer from http://127.0.0.1:1: "), "{}", ran.stderr);
    assert!(ran.stderr.ends_with(" (`cargo dev` starts a server on this computer)\n"), "{}", ran.stderr);
}

#[tokio::test]
async fn an_empty_password_is_refused_and_a_long_one_taken() {
    let device = Device::new();
    let arguments = ["register", ALICE, "--password-stdin"];
    for (line, wanted) in [
        ("", "error: an empty password protects nothing\n".to_owned()),
        ("\r", "error: an empty password protects nothing\n".to_owned()),
        (&"x".repeat(4097), "error: the password could not be read: the line is too long\n".to_owned()),
    ] {
        let ran = vestibule_with(&device, &arguments, line, |options| options).await;
        assert_eq!((ran.exit_code, ran.stderr), (1, wanted));
    }
    let ran = vestibule_with(&device, &arguments, &"x".repeat(4000), |options| options).await;
    assert_eq!(ran.exit_code, 0, "{ran:?}");
}

#[tokio::test]
async fn a_home_in_use_is_refused() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let _client = Client::open(device.options()).unwrap();
    let ran = vestibule(&device, &["status"]).await;
    let wanted = format!("error: another vestibule process is using {}\n", device.home.path().display());
    assert_eq!((ran.exit_code, ran.stderr), (1, wanted));
}

#[tokio::test]
async fn wrong_usage_is_told_from_failure() {
    for (arguments, exit_code) in [
        (vec!["vestibule"], 2),
        (vec!["vestibule", "registre"], 2),
        (vec!["vestibule", "register"], 2),
        (vec!["vestibule", "status", "--password-stdin"], 2),
        (vec!["vestibule", "storage-key"], 2),
        (vec!["vestibule", "password", "change", ALICE], 2),
        (vec!["vestibule", "--help"], 0),
        (vec!["vestibule", "register", "--help"], 0),
        (vec!["vestibule", "--version"], 0),
    ] {
        let ran = run_captured(arguments.clone(), "", |options| options).await;
        assert_eq!(ran.exit_code, exit_code, "{arguments:?}");
        assert_eq!(ran.stdout.is_empty(), exit_code == 2, "{arguments:?}");
        assert_eq!(ran.stderr.is_empty(), exit_code == 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn no_secret_is_ever_printed() {
    let device = Device::new();
    let mut said = String::new();
    for arguments in [
        vec!["register", ALICE, "--password-stdin"],
        vec!["status"],
        vec!["storage-key", "check", "--password-stdin"],
        vec!["audit", "--password-stdin"],
        vec!["password", "change", "--password-stdin"],
    ] {
        let ran = vestibule(&device, &arguments).await;
        said += &format!("{}{}", ran.stdout, ran.stderr);
    }
    assert!(!said.contains(PASSWORD));
    let device_key = std::fs::read(device.home.path().join("device-key")).unwrap();
    assert!(!said.contains(&vestibule_protocol::encoding::encode(&device_key)));
}
