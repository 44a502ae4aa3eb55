//! Names: of deployments, users and clients.

use std::fmt;
use std::str::FromStr;

use tls_codec::{DeserializeBytes, Size, TlsDeserializeBytes, TlsSerialize, TlsSize, VLByteSlice, VLBytes};
use uuid::Uuid;

use crate::limits::{MAX_DOMAIN_LENGTH, MAX_LOCAL_PART_LENGTH};
use crate::text_form::text_form;

/// Why a text is not a name of the kind asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// The domain.
    #[error(
        "a domain is 1 to {MAX_DOMAIN_LENGTH} lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit"
    )]
    Domain,
    /// The part before the `@`.
    #[error(
        "a user name is a local part of 1 to {MAX_LOCAL_PART_LENGTH} lower-case letters, digits, dots, underscores and hyphens, beginning with a letter or digit, then '@' and the domain"
    )]
    UserName,
    /// The UUID.
    #[error("a version 4 UUID in its hyphenated lower-case form is wanted")]
    Uuid,
}

/// The domain of a deployment, as in `alice@example.org`: what RFC 1123 allows of a host name, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Domain(String);

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let is_valid = bytes.len() <= MAX_DOMAIN_LENGTH
            && bytes.first().is_some_and(is_alphanumeric)
            && bytes.last().is_some_and(is_alphanumeric)
            && bytes.iter().all(|byte| is_alphanumeric(byte) || matches!(byte, b'.' | b'-'));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(NameError::Domain) }
    }
}

/// A user's name at a deployment, `local@domain`. Both parts consist of characters that a URL's path carries as they
/// are, so that encoded and decoded paths are the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserName {
    text: String,
    domain: Domain,
}

impl UserName {
    /// The part after the `@`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (local_part, domain) = text.split_once('@').ok_or(NameError::UserName)?;
        let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = local_part.as_bytes();
        let is_valid = bytes.len() <= MAX_LOCAL_PART_LENGTH
            && bytes.first().is_some_and(|first| is_alphanumeric(*first))
            && bytes.iter().all(|byte| is_alphanumeric(*byte) || matches!(byte, b'.' | b'_' | b'-'));
        if !is_valid {
            return Err(NameError::UserName);
        }
        Ok(Self { domain: domain.parse()?, text: text.to_owned() })
    }
}

/// Text forms and wire forms that all names share: JSON as a string, TLS as `opaque<V>` of the UTF-8 text.
macro_rules! text_name {
    ($name:ident, $as_str:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let as_str: fn(&Self) -> &str = $as_str;
                formatter.write_str(as_str(self))
            }
        }

        impl Size for $name {
            fn tls_serialized_len(&self) -> usize {
                VLByteSlice(self.to_string().as_bytes()).tls_serialized_len()
            }
        }

        impl tls_codec::Serialize for $name {
            fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
                VLByteSlice(self.to_string().as_bytes()).tls_serialize(writer)
            }
        }

        impl DeserializeBytes for $name {
            fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
                let (text, rest) = VLBytes::tls_deserialize_bytes(bytes)?;
                let name = std::str::from_utf8(text.as_slice()).ok().and_then(|text| text.parse().ok());
                let name = name.ok_or_else(|| tls_codec::Error::DecodingError(stringify!($name).to_owned()))?;
                Ok((name, rest))
            }
        }

        text_form!($name, { "type": "string" });
    };
}

text_name!(Domain, |domain| &domain.0);
text_name!(UserName, |user_name| &user_name.text);

/// A version 4 UUID; sixteen bytes on the wire, the hyphenated lower-case form in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RandomUuid(Uuid);

impl RandomUuid {
    fn generate(rng: &mut impl rand::RngCore) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    fn checked(uuid: Uuid) -> Result<Self, NameError> {
        let is_version_4 = uuid.get_version_num() == 4 && uuid.get_variant() == uuid::Variant::RFC4122;
        if is_version_4 { Ok(Self(uuid)) } else { Err(NameError::Uuid) }
    }
}

impl FromStr for RandomUuid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let uuid = Self::checked(Uuid::try_parse(text).map_err(|_| NameError::Uuid)?)?;
        // One text for one UUID: no upper case, braces or missing hyphens.
        if uuid.to_string() == text { Ok(uuid) } else { Err(NameError::Uuid) }
    }
}

impl fmt::Display for RandomUuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

impl Size for RandomUuid {
    fn tls_serialized_len(&self) -> usize {
        16
    }
}

impl tls_codec::Serialize for RandomUuid {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        self.0.as_bytes().tls_serialize(writer)
    }
}

impl DeserializeBytes for RandomUuid {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (bytes, rest) = <[u8; 16]>::tls_deserialize_bytes(bytes)?;
        let uuid = Self::checked(Uuid::from_bytes(bytes))
            .map_err(|error| tls_codec::Error::DecodingError(error.to_string()))?;
        Ok((uuid, rest))
    }
}

/// A user's globally unique identifier: what the key server files the storage key under. A version 4 UUID made by the
/// client; the AS sees to it that no two users have the same (`key-server-registration.md`, step 1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UserId(RandomUuid);

impl UserId {
    /// A fresh one.
    pub fn generate(rng: &mut (impl rand::RngCore + rand::CryptoRng)) -> Self {
        Self(RandomUuid::generate(rng))
    }

    /// The one that these bytes make when those bits are set that a version 4 UUID has.
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(RandomUuid(uuid::Builder::from_random_bytes(bytes).into_uuid()))
    }

    /// The UUID's 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.0.as_bytes()
    }
}

/// The part of a [`ClientId`] that the client makes: a version 4 UUID (`user-creation.md`, "Initiate AS
/// registration").
#[derive(Clone, Copy, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientUuid(RandomUuid);

impl ClientUuid {
    /// A fresh one.
    pub fn generate(rng: &mut (impl rand::RngCore + rand::CryptoRng)) -> Self {
        Self(RandomUuid::generate(rng))
    }
}

/// Text and JSON forms of the UUID newtypes.
macro_rules! uuid_name {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.parse().map(Self)
            }
        }

        text_form!($name, { "type": "string", "format": "uuid" });
    };
}

uuid_name!(UserId);
uuid_name!(ClientUuid);

/// A client (device) of a user: the user's name and a UUID. Never used again once its client is removed.
#[derive(Clone, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientId {
    /// Whose client it is.
    pub user_name: UserName,
    /// Which of the user's clients.
    pub uuid: ClientUuid,
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.user_name, self.uuid)
    }
}

text_form!(ClientId, { "type": "string" });

impl FromStr for ClientId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (user_name, uuid) = text.split_once('/').ok_or(NameError::UserName)?;
        Ok(Self { user_name: user_name.parse()?, uuid: uuid.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_user_name_is_a_local_part_and_a_domain_in_lower_case() {
        for name in ["alice@localhost", "a@b", "0-._@example.org", &format!("{}@x", "a".repeat(64))] {
            assert_eq!(name.parse::<UserName>().unwrap().as_str(), name);
        }
        let long = format!("{}@x", "a".repeat(65));
        for name in ["", "alice", "@x", "alice@", "Alice@x", ".a@x", "a b@x", "a@x@y", "a/b@x", "a%40@x", "ä@x", &long]
        {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_domain_begins_and_ends_with_a_letter_or_digit() {
        for domain in ["localhost", "example.org", "xn--bcher-kva.example"] {
            assert!(domain.parse::<Domain>().is_ok(), "{domain}");
        }
        for domain in ["", ".", "-a", "a.", "A", "a_b", &"a".repeat(254)] {
            assert!(domain.parse::<Domain>().is_err(), "{domain}");
        }
    }

    #[test]
    fn an_identifier_has_one_text_only() {
        let uuid = "7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d";
        assert_eq!(uuid.parse::<UserId>().unwrap().to_string(), uuid);
        for other in [&uuid.to_uppercase(), &uuid.replace('-', ""), &format!("{{{uuid}}}"), &uuid.replace("-4c", "-1c")]
        {
            assert_eq!(other.parse::<UserId>(), Err(NameError::Uuid), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_written_back_the_same(text in ".{0,80}") {
            if let Ok(name) = text.parse::<UserName>() {
                prop_assert_eq!(name.to_string(), text.clone());
            }
            if let Ok(id) = text.parse::<ClientId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn a_client_id_survives_the_wire(local in "[a-z0-9][a-z0-9._-]{0,63}", seed: u64) {
            use rand::SeedableRng as _;
            use tls_codec::{Serialize as _};
            let uuid = ClientUuid::generate(&mut rand::rngs::StdRng::seed_from_u64(seed));
            let id = ClientId { user_name: format!("{local}@example.org").parse().unwrap(), uuid };
            let bytes = id.tls_serialize_detached().unwrap();
            prop_assert_eq!(ClientId::tls_deserialize_exact_bytes(&bytes).unwrap(), id.clone());
            prop_assert!(ClientId::tls_deserialize_exact_bytes(&bytes[..bytes.len() - 1]).is_err());
        }
    }
}
