use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::*;
use crate::encoding::SecretBytes as _;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/user-secrets.json");

fn secrets(rotation: u64) -> UserSecrets {
    let rng = &mut StdRng::seed_from_u64(rotation);
    let qs_user_record_key = SigningKey::generate(rng);
    UserSecrets {
        rotation,
        qs_user_id: QsUserId::of(&qs_user_record_key.verifying_key()),
        qs_user_record_key,
        friendship_token: FriendshipToken::generate(rng),
        friendship_encryption_key: FriendshipEncryptionKey::generate(rng),
        welcome_attribution_info_key: WelcomeAttributionInfoKey::generate(rng),
        device_label_key: DeviceLabelKey::generate(rng),
    }
}

fn epoch() -> IdentityEpoch {
    IdentityEpoch { user_name: "alice@example.org".parse().unwrap(), generation: 2, epoch: 5 }
}

fn key(seed: u64) -> UserSecretsKey {
    UserSecretsKey::generate(&mut StdRng::seed_from_u64(seed))
}

fn sealed(secrets: Option<&UserSecrets>) -> Bytes {
    UserSecrets::seal(secrets, &epoch(), &key(1), &mut StdRng::seed_from_u64(9))
}

/// A key's and its epoch's answer, so that they can be compared: what was told in TLS presentation language.
fn opened(sealed: &[u8], epoch: &IdentityEpoch, key: &UserSecretsKey) -> Result<Option<Vec<u8>>, UserSecretsError> {
    let secrets = UserSecrets::open(sealed, epoch, key)?;
    Ok(secrets.map(|secrets| secrets.tls_serialize_detached().unwrap()))
}

#[test]
fn whoever_is_in_the_epoch_reads_what_was_told() {
    let told = secrets(3);
    let sealed = sealed(Some(&told));
    assert_eq!(opened(&sealed.0, &epoch(), &key(1)), Ok(Some(told.tls_serialize_detached().unwrap())));
}

#[test]
fn that_there_are_none_looks_the_same_from_outside() {
    for secrets in [None, Some(&secrets(0)), Some(&secrets(u64::MAX))] {
        assert_eq!(sealed(secrets).0.len(), ENCRYPTED_USER_SECRETS_LENGTH);
    }
    assert_eq!(opened(&sealed(None).0, &epoch(), &key(1)), Ok(None));
}

#[test]
fn no_other_key_and_no_other_epoch_opens_them() {
    let sealed = sealed(Some(&secrets(3)));
    assert_eq!(opened(&sealed.0, &epoch(), &key(2)), Err(UserSecretsError));
    for another in [
        IdentityEpoch { user_name: "bob@example.org".parse().unwrap(), ..epoch() },
        IdentityEpoch { generation: 3, ..epoch() },
        IdentityEpoch { epoch: 6, ..epoch() },
    ] {
        assert_eq!(opened(&sealed.0, &another, &key(1)), Err(UserSecretsError), "{another:?}");
    }
}

/// What somebody with the right key has sealed.
fn sealed_content(content: &[u8]) -> Vec<u8> {
    let nonce = [0; NONCE_LENGTH];
    let ciphertext = XChaCha20Poly1305::new(key(1).as_bytes().into())
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: content, aad: &epoch().associated_data() })
        .unwrap();
    [nonce.as_slice(), &ciphertext].concat()
}

#[test]
fn what_is_no_secrets_inside_is_refused() {
    let mut told = vec![1];
    told.extend(secrets(3).tls_serialize_detached().unwrap());
    assert!(opened(&sealed_content(&told), &epoch(), &key(1)).is_ok());
    let with = |position: usize, value: u8, content: &[u8]| {
        let mut content = content.to_vec();
        content[position] = value;
        content
    };
    let none = vec![0; CONTENT_LENGTH];
    let longer = [told.as_slice(), &[0]].concat();
    for content in [with(0, 2, &told), with(200, 1, &none), with(1, 1, &none), longer, told[1..].to_vec(), Vec::new()] {
        assert_eq!(opened(&sealed_content(&content), &epoch(), &key(1)), Err(UserSecretsError));
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `docs/vectors/user-secrets.json`: what another implementation checks its own with. `VESTIBULE_BLESS=1` writes it.
#[test]
fn the_vectors_of_the_user_secrets_are_current() {
    let vector = |secrets: Option<&UserSecrets>| {
        let content = secrets.map(|secrets| hex(secrets.tls_serialize_detached().unwrap()));
        json!({ "user_secrets": content, "encrypted_user_secrets": hex(sealed(secrets)) })
    };
    let IdentityEpoch { user_name, generation, epoch } = epoch();
    let vectors = json!({
        "user_name": user_name,
        "generation": generation,
        "epoch": epoch,
        "exporter_label": EXPORTER_LABEL,
        "exporter_secret": hex(key(1).to_secret_bytes()),
        "associated_data": hex(self::epoch().associated_data()),
        "vectors": [vector(None), vector(Some(&secrets(3)))],
    });
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        std::fs::write(PATH, format!("{vectors:#}\n")).unwrap();
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(written, vectors);
}

proptest! {
    #[test]
    fn altered_or_truncated_ones_are_refused(
        position in 0..ENCRYPTED_USER_SECRETS_LENGTH,
        difference in 1..=u8::MAX,
        length in 0..ENCRYPTED_USER_SECRETS_LENGTH,
    ) {
        let sealed = sealed(Some(&secrets(3))).0;
        let mut altered = sealed.clone();
        altered[position] ^= difference;
        prop_assert_eq!(opened(&altered, &epoch(), &key(1)), Err(UserSecretsError));
        prop_assert_eq!(opened(&sealed[..length], &epoch(), &key(1)), Err(UserSecretsError));
    }
}
