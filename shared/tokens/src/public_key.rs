//! The issuer's public keys, as everybody sees them.

use std::fmt;

use privacypass::common::private::{PublicKey, deserialize_public_key};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::encoding::{self, Bytes};
use vestibule_protocol::limits::MAX_TOKEN_KEYS;
use vestibule_protocol::time::{ExpirationData, Timestamp};
use vestibule_protocol::token_key::PublishedTokenKey;

use crate::{ELEMENT_LENGTH, Suite};

/// The SHA-256 hash of a public key: 32 bytes (RFC 9578, section 5.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKeyId([u8; 32]);

impl TokenKeyId {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The last byte, by which a request for tokens names the key.
    pub const fn truncated(&self) -> u8 {
        self.0[31]
    }
}

impl fmt::Debug for TokenKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encoding::encode(&self.0))
    }
}

/// A public key of the issuer: an element of ristretto255 other than the identity, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenPublicKey([u8; ELEMENT_LENGTH]);

impl TokenPublicKey {
    /// The key with these bytes, or `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        deserialize_public_key::<Suite>(bytes).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; ELEMENT_LENGTH] {
        &self.0
    }

    /// The key's id.
    pub fn id(&self) -> TokenKeyId {
        TokenKeyId(Sha256::digest(self.0).into())
    }

    /// The key as the `privacypass` crate has it.
    pub(crate) fn element(&self) -> PublicKey<Suite> {
        deserialize_public_key::<Suite>(&self.0).expect("it was checked")
    }
}

impl fmt::Debug for TokenPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encoding::encode(&self.0))
    }
}

/// Why published keys are not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenKeysError {
    /// There are none, or more than [`MAX_TOKEN_KEYS`]: with many, a service could tell its users apart by their keys.
    #[error("one or two token keys are wanted")]
    Count,
    /// One is not a key.
    #[error("a token key is not an element of the group")]
    Malformed,
    /// One is not valid for any time.
    #[error("a token key's validity ends before it begins")]
    Validity,
    /// Two cannot be told apart by the last byte of their ids, or begin at the same time.
    #[error("two token keys cannot be told apart")]
    Ambiguous,
}

/// The issuer's public keys: one, or two while one takes over from the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenKeys(Vec<(TokenPublicKey, ExpirationData)>);

impl TokenKeys {
    /// Reads published keys, in any order.
    ///
    /// # Errors
    /// [`TokenKeysError`].
    pub fn read(published: &[PublishedTokenKey]) -> Result<Self, TokenKeysError> {
        if published.is_empty() || published.len() > MAX_TOKEN_KEYS {
            return Err(TokenKeysError::Count);
        }
        let mut keys = Vec::new();
        for PublishedTokenKey { public_key, validity } in published {
            let public_key = TokenPublicKey::from_bytes(&public_key.0).ok_or(TokenKeysError::Malformed)?;
            if validity.not_before >= validity.not_after {
                return Err(TokenKeysError::Validity);
            }
            keys.push((public_key, *validity));
        }
        keys.sort_by_key(|(_, validity)| std::cmp::Reverse(validity.not_before));
        let is_ambiguous = keys.windows(2).any(|pair| {
            pair[0].0.id().truncated() == pair[1].0.id().truncated() || pair[0].1.not_before == pair[1].1.not_before
        });
        if is_ambiguous { Err(TokenKeysError::Ambiguous) } else { Ok(Self(keys)) }
    }

    /// The keys for publication, newest first.
    pub fn published(&self) -> Vec<PublishedTokenKey> {
        let published = |(public_key, validity): &(TokenPublicKey, ExpirationData)| PublishedTokenKey {
            public_key: Bytes(public_key.as_bytes().to_vec()),
            validity: *validity,
        };
        self.0.iter().map(published).collect()
    }

    /// The key under which tokens are issued at `now`: the newest that has begun, unless it has ended.
    pub fn current(&self, now: Timestamp) -> Option<TokenPublicKey> {
        let (public_key, validity) = self.0.iter().find(|(_, validity)| validity.not_before <= now)?;
        validity.contains(now).then_some(*public_key)
    }

    /// When the tokens issued under this key stop to be good; `None` if it is not one of the keys.
    pub fn not_after(&self, key_id: &TokenKeyId) -> Option<Timestamp> {
        self.0.iter().find(|(public_key, _)| public_key.id() == *key_id).map(|(_, validity)| validity.not_after)
    }

    /// Whether this is one of the keys.
    pub fn contains(&self, public_key: &TokenPublicKey) -> bool {
        self.0.iter().any(|(known, _)| known == public_key)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::IssuerPrivateKey;

    fn published(seed: u64, not_before: u64, not_after: u64) -> PublishedTokenKey {
        let key = IssuerPrivateKey::generate(&mut StdRng::seed_from_u64(seed)).public_key();
        let [not_before, not_after] = [not_before, not_after].map(Timestamp::from_seconds);
        PublishedTokenKey {
            public_key: Bytes(key.as_bytes().to_vec()),
            validity: ExpirationData { not_before, not_after },
        }
    }

    #[test]
    fn the_current_key_is_the_newest_that_has_begun() {
        let (old, new) = (published(1, 100, 300), published(2, 200, 400));
        let keys = TokenKeys::read(&[old.clone(), new.clone()]).unwrap();
        assert_eq!(keys.published(), [new.clone(), old.clone()]);
        let current = |now| keys.current(Timestamp::from_seconds(now)).map(|key| Bytes(key.as_bytes().to_vec()));
        assert_eq!(current(99), None);
        assert_eq!(current(100), Some(old.public_key.clone()));
        assert_eq!(current(199), Some(old.public_key));
        assert_eq!(current(200), Some(new.public_key.clone()));
        assert_eq!(current(399), Some(new.public_key));
        assert_eq!(current(400), None);
    }

    #[test]
    fn keys_that_could_mark_or_confuse_clients_are_refused() {
        let (old, new) = (published(1, 100, 300), published(2, 200, 400));
        assert_eq!(TokenKeys::read(&[]), Err(TokenKeysError::Count));
        let three = [old.clone(), new.clone(), published(3, 300, 500)];
        assert_eq!(TokenKeys::read(&three), Err(TokenKeysError::Count));
        assert_eq!(TokenKeys::read(&[old.clone(), old.clone()]), Err(TokenKeysError::Ambiguous));
        let at_once = PublishedTokenKey { validity: old.validity, ..new.clone() };
        assert_eq!(TokenKeys::read(&[old.clone(), at_once]), Err(TokenKeysError::Ambiguous));
        assert_eq!(TokenKeys::read(&[published(1, 300, 300)]), Err(TokenKeysError::Validity));
        for bytes in [vec![0; 32], vec![0xff; 32], old.public_key.0[..31].to_vec()] {
            let malformed = PublishedTokenKey { public_key: Bytes(bytes), ..old.clone() };
            assert_eq!(TokenKeys::read(&[malformed]), Err(TokenKeysError::Malformed));
        }
    }
}
