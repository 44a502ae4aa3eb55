//! `vestibule link` and `vestibule approve`, and what comes of them.

use vestibule_protocol::rendezvous::Pairing;

use super::pair::{Pair, Screen, typing};
use super::*;
use crate::cli::arguments::{Arguments, Link};
use crate::cli::linking::execute_link;

#[tokio::test]
async fn two_devices_print_events_for_scripts() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let approving = async { pair.run(1, &["approve", "--json", "--yes", &screen.words().await]).await };
    let link = ["link", "tablet", "--as", ALICE, "--json", "--yes"];
    let ((exit_code, stderr), approved) = tokio::join!(pair.run_on(0, &link, &screen, None), approving);
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
    let client_id = pair.devices[0].account().client_id().to_string();
    let told = [
        json!({"event": "peer-joined"}),
        json!({"event": "secured"}),
        json!({"event": "approval", "user_name": ALICE, "device": "tablet"}),
        json!({"event": "linked", "user_name": ALICE, "client_id": client_id, "device": "tablet"}),
    ];
    let stages = [
        json!({"event": "stage", "name": "queuing-service", "state": "started"}),
        json!({"event": "stage", "name": "queuing-service", "state": "done"}),
        json!({"event": "stage", "name": "key-packages", "state": "started"}),
        json!({"event": "stage", "name": "key-packages", "state": "done"}),
    ];
    assert_eq!(events, [&told[..], &stages].concat());
    assert_eq!((approved.exit_code, approved.stderr.as_str()), (0, ""));
    assert_eq!(approved.events(), told);

    let first = pair.devices[1].account().client_id().to_string();
    let listed = |name, client_id: &str, this| {
        json!({
            "name": name,
            "client_id": client_id,
            "added_at": "2027-01-15T08:00:00Z",
            "confirmed": true,
            "this": this,
        })
    };
    let devices = pair.run(0, &["devices", "--json"]).await.events().remove(0);
    assert_eq!(devices["event"], "devices");
    assert_eq!(devices["devices"], json!([listed("laptop", &first, false), listed("tablet", &client_id, true)]));

    let removed = pair.run(1, &["--json", "devices", "remove", "tablet", "--password-stdin"]).await;
    let wanted = json!({"event": "device-removed", "name": "tablet", "client_id": client_id, "keys": "rotated"});
    assert_eq!(removed.events(), [wanted]);
    let status = pair.run(0, &["--json", "status"]).await;
    assert_eq!(status.exit_code, 1);
    let [status, error] = <[Value; 2]>::try_from(status.events()).unwrap();
    assert_eq!(status["device_changes_problem"], "urn:vestibule:client:device-removed");
    assert_eq!(error["problem"], "urn:vestibule:client:device-removed");
}

#[tokio::test]
async fn people_are_shown_a_code_and_asked_on_both_devices() {
    let pair = Pair::new().await;
    let (screen, other) = (Screen::default(), Screen::default());
    let approving = async {
        let text = screen.read().await;
        let words = text.lines().find_map(|line| line.strip_prefix("    vestibule approve ")).unwrap();
        // As somebody types it.
        let words = words.replace('-', " ").to_uppercase();
        pair.run_on(1, &["approve"], &other, Some(typing(&[&words, "Yes"]))).await
    };
    let linking = pair.run_on(0, &["link", "alice's tablet"], &screen, Some(typing(&["y"])));
    let ((exit_code, asked), (other_exit_code, other_asked)) = tokio::join!(linking, approving);
    let shown = screen.text();
    assert_eq!((exit_code, other_exit_code), (0, 0), "{shown}");
    assert_eq!(asked, "Is that you? [y/N] ");
    assert_eq!(
        other_asked,
        "The code that the new device shows: Is that device in your hands, and shall it have all this? [y/N] "
    );
    // 25 modules and a margin of 4 on each side, two rows in a line.
    let is_of_qr_code =
        |line: &&str| line.chars().count() == 33 && line.chars().all(|character| "█▀▄ ".contains(character));
    assert_eq!(shown.lines().filter(is_of_qr_code).count(), 17, "{shown}");
    assert!(shown.contains("It is good until 2027-01-15T08:10:00Z, and once."), "{shown}");
    assert!(shown.ends_with(
        "The other device is there.\n\
         The connection is secured: nobody else reads it.\n\
         This device, 'alice's tablet', is about to become one of alice@localhost's.\n\
         Linked. This device is one of alice@localhost's now: 'alice's tablet'.\n\
         queuing-service: create a pseudonym at the queuing service\n\
         queuing-service: done\n\
         key-packages: publish KeyPackages for friends\n\
         key-packages: done\n\
         Friends reach this device from now on.\n"
    ));
    assert_eq!(
        other.text(),
        "The other device is there.\n\
         The connection is secured: nobody else reads it.\n\
         A device wants to become one of alice@localhost's. It calls itself 'alice's tablet', which nobody has \
         verified.\n\
         Approving gives it full access to your account.\n\
         Linked. Your new device is one of alice@localhost's now: 'alice's tablet'.\n"
    );
    let devices = pair.run(1, &["devices"]).await.stdout;
    let [first, second] = devices.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(first.starts_with("laptop          added 2027-01-15T08:00:00Z  alice@localhost/"), "{first}");
    assert!(first.ends_with("  (this device)") && second.starts_with("alice's tablet  added 2027-"), "{devices}");
    let removed = pair.run(1, &["devices", "remove", "alice's tablet", "--password-stdin"]).await;
    assert!(removed.stdout.starts_with("Removed 'alice's tablet' (alice@localhost/"), "{removed:?}");
    let status = pair.run(0, &["status"]).await;
    assert!(
        status.stdout.contains("devices     not known: this device was removed from the devices of alice@localhost")
    );
    assert_eq!(status.stderr, "error: this device was removed from the devices of alice@localhost\n");
}

#[tokio::test]
async fn who_answers_anything_but_yes_declines() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let approving = async {
        let words = screen.words().await;
        let other = Screen::default();
        let ran = pair.run_on(1, &["approve", "--json", &words], &other, Some(typing(&[""]))).await;
        (ran.0, other.events())
    };
    let ((exit_code, _), (other_exit_code, mut other)) =
        tokio::join!(pair.run_on(0, &["link", "tablet", "--json", "--yes"], &screen, None), approving);
    assert_eq!((exit_code, other_exit_code), (1, 1));
    let mut events = screen.events();
    assert_eq!(events.pop().unwrap()["problem"], "urn:vestibule:client:not-linked");
    assert_eq!(events.pop(), Some(json!({"event": "aborted", "reason": "peer-declined"})));
    assert_eq!(other.pop().unwrap()["problem"], "urn:vestibule:client:not-linked");
    assert_eq!(other.pop(), Some(json!({"event": "aborted", "reason": "declined"})));
}

#[tokio::test]
async fn where_nobody_can_be_asked_nothing_is_begun() {
    let pair = Pair::new().await;
    for (side, arguments, line) in [
        (0, vec!["link", "tablet"], "there is nobody to ask: answer on a terminal, or use --yes"),
        (1, vec!["approve", "27182-aardvark-breakaway"], "there is nobody to ask: answer on a terminal, or use --yes"),
        (
            1,
            vec!["approve", "--yes"],
            "the code that the new device shows is missing, and there is no terminal to ask for",
        ),
    ] {
        let ran = pair.run(side, &arguments).await;
        assert!(ran.exit_code == 1 && ran.stderr.contains(line), "{ran:?}");
        let event = pair.run(side, &[&["--json"], arguments.as_slice()].concat()).await.events().remove(0);
        assert_eq!(event["problem"], "urn:vestibule:client:nobody-to-ask");
    }
    assert!(pair.fake.relay().requests.is_empty());
}

#[tokio::test]
async fn a_typo_is_said_before_anything_is_sent() {
    let pair = Pair::new().await;
    for (code, line) in [
        (vec!["27182"], "something is missing"),
        (vec!["27182-aardvarc-breakaway"], "the first word is mistyped"),
        (vec!["27182", "breakaway", "aardvark"], "the two words are in the wrong order"),
        (vec!["27182-99999"], "five digits, at most 65535"),
    ] {
        let arguments = [&["approve", "--yes"], code.as_slice()].concat();
        let ran = pair.run(1, &arguments).await;
        assert!(ran.exit_code == 1 && ran.stderr.starts_with("error: ") && ran.stderr.contains(line), "{ran:?}");
        let event = pair.run(1, &[&["--json"], arguments.as_slice()].concat()).await.events().remove(0);
        assert_eq!(event["problem"], "urn:vestibule:client:invalid-rendezvous-code");
    }
    assert!(pair.fake.relay().requests.is_empty());
    for usage in [vec!["link"], vec!["devices", "remove"], vec!["identity"], vec!["rendezvous", "new"]] {
        assert_eq!(pair.run(1, &usage).await.exit_code, 2, "{usage:?}");
    }
}

#[tokio::test]
async fn wrong_words_are_told_as_an_ended_connection_on_both_devices() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let approving = async {
        let words = screen.words().await;
        let wrong =
            if words.ends_with("-adroitness") { "27182-aardvark-breakaway" } else { "27182-aardvark-adroitness" };
        pair.run(1, &["approve", "--yes", "--json", wrong]).await
    };
    let link = ["link", "tablet", "--yes", "--json"];
    let ((exit_code, stderr), approved) = tokio::join!(pair.run_on(0, &link, &screen, None), approving);
    for (exit_code, stderr, mut events) in
        [(exit_code, stderr, screen.events()), (approved.exit_code, approved.stderr.clone(), approved.events())]
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
async fn a_relay_that_lets_nobody_in_is_told_as_an_abort() {
    let pair = Pair::new().await;
    pair.fake.relay().refusal = Some(403);
    let mut events = pair.run(0, &["link", "tablet", "--yes", "--json"]).await.events();
    assert_eq!(events.pop().unwrap()["problem"], "urn:vestibule:client:relay-refused");
    assert_eq!(events.pop(), Some(json!({"event": "aborted", "reason": "refused"})));
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
    let link = link(&["vestibule", "link", "tablet", "--yes"]);
    let questions = Questions { read_line: typing(&[]), can_ask: false };
    let error = execute_link(&link, options, questions, &mut report, interrupted).await.unwrap_err();
    assert_eq!(error.to_string(), "cancelled on this device");
    assert_eq!(shown.events().pop(), Some(json!({"event": "aborted", "reason": "cancelled"})));

    let words = shown.events()[0]["words"].as_str().unwrap().to_owned();
    let approved = pair.run(1, &["approve", "--yes", &words]).await;
    assert_eq!((approved.exit_code, approved.stderr.as_str()), (1, "error: the connection ended\n"));
}

#[tokio::test]
async fn a_linked_device_that_does_not_reach_the_queuing_service_is_completed_by_status() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    pair.fake.relay().unreachable = Some("/v1/qs/users");
    let approving = async { pair.run(1, &["approve", "--yes", &screen.words().await]).await };
    let ((exit_code, stderr), approved) =
        tokio::join!(pair.run_on(0, &["link", "tablet", "--yes", "--json"], &screen, None), approving);
    assert_eq!((exit_code, approved.exit_code), (1, 0), "{stderr}");
    let events: Vec<_> = screen.events().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(events[4..], ["linked", "stage", "error"]);
    let status = pair.run(0, &["status", "--json"]).await.events().remove(0);
    assert_eq!(status["key_packages_problem"], "urn:vestibule:client:server-unreachable");

    pair.fake.relay().unreachable = None;
    let published = pair.run(0, &["key-packages", "publish"]).await;
    let wanted = "error: this device was linked and is not known to the queuing service yet: run `vestibule status`\n";
    assert_eq!((published.exit_code, published.stderr.as_str()), (1, wanted));
    let status = pair.run(0, &["status", "--json"]).await.events().remove(0);
    assert_eq!(status["key_packages"]["remaining"], KEY_PACKAGES);
    assert_eq!(status["tokens"]["available"], 99);
    let again = pair.run(0, &["link", "tablet", "--yes"]).await;
    let wanted = "Linked. This device is one of alice@localhost's now: 'tablet'.\n";
    assert_eq!((again.exit_code, again.stdout.as_str()), (0, wanted));
}

#[tokio::test]
async fn an_interruption_after_the_link_leaves_a_linked_device_that_says_what_is_left() {
    let pair = Pair::new().await;
    let (mut screen, mut stderr) = (Screen::default(), Vec::new());
    let shown = screen.clone();
    let mut report = Report::new(&mut screen, &mut stderr, true, false);
    let options = pair.adjust(0, Options::new(pair.devices[0].home.path()));
    let interrupted = async {
        while !shown.text().contains("linked") {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let approving = async { pair.run(1, &["approve", "--yes", &shown.words().await]).await };
    let link = link(&["vestibule", "link", "tablet", "--yes"]);
    let questions = Questions { read_line: typing(&[]), can_ask: false };
    let linking = execute_link(&link, options, questions, &mut report, interrupted);
    let (outcome, approved) = tokio::join!(linking, approving);
    assert_eq!(outcome.unwrap_err().urn(), "urn:vestibule:client:not-at-queuing-service");
    assert_eq!(approved.exit_code, 0, "{approved:?}");
    let status = pair.run(0, &["status", "--json"]).await.events().remove(0);
    assert_eq!(status["key_packages"]["remaining"], KEY_PACKAGES);
}

fn link(arguments: &[&str]) -> Link {
    match Arguments::try_parse_from(arguments).unwrap().command {
        Command::Link(link) => link,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_identity_is_reset_and_the_other_device_follows() {
    let pair = Pair::new().await;
    let screen = Screen::default();
    let approving = async { pair.run(1, &["approve", "--yes", &screen.words().await]).await };
    let link = ["link", "tablet", "--json", "--yes"];
    let (_, approved) = tokio::join!(pair.run_on(0, &link, &screen, None), approving);
    assert_eq!(approved.exit_code, 0, "{approved:?}");
    let reset = pair.run(1, &["identity", "reset", "--password-stdin", "--json"]).await;
    assert_eq!(reset.events(), [json!({"event": "identity-reset", "generation": 2, "removed": null})]);
    for side in [0, 1] {
        let status = pair.run(side, &["status", "--json"]).await;
        assert_eq!(status.events()[0]["device_changes"], json!([]), "{status:?}");
    }
    let reset = pair.run(0, &["identity", "reset", "--password-stdin"]).await.stdout;
    assert!(reset.starts_with("Your identity has started over (generation 3)."), "{reset}");
}
