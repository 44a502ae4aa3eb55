//! The key ceremony: makes a deployment's keys and splits them into one document per purpose.
//!
//! Only the [`Vault`] needs a network. The root key is for a machine that has none; the documents go to Secrets Manager, the
//! public credentials and keys into `AsTable` and `QsTable`.
#![deny(missing_docs)]

mod agreement;
mod authentication_service;
mod inventory;
mod public_item;
mod queuing_service;
mod stack;
mod succession;
mod tokens;
mod vault;

pub use authentication_service::{AuthenticationServiceKeys, AuthenticationServiceKeysError, Beginning};
pub use inventory::{inventory, names};
pub use public_item::PublicItem;
pub use queuing_service::QueuingServiceKeys;
pub use stack::{Stack, StackError};
pub use succession::SuccessionError;
pub use tokens::{TokenIssuerKeys, TokenRotationError};
pub use vault::{KeyFiles, Vault, VaultError, Written};

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::dynamodb::Item;
use vestibule_backend::secret::{
    AsSigningDocument, IntermediateDocument, OpaqueDocument, QsDocument, SealingAsDocument, SealingKsDocument,
    SealingQsDocument, SealingRsDocument, SecretDocument, SecretKey, to_json,
};
use vestibule_protocol::credential::{AsCredential, AsIntermediateCredential, CredentialError};
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::keys::{AsCredentialKey, SigningKey};
use vestibule_protocol::name::Domain;
use vestibule_protocol::opaque::ServerSetup;
use vestibule_protocol::signed::Fingerprint;
use vestibule_protocol::time::Timestamp;
use vestibule_tokens::IssuerKeysDocument;
use zeroize::Zeroizing;

/// How long a new root is valid, in days: ten years.
const AS_CREDENTIAL_DAYS: u64 = 3652;
/// How long a new intermediate is valid, in days. It is replaced long before.
const AS_INTERMEDIATE_CREDENTIAL_DAYS: u64 = 365;

/// What a new deployment is made of.
pub struct Deployment {
    /// The root, for the operator's safe.
    pub root: RootDocument,
    /// The secret documents, those of the queuing service and of the issuer of tokens apart: for each, the logical id of its
    /// `AWS::SecretsManager::Secret` in `template.yaml`, its purpose and its JSON.
    pub secrets: Vec<SecretDocumentJson>,
    /// The credentials that `as-get-credentials` publishes.
    pub public_credentials: GetCredentialsResponse,
    /// What belongs to the queuing service.
    pub queuing_service: QueuingServiceKeys,
    /// What belongs to the issuer of tokens.
    pub token_issuer: TokenIssuerKeys,
    /// The root's fingerprint, for clients to pin.
    pub root_fingerprint: Fingerprint,
}

/// The purpose of every secret document, and the logical id of its secret in `template.yaml`.
pub const SECRETS: [(&str, &str); 8] = [
    (AsSigningDocument::PURPOSE, "AsSigningSecret"),
    (OpaqueDocument::PURPOSE, "OpaqueSecret"),
    (SealingAsDocument::PURPOSE, "SealingAsSecret"),
    (SealingKsDocument::PURPOSE, "SealingKsSecret"),
    (SealingRsDocument::PURPOSE, "SealingRsSecret"),
    (QsDocument::PURPOSE, "QsSecret"),
    (SealingQsDocument::PURPOSE, "SealingQsSecret"),
    (IssuerKeysDocument::PURPOSE, "TokensSecret"),
];

/// A secret document, ready to be stored.
pub struct SecretDocumentJson {
    /// The secret's logical id in `template.yaml`.
    pub logical_id: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// The document.
    pub json: Zeroizing<String>,
}

impl SecretDocumentJson {
    fn of<D: SecretDocument>(document: D) -> Self {
        let entry = SECRETS.iter().find(|(purpose, _)| *purpose == D::PURPOSE);
        let (purpose, logical_id) = *entry.expect("every purpose is in the list");
        Self { logical_id, purpose, json: to_json(document) }
    }
}

/// The root's key and credential. It never leaves the operator's machine.
#[derive(Serialize, Deserialize)]
pub struct RootDocument {
    /// The `AsCredential`.
    pub credential: Bytes,
    /// Its private key.
    #[serde(with = "secret")]
    pub signing_key: SigningKey<AsCredentialKey>,
}

impl RootDocument {
    /// The root's credential, if it is one of `domain` and valid.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verified(&self, domain: &Domain, now: Timestamp) -> Result<AsCredential, CredentialError> {
        AsCredential::verify_root(&self.credential.0, domain, now)
    }
}

impl Deployment {
    /// Makes everything that a deployment of `domain` needs, valid from today.
    pub fn generate(domain: Domain, now: Timestamp, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let root_key = SigningKey::generate(rng);
        let root = AsCredential::issue(domain, &root_key, now, AS_CREDENTIAL_DAYS);
        let intermediate_key = SigningKey::generate(rng);
        let intermediate = AsIntermediateCredential::issue(
            intermediate_key.verifying_key(),
            &root,
            &root_key,
            now,
            AS_INTERMEDIATE_CREDENTIAL_DAYS,
        );

        let as_signing = AsSigningDocument {
            as_credential: root.to_bytes(),
            intermediates: vec![IntermediateDocument {
                credential: intermediate.to_bytes(),
                signing_key: intermediate_key,
            }],
        };
        let opaque =
            OpaqueDocument { server_setup: ServerSetup::generate(rng), dummy_identifier_key: SecretKey::generate(rng) };
        let sealing_as = SealingAsDocument::generate(rng);
        let queuing_service = QueuingServiceKeys::generate(&root, &root_key, now, rng);
        let key_server_secret = key_server_secret(rng);
        let rendezvous_service_secret = rendezvous_service_secret(rng);
        Self {
            queuing_service,
            token_issuer: TokenIssuerKeys::generate(now, rng),
            root_fingerprint: root.fingerprint(),
            public_credentials: GetCredentialsResponse {
                as_credentials: vec![root.to_bytes()],
                as_intermediate_credentials: vec![intermediate.to_bytes()],
                revoked_fingerprints: Vec::new(),
            },
            secrets: vec![
                SecretDocumentJson::of(as_signing),
                SecretDocumentJson::of(opaque),
                SecretDocumentJson::of(sealing_as),
                key_server_secret,
                rendezvous_service_secret,
            ],
            root: RootDocument { credential: root.to_bytes(), signing_key: root_key },
        }
    }

    /// The item of `AsTable` that publishes the credentials.
    pub fn public_credentials_item(&self) -> Item {
        public_credentials::item(&self.public_credentials)
    }
}

/// Makes the document of the key server, which depends on no other key.
pub fn key_server_secret(rng: &mut (impl RngCore + CryptoRng)) -> SecretDocumentJson {
    SecretDocumentJson::of(SealingKsDocument::generate(rng))
}

/// Makes the document of the rendezvous service, which depends on no other key.
pub fn rendezvous_service_secret(rng: &mut (impl RngCore + CryptoRng)) -> SecretDocumentJson {
    SecretDocumentJson::of(SealingRsDocument { bucket_key: SecretKey::generate(rng) })
}
