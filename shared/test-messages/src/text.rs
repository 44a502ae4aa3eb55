//! What a test message says.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vestibule_protocol::limits::MAX_TEST_MESSAGE_TEXT_LENGTH;
use zeroize::Zeroizing;

/// Why something is not the text of a test message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MessageTextError {
    /// There is none.
    #[error("a message says something")]
    Empty,
    /// It has more than [`MAX_TEST_MESSAGE_TEXT_LENGTH`] bytes.
    #[error("the text of a message has at most {MAX_TEST_MESSAGE_TEXT_LENGTH} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("the text of a message is UTF-8")]
    NotUtf8,
}

/// The text of a test message: 1 to 4096 bytes of UTF-8, for sender and receivers alone. Zeroized on drop, not printed by
/// `Debug`. It may have control characters: whoever shows it to a terminal takes care of them.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageText(Zeroizing<String>);

impl MessageText {
    /// Decodes a text.
    ///
    /// # Errors
    /// [`MessageTextError`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, MessageTextError> {
        std::str::from_utf8(bytes).map_err(|_| MessageTextError::NotUtf8)?.parse()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MessageText {
    type Err = MessageTextError;

    fn from_str(text: &str) -> Result<Self, MessageTextError> {
        match text.len() {
            0 => Err(MessageTextError::Empty),
            1..=MAX_TEST_MESSAGE_TEXT_LENGTH => Ok(Self(Zeroizing::new(text.to_owned()))),
            _ => Err(MessageTextError::TooLong),
        }
    }
}

impl fmt::Debug for MessageText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MessageText({} bytes)", self.0.len())
    }
}

impl Serialize for MessageText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MessageText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Zeroizing::new(String::deserialize(deserializer)?).parse().map_err(D::Error::custom)
    }
}
