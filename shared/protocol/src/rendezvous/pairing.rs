//! What the new device shows and a person types into the existing one: rendezvous code and random string.

use std::fmt;
use std::str::FromStr;

use rand::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::words::{EVEN, LookupError, ODD, lookup};
use super::{RendezvousCode, RendezvousCodeError};
use crate::encoding::equal_in_constant_time;

/// How many digits the random string has in the form that consists of digits.
const RANDOM_STRING_DIGITS: usize = 5;

/// How a pairing begins as a URI, in any case.
const URI_PREFIX: &str = "vestibule:link/";

/// The 16 random bits that the new device chooses and the existing device is told by a person: SPAKE2's password
/// (`new-device.md`). Zeroized on drop, not printable, compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RandomString([u8; 2]);

impl RandomString {
    /// A fresh one.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut string = Self([0; 2]);
        rng.fill_bytes(&mut string.0);
        string
    }

    /// The one with these two bytes.
    pub const fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(bytes)
    }

    /// Its two bytes.
    pub(super) const fn as_bytes(&self) -> &[u8; 2] {
        &self.0
    }

    /// Its two words: the first from the PGP list's even words, the second from the odd ones.
    pub fn words(&self) -> [&'static str; 2] {
        [EVEN[usize::from(self.0[0])], ODD[usize::from(self.0[1])]]
    }

    /// Its number, the first byte the more significant, as five digits.
    pub fn digits(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{:0width$}", u16::from_be_bytes(self.0), width = RANDOM_STRING_DIGITS))
    }
}

impl PartialEq for RandomString {
    fn eq(&self, other: &Self) -> bool {
        equal_in_constant_time(&self.0, &other.0)
    }
}

impl Eq for RandomString {}

impl fmt::Debug for RandomString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RandomString")
    }
}

/// One of the two words of a random string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WordPosition {
    /// The first, of two syllables.
    First,
    /// The second, of three syllables.
    Second,
}

impl fmt::Display for WordPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

/// Why what was typed is not a pairing. It does not repeat what was typed, because that is a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PairingError {
    /// There is nothing but a number, or nothing at all.
    #[error("a number and two words are wanted, such as 27182-aardvark-breakaway; something is missing")]
    Incomplete,
    /// There is something after the second word.
    #[error("a number and two words are wanted, such as 27182-aardvark-breakaway; there is more than that")]
    TooLong,
    /// The number is none.
    #[error("the number before the words is not right: {0}")]
    Code(#[from] RendezvousCodeError),
    /// No word in this place begins like that.
    #[error("the {0} word is mistyped: no word in that place begins so")]
    UnknownWord(WordPosition),
    /// Several words in this place begin like that.
    #[error("the {0} word is too short: several words begin so")]
    AmbiguousWord(WordPosition),
    /// Each of the words belongs in the other's place.
    #[error("the two words are in the wrong order")]
    SwappedWords,
    /// The digits after the code are not five, or more than 16 bits.
    #[error("five digits, at most 65535, are wanted after the first number")]
    Digits,
}

/// A rendezvous code and a random string: all that two devices need to know of each other.
///
/// | form | example |
/// |---|---|
/// | [words](Self::to_words) | `27182-aardvark-breakaway` |
/// | [digits](Self::to_digits) | `27182-00029`: the random string has always five |
/// | [URI](Self::to_uri), for QR codes | `vestibule:link/27182-00029` |
///
/// [`FromStr`] reads each of them, in any case, with spaces or hyphens in between, and words that are cut short as far
/// as they are the only ones in their list that begin so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pairing {
    /// Where the devices meet.
    pub code: RendezvousCode,
    /// What only they know.
    pub random_string: RandomString,
}

impl Pairing {
    /// Number and two words.
    pub fn to_words(&self) -> Zeroizing<String> {
        let [first, second] = self.random_string.words();
        Zeroizing::new(format!("{}-{first}-{second}", self.code))
    }

    /// Two numbers.
    pub fn to_digits(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}-{}", self.code, self.random_string.digits().as_str()))
    }

    /// A URI, for a QR code. In upper case, which QR codes hold more densely, it reads the same.
    pub fn to_uri(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{URI_PREFIX}{}", self.to_digits().as_str()))
    }
}

impl FromStr for Pairing {
    type Err = PairingError;

    fn from_str(text: &str) -> Result<Self, PairingError> {
        let text = text.trim();
        let is_uri = text.get(..URI_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(URI_PREFIX));
        let text = if is_uri { &text[URI_PREFIX.len()..] } else { text };
        let mut parts = text.split(|character: char| character.is_whitespace() || character == '-');
        let mut next = || parts.find(|part| !part.is_empty());
        let code = next().ok_or(PairingError::Incomplete)?.parse()?;
        let first = next().ok_or(PairingError::Incomplete)?;
        let second = next();
        if next().is_some() {
            return Err(PairingError::TooLong);
        }
        let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
        let random_string = match second {
            Some(_) if is_number => return Err(PairingError::TooLong),
            Some(second) => read_words(first, second)?,
            None if is_number => read_digits(first)?,
            None => return Err(PairingError::Incomplete),
        };
        Ok(Self { code, random_string })
    }
}

fn read_words(first: &str, second: &str) -> Result<RandomString, PairingError> {
    let error = |position| {
        move |error| match error {
            LookupError::Unknown => PairingError::UnknownWord(position),
            LookupError::Ambiguous => PairingError::AmbiguousWord(position),
        }
    };
    let in_order = |first, second| -> Result<_, PairingError> {
        Ok(RandomString([
            lookup(&EVEN, first).map_err(error(WordPosition::First))?,
            lookup(&ODD, second).map_err(error(WordPosition::Second))?,
        ]))
    };
    in_order(first, second).map_err(|error| match error {
        PairingError::UnknownWord(_) if in_order(second, first).is_ok() => PairingError::SwappedWords,
        error => error,
    })
}

fn read_digits(digits: &str) -> Result<RandomString, PairingError> {
    let number = if digits.len() == RANDOM_STRING_DIGITS { digits.parse::<u16>().ok() } else { None };
    number.map(|number| RandomString(number.to_be_bytes())).ok_or(PairingError::Digits)
}

#[cfg(test)]
mod tests;
