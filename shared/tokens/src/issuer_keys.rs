//! The issuer's private keys, as they are kept and replaced.

use std::fmt;

use privacypass::VoprfServer;
use privacypass::common::private::serialize_public_key;
use rand::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::{Bytes, SecretBytes, secret};
use vestibule_protocol::limits::MAX_TOKEN_KEYS;
use vestibule_protocol::time::{DAY, ExpirationData, Timestamp};
use vestibule_protocol::token_key::PublishedTokenKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{IssuerKeys, Suite, TokenKeys, TokenKeysError, TokenPublicKey};

/// For how long the tokens of a new key are good, in days. It is replaced when half of that is over.
const KEY_DAYS: u32 = 56;
/// How many days ahead of its first a key is published: time for whoever keeps keys to learn of it.
const NOTICE_DAYS: u32 = 2;
/// What makes a private key of the seed (RFC 9578, section 5.5).
const KEY_INFO: &[u8] = b"PrivacyPass";

/// A private key of the issuer: the 32-byte seed of RFC 9497, section 3.2.1. Zeroized on drop, not printable.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct IssuerPrivateKey([u8; 32]);

impl IssuerPrivateKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// Its public key.
    pub fn public_key(&self) -> TokenPublicKey {
        let bytes = serialize_public_key::<Suite>(self.server().get_public_key());
        TokenPublicKey::from_bytes(&bytes).expect("a public key is an element")
    }

    /// The key as the `privacypass` crate has it.
    pub(crate) fn server(&self) -> VoprfServer<Suite> {
        // It fails if 256 hashes in a row are zero.
        VoprfServer::new_from_seed(&self.0, KEY_INFO).expect("every seed has a key")
    }
}

impl SecretBytes for IssuerPrivateKey {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for IssuerPrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IssuerPrivateKey")
    }
}

/// A key in the document `tokens`.
#[derive(Serialize, Deserialize)]
pub struct IssuerKeyDocument {
    /// The private key.
    #[serde(with = "secret")]
    pub private_key: IssuerPrivateKey,
    /// The id of its public key, for whoever looks into the document, and against mistakes.
    pub key_id: Bytes,
    /// When its tokens are good.
    #[serde(flatten)]
    pub validity: ExpirationData,
}

/// The content of the document `tokens`.
#[derive(Serialize, Deserialize)]
pub struct IssuerKeysDocument {
    /// The keys, newest first: the current one and, until its tokens are good no more, the one before. A new key that is
    /// yet to begin comes before both.
    pub keys: Vec<IssuerKeyDocument>,
}

/// Why the issuer's keys are not replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RotationError {
    /// There are two already. A third would divide the crowd, and to drop the older one would take tokens from clients.
    #[error("two token keys are in use until {until:?}; rotate after that")]
    TwoInUse {
        /// When the older one ends.
        until: Timestamp,
    },
}

impl IssuerKeysDocument {
    /// A document with a fresh key, valid from today.
    pub fn generate(now: Timestamp, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self { keys: vec![IssuerKeyDocument::generate(now.start_of_day(), rng)] }
    }

    /// Adds a fresh key that takes over in two days, and drops those that have ended. If no key outlasts the beginning of the
    /// new one by a day, it begins today. This document is put in place first, what is published after it (decision 85).
    ///
    /// # Errors
    /// [`RotationError`]; the keys are then as before.
    pub fn rotate(&mut self, now: Timestamp, rng: &mut (impl RngCore + CryptoRng)) -> Result<(), RotationError> {
        let in_use = self.keys.iter().filter(|key| now < key.validity.not_after);
        if in_use.clone().count() >= MAX_TOKEN_KEYS {
            let until = in_use.map(|key| key.validity.not_after).min().expect("there are some");
            return Err(RotationError::TwoInUse { until });
        }
        self.keys.retain(|key| now < key.validity.not_after);
        // Without a key that is valid nobody gets tokens: there is nothing to wait for, and no gap must be left.
        let in_two_days = now.start_of_day().saturating_add(DAY * NOTICE_DAYS);
        let outlasts = |key: &IssuerKeyDocument| {
            key.validity.contains(now) && in_two_days.saturating_add(DAY) <= key.validity.not_after
        };
        let not_before = if self.keys.iter().any(outlasts) { in_two_days } else { now.start_of_day() };
        let fresh = loop {
            let fresh = IssuerKeyDocument::generate(not_before, rng);
            if self.keys.iter().all(|key| key.key_id.0.last() != fresh.key_id.0.last()) {
                break fresh;
            }
        };
        self.keys.insert(0, fresh);
        Ok(())
    }

    /// Whether it is time to rotate: half of the newest key's days are over.
    pub fn is_rotation_due(&self, now: Timestamp) -> bool {
        let half_over = |key: &IssuerKeyDocument| key.validity.not_before.saturating_add(DAY * (KEY_DAYS / 2)) <= now;
        self.keys.first().is_none_or(half_over)
    }

    /// The keys as the queuing service publishes them, newest first.
    pub fn published(&self) -> Vec<PublishedTokenKey> {
        let published = |key: &IssuerKeyDocument| PublishedTokenKey {
            public_key: Bytes(key.private_key.public_key().as_bytes().to_vec()),
            validity: key.validity,
        };
        self.keys.iter().map(published).collect()
    }

    /// Makes the keys usable.
    ///
    /// # Errors
    /// What is wrong with the document, without a value of it.
    pub fn open(self) -> Result<IssuerKeys, &'static str> {
        let is_own_id = |key: &IssuerKeyDocument| *key.private_key.public_key().id().as_bytes() == *key.key_id.0;
        if !self.keys.iter().all(is_own_id) {
            return Err("a key's id is not its public key's");
        }
        TokenKeys::read(&self.published()).map_err(|error| match error {
            TokenKeysError::Count => "it has no key, or more than two",
            TokenKeysError::Malformed => "a key is malformed",
            TokenKeysError::Validity => "a key's validity ends before it begins",
            TokenKeysError::Ambiguous => "two keys cannot be told apart",
        })?;
        Ok(IssuerKeys::new(self.keys))
    }
}

impl IssuerKeyDocument {
    fn generate(not_before: Timestamp, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let private_key = IssuerPrivateKey::generate(rng);
        let key_id = Bytes(private_key.public_key().id().as_bytes().to_vec());
        Self { private_key, key_id, validity: ExpirationData::starting(not_before, DAY * KEY_DAYS) }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn days_later(days: u32) -> Timestamp {
        NOW.saturating_add(DAY * days)
    }

    #[test]
    fn a_document_is_the_same_after_it_was_stored() {
        let document = IssuerKeysDocument::generate(NOW, &mut StdRng::seed_from_u64(1));
        let json = serde_json::to_string(&document).unwrap();
        let read: IssuerKeysDocument = serde_json::from_str(&json).unwrap();
        assert_eq!(read.published(), document.published());
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert!(read.open().is_ok());
        assert_eq!(format!("{:?}", document.keys[0].private_key), "IssuerPrivateKey");
    }

    #[test]
    fn a_rotation_overlaps_and_never_has_three_keys() {
        let rng = &mut StdRng::seed_from_u64(2);
        let mut document = IssuerKeysDocument::generate(NOW, rng);
        let first = document.published()[0].clone();
        let current =
            |document: &IssuerKeysDocument, now| TokenKeys::read(&document.published()).unwrap().current(now).unwrap();

        assert!(!document.is_rotation_due(days_later(27)));
        assert!(document.is_rotation_due(days_later(28)));
        document.rotate(days_later(28), rng).unwrap();
        assert!(!document.is_rotation_due(days_later(56)));
        let second = document.published()[0].clone();
        assert_eq!(document.published(), [second.clone(), first.clone()]);
        assert_eq!(second.validity.not_before, days_later(30).start_of_day());
        assert_eq!(current(&document, days_later(29)).as_bytes()[..], first.public_key.0);
        assert_eq!(current(&document, days_later(30)).as_bytes()[..], second.public_key.0);

        let refused = document.rotate(days_later(40), rng);
        assert_eq!(refused, Err(RotationError::TwoInUse { until: first.validity.not_after }));
        assert_eq!(document.published(), [second.clone(), first]);

        document.rotate(days_later(56), rng).unwrap();
        assert_eq!(document.published()[1], second);
        assert_eq!(document.keys.len(), 2);
        assert!(document.open().is_ok());
    }

    #[test]
    fn after_a_lapse_the_next_key_begins_at_once() {
        let rng = &mut StdRng::seed_from_u64(3);
        let mut document = IssuerKeysDocument::generate(NOW, rng);
        document.rotate(days_later(100), rng).unwrap();
        assert_eq!(document.keys.len(), 1);
        assert!(document.published()[0].validity.contains(days_later(100)));
    }

    #[test]
    fn a_rotation_in_the_last_days_leaves_no_gap() {
        for days in 50..56 {
            let rng = &mut StdRng::seed_from_u64(5);
            let mut document = IssuerKeysDocument::generate(NOW, rng);
            document.rotate(days_later(days), rng).unwrap();
            let [next, last] = &document.published()[..] else { panic!("there are two") };
            let begins = if days <= 53 { days_later(days + 2) } else { days_later(days) };
            assert_eq!(next.validity.not_before, begins.start_of_day());
            assert!(next.validity.not_before < last.validity.not_after);
        }
    }

    #[test]
    fn fresh_keys_can_be_told_apart_by_one_byte() {
        // With 200 seeds some fresh key would share its last byte with the other, were it not made anew.
        for seed in 0..200 {
            let rng = &mut StdRng::seed_from_u64(seed);
            let mut document = IssuerKeysDocument::generate(NOW, rng);
            document.rotate(days_later(28), rng).unwrap();
            assert!(TokenKeys::read(&document.published()).is_ok());
        }
    }

    #[test]
    fn a_document_with_a_mistake_is_not_opened() {
        let rng = &mut StdRng::seed_from_u64(4);
        let mut document = IssuerKeysDocument::generate(NOW, rng);
        document.keys[0].key_id = Bytes(vec![0; 32]);
        assert_eq!(document.open().err(), Some("a key's id is not its public key's"));
        let document = IssuerKeysDocument { keys: Vec::new() };
        assert_eq!(document.open().err(), Some("it has no key, or more than two"));
    }
}
