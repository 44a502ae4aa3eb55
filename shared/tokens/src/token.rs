//! A token, in the bytes that are presented.

use std::fmt;

use vestibule_protocol::encoding::SecretBytes;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{TOKEN_TYPE, TokenKeyId};

/// Length of a token in bytes: type 2, nonce 32, challenge digest 32, key id 32, authenticator 64.
pub const TOKEN_LENGTH: usize = 2 + 32 + 32 + 32 + 64;

/// A token (RFC 9577, section 2.2): whoever has it can spend it. Zeroized on drop, not printable.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; TOKEN_LENGTH]);

impl Token {
    /// The token in these bytes, or `None` if they have another length or another token type. Nothing else is checked.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; TOKEN_LENGTH] = bytes.try_into().ok()?;
        (bytes[..2] == (TOKEN_TYPE as u16).to_be_bytes()).then_some(Self(bytes))
    }

    /// The token's bytes.
    pub fn as_bytes(&self) -> &[u8; TOKEN_LENGTH] {
        &self.0
    }

    /// What the client chose at random, and what is spent: no nonce is good twice.
    pub fn nonce(&self) -> [u8; 32] {
        self.part(2)
    }

    /// The digest of the challenge that it answers.
    pub fn challenge_digest(&self) -> [u8; 32] {
        self.part(34)
    }

    /// The key under which it was issued.
    pub fn key_id(&self) -> TokenKeyId {
        TokenKeyId::new(self.part(66))
    }

    fn part(&self, start: usize) -> [u8; 32] {
        self.0[start..start + 32].try_into().expect("the parts have 32 bytes")
    }
}

impl SecretBytes for Token {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_bytes(bytes)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_has_its_parts_in_order() {
        let mut bytes = [0; TOKEN_LENGTH];
        for (index, byte) in bytes.iter_mut().enumerate().skip(2) {
            *byte = 1 + ((index - 2) / 32) as u8;
        }
        bytes[1] = 5;
        let token = Token::from_bytes(&bytes).unwrap();
        assert_eq!(token.nonce(), [1; 32]);
        assert_eq!(token.challenge_digest(), [2; 32]);
        assert_eq!(*token.key_id().as_bytes(), [3; 32]);
        assert_eq!(*token.as_bytes(), bytes);
    }

    proptest! {
        #[test]
        fn only_the_right_length_and_type_is_a_token(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let is_token = bytes.len() == TOKEN_LENGTH && bytes[..2] == [0, 5];
            prop_assert_eq!(Token::from_bytes(&bytes).is_some(), is_token);
        }

        #[test]
        fn a_truncated_or_extended_token_is_none(length in 0..2 * TOKEN_LENGTH) {
            let mut bytes = vec![7; length];
            bytes[..2.min(length)].copy_from_slice(&[0, 5][..2.min(length)]);
            prop_assert_eq!(Token::from_bytes(&bytes).is_some(), length == TOKEN_LENGTH);
        }
    }
}
