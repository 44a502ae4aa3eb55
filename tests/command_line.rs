//! The real `vestibule` and `cargo dev`, as processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

mod linking;

/// The directory of the workspace's binaries. Cargo builds those of other packages only when asked to.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        // What cargo tells a test about its package would make build scripts run again.
        let inherited = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            !name.starts_with("CARGO_PKG_") && !name.starts_with("CARGO_MANIFEST_")
        });
        let build = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bin", "vestibule", "--bin", "vestibule-dev"])
            .env_clear()
            .envs(inherited)
            .status();
        assert!(build.unwrap().success());
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(Path::parent).unwrap().to_owned()
    })
}

/// `cargo dev` on a port of its own; killed when dropped.
struct Dev {
    process: Child,
    url: String,
}

impl Dev {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(binaries().join("vestibule-dev"))
            .args(arguments)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.strip_prefix("listening on ").expect("the first line").trim_end().to_owned();
        Self { process, url }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // SIGKILL: nothing is written on the way out.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn vestibule(dev: &Dev, home: &Path, arguments: &[&str], stdin: &str) -> Output {
    vestibule_at(&dev.url, home, arguments, stdin)
}

fn vestibule_at(server: &str, home: &Path, arguments: &[&str], stdin: &str) -> Output {
    start(server, home, arguments, stdin).wait_with_output().unwrap()
}

/// The command, running, with all of its input.
fn start(server: &str, home: &Path, arguments: &[&str], stdin: &str) -> Child {
    let mut process = Command::new(binaries().join("vestibule"))
        .args(["--server", server, "--home"])
        .arg(home)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone already.
    let _ = process.stdin.take().unwrap().write_all(stdin.as_bytes());
    process
}

fn events(output: &Output) -> Vec<Value> {
    let stdout = std::str::from_utf8(&output.stdout).unwrap();
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_user_registers_with_the_command_and_a_killed_server_forgets_nothing() {
    let state = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let dev = Dev::start(&["--state", state.path().to_str().unwrap()]);
    let arguments = ["--json", "register", "alice@localhost", "--device", "phone", "--password-stdin"];
    let output = vestibule(&dev, home.path(), &arguments, "correct horse\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty());
    let names: Vec<_> = events(&output).iter().map(|event| event["event"].clone()).collect();
    assert_eq!(names, [&["stage"; 12][..], &["registered"]].concat());
    let registered = events(&output).pop().unwrap();
    assert_eq!(registered["user_name"], "alice@localhost");

    let status = vestibule(&dev, home.path(), &["--json", "status"], "");
    let status = &events(&status)[0];
    assert_eq!((&status["event"], &status["device"]), (&"status".into(), &"phone".into()));
    assert!(status["credential_expires_at"].as_str().unwrap().ends_with("T00:00:00Z"));
    assert_eq!(status["key_packages"], serde_json::json!({"remaining": 100, "last_resort_uses": 0}));

    drop(dev);
    let dev = Dev::start(&["--state", state.path().to_str().unwrap()]);
    let other_home = tempfile::tempdir().unwrap();
    let output = vestibule(&dev, other_home.path(), &arguments, "another password\n");
    assert_eq!(output.status.code(), Some(1));
    let error = events(&output).pop().unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(error["problem"], "urn:vestibule:problem:user-name-taken");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: ") && stderr.trim_end().lines().count() == 1, "{stderr}");
}

#[test]
fn a_password_is_changed_and_the_audit_log_tells_of_it() {
    let dev = Dev::start(&["--memory"]);
    let home = tempfile::tempdir().unwrap();
    let register = ["register", "alice@localhost", "--device", "phone", "--password-stdin"];
    assert_eq!(vestibule(&dev, home.path(), &register, "correct horse\n").status.code(), Some(0));
    let change = ["--json", "password", "change", "--password-stdin"];
    let output = vestibule(&dev, home.path(), &change, "correct horse\nbattery staple\n");
    assert_eq!(events(&output), [serde_json::json!({"event": "password-changed"})]);
    let output = vestibule(&dev, home.path(), &["--json", "audit", "--password-stdin"], "battery staple\n");
    let audit = &events(&output)[0];
    assert_eq!((&audit["event"], &audit["chain"]), (&"audit".into(), &"intact".into()));
    let actions: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["audit-log-read", "password-changed", "storage-key-retrieved", "registration-completed"]);
    let output = vestibule(&dev, home.path(), &["--json", "audit", "--password-stdin"], "correct horse\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(events(&output)[0]["problem"], "urn:vestibule:client:wrong-password");
}

#[test]
fn a_registration_killed_again_and_again_is_completed_by_the_run_that_lives() {
    let dev = Dev::start(&["--memory"]);
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--json", "register", "alice@localhost", "--device", "phone", "--password-stdin"];
    // Each run gets a little further than it says before it is killed.
    let mut kills = 0;
    for lines in [1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
        let mut process = start(&dev.url, home.path(), &arguments, "correct horse\n");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..lines {
            output.read_line(&mut line).unwrap();
        }
        process.kill().unwrap();
        let status = process.wait().unwrap();
        kills += usize::from(status.code().is_none());
        if line.contains("\"registered\"") {
            break;
        }
    }
    assert!(kills >= 3, "only {kills} were killed");
    let output = vestibule(&dev, home.path(), &arguments, "correct horse\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let checked = vestibule(&dev, home.path(), &["storage-key", "check", "--password-stdin"], "correct horse\n");
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let status = events(&vestibule(&dev, home.path(), &["--json", "status"], ""));
    assert_eq!(status[0]["key_packages"]["remaining"], 100);
}

#[test]
fn a_friend_claims_with_the_code_that_the_command_printed() {
    let dev = Dev::start(&["--memory"]);
    let (alice, bob) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (home, name) in [(&alice, "alice@localhost"), (&bob, "bob@localhost")] {
        let output = vestibule(&dev, home.path(), &["register", name, "--password-stdin"], "correct horse\n");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let published = vestibule(&dev, alice.path(), &["--json", "key-packages", "publish", "--count", "30"], "");
    assert_eq!(events(&published)[0], serde_json::json!({"event": "published", "count": 30, "last_resort": true}));
    let code = vestibule(&dev, alice.path(), &["friendship-code"], "");
    let code = String::from_utf8(code.stdout).unwrap();
    let claimed = vestibule(&dev, bob.path(), &["--json", "key-packages", "claim", code.trim_end()], "");
    let package = &events(&claimed)[0]["packages"][0];
    assert_eq!((&package["user_name"], &package["last_resort"]), (&"alice@localhost".into(), &false.into()));
    let status = events(&vestibule(&dev, alice.path(), &["--json", "status"], ""));
    assert_eq!(status[0]["key_packages"]["remaining"], 29);

    drop(dev);
    let status = vestibule_at("http://127.0.0.1:1", alice.path(), &["--json", "status"], "");
    assert_eq!(status.status.code(), Some(0), "{status:?}");
    assert!(events(&status)[0]["key_packages"].is_null());
}

#[test]
fn wrong_usage_exits_with_2_and_a_failure_with_1() {
    let dev = Dev::start(&["--memory"]);
    let home = tempfile::tempdir().unwrap();
    assert_eq!(vestibule(&dev, home.path(), &["registr"], "").status.code(), Some(2));
    assert_eq!(vestibule(&dev, home.path(), &["register"], "").status.code(), Some(2));
    assert_eq!(vestibule(&dev, home.path(), &["status"], "").status.code(), Some(1));
    let empty = vestibule(&dev, home.path(), &["register", "alice@localhost", "--password-stdin"], "\n");
    assert_eq!(empty.status.code(), Some(1));
}

#[test]
fn a_second_server_on_the_same_state_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let _dev = Dev::start(&["--state", state.path().to_str().unwrap()]);
    let second = Command::new(binaries().join("vestibule-dev"))
        .args(["--port", "0", "--state"])
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().starts_with("error: "));
}
