//! A test message on its way: what the queuing service carries.

use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn, PrivateMessageIn, Welcome};
use tls_codec::{Deserialize as _, DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::limits::MAX_QUEUE_MESSAGE_LENGTH;
use vestibule_protocol::signed::labelled;

/// The type's name in its label.
const TYPE_NAME: &str = "TestMessage";

/// Bytes are no test message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is not a well-formed test message")]
pub struct Malformed;

/// A test message as it was made or received: the same for every device that it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestMessage {
    pub(crate) parts: Parts,
    /// The KeyPackages that the Welcome is for.
    references: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Parts {
    pub(crate) welcome: Bytes,
    pub(crate) private_message: Bytes,
}

#[derive(TlsDeserializeBytes, TlsSize)]
struct Labelled {
    label: Bytes,
    content: Bytes,
}

impl TestMessage {
    /// The message of these two `MLSMessage`s; `None` if they are not of the right kinds, or too long for a queue.
    pub(crate) fn of(welcome: Vec<u8>, private_message: Vec<u8>) -> Option<Self> {
        let message = Self::checked(Parts { welcome: Bytes(welcome), private_message: Bytes(private_message) }).ok()?;
        (message.to_bytes().len() <= MAX_QUEUE_MESSAGE_LENGTH).then_some(message)
    }

    /// Decodes a message. Nothing of it is decrypted yet.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let Labelled { label, content } = Labelled::tls_deserialize_exact_bytes(bytes).map_err(|_| Malformed)?;
        if label.0 != format!("Vestibule 1.0 {TYPE_NAME}").as_bytes() {
            return Err(Malformed);
        }
        Self::checked(Parts::tls_deserialize_exact_bytes(&content.0).map_err(|_| Malformed)?)
    }

    fn checked(parts: Parts) -> Result<Self, Malformed> {
        let welcome = read_welcome(&parts.welcome.0)?;
        let references =
            welcome.secrets().iter().map(|secret| Bytes(secret.new_member().as_slice().to_vec())).collect();
        read_private_message(&parts.private_message.0)?;
        Ok(Self { parts, references })
    }

    /// The message for a queue: at most [`MAX_QUEUE_MESSAGE_LENGTH`] bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        labelled(TYPE_NAME, &self.parts.tls_serialize_detached().expect("a Vec takes whatever is written"))
    }

    /// Whether the message is for the KeyPackage with this name (RFC 9420, section 5.2).
    pub fn is_for(&self, reference: &[u8]) -> bool {
        self.references.iter().any(|named| named.0 == reference)
    }

    pub(crate) fn welcome(&self) -> Result<Welcome, Malformed> {
        read_welcome(&self.parts.welcome.0)
    }

    pub(crate) fn private_message(&self) -> Result<PrivateMessageIn, Malformed> {
        read_private_message(&self.parts.private_message.0)
    }
}

fn read_welcome(bytes: &[u8]) -> Result<Welcome, Malformed> {
    match MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| Malformed)?.extract() {
        MlsMessageBodyIn::Welcome(welcome) => Ok(welcome),
        _ => Err(Malformed),
    }
}

fn read_private_message(bytes: &[u8]) -> Result<PrivateMessageIn, Malformed> {
    match MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| Malformed)?.extract() {
        MlsMessageBodyIn::PrivateMessage(message) => Ok(message),
        _ => Err(Malformed),
    }
}
