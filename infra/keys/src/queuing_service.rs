//! The keys of the queuing service. The root certifies them; nothing else ties them to the authentication service.

use rand::{CryptoRng, RngCore};
use vestibule_backend::dynamodb::Item;
use vestibule_backend::queuing_service::public_keys;
use vestibule_backend::secret::{QsDocument, SealingQsDocument, SecretKey, read_document};
use vestibule_protocol::credential::AsCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::keys::{AsCredentialKey, HpkePrivateKey, SigningKey};
use vestibule_protocol::queuing::{QsKeys, QsKeysPayload};
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::{ExpirationData, Timestamp};

use crate::{AuthenticationServiceKeysError, RootDocument, SecretDocumentJson};

/// How long new keys of the queuing service are certified for, in days.
const QS_KEYS_DAYS: u64 = 365;

/// What the queuing service of a deployment needs.
pub struct QueuingServiceKeys {
    /// Its secret documents.
    pub secrets: Vec<SecretDocumentJson>,
    /// The `QsKeys` that `qs-get-keys` publishes.
    pub public_keys: Vec<Bytes>,
}

impl QueuingServiceKeys {
    /// Makes the keys and certifies them with the root, from today on.
    pub fn generate(
        root: &AsCredential,
        root_key: &SigningKey<AsCredentialKey>,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Self {
        let qs = QsDocument { signing_key: SigningKey::generate(rng), queue_config_key: HpkePrivateKey::generate(rng) };
        let sealing_qs = SealingQsDocument { bucket_key: SecretKey::generate(rng) };
        let (verifying_key, queue_config_key) = (qs.signing_key.verifying_key(), qs.queue_config_key.public_key());
        let qs_keys = QsKeys::issue(verifying_key, queue_config_key, root, root_key, now, QS_KEYS_DAYS);
        Self {
            secrets: vec![SecretDocumentJson::of(qs), SecretDocumentJson::of(sealing_qs)],
            public_keys: vec![qs_keys.to_bytes()],
        }
    }

    /// Certifies the keys in the secret document `qs` for another year, from today on, and adds that to what is published.
    /// The keys stay: KeyPackages that are waiting to be claimed have queue configs under them. The root must be the one that
    /// `credentials` publishes: that of another deployment would certify keys that no client takes.
    ///
    /// # Errors
    /// [`AuthenticationServiceKeysError`].
    pub fn renew(
        root: &RootDocument,
        secret: &str,
        published: &[Bytes],
        credentials: &GetCredentialsResponse,
        now: Timestamp,
    ) -> Result<Self, AuthenticationServiceKeysError> {
        use AuthenticationServiceKeysError as Error;
        let qs = read_document::<QsDocument>(secret).map_err(Error::Unreadable)?;
        let credential = root.checked(now)?;
        if !credentials.as_credentials.contains(&root.credential) {
            return Err(Error::ForeignRoot);
        }
        let (verifying_key, queue_config_key) = (qs.signing_key.verifying_key(), qs.queue_config_key.public_key());
        let fresh = QsKeys::issue(verifying_key, queue_config_key, &credential, &root.signing_key, now, QS_KEYS_DAYS)
            .to_bytes();
        QsKeys::verify_chain(&fresh.0, &credential, now).map_err(|_| Error::RootEnds)?;
        let kept: Vec<&Bytes> = published.iter().filter(|keys| **keys != fresh && is_in_use(keys, now)).collect();
        let is_own = |keys: &&Bytes| {
            keys_under(keys, &credential).is_some_and(|keys| keys.payload().verifying_key == verifying_key)
        };
        if !kept.iter().all(is_own) {
            return Err(Error::ForeignQueuingService);
        }
        Ok(Self { secrets: Vec::new(), public_keys: [&fresh].into_iter().chain(kept).cloned().collect() })
    }

    /// The item of `QsTable` that publishes the keys.
    pub fn public_keys_item(&self) -> Item {
        public_keys::item(&self.public_keys)
    }
}

/// Whether keys have not ended, by their own account.
pub(crate) fn is_in_use(keys: &Bytes, now: Timestamp) -> bool {
    validity_of(keys).is_some_and(|validity| now < validity.not_after)
}

/// When keys are valid, by their own account.
pub(crate) fn validity_of(keys: &Bytes) -> Option<ExpirationData> {
    Some(Unverified::<QsKeysPayload>::from_bytes(&keys.0).ok()?.claim().expiration_data)
}

/// Decodes keys that this root certifies, whenever they are valid.
pub(crate) fn keys_under(keys: &Bytes, root: &AsCredential) -> Option<QsKeys> {
    QsKeys::verify_chain(&keys.0, root, validity_of(keys)?.not_before).ok()
}
