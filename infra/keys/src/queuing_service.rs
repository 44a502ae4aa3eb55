//! The keys of the queuing service. The root certifies them; nothing else ties them to the authentication service.

use rand::{CryptoRng, RngCore};
use vestibule_backend::dynamodb::Item;
use vestibule_backend::queuing_service::public_keys;
use vestibule_backend::secret::{QsDocument, SealingQsDocument, SecretKey, to_json};
use vestibule_protocol::credential::AsCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::{AsCredentialKey, HpkePrivateKey, SigningKey};
use vestibule_protocol::queuing::QsKeys;
use vestibule_protocol::time::Timestamp;

use crate::SecretDocumentJson;

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
            secrets: vec![
                SecretDocumentJson { logical_id: "QsSecret", purpose: "qs", json: to_json(qs) },
                SecretDocumentJson { logical_id: "SealingQsSecret", purpose: "sealing-qs", json: to_json(sealing_qs) },
            ],
            public_keys: vec![qs_keys.to_bytes()],
        }
    }

    /// The item of `QsTable` that publishes the keys.
    pub fn public_keys_item(&self) -> Item {
        public_keys::item(&self.public_keys)
    }
}
