//! Friendship: what a user gives to another so that the other can add the user's clients to groups.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::encoding::{self, SecretBytes as _};
use crate::name::UserName;
use crate::signed::labelled_hash;
use crate::symmetric::{FriendshipEncryptionKey, FriendshipToken, SYMMETRIC_SECRET_LENGTH};

/// The first byte of a friendship code.
const VERSION: u8 = 1;
/// Length of the checksum at the end of a friendship code, in bytes.
const CHECKSUM_LENGTH: usize = 4;

/// What the queuing service keeps of a [`FriendshipToken`]: a labelled SHA-256 hash, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FriendshipTokenHash([u8; 32]);

impl FriendshipToken {
    /// The token's hash.
    pub fn hash(&self) -> FriendshipTokenHash {
        FriendshipTokenHash(labelled_hash("FriendshipToken", self.as_bytes()))
    }
}

impl FriendshipTokenHash {
    /// The hash with these bytes, or `None` if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for FriendshipTokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encoding::encode(&self.0))
    }
}

impl fmt::Debug for FriendshipTokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why a text is not a friendship code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FriendshipCodeError {
    /// It has characters that no code has, or is too short.
    #[error("this is not a friendship code; was all of it copied?")]
    Malformed,
    /// Its checksum is wrong.
    #[error("the friendship code has a mistake in it, or a part of it is missing")]
    Mistyped,
    /// It is of a later version.
    #[error("the friendship code is of a version that this program does not know")]
    UnknownVersion,
}

/// What a user shows to friends: the right to claim KeyPackages, the key to see whose they are, and whose they should
/// be.
///
/// Its text is the base64url of
/// `version[1] ‖ friendship token[32] ‖ friendship encryption key[32] ‖ user name ‖ checksum[4]`, where the checksum is
/// the beginning of the labelled hash of all that comes before it. It catches mistakes, not forgeries.
#[derive(Clone, Debug)]
pub struct FriendshipCode {
    /// What claims the user's KeyPackages.
    pub token: FriendshipToken,
    /// What opens the identity beside them.
    pub encryption_key: FriendshipEncryptionKey,
    /// Whom that identity must name.
    pub user_name: UserName,
}

impl FriendshipCode {
    /// The code's text: a secret of the user and those it is given to.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        bytes.extend_from_slice(self.token.as_bytes());
        bytes.extend_from_slice(self.encryption_key.as_bytes());
        bytes.extend_from_slice(self.user_name.as_str().as_bytes());
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        Zeroizing::new(encoding::encode(&bytes))
    }
}

impl FromStr for FriendshipCode {
    type Err = FriendshipCodeError;

    /// Reads a code. White space around it is what copying left.
    fn from_str(text: &str) -> Result<Self, FriendshipCodeError> {
        let malformed = || FriendshipCodeError::Malformed;
        let bytes = Zeroizing::new(encoding::decode(text.trim()).ok_or_else(malformed)?);
        let (content, claimed_checksum) = bytes.split_last_chunk::<CHECKSUM_LENGTH>().ok_or_else(malformed)?;
        if checksum(content) != *claimed_checksum {
            return Err(FriendshipCodeError::Mistyped);
        }
        let (version, content) = content.split_first().ok_or_else(malformed)?;
        if *version != VERSION {
            return Err(FriendshipCodeError::UnknownVersion);
        }
        let (token, content) = content.split_at_checked(SYMMETRIC_SECRET_LENGTH).ok_or_else(malformed)?;
        let (key, name) = content.split_at_checked(SYMMETRIC_SECRET_LENGTH).ok_or_else(malformed)?;
        let name = std::str::from_utf8(name).map_err(|_| FriendshipCodeError::Malformed)?;
        Ok(Self {
            token: FriendshipToken::from_secret_bytes(token).ok_or_else(malformed)?,
            encryption_key: FriendshipEncryptionKey::from_secret_bytes(key).ok_or_else(malformed)?,
            user_name: name.parse().map_err(|_| FriendshipCodeError::Malformed)?,
        })
    }
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let hash = labelled_hash("FriendshipCode", content);
    *hash.first_chunk().expect("a hash is longer than a checksum")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn code(seed: u64, user_name: &str) -> FriendshipCode {
        let rng = &mut StdRng::seed_from_u64(seed);
        FriendshipCode {
            token: FriendshipToken::generate(rng),
            encryption_key: FriendshipEncryptionKey::generate(rng),
            user_name: user_name.parse().unwrap(),
        }
    }

    #[test]
    fn a_code_that_lost_or_changed_a_character_is_noticed() {
        let text = code(1, "alice@example.org").to_text();
        for position in 0..text.len() {
            let mut shorter = text.to_string();
            shorter.remove(position);
            assert!(shorter.parse::<FriendshipCode>().is_err(), "{position}");
            let mut altered = text.to_string().into_bytes();
            altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
            assert!(String::from_utf8(altered).unwrap().parse::<FriendshipCode>().is_err(), "{position}");
        }
    }

    #[test]
    fn a_code_of_a_later_version_is_told_from_a_mistake() {
        let mut content = vec![2, 1, 2, 3];
        content.extend(checksum(&content));
        let refused = encoding::encode(&content).parse::<FriendshipCode>();
        assert_eq!(refused.unwrap_err(), FriendshipCodeError::UnknownVersion);
    }

    #[test]
    fn a_code_does_not_print_itself() {
        let printed = format!("{:?}", code(1, "alice@example.org"));
        assert!(printed.contains("FriendshipToken") && !printed.contains('['), "{printed}");
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_as_it_was_written(seed: u64, local in "[a-z0-9][a-z0-9._-]{0,63}") {
            let code = code(seed, &format!("{local}@example.org"));
            let read: FriendshipCode = format!(" {}\n", code.to_text().as_str()).parse().unwrap();
            prop_assert_eq!(read.token.as_bytes(), code.token.as_bytes());
            prop_assert_eq!(read.encryption_key.as_bytes(), code.encryption_key.as_bytes());
            prop_assert_eq!(read.user_name, code.user_name);
        }

        #[test]
        fn no_text_brings_the_reader_down(text in ".{0,200}") {
            let _ = text.parse::<FriendshipCode>();
        }
    }
}
