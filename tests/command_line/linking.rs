//! `vestibule link` and `vestibule approve`, each in a process.

use super::*;

const LINK: &[&str] = &["--json", "link", "laptop", "--as", "alice@localhost", "--yes"];

/// A phone with an account.
fn registered(dev: &Dev) -> tempfile::TempDir {
    let phone = tempfile::tempdir().unwrap();
    let arguments = ["register", "alice@localhost", "--device", "phone", "--password-stdin"];
    let registered = vestibule(dev, phone.path(), &arguments, "correct horse\n");
    assert_eq!(registered.status.code(), Some(0), "{registered:?}");
    phone
}

/// A device that waits for another one, and the code that it shows.
fn waiting_device(dev: &Dev, home: &Path) -> (Child, BufReader<ChildStdout>, String) {
    let mut process = start(&dev.url, home, LINK, "");
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let code = next_event(&mut output);
    assert_eq!(code["event"], "code");
    (process, output, code["words"].as_str().unwrap().to_owned())
}

fn next_event(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// The events that a process has left to say, and how it ends.
fn rest(mut process: Child, output: BufReader<ChildStdout>) -> (Vec<String>, Option<i32>) {
    let events = output.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let events = events.map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    (events, process.wait().unwrap().code())
}

fn names(output: &Output) -> Vec<String> {
    events(output).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// The names of the devices that a device lists, all of them confirmed.
fn devices(dev: &Dev, home: &Path) -> Vec<String> {
    let listed = vestibule(dev, home, &["--json", "devices"], "");
    let listed = events(&listed).pop().unwrap();
    let devices = listed["devices"].as_array().unwrap_or_else(|| panic!("{listed}"));
    assert!(devices.iter().all(|device| device["confirmed"] == true), "{listed}");
    devices.iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_laptop_is_linked_by_what_a_person_types_into_a_phone() {
    let dev = Dev::start(&["--memory"]);
    let phone = registered(&dev);
    let laptop = tempfile::tempdir().unwrap();
    let home = laptop.path().join("home");

    let (waiting, output, code) = waiting_device(&dev, &home);
    let typed: Vec<String> = code.split('-').map(str::to_uppercase).collect();
    let arguments: Vec<&str> =
        ["--json", "approve", "--yes"].into_iter().chain(typed.iter().map(String::as_str)).collect();
    let approved = vestibule(&dev, phone.path(), &arguments, "");
    assert_eq!(approved.status.code(), Some(0), "{approved:?}");
    assert!(names(&approved).ends_with(&["secured".into(), "approval".into(), "linked".into()]), "{approved:?}");
    let (names_of_laptop, status) = rest(waiting, output);
    assert_eq!(status, Some(0));
    assert_eq!(names_of_laptop, [&["peer-joined", "secured", "approval", "linked"], &["stage"; 4][..]].concat());
    for home in [phone.path(), &home] {
        assert_eq!(devices(&dev, home), ["phone", "laptop"]);
    }

    // It links the next one itself.
    let tablet = tempfile::tempdir().unwrap();
    let (waiting, output, code) = waiting_device(&dev, tablet.path());
    let approved = vestibule(&dev, &home, &["--json", "approve", "--yes", &code], "");
    assert_eq!(approved.status.code(), Some(0), "{approved:?}");
    assert_eq!(rest(waiting, output).1, Some(0));
    let status = events(&vestibule(&dev, phone.path(), &["--json", "status"], "")).remove(0);
    assert_eq!(status["device_changes"][0]["change"], "added");
    assert_eq!(status["key_packages"]["remaining"], 100);

    // Who is removed is told so, and the others are.
    let id = status["device_changes"][0]["client_id"].as_str().unwrap();
    let removed = vestibule(&dev, phone.path(), &["devices", "remove", id, "--password-stdin"], "correct horse\n");
    assert_eq!(removed.status.code(), Some(0), "{removed:?}");
    let status = vestibule(&dev, tablet.path(), &["--json", "status"], "");
    assert_eq!(events(&status).pop().unwrap()["problem"], "urn:vestibule:client:device-removed");
    let status = events(&vestibule(&dev, &home, &["--json", "status"], "")).remove(0);
    assert_eq!(status["device_changes"][0]["change"], "removed");
    assert_eq!(status["key_packages"]["remaining"], 100);
    assert_eq!(status["tokens"]["available"], 99);
    assert!(status["connection_packages_problem"].is_null(), "{status}");
}

#[test]
fn an_account_is_deleted_with_one_device_and_the_other_is_told() {
    let dev = Dev::start(&["--memory"]);
    let (phone, laptop) = (registered(&dev), tempfile::tempdir().unwrap());
    let (waiting, output, code) = waiting_device(&dev, laptop.path());
    let approved = vestibule(&dev, phone.path(), &["--json", "approve", "--yes", &code], "");
    assert_eq!((approved.status.code(), rest(waiting, output).1), (Some(0), Some(0)), "{approved:?}");

    let delete = ["--json", "account", "delete", "--password-stdin", "--yes"];
    let wrong = vestibule(&dev, laptop.path(), &delete, "correct donkey\n");
    assert_eq!(events(&wrong)[0]["problem"], "urn:vestibule:client:wrong-password");
    let deleted = vestibule(&dev, laptop.path(), &delete, "correct horse\n");
    assert_eq!((deleted.status.code(), names(&deleted)), (Some(0), vec!["account-deleted".to_owned()]), "{deleted:?}");
    let status = vestibule(&dev, phone.path(), &["--json", "status"], "");
    assert_eq!(events(&status).pop().unwrap()["problem"], "urn:vestibule:client:account-deleted");
    let deleted = vestibule(&dev, phone.path(), &delete, "correct horse\n");
    assert_eq!(names(&deleted), ["account-deleted"], "{deleted:?}");
    for home in [phone.path(), laptop.path()] {
        let status = vestibule(&dev, home, &["--json", "status"], "");
        assert_eq!(events(&status)[0]["problem"], "urn:vestibule:client:not-registered");
    }
}

#[test]
fn a_code_with_the_wrong_words_is_used_up() {
    let dev = Dev::start(&["--memory"]);
    let phone = registered(&dev);
    let laptop = tempfile::tempdir().unwrap();
    let (waiting, output, code) = waiting_device(&dev, laptop.path());
    let (right, _) = code.rsplit_once('-').unwrap();
    let wrong = if code.ends_with("adroitness") { "adviser" } else { "adroitness" };
    let wrong = format!("{right}-{wrong}");
    let approved = vestibule(&dev, phone.path(), &["--json", "approve", "--yes", &wrong], "");
    assert_eq!(approved.status.code(), Some(1), "{approved:?}");
    let (names, status) = rest(waiting, output);
    assert_eq!(status, Some(1));
    assert_eq!(names, ["peer-joined", "aborted", "error"]);
    // The right one comes too late.
    let late = vestibule(&dev, phone.path(), &["--json", "approve", "--yes", &code], "");
    assert_eq!(events(&late)[0]["problem"], "urn:vestibule:problem:rendezvous-code-joined");
}

#[test]
fn a_waiting_device_that_is_killed_gives_its_code_up_and_shows_another() {
    let dev = Dev::start(&["--memory"]);
    let laptop = tempfile::tempdir().unwrap();
    let home = laptop.path().join("home");
    let (mut killed, _output, first) = waiting_device(&dev, &home);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (mut waiting, _output, second) = waiting_device(&dev, &home);
    assert_ne!(first, second);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

#[test]
fn a_phone_that_is_killed_in_the_middle_goes_on_or_ends_it_for_both() {
    let dev = Dev::start(&["--memory"]);
    let phone = registered(&dev);
    for until in ["peer-joined", "secured", "approval"] {
        let laptop = tempfile::tempdir().unwrap();
        let (waiting, output, code) = waiting_device(&dev, laptop.path());
        let approve = ["--json", "approve", "--yes", &code];
        let mut killed = start(&dev.url, phone.path(), &approve, "");
        let mut said = BufReader::new(killed.stdout.take().unwrap());
        while next_event(&mut said)["event"] != until {}
        killed.kill().unwrap();
        killed.wait().unwrap();

        let approved = vestibule(&dev, phone.path(), &approve, "");
        let (names_of_laptop, status) = rest(waiting, output);
        assert_eq!(approved.status.code(), status, "{until}: {approved:?} {names_of_laptop:?}");
        let listed = devices(&dev, phone.path());
        if status == Some(0) {
            assert_eq!(names(&approved).pop().unwrap(), "linked");
            assert_eq!(devices(&dev, laptop.path()), listed);
            assert_eq!(listed, ["phone", "laptop"]);
            let remove = ["devices", "remove", "laptop", "--password-stdin"];
            let removed = vestibule(&dev, phone.path(), &remove, "correct horse\n");
            assert_eq!(removed.status.code(), Some(0), "{removed:?}");
        } else {
            assert!(names_of_laptop.ends_with(&["aborted".into(), "error".into()]), "{names_of_laptop:?}");
            assert_eq!(listed, ["phone"]);
        }
    }
}
