//! Key pairs, one type per purpose, so that a key of one purpose cannot be used for another.

use std::fmt;
use std::marker::PhantomData;

use rand::{CryptoRng, RngCore};
use tls_codec::{DeserializeBytes, Size, VLByteSlice, VLBytes};
use zeroize::Zeroizing;

use crate::encoding::SecretBytes;

mod plain_ed25519;
#[cfg(test)]
mod remembered_ed25519;

#[cfg(not(test))]
use plain_ed25519 as ed25519;
#[cfg(test)]
use remembered_ed25519 as ed25519;

/// What a signature key is for.
pub trait KeyPurpose: Send + Sync + 'static {
    /// The purpose's name in `Debug` output.
    const NAME: &'static str;
}

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        pub enum $name {}

        impl KeyPurpose for $name {
            const NAME: &'static str = stringify!($name);
        }
    )* };
}

purposes! {
    /// The offline root of the authentication service, which signs intermediates.
    AsCredentialKey;
    /// An online key of the authentication service, which signs clients.
    AsIntermediateCredentialKey;
    /// A client's key: it signs the client's requests, connection packages and leaf credentials.
    ClientCredentialKey;
    /// The key of a leaf credential: one for each KeyPackage, the signature key of its MLS leaf.
    LeafCredentialKey;
    /// The queuing service's key: it signs the answers to claims.
    QsSigningKey;
    /// The key of a user's record at the queuing service.
    QsUserRecordKey;
    /// The key of a client's record at the queuing service: it signs the client's requests and queue configs there.
    QsClientRecordKey;
}

/// An Ed25519 private key (RFC 8032) for one purpose. Zeroized on drop, not printable.
pub struct SigningKey<P> {
    key: ed25519_dalek::SigningKey,
    purpose: PhantomData<P>,
}

impl<P: KeyPurpose> SigningKey<P> {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self { key: ed25519_dalek::SigningKey::generate(rng), purpose: PhantomData }
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey<P> {
        VerifyingKey { bytes: self.key.verifying_key().to_bytes(), purpose: PhantomData }
    }

    /// Signs `message`. Callers in this crate label what they sign.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        ed25519::sign(&self.key, message)
    }
}

impl<P> SecretBytes for SigningKey<P> {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.as_bytes().to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes).ok()?);
        Some(Self { key: ed25519_dalek::SigningKey::from_bytes(&bytes), purpose: PhantomData })
    }
}

impl<P: KeyPurpose> fmt::Debug for SigningKey<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey<{}>", P::NAME)
    }
}

/// An Ed25519 public key for one purpose; `opaque<V>` of 32 bytes on the wire.
pub struct VerifyingKey<P> {
    bytes: [u8; 32],
    purpose: PhantomData<P>,
}

impl<P> VerifyingKey<P> {
    /// The key with these bytes, or `None` if they are not 32. Bytes that are no point verify nothing.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self { bytes: bytes.try_into().ok()?, purpose: PhantomData })
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether `signature` is this key's over `message`. Low-order keys, non-canonical encodings and malleable
    /// signatures are refused.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        ed25519::verifies(&self.bytes, message, signature)
    }
}

impl<P> Clone for VerifyingKey<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for VerifyingKey<P> {}

impl<P> PartialEq for VerifyingKey<P> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<P> Eq for VerifyingKey<P> {}

impl<P: KeyPurpose> fmt::Debug for VerifyingKey<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifyingKey<{}>({})", P::NAME, crate::encoding::encode(&self.bytes))
    }
}

impl<P> Size for VerifyingKey<P> {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(&self.bytes).tls_serialized_len()
    }
}

impl<P> tls_codec::Serialize for VerifyingKey<P> {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        VLByteSlice(&self.bytes).tls_serialize(writer)
    }
}

impl<P> DeserializeBytes for VerifyingKey<P> {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (key, rest) = deserialize_32_bytes(bytes)?;
        Ok((Self { bytes: key, purpose: PhantomData }, rest))
    }
}

/// Reads an `opaque<V>` that must hold 32 bytes.
fn deserialize_32_bytes(bytes: &[u8]) -> Result<([u8; 32], &[u8]), tls_codec::Error> {
    let (key, rest) = VLBytes::tls_deserialize_bytes(bytes)?;
    let key = key.as_slice().try_into();
    Ok((key.map_err(|_| tls_codec::Error::DecodingError("a key of 32 bytes is wanted".to_owned()))?, rest))
}

/// An HPKE private key (RFC 9180) of DHKEM(X25519, HKDF-SHA256). Zeroized on drop, not printable.
#[derive(Clone)]
pub struct HpkePrivateKey(x25519_dalek::StaticSecret);

impl HpkePrivateKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(x25519_dalek::StaticSecret::random_from_rng(rng))
    }

    /// The public half.
    pub fn public_key(&self) -> HpkePublicKey {
        HpkePublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }
}

impl SecretBytes for HpkePrivateKey {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.as_bytes().to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes).ok()?);
        Some(Self(x25519_dalek::StaticSecret::from(*bytes)))
    }
}

impl fmt::Debug for HpkePrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HpkePrivateKey")
    }
}

/// The u-coordinates of the points of low order on Curve25519 and its twist, in every encoding of 255 bits: 0, 1, two of
/// order 8, and p - 1, p, p + 1. A scalar multiplication would tell as well; it took most of the time of checking a
/// KeyPackage (`docs/performance.md`).
const LOW_ORDER_COORDINATES: [[u8; 32]; 7] = [
    [0; 32],
    with_ends(1, 0, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// An HPKE public key of DHKEM(X25519, HKDF-SHA256); `opaque<V>` of 32 bytes on the wire, base64url in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HpkePublicKey([u8; 32]);

impl HpkePublicKey {
    /// The key with these bytes, or `None` if they are not 32, or a point of low order: to such a one everybody
    /// derives the same shared secret (RFC 9180, section 7.1.4).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; 32]>::try_from(bytes).ok()?;
        // The top bit is not looked at (RFC 7748, section 5).
        let mut coordinate = bytes;
        coordinate[31] &= 0x7f;
        (!LOW_ORDER_COORDINATES.contains(&coordinate)).then_some(Self(bytes))
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Size for HpkePublicKey {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(&self.0).tls_serialized_len()
    }
}

impl tls_codec::Serialize for HpkePublicKey {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        VLByteSlice(&self.0).tls_serialize(writer)
    }
}

impl DeserializeBytes for HpkePublicKey {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (key, rest) = deserialize_32_bytes(bytes)?;
        let key = Self::from_bytes(&key)
            .ok_or_else(|| tls_codec::Error::DecodingError("an HPKE key of low order".to_owned()))?;
        Ok((key, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn a_private_key_does_not_print_itself() {
        let rng = &mut StdRng::seed_from_u64(1);
        let signing_key = SigningKey::<ClientCredentialKey>::generate(rng);
        assert_eq!(format!("{signing_key:?}"), "SigningKey<ClientCredentialKey>");
        assert_eq!(format!("{:?}", HpkePrivateKey::generate(rng)), "HpkePrivateKey");
    }

    #[test]
    fn an_hpke_key_of_low_order_is_refused() {
        for coordinate in LOW_ORDER_COORDINATES {
            for top_bit in [0, 0x80] {
                let mut bytes = coordinate;
                bytes[31] |= top_bit;
                assert_eq!(x25519_dalek::x25519([1; 32], bytes), [0; 32], "everybody derives the same secret");
                assert_eq!(HpkePublicKey::from_bytes(&bytes), None);
            }
        }
        let key = HpkePrivateKey::generate(&mut StdRng::seed_from_u64(1)).public_key();
        assert_eq!(HpkePublicKey::from_bytes(key.as_bytes()), Some(key));
        assert_eq!(HpkePublicKey::from_bytes(&key.as_bytes()[1..]), None);
    }

    #[test]
    fn the_neighbours_of_the_points_of_low_order_are_keys() {
        for coordinate in LOW_ORDER_COORDINATES {
            let mut bytes = coordinate;
            bytes[1] ^= 1;
            assert_ne!(x25519_dalek::x25519([1; 32], bytes), [0; 32]);
            assert!(HpkePublicKey::from_bytes(&bytes).is_some());
        }
    }

    #[test]
    fn a_verifying_key_of_low_order_verifies_nothing() {
        // The identity point: with it, the signature (R = identity, s = 0) fits every message under lax verification.
        let mut identity = [0; 32];
        identity[0] = 1;
        let key = VerifyingKey::<ClientCredentialKey> { bytes: identity, purpose: PhantomData };
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!key.verifies(b"anything", &signature));
    }
}
