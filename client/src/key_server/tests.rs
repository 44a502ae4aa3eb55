use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use vestibule_protocol::key_server::{AuditAction, AuditOutcome, Chain};
use vestibule_protocol::limits::AUDIT_PAGE_LENGTH;
use vestibule_protocol::randomness::Randomness;

use super::*;
use crate::client::{Client, Options};
use crate::fuse::Fuse;
use crate::home::HomeError;
use crate::password::PasswordError;
use crate::testing::{Device, NOW, password};
use crate::transport::{Request as HttpRequest, Response, TransportError};

const ALICE: &str = "alice@localhost";

fn alice() -> UserName {
    ALICE.parse().unwrap()
}

fn new_password() -> Password {
    Password::new("battery staple".to_owned())
}

async fn registered() -> Device {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    device
}

async fn fingerprint(device: &Device, password: Password) -> Result<String, Error> {
    let storage_key = device.client().storage_key(Some(&alice()), password).await?;
    Ok(storage_key.fingerprint().to_string())
}

/// Whether a request changes the password. Of those that use a session it is the longest.
fn is_change(request: &HttpRequest) -> bool {
    request.path.starts_with("/v1/ks/sessions/") && request.body.len() > 500
}

fn with_another_answer(mut response: Response) -> Response {
    let mut body: UseSessionResponse = serde_json::from_slice(&response.body).unwrap();
    body.sealed_response.0[3] ^= 1;
    response.body = serde_json::to_vec(&body).unwrap();
    response
}

fn newest_audit_entry(device: &Device) -> u64 {
    device.account().key_server.unwrap().newest_audit_entry.sequence
}

/// Lets somebody else do something with the user's password, `times`.
fn record_elsewhere(device: &Device, times: usize) {
    let mut deployment = device.service.deployment();
    let user = deployment.key_server.users.get_mut(ALICE).unwrap();
    for _ in 0..times {
        user.record(AuditAction::StorageKeyRetrieved, NOW);
    }
}

#[tokio::test]
async fn what_one_device_seals_another_opens() {
    let device = registered().await;
    let storage_key = device.client().storage_key(None, password()).await.unwrap();
    let sealed = storage_key.seal("settings", b"dark", b"v1", &mut Randomness::system());
    let elsewhere = device.another().client().storage_key(Some(&alice()), password()).await.unwrap();
    assert_eq!(elsewhere.open("settings", &sealed, b"v1").unwrap().as_slice(), b"dark");
    assert_eq!(elsewhere.fingerprint(), storage_key.fingerprint());
}

#[tokio::test]
async fn an_empty_home_stays_empty_and_signs_nothing() {
    let device = registered().await;
    let empty = device.another();
    let requests = device.service.deployment().requests.len();
    fingerprint(&empty, password()).await.unwrap();
    let log = empty.client().audit_log(Some(&alice()), password()).await.unwrap();
    assert_eq!((log.entries.len(), log.chain), (3, Chain::Unknown));
    let refused = empty.client().storage_key(None, password()).await.unwrap_err();
    assert!(matches!(refused, Error::UserNameNeeded));
    assert_eq!(std::fs::read_dir(empty.home.path()).unwrap().count(), 0);
    let deployment = device.service.deployment();
    assert!(
        deployment.requests[requests..]
            .iter()
            .all(|request| { request.headers.iter().all(|(name, _)| !name.starts_with("signature")) })
    );
}

#[tokio::test]
async fn a_device_of_another_user_does_not_sign_nor_remember_anything() {
    let device = registered().await;
    let bob = device.another();
    bob.register("bob@localhost").await.result.unwrap();
    let requests = device.service.deployment().requests.len();
    record_elsewhere(&device, 3);
    let log = bob.client().audit_log(Some(&alice()), password()).await.unwrap();
    assert_eq!(log.chain, Chain::Unknown);
    assert_eq!(newest_audit_entry(&bob), 1);
    let deployment = device.service.deployment();
    assert!(deployment.requests[requests].headers.iter().all(|(name, _)| *name != "signature"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_one_error() {
    let device = registered().await;
    let wrong = fingerprint(&device, new_password()).await.unwrap_err();
    let nobody = device.client().storage_key(Some(&"nobody@localhost".parse().unwrap()), password()).await.unwrap_err();
    assert_eq!((wrong.to_string(), wrong.urn()), (nobody.to_string(), nobody.urn()));
    let deployment = device.service.deployment();
    assert!(
        deployment.requests.last().unwrap().path.ends_with("/v1/ks/sessions"),
        "nothing was sent after the opening"
    );
}

#[tokio::test]
async fn a_changed_password_gives_the_same_storage_key() {
    let device = registered().await;
    let before = fingerprint(&device, password()).await.unwrap();
    device.client().change_password(password(), new_password()).await.unwrap();
    assert!(matches!(fingerprint(&device, password()).await, Err(Error::WrongPassword)));
    assert_eq!(fingerprint(&device, new_password()).await.unwrap(), before);
    let again = device.client().change_password(password(), new_password()).await;
    assert!(matches!(again, Err(Error::WrongPassword)));
}

#[tokio::test]
async fn a_lost_answer_to_a_password_change_is_got_again_with_the_same_request() {
    let device = registered().await;
    let uses = device.service.deployment().requests.len();
    let lost = AtomicBool::new(false);
    let losing = move |request: &HttpRequest, response: Response| {
        let is_first = is_change(request) && !lost.swap(true, Ordering::SeqCst);
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    let mut client = device.client_with(device.through(losing));
    client.change_password(password(), new_password()).await.unwrap();
    drop(client);
    {
        let deployment = device.service.deployment();
        let [.., first, second] = &deployment.requests[uses..] else { panic!("there are more") };
        assert_eq!((&first.path, &first.body), (&second.path, &second.body));
        assert_eq!(deployment.key_server.users[ALICE].audit_log.len(), 3);
    }
    fingerprint(&device, new_password()).await.unwrap();
}

#[tokio::test]
async fn a_password_change_whose_answer_never_comes_says_so() {
    let device = registered().await;
    let losing = |request: &HttpRequest, response: Response| {
        if is_change(request) { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    let altering = |request: &HttpRequest, response: Response| {
        Ok(if is_change(request) { with_another_answer(response) } else { response })
    };
    let mut client = device.client_with(device.through(losing));
    let error = client.change_password(password(), new_password()).await.unwrap_err();
    assert!(matches!(error, Error::PasswordChangeUncertain(_)), "{error}");
    assert_eq!(error.urn(), "urn:vestibule:client:password-change-uncertain");
    drop(client);
    let mut client = device.client_with(device.through(altering));
    let error = client.change_password(new_password(), password()).await.unwrap_err();
    assert!(matches!(error, Error::PasswordChangeUncertain(_)), "{error}");
    drop(client);
    fingerprint(&device, password()).await.unwrap();
}

#[tokio::test]
async fn a_password_change_whose_answer_is_lost_before_the_server_asks_for_patience_is_uncertain() {
    let device = registered().await;
    let uses = AtomicUsize::new(0);
    let losing = move |request: &HttpRequest, response: Response| match is_change(request) {
        false => Ok(response),
        true if uses.fetch_add(1, Ordering::SeqCst) == 0 => Err(TransportError("lost".into())),
        true => Ok(Response { status: 429, headers: Vec::new(), body: Vec::new() }),
    };
    let mut client = device.client_with(device.through(losing));
    let error = client.change_password(password(), new_password()).await.unwrap_err();
    assert!(matches!(error, Error::PasswordChangeUncertain(_)), "{error}");
    drop(client);
    fingerprint(&device, new_password()).await.unwrap();
}

#[tokio::test]
async fn a_password_change_killed_anywhere_leaves_one_password_and_the_same_storage_key() {
    for points in 0.. {
        let device = registered().await;
        let before = fingerprint(&device, password()).await.unwrap();
        let mut client = device.client_with(device.options().fuse(Fuse::after(points)));
        let changed = client.change_password(password(), new_password()).await;
        drop(client);
        let (old, new) = (fingerprint(&device, password()).await, fingerprint(&device, new_password()).await);
        assert_ne!(old.is_ok(), new.is_ok(), "at point {points}");
        let valid = if old.is_ok() { password() } else { new_password() };
        assert_eq!(old.or(new).unwrap(), before);
        // The log goes on, whatever of it this device missed.
        let log = device.client().audit_log(None, valid).await.unwrap();
        assert_eq!(log.chain, Chain::Intact, "at point {points}");
        match changed {
            Err(error) => assert!(error.is_stopped(), "{error}"),
            Ok(()) => {
                assert!(points > 15, "only {points} points");
                return;
            }
        }
    }
}

#[tokio::test]
async fn an_empty_new_password_is_refused() {
    let device = registered().await;
    let refused = device.client().change_password(password(), Password::new(String::new())).await;
    assert!(matches!(refused, Err(Error::Password(PasswordError::Empty))));
}

#[tokio::test]
async fn what_needs_an_account_says_so() {
    let device = Device::new();
    let refused = device.client().change_password(password(), new_password()).await;
    assert!(matches!(refused, Err(Error::NotRegistered)));
    assert!(matches!(device.client().delete_storage_key(password()).await, Err(Error::NotRegistered)));
    let unplugged =
        |request: &HttpRequest| request.path.contains("/users/").then(|| Err(TransportError("unplugged".into())));
    device.register_with(ALICE, device.instead(unplugged)).await.result.unwrap_err();
    let refused = device.client().storage_key(None, password()).await;
    assert!(matches!(refused, Err(Error::RegistrationUnderWay(_))));
}

#[tokio::test]
async fn a_device_follows_its_own_entries_and_notices_those_of_others_by_reading() {
    let device = registered().await;
    assert_eq!(newest_audit_entry(&device), 1);
    fingerprint(&device, password()).await.unwrap();
    device.client().change_password(password(), new_password()).await.unwrap();
    assert_eq!(newest_audit_entry(&device), 4);

    record_elsewhere(&device, 1);
    fingerprint(&device, new_password()).await.unwrap();
    assert_eq!(newest_audit_entry(&device), 4, "entry 6 does not follow entry 4");
    let log = device.client().audit_log(None, new_password()).await.unwrap();
    assert_eq!((log.entries.len(), log.chain), (7, Chain::Intact));
    assert_eq!(newest_audit_entry(&device), 7);
    let actions: Vec<_> = log.entries.iter().rev().map(|entry| entry.action).collect();
    assert_eq!(actions[..2], [AuditAction::RegistrationCompleted, AuditAction::StorageKeyRetrieved]);
    assert!(log.entries.iter().all(|entry| entry.outcome == AuditOutcome::Succeeded));
}

#[tokio::test]
async fn an_altered_log_goes_on_being_reported() {
    let device = registered().await;
    record_elsewhere(&device, 5);
    assert_eq!(device.client().audit_log(None, password()).await.unwrap().chain, Chain::Intact);
    {
        let mut deployment = device.service.deployment();
        deployment.key_server.users.get_mut(ALICE).unwrap().audit_log.truncate(2);
    }
    for _ in 0..8 {
        let log = device.client().audit_log(None, password()).await.unwrap();
        assert_eq!(log.chain, Chain::Altered);
        assert_eq!(newest_audit_entry(&device), 7);
    }
}

#[tokio::test]
async fn a_log_of_another_user_is_altered() {
    let device = registered().await;
    let bob = device.another();
    bob.register("bob@localhost").await.result.unwrap();
    {
        let mut deployment = device.service.deployment();
        let of_bob = deployment.key_server.users["bob@localhost"].audit_log.clone();
        deployment.key_server.users.get_mut(ALICE).unwrap().audit_log = of_bob;
    }
    assert_eq!(device.client().audit_log(None, password()).await.unwrap().chain, Chain::Altered);
}

#[tokio::test]
async fn a_long_log_is_read_page_by_page() {
    let device = registered().await;
    // With the reading's own entry two full pages and a short one.
    record_elsewhere(&device, 448);
    let log = device.client().audit_log(None, password()).await.unwrap();
    assert_eq!((log.entries.len(), log.chain), (450, Chain::Intact));
    assert!(log.entries.windows(2).all(|pair| pair[0].sequence == pair[1].sequence + 1));
    assert_eq!(newest_audit_entry(&device), 450);

    // The reading of the later pages left entries too.
    let log = device.client().audit_log(None, password()).await.unwrap();
    assert_eq!((log.entries.len(), log.chain), (453, Chain::Intact));

    // Entries that are missing at a page's end are missed.
    device.service.deployment().key_server.users.get_mut(ALICE).unwrap().audit_log.remove(200);
    let log = device.client().audit_log(None, password()).await.unwrap();
    assert_eq!(log.chain, Chain::Altered);
}

#[tokio::test]
async fn a_log_that_does_not_hold_together_is_not_read_for_ever() {
    for (forged, pages) in [(999, 1), (700, 2), (450, 3)] {
        let device = registered().await;
        record_elsewhere(&device, 998);
        {
            let mut deployment = device.service.deployment();
            deployment.key_server.users.get_mut(ALICE).unwrap().audit_log[forged - 1].previous_hash[0] ^= 1;
        }
        let log = device.client().audit_log(None, password()).await.unwrap();
        assert_eq!((log.chain, log.entries.len()), (Chain::Altered, pages * AUDIT_PAGE_LENGTH), "{forged}");
    }
}

#[tokio::test]
async fn a_deleted_storage_key_is_gone_for_good() {
    let device = registered().await;
    assert!(matches!(device.client().delete_storage_key(new_password()).await, Err(Error::WrongPassword)));
    device.client().delete_storage_key(password()).await.unwrap();
    let gone = fingerprint(&device, password()).await.unwrap_err();
    assert_eq!(gone.urn(), ProblemType::StorageKeyDeleted.urn());
    device.client().status().unwrap();
}

#[tokio::test]
async fn a_session_answered_by_somebody_else_is_refused() {
    let device = registered().await;
    let altering = |request: &HttpRequest, response: Response| {
        Ok(if request.path.starts_with("/v1/ks/sessions/") { with_another_answer(response) } else { response })
    };
    let refused = device.client_with(device.through(altering)).storage_key(None, password()).await.unwrap_err();
    assert!(matches!(refused, Error::SessionRefused(ClientSessionError::Channel(_))), "{refused}");
    assert_eq!(refused.urn(), "urn:vestibule:client:server-answer-refused");
}

#[tokio::test]
async fn a_session_whose_opening_got_no_answer_is_opened_anew() {
    let device = registered().await;
    let requests = device.service.deployment().requests.len();
    let lost = AtomicBool::new(false);
    let losing = move |request: &HttpRequest, response: Response| {
        let is_first = request.path == "/v1/ks/sessions" && !lost.swap(true, Ordering::SeqCst);
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    device.client_with(device.through(losing)).storage_key(None, password()).await.unwrap();
    let deployment = device.service.deployment();
    let paths = deployment.requests[requests..].iter().map(|request| request.path.starts_with("/v1/ks/sessions/"));
    assert_eq!(paths.collect::<Vec<_>>(), [false, false, true]);
}

#[tokio::test]
async fn a_session_that_expired_is_none() {
    let device = registered().await;
    let clock = device.clock.clone();
    let slow = move |request: &HttpRequest, response: Response| {
        if request.path == "/v1/ks/sessions" {
            clock.advance(Duration::from_secs(60));
        }
        Ok(response)
    };
    let expired = device.client_with(device.through(slow)).storage_key(None, password()).await.unwrap_err();
    assert_eq!(expired.urn(), ProblemType::SessionUnknown.urn());
}

#[tokio::test]
async fn unlocking_wants_the_right_user_and_password() {
    let device = registered().await;
    let bob = device.another();
    bob.register("bob@localhost").await.result.unwrap();
    let head = newest_audit_entry(&device);
    std::fs::remove_file(device.home.path().join("device-key")).unwrap();
    let unlock = |name: &str, password| {
        let (options, name) = (device.options(), name.parse().unwrap());
        async move { Client::unlock(options, &name, password).await.map(drop) }
    };
    assert!(matches!(unlock(ALICE, new_password()).await, Err(Error::WrongPassword)));
    let refused = unlock("bob@localhost", password()).await;
    assert!(matches!(refused, Err(Error::Home(HomeError::AnotherStorageKey(_)))));
    assert!(!device.home.path().join("device-key").exists());
    unlock(ALICE, password()).await.unwrap();
    assert_eq!(newest_audit_entry(&device), head + 1);

    let empty = Options::new(device.another().home.path());
    assert!(matches!(Client::unlock(empty, &alice(), password()).await, Err(Error::NotRegistered)));
}

#[tokio::test]
async fn a_home_unlocks_with_the_password_of_today() {
    let device = registered().await;
    device.client().change_password(password(), new_password()).await.unwrap();
    std::fs::remove_file(device.home.path().join("device-key")).unwrap();
    assert!(matches!(Client::unlock(device.options(), &alice(), password()).await, Err(Error::WrongPassword)));
    let unlocked = Client::unlock(device.options(), &alice(), new_password()).await.unwrap();
    assert_eq!(unlocked.status().unwrap().user_name, alice());
}
