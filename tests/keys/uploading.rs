//! What an upload refuses before it writes, and how one that was interrupted or crossed another is completed.

use vestibule_backend::dynamodb::Item;
use vestibule_backend::secret::{AsSigningDocument, read_document, to_json};
use vestibule_protocol::name::Domain;
use vestibule_protocol::time::Timestamp;

use super::*;

async fn empty_cloud() -> TestCloud {
    TestCloud::start_afresh_with(|builder| builder.start_functions_on_demand().provision(|_| async { Ok(()) })).await
}

/// The keys a deployment starts with, with one of another deployment among them.
fn mixed(cloud: &TestCloud, alter: impl FnOnce(&mut KeyFiles, KeyFiles)) -> KeyFiles {
    let mut files = KeyFiles::from(deployment(cloud));
    alter(&mut files, Deployment::generate(cloud.domain(), cloud.now(), &mut rng(99)).into());
    files
}

fn with_item(kind: PublicItem) -> impl FnOnce(&mut KeyFiles, KeyFiles) {
    move |files, other| {
        files.items.retain(|(one, _)| *one != kind);
        files.items.extend(other.items.into_iter().filter(|(one, _)| *one == kind));
    }
}

fn with_secret(purpose: &'static str) -> impl FnOnce(&mut KeyFiles, KeyFiles) {
    move |files, other| {
        files.secrets.retain(|one| one.purpose != purpose);
        files.secrets.extend(other.secrets.into_iter().filter(|one| one.purpose == purpose));
    }
}

/// The document `as-signing` in `files` with the private key of another in its place.
fn with_foreign_private_key(files: &mut KeyFiles, other: KeyFiles) {
    let document = |files: &KeyFiles| read_document::<AsSigningDocument>(files.secret("as-signing").unwrap()).unwrap();
    let (mut own, mut foreign) = (document(files), document(&other));
    std::mem::swap(&mut own.intermediates[0].signing_key, &mut foreign.intermediates[0].signing_key);
    files.secrets.iter_mut().find(|secret| secret.purpose == "as-signing").unwrap().json = to_json(own);
}

async fn credentials_item(cloud: &TestCloud) -> Item {
    vault(cloud).download().await.unwrap().item(PublicItem::Credentials).unwrap().clone()
}

fn only(kind: PublicItem, item: Item) -> KeyFiles {
    KeyFiles { secrets: Vec::new(), items: vec![(kind, item)] }
}

async fn attentions(cloud: &TestCloud) -> Vec<String> {
    let lines = inventory(&vault(cloud).download().await.unwrap(), cloud.now()).unwrap();
    lines.into_iter().filter(|line| line.starts_with("attention: ")).collect()
}

#[tokio::test]
async fn a_first_upload_of_what_does_not_belong_together_writes_nothing() {
    let cloud = empty_cloud().await;
    let foreign_domain: Domain = "example.org".parse().unwrap();
    let later = cloud.now().saturating_add(2 * DAY);
    let alone = |purpose| {
        let mut files = KeyFiles::from(deployment(&cloud));
        files.secrets.retain(|secret| secret.purpose == purpose);
        KeyFiles { items: Vec::new(), ..files }
    };
    let wrong: [(KeyFiles, &str); 9] = [
        (
            Deployment::generate(foreign_domain, cloud.now(), &mut rng(1)).into(),
            "as-signing is of no use: its AS credential is not valid for this domain and time",
        ),
        (
            Deployment::generate(cloud.domain(), later, &mut rng(1)).into(),
            "as-signing is of no use: its AS credential is not valid for this domain and time",
        ),
        (
            mixed(&cloud, with_item(PublicItem::Credentials)),
            "credentials-item does not belong to its secret: it does not have the root of the secret as-signing",
        ),
        (
            mixed(&cloud, with_secret("as-signing")),
            "credentials-item does not belong to its secret: it does not have the root of the secret as-signing",
        ),
        (
            mixed(&cloud, with_item(PublicItem::QsKeys)),
            "qs-keys-item does not belong to its secret: it has keys that are not certified by the published root",
        ),
        (
            mixed(&cloud, with_secret("qs")),
            "qs-keys-item does not belong to its secret: it has keys that are not those of the secret qs",
        ),
        (
            mixed(&cloud, with_secret("tokens")),
            "token-keys-item does not belong to its secret: it lacks a key of the secret tokens: rotate-tokens with what \
             is there now writes one that has it",
        ),
        (
            mixed(&cloud, with_foreign_private_key),
            "as-signing is of no use: an intermediate's private key is not its credential's",
        ),
        (alone("qs"), "qs alone is of no use: qs-keys-item.json is neither here nor in the deployment"),
    ];
    for (files, reason) in wrong {
        let refused = upload(&cloud, files).await.unwrap_err();
        assert_eq!(refused.to_string(), reason);
        assert!(vault(&cloud).download().await.unwrap().is_empty());
    }
    upload(&cloud, deployment(&cloud)).await.unwrap();
    assert_eq!(attentions(&cloud).await, [""; 0]);
}

#[tokio::test]
async fn a_replacement_that_functions_could_not_use_is_refused() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    cloud.cloud.clock().advance(400 * DAY);
    // Made on a machine whose clock is wrong: nothing would be valid until it begins.
    let (secret, published) = (secret(&cloud, "as-signing").await, published(&cloud).await);
    let rotated = |now: Timestamp| {
        let root = &deployment.root;
        AuthenticationServiceKeys::rotate(root, &secret, &published, Beginning::Today, now, &mut rng(7)).unwrap()
    };
    let before = everything(&cloud).await;
    let refused = upload(&cloud, rotated(cloud.now().saturating_add(2 * DAY))).await.unwrap_err();
    assert_eq!(refused.to_string(), "as-signing is of no use: it has no intermediate that is valid now");
    assert_eq!(everything(&cloud).await, before);
    upload(&cloud, rotated(cloud.now())).await.unwrap();
}

#[tokio::test]
async fn an_interrupted_upload_of_an_intermediate_is_completed_by_a_fresh_rotation() {
    left_out_in_processes!("it moves the clock");
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let lost = rotated(&cloud, &deployment, Beginning::InTwoDays).await.unwrap();
    let document = lost.secret.unwrap();
    cloud.cloud.secrets().put(document.logical_id, &document.json).unwrap();
    assert_eq!(attentions(&cloud).await.len(), 1);
    // What is public alone cannot be revoked down to an intermediate that nobody knows.
    let first = cloud.credentials().await.1;
    let refused = AuthenticationServiceKeys::revoke(
        &document.json,
        &published(&cloud).await,
        &[first.fingerprint()],
        false,
        cloud.now().saturating_add(3 * DAY),
    );
    assert!(matches!(refused.err(), Some(AuthenticationServiceKeysError::NoneLeft)));

    // A revocation does not wait for the root key: it publishes what is missing as well.
    let (present, client) = (published(&cloud).await, [[7; 32].into()]);
    let revoked = AuthenticationServiceKeys::revoke(&document.json, &present, &client, true, cloud.now()).unwrap();
    assert_eq!(
        revoked.public_credentials.as_intermediate_credentials,
        lost.public_credentials.as_intermediate_credentials
    );

    let keys = rotated(&cloud, &deployment, Beginning::InTwoDays).await.unwrap();
    assert!(keys.secret.is_none());
    upload(&cloud, keys).await.unwrap();
    assert_eq!(published(&cloud).await, lost.public_credentials);
    assert_eq!(attentions(&cloud).await, [""; 0]);
    let refused = rotated(&cloud, &deployment, Beginning::InTwoDays).await.err().unwrap();
    assert!(matches!(refused, AuthenticationServiceKeysError::NotYetBegun), "{refused}");
}

#[tokio::test]
async fn an_interrupted_upload_of_a_token_key_is_completed_by_a_fresh_rotation() {
    let cloud = TestCloud::start().await;
    let now = cloud.now();
    let before = secret(&cloud, "tokens").await;
    let lost = TokenIssuerKeys::rotate(&before, now, &mut rng(1)).unwrap();
    cloud.cloud.secrets().put(lost.secret.logical_id, &lost.secret.json).unwrap();
    assert_eq!(attentions(&cloud).await.len(), 1);
    let files = vault(&cloud).download().await.unwrap();
    let present = secret(&cloud, "tokens").await;
    assert!(TokenIssuerKeys::rotate(&present, now, &mut rng(2)).is_err());
    let keys = TokenIssuerKeys::unpublished(&present, files.item(PublicItem::TokenKeys), now).unwrap().unwrap();
    assert_eq!(keys.public_keys, lost.public_keys);
    let item = keys.public_keys_item();
    upload(&cloud, only(PublicItem::TokenKeys, item.clone())).await.unwrap();
    assert_eq!(attentions(&cloud).await, [""; 0]);
    assert!(TokenIssuerKeys::unpublished(&present, Some(&item), now).unwrap().is_none());
}

#[tokio::test]
async fn of_operators_who_upload_at_once_one_succeeds_and_secret_and_item_agree() {
    let cloud = TestCloud::start().await;
    let before = secret(&cloud, "tokens").await;
    let attempt = async |seed| {
        let keys = TokenIssuerKeys::rotate(&before, cloud.now(), &mut rng(seed)).unwrap();
        let items = vec![(PublicItem::TokenKeys, keys.public_keys_item())];
        upload(&cloud, KeyFiles { secrets: vec![keys.secret], items }).await
    };
    let outcomes = tokio::join!(attempt(1), attempt(2), attempt(3));
    let outcomes = [outcomes.0, outcomes.1, outcomes.2];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for refused in outcomes.into_iter().filter_map(Result::err) {
        match refused {
            VaultError::Succession(SuccessionError::Lost { .. }) => {}
            VaultError::Interrupted { written, left, reason } => {
                assert!(matches!(*reason, VaultError::Changed(_)), "{reason}");
                assert_eq!((written.len(), left.len()), (0, 2));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(attentions(&cloud).await, [""; 0]);
}

#[tokio::test]
async fn a_rotation_that_crosses_a_revocation_is_completed_and_loses_neither() {
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let fingerprint = alice.register_for_credential(&cloud).await.fingerprint();
    let revoked = async || {
        let (document, present) = (secret(&cloud, "as-signing").await, published(&cloud).await);
        AuthenticationServiceKeys::revoke(&document, &present, &[fingerprint], true, cloud.now()).unwrap()
    };
    let rotated = async || rotated(&cloud, &deployment, Beginning::InTwoDays).await.unwrap();
    let (revocation, rotation) = (revoked().await, rotated().await);
    let (revocation, rotation) = tokio::join!(upload(&cloud, revocation), upload(&cloud, rotation));
    assert!(revocation.is_ok() || rotation.is_ok());
    // Who was second, wherever the first came between, is told so and begins again.
    for refused in [&revocation, &rotation].into_iter().filter_map(|outcome| outcome.as_ref().err()) {
        match refused {
            VaultError::Succession(SuccessionError::Lost { .. } | SuccessionError::Disagreement { .. }) => {}
            VaultError::Interrupted { left, reason, .. } => {
                assert!(matches!(**reason, VaultError::Changed(_)), "{reason}");
                assert_eq!(*left, ["AsTable, credentials-item.json"]);
            }
            other => panic!("{other}"),
        }
    }
    if revocation.is_err() {
        upload(&cloud, revoked().await).await.unwrap();
    }
    if rotation.is_err() {
        upload(&cloud, rotated().await).await.unwrap();
    }
    let after = published(&cloud).await;
    assert_eq!(after.as_intermediate_credentials.len(), 2);
    assert_eq!(after.revoked_fingerprints[0].0, fingerprint.as_bytes());
    assert_eq!(attentions(&cloud).await, [""; 0]);
}

#[tokio::test]
async fn an_old_item_does_not_take_the_place_of_one_that_was_lost() {
    let cloud = TestCloud::start().await;
    let deployment = deployment(&cloud);
    let (_, first) = cloud.credentials().await;
    let old = credentials_item(&cloud).await;
    upload(&cloud, rotated(&cloud, &deployment, Beginning::Today).await.unwrap()).await.unwrap();
    let rotated_item = credentials_item(&cloud).await;
    let (document, present) = (secret(&cloud, "as-signing").await, published(&cloud).await);
    let fingerprints = [first.fingerprint()];
    let revoked = AuthenticationServiceKeys::revoke(&document, &present, &fingerprints, false, cloud.now()).unwrap();
    upload(&cloud, revoked).await.unwrap();
    let newest = credentials_item(&cloud).await;

    let environment = cloud.cloud.operator().environment();
    let described = stack(&cloud);
    let table = described.table("AsTable").unwrap();
    let key = Some(PublicItem::Credentials.key().into());
    environment.dynamodb().delete_item().table_name(table).set_key(key).send().await.unwrap();
    for item in [old, rotated_item] {
        let refused = upload(&cloud, only(PublicItem::Credentials, item)).await.unwrap_err();
        assert!(matches!(refused, VaultError::Succession(SuccessionError::Disagreement { .. })), "{refused}");
    }
    upload(&cloud, only(PublicItem::Credentials, newest.clone())).await.unwrap();
    assert!(credentials_item(&cloud).await == newest);
}

#[tokio::test]
async fn a_download_for_one_purpose_leaves_the_other_secrets_where_they_are() {
    let cloud = TestCloud::start().await;
    let purposes = async |wanted: &[&str]| {
        let files = vault(&cloud).download_for(wanted).await.unwrap();
        assert_eq!(files.items.len(), 3);
        files.secrets.iter().map(|secret| secret.purpose).collect::<Vec<_>>()
    };
    assert_eq!(purposes(&["tokens"]).await, ["tokens"]);
    assert_eq!(purposes(&["qs", "as-signing"]).await, ["as-signing", "qs"]);
    assert_eq!(purposes(&[]).await, [""; 0]);
}

#[test]
fn when_two_token_keys_are_in_use_the_day_is_named_on_which_one_ends() {
    let now = Timestamp::from_seconds(1_800_000_000);
    let first = TokenIssuerKeys::generate(now, &mut rng(1));
    let second = TokenIssuerKeys::rotate(&first.secret.json, now, &mut rng(2)).unwrap();
    let refused = TokenIssuerKeys::rotate(&second.secret.json, now, &mut rng(3)).err().unwrap();
    assert_eq!(refused.to_string(), "two token keys are in use until 2027-03-12: rotate after that");
}

#[test]
fn an_item_that_cannot_be_read_is_told_of() {
    for kind in PublicItem::ALL {
        let item = Item::from_dynamodb_json(&json!({"pk": {"S": "-"}})).unwrap();
        let files = KeyFiles { items: vec![(kind, item)], ..KeyFiles::default() };
        let lines = inventory(&files, Timestamp::now()).unwrap();
        assert!(
            lines.len() == 1 && lines[0].starts_with("attention: ") && lines[0].ends_with(" cannot be read"),
            "{lines:?}"
        );
    }
}
