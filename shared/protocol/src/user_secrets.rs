//! What a user's clients have in common, as they tell each other: sealed beside every commit of the user's identity, under a
//! key that the members of the epoch after it can derive and nobody else.
//!
//! ```text
//! struct {
//!     uint64 rotation;
//!     opaque qs_user_id[32];
//!     opaque qs_user_record_key[32];           // the Ed25519 private key
//!     opaque friendship_token[32];
//!     opaque friendship_encryption_key[32];
//!     opaque welcome_attribution_info_key[32];
//!     opaque device_label_key[32];
//! } UserSecrets;
//!
//! struct {
//!     optional<UserSecrets> user_secrets;
//!     opaque padding[...];                     // zeros, up to 201 bytes in all
//! } UserSecretsContent;
//! ```
//!
//! `encrypted_user_secrets = nonce[24] ‖ XChaCha20-Poly1305(key, nonce, UserSecretsContent, aad)` with a random nonce. `key` is
//! the identity's exporter secret (RFC 9420, section 8.5) of the epoch to which the commit leads; `aad` is that epoch, under
//! the label "UserSecrets". All have one length, also of a client that has no secrets (yet).

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::encoding::Bytes;
use crate::fixed_secret;
use crate::keys::{QsUserRecordKey, SigningKey};
use crate::name::UserName;
use crate::queuing::QsUserId;
use crate::signed::labelled;
use crate::symmetric::{
    DeviceLabelKey, FriendshipEncryptionKey, FriendshipToken, UserSecretsKey, WelcomeAttributionInfoKey,
};

/// The label with which the key is exported from the identity, with an empty context: 32 bytes.
pub const EXPORTER_LABEL: &str = "Vestibule 1.0 UserSecrets";

/// Length of the nonce in front, in bytes.
const NONCE_LENGTH: usize = 24;
/// Length of what is encrypted, padding included, in bytes.
const CONTENT_LENGTH: usize = 201;
/// Length of every client's encrypted secrets, in bytes.
pub const ENCRYPTED_USER_SECRETS_LENGTH: usize = NONCE_LENGTH + CONTENT_LENGTH + 16;

/// The key does not open them as those of this epoch, or what is inside are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("they are not the encrypted user secrets of this epoch")]
pub struct UserSecretsError;

/// What all of a user's clients have in common, and nobody else has but friends, who have two parts of it.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UserSecrets {
    /// How often they were rotated: of two, the higher ones are the user's.
    pub rotation: u64,
    /// The user at the queuing service.
    pub qs_user_id: QsUserId,
    /// The key of the user's record there.
    #[tls_codec(with = "fixed_secret")]
    pub qs_user_record_key: SigningKey<QsUserRecordKey>,
    /// The user's friendship token.
    #[tls_codec(with = "fixed_secret")]
    pub friendship_token: FriendshipToken,
    /// What the identities beside the user's KeyPackages are encrypted under.
    #[tls_codec(with = "fixed_secret")]
    pub friendship_encryption_key: FriendshipEncryptionKey,
    /// What the user's Welcomes are attributed with.
    #[tls_codec(with = "fixed_secret")]
    pub welcome_attribution_info_key: WelcomeAttributionInfoKey,
    /// What the names of the user's devices are encrypted under.
    #[tls_codec(with = "fixed_secret")]
    pub device_label_key: DeviceLabelKey,
}

/// An epoch of a user's identity: the one to which a commit leads.
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsSize)]
pub struct IdentityEpoch {
    /// Whose identity.
    pub user_name: UserName,
    /// The generation.
    pub generation: u64,
    /// The epoch.
    pub epoch: u64,
}

impl UserSecrets {
    /// Encrypts a client's secrets, or that it has none, for those who are members in an epoch:
    /// [`ENCRYPTED_USER_SECRETS_LENGTH`] bytes.
    pub fn seal(
        secrets: Option<&Self>,
        epoch: &IdentityEpoch,
        key: &UserSecretsKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Bytes {
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut nonce);
        // Written at once: a buffer that grows would leave copies behind.
        let mut content = Zeroizing::new(Vec::with_capacity(CONTENT_LENGTH));
        content.push(u8::from(secrets.is_some()));
        if let Some(secrets) = secrets {
            secrets.tls_serialize(&mut *content).expect("a Vec takes whatever is written");
        }
        debug_assert!(content.len() <= CONTENT_LENGTH, "the secrets have one length");
        content.resize(CONTENT_LENGTH, 0);
        let ciphertext = XChaCha20Poly1305::new(key.as_bytes().into())
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: &content, aad: &epoch.associated_data() })
            .expect("the plaintext is shorter than 256 GiB");
        Bytes([nonce.as_slice(), &ciphertext].concat())
    }

    /// Decrypts what the committer has told those who are members in an epoch: its secrets, or that it has none.
    ///
    /// # Errors
    /// [`UserSecretsError`].
    pub fn open(
        encrypted: &[u8],
        epoch: &IdentityEpoch,
        key: &UserSecretsKey,
    ) -> Result<Option<Self>, UserSecretsError> {
        if encrypted.len() != ENCRYPTED_USER_SECRETS_LENGTH {
            return Err(UserSecretsError);
        }
        let (nonce, ciphertext) = encrypted.split_at(NONCE_LENGTH);
        let content = XChaCha20Poly1305::new(key.as_bytes().into())
            .decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: &epoch.associated_data() })
            .map(Zeroizing::new)
            .map_err(|_| UserSecretsError)?;
        let (secrets, padding) = Option::<Self>::tls_deserialize_bytes(&content).map_err(|_| UserSecretsError)?;
        let is_padded = padding.iter().all(|byte| *byte == 0);
        if is_padded { Ok(secrets) } else { Err(UserSecretsError) }
    }
}

impl IdentityEpoch {
    pub(crate) fn associated_data(&self) -> Vec<u8> {
        labelled("UserSecrets", &self.tls_serialize_detached().expect("a user name is short"))
    }
}

#[cfg(test)]
mod tests;
