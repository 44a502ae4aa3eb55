//! Binary values in JSON: base64url without padding (RFC 4648, section 5).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tls_codec::{DeserializeBytes, Size, VLByteSlice, VLBytes};
use zeroize::{Zeroize, Zeroizing};

/// How the message of a JSON error begins when a string is not base64url. The server turns it into a problem type of
/// its own.
pub const NOT_BASE64URL: &str = "not base64url without padding";

/// Encodes `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes `text`, or `None` if it is not the one encoding of some bytes.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn deserialize_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    decode(&text).ok_or_else(|| D::Error::custom(format_args!("{NOT_BASE64URL} (RFC 4648, section 5)")))
}

/// Bytes of any number, such as a credential in TLS presentation language. On the wire `opaque<V>`.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transparent))]
pub struct Bytes(
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("contentEncoding" = "base64url")))] pub Vec<u8>,
);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_bytes(deserializer).map(Self)
    }
}

impl Size for Bytes {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(&self.0).tls_serialized_len()
    }
}

impl tls_codec::Serialize for Bytes {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        VLByteSlice(&self.0).tls_serialize(writer)
    }
}

impl DeserializeBytes for Bytes {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (bytes, rest) = VLBytes::tls_deserialize_bytes(bytes)?;
        Ok((Self(bytes.into()), rest))
    }
}

/// A secret that can be turned into bytes and back. Its JSON form is reached through [`secret`] alone, so that every
/// place that writes a secret says so.
pub trait SecretBytes: Sized {
    /// The secret's bytes.
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>>;

    /// The secret with these bytes, or `None` if there is none.
    fn from_secret_bytes(bytes: &[u8]) -> Option<Self>;
}

/// `#[serde(with = "encoding::secret")]`: a [`SecretBytes`] as base64url, for files that are themselves sealed and
/// for fields that travel inside a protected channel.
pub mod secret {
    use super::*;

    /// Writes the secret.
    ///
    /// # Errors
    /// What the serializer reports.
    pub fn serialize<T: SecretBytes, S: Serializer>(secret: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(encode(&secret.to_secret_bytes())))
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// If it is not base64url, or not a secret of this type.
    pub fn deserialize<'de, T: SecretBytes, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let mut bytes = deserialize_bytes(deserializer)?;
        let secret = T::from_secret_bytes(&bytes).ok_or_else(|| D::Error::custom("wrong length"));
        bytes.zeroize();
        secret
    }
}

/// Compares two byte strings without telling by the time it takes where they differ.
pub fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(left, right).into()
}
