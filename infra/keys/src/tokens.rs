//! The keys of the issuer of tokens, and how they are replaced. They depend on no other key.

use rand::{CryptoRng, RngCore};
use vestibule_backend::dynamodb::Item;
use vestibule_backend::queuing_service::public_keys;
use vestibule_backend::secret::read_document;
use vestibule_protocol::time::Timestamp;
use vestibule_protocol::token_key::PublishedTokenKey;
use vestibule_tokens::{IssuerKeysDocument, RotationError};

use crate::SecretDocumentJson;
use crate::inventory::date;

/// The issuer's keys: for its secret, and for everybody.
///
/// The secret goes first wherever both are replaced (decision 85): what is published is asked for.
pub struct TokenIssuerKeys {
    /// The secret document.
    pub secret: SecretDocumentJson,
    /// The keys that `qs-get-keys` publishes.
    pub public_keys: Vec<PublishedTokenKey>,
}

/// Why keys are not rotated.
#[derive(Debug, thiserror::Error)]
pub enum TokenRotationError {
    /// What was given as the secret document is none.
    #[error("{0}")]
    Unreadable(String),
    /// There are two already. A third would divide the crowd, and to drop the older one would take tokens from clients.
    #[error("two token keys are in use until {}: rotate after that", date(*.until))]
    TwoInUse {
        /// When the older one ends.
        until: Timestamp,
    },
}

impl TokenIssuerKeys {
    /// Makes a key that is valid from today.
    pub fn generate(now: Timestamp, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self::of(IssuerKeysDocument::generate(now, rng))
    }

    /// Adds a key that takes over in two days, or today if no other lasts until after that, to those in the secret document, whose tokens stay good until their end, and
    /// drops those that have ended.
    ///
    /// # Errors
    /// [`TokenRotationError`] if the document is unreadable, or two keys are in use already.
    pub fn rotate(
        secret: &str,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, TokenRotationError> {
        let mut document = read_document::<IssuerKeysDocument>(secret).map_err(TokenRotationError::Unreadable)?;
        let two_in_use = |RotationError::TwoInUse { until }| TokenRotationError::TwoInUse { until };
        document.rotate(now, rng).map_err(two_in_use)?;
        Ok(Self::of(document))
    }

    /// The keys in the secret document as they are, if `item` does not publish all that are in use: an upload was interrupted
    /// between the two.
    ///
    /// # Errors
    /// [`TokenRotationError::Unreadable`].
    pub fn unpublished(secret: &str, item: Option<&Item>, now: Timestamp) -> Result<Option<Self>, TokenRotationError> {
        let keys = Self::of(read_document::<IssuerKeysDocument>(secret).map_err(TokenRotationError::Unreadable)?);
        let published = item.and_then(public_keys::read_token_keys_item).unwrap_or_default();
        let lacks = |key: &PublishedTokenKey| now < key.validity.not_after && !published.contains(key);
        let is_lacking = keys.public_keys.iter().any(lacks);
        Ok(is_lacking.then_some(keys))
    }

    /// Does what [`Self::rotate`] does, if it is time: half of the newest key's days are over.
    ///
    /// # Errors
    /// [`TokenRotationError::Unreadable`].
    pub fn rotate_if_due(
        secret: &str,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Option<Self>, TokenRotationError> {
        let mut document = read_document::<IssuerKeysDocument>(secret).map_err(TokenRotationError::Unreadable)?;
        let is_rotated = document.is_rotation_due(now) && document.rotate(now, rng).is_ok();
        Ok(is_rotated.then(|| Self::of(document)))
    }

    /// The item of `QsTable` that publishes the keys.
    pub fn public_keys_item(&self) -> Item {
        public_keys::token_keys_item(&self.public_keys)
    }

    fn of(document: IssuerKeysDocument) -> Self {
        let public_keys = document.published();
        Self { secret: SecretDocumentJson::of(document), public_keys }
    }
}
