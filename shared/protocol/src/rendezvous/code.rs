//! The rendezvous code: the number under which two devices find each other.

use std::fmt;
use std::str::FromStr;

use rand::{CryptoRng, Rng, RngCore};
use serde::{Deserialize, Serialize};

/// How many bits a code normally has (`new-device.md`).
pub const RENDEZVOUS_CODE_BITS: u32 = 16;

/// How many bits a code may have while shorter ones are crowded.
pub const MAX_RENDEZVOUS_CODE_BITS: u32 = 32;

/// Why a text is not a rendezvous code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RendezvousCodeError {
    /// It is empty, or has something else than digits.
    #[error("a rendezvous code consists of digits")]
    NotANumber,
    /// It begins with a zero and is not zero.
    #[error("a rendezvous code does not begin with a zero")]
    LeadingZero,
    /// It is longer than any code.
    #[error("no rendezvous code is so large")]
    TooLarge,
}

/// The number under which two devices find each other (`new-device.md`). Not a secret: it says which mailbox, the
/// [`RandomString`](super::RandomString) says that it is the right one.
///
/// At most [`MAX_RENDEZVOUS_CODE_BITS`] bits; in text a decimal number without leading zeros, in JSON an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RendezvousCode(u32);

impl RendezvousCode {
    /// A random code of at most `bits` bits: from [`RENDEZVOUS_CODE_BITS`] to [`MAX_RENDEZVOUS_CODE_BITS`], into which
    /// range `bits` is brought if it lies outside.
    pub fn generate(bits: u32, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let unused = 32 - bits.clamp(RENDEZVOUS_CODE_BITS, MAX_RENDEZVOUS_CODE_BITS);
        Self(rng.r#gen::<u32>() >> unused)
    }

    /// The code with this number.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The code's number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl FromStr for RendezvousCode {
    type Err = RendezvousCodeError;

    fn from_str(text: &str) -> Result<Self, RendezvousCodeError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RendezvousCodeError::NotANumber);
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(RendezvousCodeError::LeadingZero);
        }
        text.parse().map(Self).map_err(|_| RendezvousCodeError::TooLarge)
    }
}

impl fmt::Display for RendezvousCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for RendezvousCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_code_has_one_text() {
        for (text, error) in [
            ("", RendezvousCodeError::NotANumber),
            ("+1", RendezvousCodeError::NotANumber),
            ("1 ", RendezvousCodeError::NotANumber),
            ("١", RendezvousCodeError::NotANumber),
            ("01", RendezvousCodeError::LeadingZero),
            ("00", RendezvousCodeError::LeadingZero),
            ("4294967296", RendezvousCodeError::TooLarge),
        ] {
            assert_eq!(text.parse::<RendezvousCode>(), Err(error), "{text:?}");
        }
        assert_eq!("0".parse(), Ok(RendezvousCode(0)));
        assert_eq!("4294967295".parse(), Ok(RendezvousCode(u32::MAX)));
    }

    #[test]
    fn a_code_is_as_wide_as_asked_for_and_never_narrower_than_16_bits() {
        let rng = &mut StdRng::seed_from_u64(1);
        for (bits, expected) in [(0, 16), (16, 16), (20, 20), (32, 32), (99, 32)] {
            let largest = (0..1000).map(|_| RendezvousCode::generate(bits, rng).0).max().unwrap();
            assert_eq!(32 - largest.leading_zeros(), expected, "{bits} bits");
        }
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_as_it_was_written(number: u32, noise in "[0-9a ]{0,12}") {
            let code = RendezvousCode(number);
            prop_assert_eq!(code.to_string().parse(), Ok(code));
            if let Ok(code) = noise.parse::<RendezvousCode>() {
                prop_assert_eq!(code.to_string(), noise);
            }
        }
    }
}
