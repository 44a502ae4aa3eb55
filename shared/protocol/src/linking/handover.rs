//! What the existing device hands over: all that makes the new one a client of the user's.

use std::fmt;

use tls_codec::{
    DeserializeBytes, Serialize as _, Size, TlsDeserializeBytes, TlsSerialize, TlsSize, VLByteSlice, VLBytes,
};
use zeroize::Zeroizing;

use super::LinkingError;
use super::message::{LinkingMessage, StateBundlesChunk};
use crate::encoding::{Bytes, SecretBytes};
use crate::fixed_secret;
use crate::keys::{QsUserRecordKey, SigningKey};
use crate::limits::{MAX_STATE_BUNDLES_LENGTH, STATE_BUNDLES_CHUNK_LENGTH};
use crate::name::UserId;
use crate::queuing::QsUserId;
use crate::symmetric::{DeviceLabelKey, FriendshipEncryptionKey, FriendshipToken, WelcomeAttributionInfoKey};

/// What makes the new device a client of the user's, apart from the state of groups.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Handover {
    /// The user.
    pub user_id: UserId,
    /// The generation of the user's identity.
    pub identity_generation: u64,
    /// Its epoch after the commit that added the new client.
    pub identity_epoch: u64,
    /// The Welcome that belongs to that commit, an `MLSMessage`.
    pub welcome: Bytes,
    /// How often what follows was rotated.
    pub rotation: u64,
    /// What the names of the user's devices are encrypted under.
    #[tls_codec(with = "fixed_secret")]
    pub device_label_key: DeviceLabelKey,
    /// The user's friendship token.
    #[tls_codec(with = "fixed_secret")]
    pub friendship_token: FriendshipToken,
    /// What the identities beside the user's KeyPackages are encrypted under.
    #[tls_codec(with = "fixed_secret")]
    pub friendship_encryption_key: FriendshipEncryptionKey,
    /// What the user's Welcomes are attributed with.
    #[tls_codec(with = "fixed_secret")]
    pub welcome_attribution_info_key: WelcomeAttributionInfoKey,
    /// The user at the queuing service.
    pub qs_user_id: QsUserId,
    /// The key of the user's record there.
    #[tls_codec(with = "fixed_secret")]
    pub qs_user_record_key: SigningKey<QsUserRecordKey>,
}

impl SecretBytes for Handover {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.tls_serialize_detached().expect("its parts are within TLS's limits"))
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Self::tls_deserialize_exact_bytes(bytes).ok()
    }
}

/// A group of the user's: with this a client enters it (`new-device.md`).
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct StateBundle {
    /// Which group.
    pub group_id: Bytes,
    /// What the group's state at the delivery service is encrypted under.
    pub member_ear_secrets: MemberEarSecrets,
    /// What is public of the group: what an external commit is made from.
    pub public_group_state: Bytes,
}

/// What the state of a group is encrypted under at the delivery service, in the application's own encoding. Zeroized on
/// drop, not printable.
#[derive(Clone, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct MemberEarSecrets(SecretOpaque);

impl MemberEarSecrets {
    /// The secrets with this encoding.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(SecretOpaque(bytes))
    }

    /// Their encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for MemberEarSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemberEarSecrets")
    }
}

/// The state bundles of a linking.
#[derive(Clone, PartialEq, Eq, Debug, Default, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(super) struct StateBundles(pub(super) Vec<StateBundle>);

impl StateBundles {
    /// Their length, and the messages that carry them.
    pub(super) fn to_chunks(&self) -> Result<(u32, Vec<LinkingMessage>), LinkingError> {
        let bytes = self.to_secret_bytes();
        if bytes.len() > MAX_STATE_BUNDLES_LENGTH {
            return Err(LinkingError::StateBundlesRefused);
        }
        let length = u32::try_from(bytes.len()).map_err(|_| LinkingError::StateBundlesRefused)?;
        let chunk = |(index, bytes): (u32, &[u8])| {
            LinkingMessage::StateBundles(StateBundlesChunk {
                index,
                bytes: SecretOpaque(Zeroizing::new(bytes.to_vec())),
            })
        };
        Ok((length, (0..).zip(bytes.chunks(STATE_BUNDLES_CHUNK_LENGTH)).map(chunk).collect()))
    }
}

impl SecretBytes for StateBundles {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.tls_serialize_detached().expect("its parts are within TLS's limits"))
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Self::tls_deserialize_exact_bytes(bytes).ok()
    }
}

/// State bundles of which more must come. Zeroized on drop, not printable.
pub(super) struct StateBundlesUnderWay {
    length: usize,
    /// With its whole capacity from the start, so that growing leaves no copy behind.
    received: Zeroizing<Vec<u8>>,
}

impl StateBundlesUnderWay {
    pub(super) fn announced(length: u32) -> Result<Self, LinkingError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // An empty list has a byte.
        if !(1..=MAX_STATE_BUNDLES_LENGTH).contains(&length) {
            return Err(LinkingError::StateBundlesRefused);
        }
        Ok(Self::with(length, &[]))
    }

    fn with(length: usize, received: &[u8]) -> Self {
        let mut under_way = Self { length, received: Zeroizing::new(Vec::with_capacity(length)) };
        under_way.received.extend_from_slice(received);
        under_way
    }

    /// Takes the next chunk.
    pub(super) fn receive(&mut self, chunk: &StateBundlesChunk) -> Result<(), LinkingError> {
        let missing = self.length - self.received.len();
        let index = self.received.len() / STATE_BUNDLES_CHUNK_LENGTH;
        let is_next = usize::try_from(chunk.index).is_ok_and(|claimed| claimed == index);
        if !is_next || chunk.bytes.0.len() != missing.min(STATE_BUNDLES_CHUNK_LENGTH) {
            return Err(LinkingError::StateBundlesRefused);
        }
        self.received.extend_from_slice(&chunk.bytes.0);
        Ok(())
    }

    /// The bundles, if all are there.
    pub(super) fn finish(&self) -> Result<Option<StateBundles>, LinkingError> {
        if self.received.len() < self.length {
            return Ok(None);
        }
        StateBundles::from_secret_bytes(&self.received).map(Some).ok_or(LinkingError::StateBundlesRefused)
    }
}

impl SecretBytes for StateBundlesUnderWay {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let length = u64::try_from(self.length).unwrap_or(u64::MAX).to_be_bytes();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length.len() + self.received.len()));
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&self.received);
        bytes
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, received) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        (received.len() < length && length <= MAX_STATE_BUNDLES_LENGTH).then(|| Self::with(length, received))
    }
}

impl fmt::Debug for StateBundlesUnderWay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} bytes", self.received.len(), self.length)
    }
}

/// Secret bytes of any number: `opaque<V>` on the wire. Zeroized on drop, not printable.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretOpaque(pub(super) Zeroizing<Vec<u8>>);

impl Size for SecretOpaque {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(&self.0).tls_serialized_len()
    }
}

impl tls_codec::Serialize for SecretOpaque {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        VLByteSlice(&self.0).tls_serialize(writer)
    }
}

impl DeserializeBytes for SecretOpaque {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (bytes, rest) = VLBytes::tls_deserialize_bytes(bytes)?;
        Ok((Self(Zeroizing::new(bytes.into())), rest))
    }
}

impl fmt::Debug for SecretOpaque {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}
