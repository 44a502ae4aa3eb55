//! `vestibule account` and `vestibule tokens`.

use super::*;

/// Runs `account delete` on a device of alice's that has just registered, with somebody at its terminal who types this.
async fn delete_at_terminal(device: &Device, typed: &'static str) -> Ran {
    let arguments =
        ["vestibule", "--home", device.home.path().to_str().unwrap(), "account", "delete", "--password-stdin"];
    let (password, mut stdout, mut stderr) = (format!("{PASSWORD}\n"), Vec::new(), Vec::new());
    let streams = Streams {
        stdin: &mut password.as_bytes(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        can_ask: true,
        read_line: Arc::new(move || Ok(Zeroizing::new(typed.to_owned()))),
        is_watched: false,
    };
    let exit_code = run(arguments, streams, |options| device.adjust(options)).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit_code, stdout: text(stdout), stderr: text(stderr) }
}

async fn registered() -> Device {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    device
}

#[tokio::test]
async fn an_account_is_deleted_when_its_name_was_typed() {
    for typed in ["alice@localhost\n", "y\n", " YES \n"] {
        let device = registered().await;
        let ran = delete_at_terminal(&device, typed).await;
        assert_eq!(ran.stdout, "Deleted. alice@localhost is no more, and this device is nobody's.\n", "{ran:?}");
        assert!(ran.exit_code == 0 && ran.stderr.ends_with("Type alice@localhost to delete it: "), "{ran:?}");
        let status = vestibule(&device, &["status", "--json"]).await;
        assert_eq!(status.events()[0]["problem"], "urn:vestibule:client:not-registered");
    }
}

#[tokio::test]
async fn an_account_is_not_deleted_when_something_else_was_typed() {
    let device = registered().await;
    for typed in ["\n", "n\n", "bob@localhost\n", "alice\n"] {
        let ran = delete_at_terminal(&device, typed).await;
        let error = "error: alice@localhost is not deleted: it was not confirmed\n";
        assert!(ran.exit_code == 1 && ran.stdout.is_empty() && ran.stderr.ends_with(error), "{ran:?}");
    }
    assert_eq!(vestibule(&device, &["status"]).await.exit_code, 0);
}

#[tokio::test]
async fn a_script_deletes_an_account_without_being_asked() {
    let device = registered().await;
    let delete = ["--json", "account", "delete", "--password-stdin"];
    let refused = vestibule(&device, &delete).await;
    assert_eq!((refused.exit_code, &refused.events()[0]["problem"]), (1, &json!("urn:vestibule:client:nobody-to-ask")));

    let delete = [&delete[..], &["--yes"]].concat();
    let wrong = vestibule_with(&device, &delete, "wrong", |options| options).await;
    assert_eq!((wrong.exit_code, &wrong.events()[0]["problem"]), (1, &json!("urn:vestibule:client:wrong-password")));
    let deleted = vestibule(&device, &delete).await;
    let event = json!({"event": "account-deleted", "user_name": ALICE, "pseudonym_left": false});
    assert_eq!((deleted.exit_code, deleted.events()), (0, vec![event]));
    let again = vestibule(&device, &delete).await;
    assert_eq!((again.exit_code, &again.events()[0]["problem"]), (1, &json!("urn:vestibule:client:not-registered")));
}

#[tokio::test]
async fn tokens_says_how_many_there_are_and_when_there_are_more() {
    let device = registered().await;
    vestibule(&device, &["status"]).await;
    let event =
        |available: usize, at: Value| json!({"event": "tokens", "available": available, "next_allowance_at": at});
    let available = device.client().tokens().unwrap().available;
    let tokens = vestibule(&device, &["tokens", "--json"]).await;
    assert_eq!((tokens.exit_code, tokens.events()), (0, vec![event(available, Value::Null)]));
    assert_eq!(vestibule(&device, &["tokens"]).await.stdout, format!("{available} left to pay with\n"));
    assert_eq!(vestibule(&Device::new(), &["tokens"]).await.exit_code, 1);
}
