use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_key_packages::{ClaimError, KeyPackageMaker, PackageError};
use vestibule_protocol::add_package::{AddPackage, KeyPackageRef};
use vestibule_protocol::credential::{ClientCredential, CredentialError};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::keys::{ClientCredentialKey, SigningKey};
use vestibule_protocol::queuing::ClaimAnswer;
use vestibule_protocol::signed::SignedError;
use vestibule_protocol::symmetric::FriendshipEncryptionKey;
use vestibule_protocol::time::{DAY, Timestamp};

use super::*;
use crate::home::Account;

/// Alice, her code, and bob, who claims with it.
async fn friends() -> (Device, FriendshipCode, Device) {
    let alice = Device::of_today();
    let bob = alice.another();
    alice.register(ALICE).await.result.unwrap();
    bob.register("bob@localhost").await.result.unwrap();
    let code = alice.client().friendship_code().unwrap();
    (alice, code, bob)
}

#[tokio::test]
async fn a_friend_sees_whose_a_claimed_package_is() {
    let (alice, code, bob) = friends().await;
    let read: FriendshipCode = code.to_text().parse().unwrap();
    let own = alice.client();
    let mut references = BTreeSet::new();
    for index in 0..KEY_PACKAGES + 2 {
        let claimed = bob.client().claim_key_packages(&read).await.unwrap();
        let [package] = claimed.as_slice() else { panic!("{claimed:?}") };
        assert_eq!(package.client_id, own.status().unwrap().client_id);
        assert_eq!(package.is_last_resort, index >= KEY_PACKAGES);
        assert_eq!(package.key_package_ref, KeyPackageRef::of(&package.key_package.0));
        assert!(own.private_key_package(&package.key_package_ref).unwrap().is_some());
        references.insert(package.key_package_ref.to_string());
    }
    assert_eq!(references.len(), KEY_PACKAGES + 1);
}

#[tokio::test]
async fn a_claim_whose_answers_are_lost_takes_no_more_than_one_package() {
    let (alice, code, bob) = friends().await;
    let losing = |request: &Request, response| {
        if request.path.ends_with("/claim") { Err(TransportError("lost".into())) } else { Ok(response) }
    };
    let refused = bob.client_with(bob.through(losing)).claim_key_packages(&code).await.unwrap_err();
    assert_eq!(refused.urn(), "urn:vestibule:client:server-unreachable");
    // However often it was sent: it was with the same token every time.
    let sent = |request: &&Request| request.path.ends_with("/claim");
    assert!(alice.service.deployment().requests.iter().filter(sent).count() > 1);
    assert_eq!(alice.published().1.len(), KEY_PACKAGES);
}

#[tokio::test]
async fn an_answer_that_is_not_the_services_to_this_claim_is_refused() {
    let (_, code, bob) = friends().await;
    let earlier = Mutex::new(None::<Response>);
    let replaying = move |request: &Request, response: Response| {
        let mut earlier = earlier.lock().unwrap();
        let is_claim = request.path.ends_with("/claim");
        Ok(if is_claim { earlier.get_or_insert(response).clone() } else { response })
    };
    let client = bob.client_with(bob.through(replaying));
    client.claim_key_packages(&code).await.unwrap();
    let replayed = client.claim_key_packages(&code).await.unwrap_err();
    assert!(matches!(replayed, Error::ClaimRefused(ClaimError::Answer(_))), "{replayed}");
    assert_eq!(replayed.urn(), "urn:vestibule:client:claimed-key-packages-refused");
    drop(client);

    let foreign_key = SigningKey::generate(&mut Randomness::system());
    bob.service.deployment().queuing.signing_key = foreign_key;
    let forged = bob.client().claim_key_packages(&code).await.unwrap_err();
    assert!(matches!(forged, Error::ClaimRefused(ClaimError::Answer(_))), "{forged}");
}

/// What is wrong with a claim for whose packages the service hands out, and signs, what `change` makes of them.
async fn refused(
    bob: &Device,
    code: &FriendshipCode,
    change: impl Fn(Vec<Bytes>) -> Vec<Bytes> + Send + Sync + 'static,
) -> ClaimError {
    let service = bob.service.clone();
    let changing = move |request: &Request, mut response: Response| {
        if request.path.ends_with("/claim") {
            let mut body: Value = serde_json::from_slice(&response.body).unwrap();
            let packages = change(serde_json::from_value(body["add_packages"].take()).unwrap());
            let hash = Sha256::digest(&request.body).into();
            let signing_key = &service.deployment().queuing.signing_key;
            body["claim_answer"] = json!(ClaimAnswer::issue(hash, &packages, signing_key).to_bytes());
            body["add_packages"] = json!(packages);
            response.body = serde_json::to_vec(&body).unwrap();
        }
        Ok(response)
    };
    match bob.client_with(bob.through(changing)).claim_key_packages(code).await {
        Err(Error::ClaimRefused(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// What only a device itself, or who has stolen from it, can make packages with.
struct Maker {
    account: Account,
    credential: ClientCredential,
}

impl Maker {
    fn of(device: &Device) -> Self {
        let account = device.account();
        let intermediate = device.service.deployment().intermediate.clone();
        let bytes = account.client_credential().unwrap();
        let credential = ClientCredential::verify_chain(&bytes.0, &intermediate, device.clock.now()).unwrap();
        Self { account, credential }
    }

    /// A package of this device for friends of the user in `code`.
    fn make(&self, client_key: &SigningKey<ClientCredentialKey>, code: &FriendshipCode, now: Timestamp) -> Bytes {
        let pseudonym = self.account.pseudonym.as_ref().unwrap();
        let maker = KeyPackageMaker {
            client_credential: &self.credential,
            client_key,
            friendship_encryption_key: &code.encryption_key,
            client_record_key: &pseudonym.client_record_key,
            push_token_key: &pseudonym.push_token_key,
            queue_config_key: &pseudonym.queue.as_ref().unwrap().decryption_key.public_key(),
        };
        maker.make(false, now, &mut Randomness::system()).unwrap().add_package
    }
}

#[tokio::test]
async fn while_the_services_keys_change_either_may_sign() {
    let (_, code, bob) = friends().await;
    let newer = {
        let deployment = bob.service.deployment();
        let payload = deployment.queuing.keys.payload();
        let key = SigningKey::generate(&mut Randomness::system()).verifying_key();
        QsKeys::issue(key, payload.queue_config_key, &deployment.root, &deployment.root_key, bob.clock.now(), 365)
    };
    let offered = json!([newer.to_bytes(), bob.service.deployment().queuing.keys.to_bytes()]);
    let options = bob.through(replacing("/v1/qs/keys", "qs_keys", offered));
    assert_eq!(bob.client_with(options).claim_key_packages(&code).await.unwrap().len(), 1);
}

#[tokio::test]
async fn packages_that_are_missing_doubled_or_damaged_are_refused() {
    let (_, code, bob) = friends().await;
    assert_eq!(refused(&bob, &code, |_| Vec::new()).await, ClaimError::Empty);
    let doubled = refused(&bob, &code, |packages| [&packages[..], &packages[..]].concat()).await;
    assert_eq!(doubled, ClaimError::ClientTwice);
    let malformed = refused(&bob, &code, |_| vec![Bytes(vec![1, 2, 3])]).await;
    assert_eq!(malformed, ClaimError::Package(PackageError::Malformed));
    // The identity is bound to the KeyPackage that it stands beside.
    let damaged = |mut packages: Vec<Bytes>| {
        packages[0].0[100] ^= 1;
        packages
    };
    assert_eq!(refused(&bob, &code, damaged).await, ClaimError::NotForThisCode);
}

#[tokio::test]
async fn a_package_under_another_code_is_refused() {
    let (_, code, bob) = friends().await;
    let encryption_key = FriendshipEncryptionKey::generate(&mut Randomness::system());
    let other_code = FriendshipCode { encryption_key, ..code };
    assert_eq!(refused(&bob, &other_code, |packages| packages).await, ClaimError::NotForThisCode);
}

#[tokio::test]
async fn a_package_of_another_user_than_the_code_names_is_refused() {
    let (_, code, bob) = friends().await;
    let bobs = Maker::of(&bob);
    let package = bobs.make(&bobs.account.client_credential_key, &code, bob.clock.now());
    let error = refused(&bob, &code, move |_| vec![package.clone()]).await;
    assert_eq!(error, ClaimError::AnotherUser("bob@localhost".parse().unwrap()));
    let mut renamed = code;
    renamed.user_name = "mallory@localhost".parse().unwrap();
    let error = refused(&bob, &renamed, |packages| packages).await;
    assert_eq!(error, ClaimError::AnotherUser(ALICE.parse().unwrap()));
}

#[tokio::test]
async fn a_package_under_a_credential_of_another_deployment_is_refused() {
    let (_, code, bob) = friends().await;
    let impostor = Device::of_deployment(2);
    impostor.register(ALICE).await.result.unwrap();
    let impostor = Maker::of(&impostor);
    let package = impostor.make(&impostor.account.client_credential_key, &code, bob.clock.now());
    let error = refused(&bob, &code, move |_| vec![package.clone()]).await;
    assert_eq!(error, ClaimError::Credential(CredentialError::UnknownSigner));
}

#[tokio::test]
async fn a_leaf_that_the_clients_key_did_not_sign_is_refused() {
    let (alice, code, bob) = friends().await;
    // Credentials are no secret; the key is.
    let own_key = SigningKey::generate(&mut Randomness::system());
    let package = Maker::of(&alice).make(&own_key, &code, bob.clock.now());
    let error = refused(&bob, &code, move |_| vec![package.clone()]).await;
    assert_eq!(error, ClaimError::Credential(CredentialError::Signed(SignedError::SignatureInvalid)));
}

#[tokio::test]
async fn a_key_package_with_the_identity_of_another_is_refused() {
    let (alice, code, bob) = friends().await;
    let packages = alice.published().1;
    let [first, second] = [0, 1].map(|index| AddPackage::from_bytes(&packages[index].0).unwrap());
    let identity = first.open(&code.encryption_key).unwrap();
    let key = &code.encryption_key;
    let mixed = AddPackage::seal(second.key_package().to_vec(), &identity, key, &mut Randomness::system()).unwrap();
    let error = refused(&bob, &code, move |_| vec![mixed.to_bytes()]).await;
    assert_eq!(error, ClaimError::Credential(CredentialError::Signed(SignedError::SignatureInvalid)));
}

#[tokio::test]
async fn an_expired_package_is_refused() {
    let (_, code, bob) = friends().await;
    bob.clock.advance(85 * DAY);
    let mut deployment = bob.service.deployment();
    deployment.tokens.replace_keys(bob.clock.now(), &mut StdRng::seed_from_u64(9));
    deployment.tokens.forget_everybody();
    drop(deployment);
    assert_eq!(refused(&bob, &code, |packages| packages).await, ClaimError::Package(PackageError::Expired));
}

#[tokio::test]
async fn a_revoked_clients_package_is_refused() {
    let (alice, code, bob) = friends().await;
    let fingerprint = Maker::of(&alice).credential.fingerprint();
    let revoked = json!([Bytes(fingerprint.as_bytes().to_vec())]);
    let options = bob.through(replacing("/v1/as/credentials", "revoked_fingerprints", revoked));
    let error = bob.client_with(options).claim_key_packages(&code).await.unwrap_err();
    assert!(matches!(error, Error::ClaimRefused(ClaimError::Revoked)), "{error}");
}

#[tokio::test]
async fn a_code_of_another_deployment_costs_no_package() {
    let (alice, mut code, bob) = friends().await;
    code.user_name = "alice@example.org".parse().unwrap();
    let error = bob.client().claim_key_packages(&code).await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:foreign-domain");
    assert_eq!(alice.published().1.len(), KEY_PACKAGES + 1);
}
