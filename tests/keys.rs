//! What the operator does with a deployment's keys, while it runs.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::queuing_service::public_keys;
use vestibule_client::{Client, Error, Options, Password, Waiting};
use vestibule_keys::{
    AuthenticationServiceKeys, AuthenticationServiceKeysError, Beginning, Deployment, KeyFiles, PublicItem,
    QueuingServiceKeys, Stack, StackError, SuccessionError, TokenIssuerKeys, Vault, VaultError, Written, inventory,
    names,
};
use vestibule_protocol::credential::AsIntermediateCredential;
use vestibule_protocol::endpoint::{GetCredentials, GetCredentialsResponse, GetQsKeys, GetQsKeysResponse};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queuing::QsKeys;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Applicant, Call, TestCloud, json_body, left_out_in_processes};

mod uploading;

/// How often functions read their secrets anew.
const REFRESH: Duration = Duration::from_secs(5 * 60);

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn stack(cloud: &TestCloud) -> Stack {
    Stack::read(&cloud.cloud.operator().described_stack().to_string()).unwrap()
}

fn vault(cloud: &TestCloud) -> Vault {
    Vault::new(cloud.cloud.operator().environment(), stack(cloud))
}

async fn upload(cloud: &TestCloud, files: impl Into<KeyFiles>) -> Result<Vec<Written>, VaultError> {
    vault(cloud).upload(&files.into(), cloud.now()).await
}

/// The keys that the deployment starts with: they follow from a seed.
fn deployment(cloud: &TestCloud) -> Deployment {
    Deployment::generate(cloud.domain(), cloud.now(), &mut rng(TestCloud::KEY_SEED))
}

async fn secret(cloud: &TestCloud, purpose: &str) -> String {
    let files = vault(cloud).download().await.unwrap();
    files.secrets.iter().find(|secret| secret.purpose == purpose).unwrap().json.to_string()
}

async fn published(cloud: &TestCloud) -> GetCredentialsResponse {
    cloud.send(&Call::new::<GetCredentials>(&(), Vec::new())).await.success()
}

/// An intermediate made out of what is there now.
async fn rotated(
    cloud: &TestCloud,
    deployment: &Deployment,
    beginning: Beginning,
) -> Result<AuthenticationServiceKeys, AuthenticationServiceKeysError> {
    let (secret, published) = (secret(cloud, "as-signing").await, published(cloud).await);
    AuthenticationServiceKeys::rotate(&deployment.root, &secret, &published, beginning, cloud.now(), &mut rng(7))
}

/// What the deployment has: its items and secrets.
async fn everything(cloud: &TestCloud) -> (Vec<Value>, Vec<String>) {
    let secrets = vault(cloud).download().await.unwrap().secrets;
    (cloud.state().await, secrets.iter().map(|secret| secret.json.to_string()).collect())
}

#[tokio::test]
async fn a_deployment_takes_requests_when_its_keys_are_uploaded() {
    let cloud =
        TestCloud::start_afresh_with(|builder| builder.start_functions_on_demand().provision(|_| async { Ok(()) }))
            .await;
    let before = cloud.send(&Call::new::<GetCredentials>(&(), Vec::new())).await;
    assert_eq!(before.problem(), ProblemType::InternalError);
    assert!(vault(&cloud).download().await.unwrap().secrets.is_empty());

    let written = upload(&cloud, deployment(&cloud)).await.unwrap();
    assert_eq!(written.len(), 11);
    assert!(written.iter().all(|written| written.is_new));
    Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;

    // Once more, after an upload that was interrupted, say: nothing is written twice.
    let written = upload(&cloud, deployment(&cloud)).await.unwrap();
    assert!(written.iter().all(|written| !written.is_new));
    let downloaded = vault(&cloud).download().await.unwrap();
    assert_eq!((downloaded.secrets.len(), downloaded.items.len()), (8, 3));
    assert!(upload(&cloud, downloaded).await.unwrap().iter().all(|written| !written.is_new));
}

#[tokio::test]
async fn the_keys_of_another_deployment_take_the_place_of_none() {
    let cloud = TestCloud::start().await;
    let before = everything(&cloud).await;
    let other = || Deployment::generate(cloud.domain(), cloud.now(), &mut rng(99));
    let refused = upload(&cloud, other()).await.unwrap_err();
    assert!(matches!(refused, VaultError::Succession(SuccessionError::Lost { .. })), "{refused}");
    for secret in KeyFiles::from(other()).secrets {
        let files = KeyFiles { secrets: vec![secret], items: Vec::new() };
        let refused = upload(&cloud, files).await.unwrap_err();
        assert!(matches!(refused, VaultError::Succession(_)), "{refused}");
    }
    for item in KeyFiles::from(other()).items {
        let files = KeyFiles { secrets: Vec::new(), items: vec![item] };
        assert!(upload(&cloud, files).await.is_err());
    }
    assert_eq!(everything(&cloud).await, before);
}

#[tokio::test]
async fn an_intermediate_is_replaced_while_everybody_goes_on() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let (root, first) = cloud.credentials().await;
    cloud.cloud.clock().advance(250 * DAY);
    Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
    upload(&cloud, rotated(&cloud, &deployment, Beginning::InTwoDays).await.unwrap()).await.unwrap();
    let lines = inventory(&vault(&cloud).download().await.unwrap(), cloud.now()).unwrap();
    let state = |line: &String| line.rsplit("  ").next().unwrap().trim().to_owned();
    let days = ["ends in 3401 days", "begins in 1 days, ends in 366", "ends in 114 days", "ends in 114 days"];
    assert_eq!(lines.iter().map(state).collect::<Vec<_>>()[..4], days);
    assert!(lines[2].starts_with("intermediate") && lines[2].contains(&first.fingerprint().to_string()), "{lines:?}");
    let list = published(&cloud).await.as_intermediate_credentials;
    assert_eq!((list.len(), &list[1]), (2, &first.to_bytes()));
    cloud.cloud.clock().advance(REFRESH);

    // It is there, and not asked for yet. Who asks all the same is refused.
    let refused = rotated(&cloud, &deployment, Beginning::InTwoDays).await.err().unwrap();
    assert!(matches!(refused, AuthenticationServiceKeysError::NotYetBegun), "{refused}");
    assert_eq!(cloud.credentials().await.1.fingerprint(), first.fingerprint());
    Applicant::new(&cloud, "bob@localhost", 2).await.register(&cloud).await;
    let begins = cloud.now().saturating_add(2 * DAY).start_of_day();
    let second = AsIntermediateCredential::verify_chain(&list[0].0, &root, begins).unwrap();
    let mut early = Applicant::with_signer(&cloud, "early@localhost", 3, &second);
    let call = Call::new::<vestibule_protocol::endpoint::InitiateRegistration>(&(), json_body(&early.initiation()));
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::CsrValidityRefused);

    // A minute before it begins its functions read their secrets, and when it begins they have it.
    cloud.cloud.clock().advance(begins.saturating_since(cloud.now()) - Duration::from_secs(60));
    Applicant::new(&cloud, "carol@localhost", 4).await.register(&cloud).await;
    cloud.cloud.clock().advance(Duration::from_secs(60));
    let mut dave = Applicant::with_signer(&cloud, "dave@localhost", 5, &second);
    // The one before still signs, for those who have not heard of the new one.
    let mut eve = Applicant::with_signer(&cloud, "eve@localhost", 6, &first);
    for applicant in [&mut dave, &mut eve] {
        let completion = applicant.initiate(&cloud).await;
        assert_eq!(cloud.send(&applicant.finishing_call(&cloud, &completion)).await.status, 201);
    }

    // When it has ended it is still published, for its credentials are in identities; the secret loses it the next time.
    cloud.cloud.clock().advance(200 * DAY);
    let third = rotated(&cloud, &deployment, Beginning::InTwoDays).await.unwrap();
    let document = &third.secret.as_ref().unwrap().json;
    assert!(!document.contains(&json!(first.to_bytes()).to_string()) && document.contains(&json!(list[0]).to_string()));
    upload(&cloud, third).await.unwrap();
    assert_eq!(published(&cloud).await.as_intermediate_credentials[1..], list);
}

#[tokio::test]
async fn after_a_lapse_the_next_intermediate_begins_at_once() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    cloud.cloud.clock().advance(400 * DAY);
    upload(&cloud, rotated(&cloud, &deployment, Beginning::InTwoDays).await.unwrap()).await.unwrap();
    Applicant::new(&cloud, "alice@localhost", 1).await.register(&cloud).await;
}

#[tokio::test]
async fn an_intermediate_of_the_last_days_leaves_no_gap() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let (root, first) = cloud.credentials().await;
    let ends = first.payload().expiration_data.not_after;
    for (days_left, begins_in) in [(4, 2), (3, 2), (2, 0), (1, 0)] {
        let now = ends.saturating_sub(days_left * DAY);
        let (secret, published) = (secret(&cloud, "as-signing").await, published(&cloud).await);
        let keys = AuthenticationServiceKeys::rotate(
            &deployment.root,
            &secret,
            &published,
            Beginning::InTwoDays,
            now,
            &mut rng(7),
        );
        let fresh = &keys.unwrap().public_credentials.as_intermediate_credentials[0];
        let begins = now.saturating_add(begins_in * DAY);
        let fresh = AsIntermediateCredential::verify_chain(&fresh.0, &root, begins).unwrap();
        assert_eq!(fresh.payload().expiration_data.not_before, begins);
    }
}

#[tokio::test]
async fn an_intermediate_that_is_revoked_signs_nothing_and_clients_refuse_it() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let (root, first) = cloud.credentials().await;
    let mut late = Applicant::with_signer(&cloud, "late@localhost", 3, &first);
    let revoke = async |fingerprint| {
        let (secret, published) = (secret(&cloud, "as-signing").await, published(&cloud).await);
        AuthenticationServiceKeys::revoke(&secret, &published, &[fingerprint], false, cloud.now())
    };
    let refused = revoke(first.fingerprint()).await.err().unwrap();
    assert!(matches!(refused, AuthenticationServiceKeysError::NoneLeft), "{refused}");
    let refused = revoke(root.fingerprint()).await.err().unwrap();
    assert!(matches!(refused, AuthenticationServiceKeysError::Root(_)), "{refused}");

    upload(&cloud, rotated(&cloud, &deployment, Beginning::Today).await.unwrap()).await.unwrap();
    let before_revocation = vault(&cloud).download().await.unwrap();
    upload(&cloud, revoke(first.fingerprint()).await.unwrap()).await.unwrap();
    cloud.cloud.clock().advance(REFRESH);
    let call = Call::new::<vestibule_protocol::endpoint::InitiateRegistration>(&(), json_body(&late.initiation()));
    assert_eq!(cloud.send(&call).await.problem(), ProblemType::UnknownSigner);
    assert!(!secret(&cloud, "as-signing").await.contains(&json!(first.to_bytes()).to_string()));

    // Both are published, and clients take the one that is not revoked.
    let home = tempfile::tempdir().unwrap();
    let options = Options::new(home.path())
        .server(cloud.cloud.url().parse().unwrap())
        .clock(cloud.cloud.clock().clone())
        .waiting(Waiting::skipped())
        .key_packages(2);
    let password = |_| Ok(Password::new("correct horse".to_owned()));
    let user_name = "alice@localhost".parse().unwrap();
    let registered: Result<_, Error> =
        Client::open(options).unwrap().register(&user_name, "phone", password, |_| ()).await;
    assert!(registered.is_ok());

    // A revocation is not taken back by an old directory, nor does the key come back.
    let before = everything(&cloud).await;
    let refused = upload(&cloud, before_revocation).await.unwrap_err();
    assert!(matches!(refused, VaultError::Succession(SuccessionError::Lost { lost: "a revocation", .. })), "{refused}");
    assert_eq!(everything(&cloud).await, before);
}

#[tokio::test]
async fn the_credential_of_a_client_is_revoked_without_touching_a_secret() {
    let cloud = TestCloud::start().await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let fingerprint = alice.register_for_credential(&cloud).await.fingerprint();
    let secret = secret(&cloud, "as-signing").await;
    let revoke = |published: &GetCredentialsResponse| {
        AuthenticationServiceKeys::revoke(&secret, published, &[fingerprint, fingerprint], true, cloud.now()).unwrap()
    };
    let present = published(&cloud).await;
    let mistaken = AuthenticationServiceKeys::revoke(&secret, &present, &[fingerprint], false, cloud.now());
    assert!(matches!(mistaken.err(), Some(AuthenticationServiceKeysError::Unknown(unknown)) if unknown == fingerprint));
    let intermediate = cloud.credentials().await.1.fingerprint();
    let lines = names(&[intermediate, fingerprint], &present, cloud.now()).unwrap();
    assert!(lines[0].starts_with("intermediate ") && lines[0].ends_with("  ends in 364 days"), "{lines:?}");
    assert!(
        lines[1].starts_with("unknown here ") && lines[1].ends_with("taken for a client's credential"),
        "{lines:?}"
    );
    let keys = revoke(&present);
    assert!(keys.secret.is_none());
    upload(&cloud, keys).await.unwrap();
    let lines = inventory(&vault(&cloud).download().await.unwrap(), cloud.now()).unwrap();
    assert!(lines.iter().any(|line| line.contains(&fingerprint.to_string()) && line.ends_with("  revoked")));
    let revoked = published(&cloud).await.revoked_fingerprints;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].0, fingerprint.as_bytes());
    assert_eq!(revoke(&published(&cloud).await).public_credentials.revoked_fingerprints, revoked);
}

#[tokio::test]
async fn the_keys_of_the_queuing_service_are_certified_again_and_stay_the_same() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let (root, _) = cloud.credentials().await;
    let get = async || {
        let answer: GetQsKeysResponse = cloud.send(&Call::new::<GetQsKeys>(&(), Vec::new())).await.success();
        answer.qs_keys
    };
    let first = get().await;
    cloud.cloud.clock().advance(300 * DAY);
    let secret = secret(&cloud, "qs").await;
    let credentials = published(&cloud).await;
    let renewed = QueuingServiceKeys::renew(&deployment.root, &secret, &first, &credentials, cloud.now()).unwrap();
    let files = |keys: &QueuingServiceKeys| KeyFiles {
        secrets: Vec::new(),
        items: vec![(PublicItem::QsKeys, keys.public_keys_item())],
    };
    upload(&cloud, files(&renewed)).await.unwrap();
    let both = get().await;
    assert_eq!(both[1..], first);
    let verified = |index: usize| QsKeys::verify_chain(&both[index].0, &root, cloud.now());
    assert_eq!(verified(0).unwrap().payload().verifying_key, verified(1).unwrap().payload().verifying_key);
    assert_eq!(verified(0).unwrap().payload().queue_config_key, verified(1).unwrap().payload().queue_config_key);

    cloud.cloud.clock().advance(100 * DAY);
    assert!(verified(1).is_err() && verified(0).is_ok());
    let third = QueuingServiceKeys::renew(&deployment.root, &secret, &both, &credentials, cloud.now()).unwrap();
    assert_eq!(third.public_keys[1..], both[..1]);

    // Those of another deployment are neither certified beside these nor put in their place, and another root certifies none.
    let other = Deployment::generate(cloud.domain(), cloud.now(), &mut rng(99));
    let renew = |root, published: &[_]| {
        QueuingServiceKeys::renew(root, &secret, published, &credentials, cloud.now()).err().unwrap()
    };
    let refused = renew(&deployment.root, &other.queuing_service.public_keys);
    assert!(matches!(refused, AuthenticationServiceKeysError::ForeignQueuingService), "{refused}");
    let refused = renew(&other.root, &third.public_keys);
    assert!(matches!(refused, AuthenticationServiceKeysError::ForeignRoot), "{refused}");
    let refused = upload(&cloud, files(&other.queuing_service)).await.unwrap_err();
    assert!(matches!(refused, VaultError::Succession(SuccessionError::Lost { .. })), "{refused}");
}

#[tokio::test]
async fn token_keys_are_uploaded_and_none_that_is_in_use_is_lost() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    cloud.cloud.clock().advance(28 * DAY);
    let secret = secret(&cloud, "tokens").await;
    let files = |keys: TokenIssuerKeys| KeyFiles {
        items: vec![(PublicItem::TokenKeys, keys.public_keys_item())],
        secrets: vec![keys.secret],
    };
    let rotated = |seed| TokenIssuerKeys::rotate(&secret, cloud.now(), &mut rng(seed)).unwrap();
    upload(&cloud, files(rotated(1))).await.unwrap();
    let before = everything(&cloud).await;
    // A second operator who began with the same.
    let refused = upload(&cloud, files(rotated(2))).await.unwrap_err();
    assert!(matches!(refused, VaultError::Succession(SuccessionError::Lost { .. })), "{refused}");
    assert_eq!(everything(&cloud).await, before);
}

#[tokio::test]
async fn items_are_the_same_after_they_were_in_a_file() {
    let cloud = TestCloud::start().await;
    for (_, item) in vault(&cloud).download().await.unwrap().items {
        let json = item.to_dynamodb_json();
        assert!(vestibule_backend::dynamodb::Item::from_dynamodb_json(&json).unwrap() == item);
    }
    let other = vestibule_backend::dynamodb::Item::keyed("KEYS", "KEYS");
    assert!(public_credentials::read_item(&other).is_none() && public_keys::read_item(&other).is_none());
}

#[test]
fn a_description_of_something_else_is_no_stack() {
    let count = |json: Value| Stack::read(&json.to_string()).err();
    assert!(matches!(Stack::read("{").err(), Some(StackError::Malformed)));
    assert!(matches!(count(json!({"Stacks": []})), Some(StackError::Count(0))));
    assert!(matches!(count(json!({"Stacks": [{}, {}]})), Some(StackError::Count(2))));
    assert!(matches!(count(json!({"Stacks": [{"StackName": "other"}]})), Some(StackError::NoDomain)));
    let parameters = json!([{"ParameterKey": "Domain", "ParameterValue": "example.org"}]);
    let stack = Stack::read(&json!({"Stacks": [{"Parameters": parameters}]}).to_string()).unwrap();
    assert_eq!(stack.domain().to_string(), "example.org");
    assert_eq!(
        stack.secret("QsSecret").unwrap_err().to_string(),
        "the stack has no output QsSecretArn: is it one of Vestibule, and is it deployed completely?"
    );
}
