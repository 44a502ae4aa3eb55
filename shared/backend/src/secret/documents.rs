//! The secret documents, and what they become in memory.

use std::marker::PhantomData;

use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vestibule_protocol::credential::{AsCredential, AsIntermediateCredential, AsIntermediateCredentialPayload};
use vestibule_protocol::encoding::{Bytes, SecretBytes, secret};
use vestibule_protocol::keys::{AsIntermediateCredentialKey, HpkePrivateKey, QsSigningKey, SigningKey};
use vestibule_protocol::name::Domain;
use vestibule_protocol::opaque::ServerSetup;
use vestibule_protocol::signed::{Fingerprint, Unverified};
use vestibule_protocol::time::Timestamp;
use vestibule_tokens::{IssuerKeys, IssuerKeysDocument};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SecretDocument;
use crate::authentication_service::passwords::UnknownUsers;
use crate::keyed_hash::keyed_hash;
use crate::metrics::Metric;
use crate::rate_limit::BucketKey;
use crate::sealing::{SealingKey, SealingKeys};

/// A symmetric key in a document: 32 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }
}

impl SecretBytes for SecretKey {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The document `as-signing`.
#[derive(Serialize, Deserialize)]
pub struct AsSigningDocument {
    /// The deployment's `AsCredential`, so that a function can check its intermediates.
    pub as_credential: Bytes,
    /// The intermediates that sign, newest first.
    pub intermediates: Vec<IntermediateDocument>,
}

/// An intermediate in the document `as-signing`.
#[derive(Serialize, Deserialize)]
pub struct IntermediateDocument {
    /// The `AsIntermediateCredential`.
    pub credential: Bytes,
    /// Its private key.
    #[serde(with = "secret")]
    pub signing_key: SigningKey<AsIntermediateCredentialKey>,
}

/// The AS's intermediates, checked.
pub struct AsSigning(Vec<IntermediateSigner>);

/// An intermediate and its private key.
pub struct IntermediateSigner {
    /// The credential.
    pub credential: AsIntermediateCredential,
    /// Its private key.
    pub signing_key: SigningKey<AsIntermediateCredentialKey>,
}

impl AsSigning {
    /// The intermediate with this fingerprint.
    pub fn signer(&self, fingerprint: &Fingerprint) -> Option<&IntermediateSigner> {
        self.0.iter().find(|signer| signer.credential.fingerprint() == *fingerprint)
    }
}

impl SecretDocument for AsSigningDocument {
    const PURPOSE: &'static str = "as-signing";
    type Secret = AsSigning;

    fn open(self, domain: &Domain, now: Timestamp) -> Result<AsSigning, &'static str> {
        let root = AsCredential::verify_root(&self.as_credential.0, domain, now)
            .map_err(|_| "its AS credential is not valid for this domain and time")?;
        let mut signers = Vec::new();
        for intermediate in self.intermediates {
            // One that has expired is left out, so that the others go on. One that has not begun is kept: when it does, it is
            // asked for at once, and the document may have been read a while before.
            let Some(credential) = verify_current_or_coming(&intermediate.credential, &root, now) else { continue };
            if credential.payload().verifying_key != intermediate.signing_key.verifying_key() {
                return Err("an intermediate's private key is not its credential's");
            }
            signers.push(IntermediateSigner { credential, signing_key: intermediate.signing_key });
        }
        let is_valid_now = |signer: &IntermediateSigner| signer.credential.payload().expiration_data.contains(now);
        if signers.iter().any(is_valid_now) {
            Ok(AsSigning(signers))
        } else {
            Err("it has no intermediate that is valid now")
        }
    }

    fn end(secret: &AsSigning) -> Option<(Metric, Timestamp)> {
        let ends = secret.0.iter().map(|signer| signer.credential.payload().expiration_data.not_after);
        ends.max().map(|end| (Metric::IntermediateDaysLeft, end))
    }
}

fn verify_current_or_coming(bytes: &Bytes, root: &AsCredential, now: Timestamp) -> Option<AsIntermediateCredential> {
    let claimed = Unverified::<AsIntermediateCredentialPayload>::from_bytes(&bytes.0).ok()?;
    let begins = claimed.claim().expiration_data.not_before;
    AsIntermediateCredential::verify_chain(&bytes.0, root, now.max(begins)).ok()
}

/// The document `opaque`.
#[derive(Serialize, Deserialize)]
pub struct OpaqueDocument {
    /// OPRF seed and key pair.
    #[serde(with = "secret")]
    pub server_setup: ServerSetup,
    /// What makes credential identifiers for names that do not exist, so that a login with one looks like any other.
    #[serde(with = "secret")]
    pub dummy_identifier_key: SecretKey,
}

/// What a login or a registration of a password needs.
pub struct Opaque {
    /// OPRF seed and key pair.
    pub server_setup: ServerSetup,
    /// What unknown users look like.
    pub unknown_users: UnknownUsers,
    /// What names the buckets in which logins are counted: the services that log users in share them.
    pub bucket_key: BucketKey,
}

impl SecretDocument for OpaqueDocument {
    const PURPOSE: &'static str = "opaque";
    type Secret = Opaque;

    fn open(self, _: &Domain, _: Timestamp) -> Result<Opaque, &'static str> {
        let key = &self.dummy_identifier_key.0;
        Ok(Opaque {
            server_setup: self.server_setup,
            bucket_key: BucketKey::new(keyed_hash(key, &[b"Vestibule 1.0 login bucket key"])),
            unknown_users: UnknownUsers::new(*key),
        })
    }
}

/// A service whose state is sealed into its clients' hands or its own table.
pub trait SealingService {
    /// The purpose of its document.
    const PURPOSE: &'static str;
}

/// The authentication service.
pub struct SealingAs;

impl SealingService for SealingAs {
    const PURPOSE: &'static str = "sealing-as";
}

/// The key server.
pub struct SealingKs;

impl SealingService for SealingKs {
    const PURPOSE: &'static str = "sealing-ks";
}

/// The document `sealing-as`.
pub type SealingAsDocument = SealingDocument<SealingAs>;
/// The document `sealing-ks`.
pub type SealingKsDocument = SealingDocument<SealingKs>;

/// The document `sealing-<service>`.
#[derive(Serialize, Deserialize)]
pub struct SealingDocument<S> {
    /// The newest sealing key.
    #[serde(with = "secret")]
    sealing_key: SecretKey,
    /// The one before, for what it sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_sealing_key: Option<PreviousKey>,
    /// What names rate-limit buckets.
    #[serde(with = "secret")]
    bucket_key: SecretKey,
    #[serde(skip)]
    service: PhantomData<S>,
}

impl<S> SealingDocument<S> {
    /// A document of fresh keys.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self {
            sealing_key: SecretKey::generate(rng),
            previous_sealing_key: None,
            bucket_key: SecretKey::generate(rng),
            service: PhantomData,
        }
    }
}

/// A key that is being rotated out.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct PreviousKey(#[serde(with = "secret")] SecretKey);

/// A service's sealing and bucket keys.
pub struct Sealing {
    /// What seals its state.
    pub sealing_keys: SealingKeys,
    /// What names rate-limit buckets.
    pub bucket_key: BucketKey,
}

impl<S: SealingService> SecretDocument for SealingDocument<S> {
    const PURPOSE: &'static str = S::PURPOSE;
    type Secret = Sealing;

    fn open(self, _: &Domain, _: Timestamp) -> Result<Sealing, &'static str> {
        let previous = self.previous_sealing_key.map(|key| key.0);
        let keys = [Some(self.sealing_key), previous].into_iter().flatten().map(|key| SealingKey::new(key.0));
        Ok(Sealing {
            sealing_keys: SealingKeys::new(keys.collect()).ok_or("it has no sealing key")?,
            bucket_key: BucketKey::new(self.bucket_key.0),
        })
    }
}

/// The document `qs`.
#[derive(Serialize, Deserialize)]
pub struct QsDocument {
    /// What signs the answers to claims.
    #[serde(with = "secret")]
    pub signing_key: SigningKey<QsSigningKey>,
    /// What opens queue configs.
    #[serde(with = "secret")]
    pub queue_config_key: HpkePrivateKey,
}

impl SecretDocument for QsDocument {
    const PURPOSE: &'static str = "qs";
    type Secret = Self;

    fn open(self, _: &Domain, _: Timestamp) -> Result<Self, &'static str> {
        Ok(self)
    }
}

/// The document `sealing-rs`.
#[derive(Serialize, Deserialize)]
pub struct SealingRsDocument {
    /// What names rate-limit buckets.
    #[serde(with = "secret")]
    pub bucket_key: SecretKey,
}

impl SecretDocument for SealingRsDocument {
    const PURPOSE: &'static str = "sealing-rs";
    type Secret = BucketKey;

    fn open(self, _: &Domain, _: Timestamp) -> Result<BucketKey, &'static str> {
        Ok(BucketKey::new(self.bucket_key.0))
    }
}

/// The document `sealing-qs`.
#[derive(Serialize, Deserialize)]
pub struct SealingQsDocument {
    /// What names rate-limit buckets.
    #[serde(with = "secret")]
    pub bucket_key: SecretKey,
}

impl SecretDocument for SealingQsDocument {
    const PURPOSE: &'static str = "sealing-qs";
    type Secret = BucketKey;

    fn open(self, _: &Domain, _: Timestamp) -> Result<BucketKey, &'static str> {
        Ok(BucketKey::new(self.bucket_key.0))
    }
}

/// The document `tokens`.
impl SecretDocument for IssuerKeysDocument {
    const PURPOSE: &'static str = "tokens";
    type Secret = IssuerKeys;

    fn open(self, _: &Domain, _: Timestamp) -> Result<IssuerKeys, &'static str> {
        self.open()
    }

    fn end(secret: &IssuerKeys) -> Option<(Metric, Timestamp)> {
        secret.end().map(|end| (Metric::TokenKeyDaysLeft, end))
    }
}
