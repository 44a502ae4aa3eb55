//! The stage that stores the storage key.

use rand::{CryptoRng, RngCore};
use vestibule_protocol::encoding::encode;
use vestibule_protocol::key_server::{Chain, StorageKey};
use vestibule_protocol::randomness::Randomness;

use super::*;
use crate::home::Home;
use crate::testing::{PASSWORD, password};

/// Registers until the storage key is stored, which this device never learns.
async fn interrupt_after_storing(device: &Device) {
    let losing = |request: &Request, response| {
        let is_use = request.path.starts_with("/v1/ks/sessions/");
        if is_use { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    let outcome = device.register_with(ALICE, device.through(losing)).await;
    assert!(outcome.error().starts_with("no answer from"), "{}", outcome.error());
}

fn encrypted_storage_key(device: &Device) -> Vec<u8> {
    device.service.deployment().key_server.users[ALICE].encrypted_storage_key.clone().unwrap()
}

#[tokio::test]
async fn a_registration_asks_once_for_a_password_and_stores_a_storage_key() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    assert_eq!(device.passwords_asked(), [PasswordUse::New]);
    assert_eq!(encrypted_storage_key(&device).len(), 82);
    device.client().storage_key(None, password()).await.unwrap();
    device.assert_storage_key_opens_the_home().await;
}

#[tokio::test]
async fn the_opening_is_signed_by_the_client_and_the_use_is_not() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let deployment = device.service.deployment();
    let signed: Vec<_> = deployment
        .requests
        .iter()
        .filter(|request| request.path.starts_with("/v1/ks/"))
        .map(|request| request.headers.iter().any(|(name, _)| *name == "signature"))
        .collect();
    assert_eq!(signed, [true, false]);
}

#[tokio::test]
async fn a_registration_resumed_before_its_storage_key_is_stored_asks_for_the_password() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    let outcome = device.register(ALICE).await;
    assert_eq!(outcome.progress[..2], [(Stage::Finish, StageState::Resumed), (Stage::Finish, StageState::Done)]);
    assert_eq!(device.passwords_asked(), [PasswordUse::New, PasswordUse::Current]);
}

#[tokio::test]
async fn a_registration_resumed_after_its_storage_key_is_stored_asks_for_nothing() {
    let device = Device::new();
    let unplugged =
        |request: &Request| request.path.starts_with("/v1/qs/users").then(|| Err(TransportError("unplugged".into())));
    device.register_with(ALICE, device.instead(unplugged)).await.result.unwrap_err();
    let outcome = device.register(ALICE).await;
    assert_eq!(outcome.progress[0], (Stage::QueuingService, StageState::Resumed));
    assert_eq!(device.passwords_asked(), [PasswordUse::New]);
}

#[tokio::test]
async fn a_lost_answer_is_got_again_with_the_same_request() {
    let device = Device::new();
    let lost = AtomicBool::new(false);
    let losing = move |request: &Request, response| {
        let is_first = request.path.starts_with("/v1/ks/sessions/") && !lost.swap(true, Ordering::SeqCst);
        if is_first { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    device.register_with(ALICE, device.through(losing)).await.result.unwrap();
    let deployment = device.service.deployment();
    let bodies: Vec<_> =
        deployment.requests.iter().filter(|request| request.path.starts_with("/v1/ks/sessions/")).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!((&bodies[0].path, &bodies[0].body), (&bodies[1].path, &bodies[1].body));
    assert_eq!(deployment.key_server.users[ALICE].audit_log.len(), 1);
}

#[tokio::test]
async fn a_storage_key_that_was_stored_unnoticed_is_retrieved_and_not_replaced() {
    let device = Device::new();
    interrupt_after_storing(&device).await;
    let stored = encrypted_storage_key(&device);
    let outcome = device.register(ALICE).await;
    outcome.result.unwrap();
    assert_eq!(outcome.progress[0], (Stage::KeyServer, StageState::Resumed));
    assert_eq!(encrypted_storage_key(&device), stored);
    device.assert_storage_key_opens_the_home().await;
    // The entry that this device missed is part of the log that it reads.
    let log = device.client().audit_log(None, password()).await.unwrap();
    assert_eq!(log.chain, Chain::Intact);
}

#[tokio::test]
async fn a_wrong_password_does_not_complete_a_registration() {
    let device = Device::new();
    interrupt_after_storing(&device).await;
    for _ in 0..2 {
        let outcome = device.register_with_password(ALICE, "wrong", device.options()).await;
        let error = outcome.result.unwrap_err();
        assert!(matches!(error, Error::WrongPassword), "{error}");
        assert_eq!(error.to_string(), "the password is wrong, or there is no such user");
        assert_eq!(error.urn(), "urn:vestibule:client:wrong-password");
    }
    assert!(device.account().key_server.is_none());
    device.register(ALICE).await.result.unwrap();
}

#[tokio::test]
async fn an_account_of_before_there_was_a_key_server_gets_its_storage_key() {
    let device = Device::new();
    let first = device.register(ALICE).await.result.unwrap();
    let home = Home::open(device.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
    home.store_version(2);
    device.service.deployment().identities.clear();
    device.service.deployment().key_server.users.get_mut(ALICE).unwrap().encrypted_storage_key = None;
    assert_eq!(device.client().status().unwrap().client_id, first.client_id);
    device.assert_private_parts_are_kept();

    let outcome = device.register(ALICE).await;
    assert_eq!(outcome.result.unwrap(), first);
    let stages: Vec<_> = outcome.progress.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [Stage::Identity, Stage::Identity, Stage::KeyServer, Stage::KeyServer]);
    assert_eq!(device.passwords_asked(), [PasswordUse::New, PasswordUse::Current]);
    device.assert_storage_key_opens_the_home().await;
    device.assert_private_parts_are_kept();
}

/// Whatever is on disk at whatever point, opened or not: nothing of what only the password gives is there.
#[tokio::test]
async fn neither_password_nor_storage_key_is_ever_on_disk() {
    let device = Device::new();
    device.register_with(ALICE, device.options().randomness(Randomness::seeded(SEED))).await.result.unwrap();
    let storage_key = device.client().storage_key(None, password()).await.unwrap();
    let secrets = [PASSWORD.as_bytes().to_vec(), bytes_drawn_for(&storage_key)];
    let secrets: Vec<_> = secrets.into_iter().flat_map(|secret| [encode(&secret).into_bytes(), secret]).collect();

    for points in 0.. {
        let device = Device::new();
        let options = device.options().randomness(Randomness::seeded(SEED)).fuse(Fuse::after(points));
        let is_done = device.register_with(ALICE, options).await.result.is_ok();
        for (name, contents) in contents_of_the_home(&device) {
            for secret in &secrets {
                let is_there = contents.windows(secret.len()).any(|window| window == secret);
                assert!(!is_there, "in {name} at point {points}");
            }
        }
        if is_done {
            let same = device.client().storage_key(None, password()).await.unwrap();
            assert_eq!(same.fingerprint(), storage_key.fingerprint());
            return;
        }
    }
}

/// The seed of the client's randomness.
const SEED: u64 = 7;

/// Every file as it is, and what those that are sealed hold.
fn contents_of_the_home(device: &Device) -> Vec<(String, Vec<u8>)> {
    let paths = std::fs::read_dir(device.home.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut contents: Vec<_> = paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect();
    if device.home.path().join("state").exists() {
        let home = Home::open(device.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
        contents.extend(home.opened_files());
    }
    contents
}

/// The storage key's bytes, which it does not give: found where it was drawn from.
fn bytes_drawn_for(storage_key: &StorageKey) -> Vec<u8> {
    /// Gives the bytes that it was made with.
    struct Drawn<'a>(&'a [u8]);

    impl RngCore for Drawn<'_> {
        fn next_u32(&mut self) -> u32 {
            unreachable!("a storage key is drawn as bytes")
        }

        fn next_u64(&mut self) -> u64 {
            unreachable!("a storage key is drawn as bytes")
        }

        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.copy_from_slice(self.0);
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
            self.fill_bytes(bytes);
            Ok(())
        }
    }

    impl CryptoRng for Drawn<'_> {}

    let mut stream = vec![0; 16 * 1024];
    Randomness::seeded(SEED).fill_bytes(&mut stream);
    let mut candidates = stream.windows(32).step_by(4);
    let drawn =
        candidates.find(|bytes| StorageKey::generate(&mut Drawn(bytes)).fingerprint() == storage_key.fingerprint());
    drawn.expect("it was drawn from this stream").to_vec()
}
