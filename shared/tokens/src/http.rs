//! Tokens and challenges in HTTP header fields (RFC 9577, section 2; the syntax of RFC 9110, section 11).

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use vestibule_protocol::problem::TokenChallengeMembers;
use zeroize::Zeroizing;

use crate::{Token, TokenChallenge, TokenPublicKey};

mod parameters;

/// The scheme's name.
const SCHEME: &str = "PrivateToken";

/// Base64url with its padding, as the RFC wants it. What comes without is read too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A header field that does not parse, or lacks what it must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the header is not a well-formed PrivateToken one (RFC 9577)")]
pub struct MalformedHeader;

/// The value of `Authorization` that presents a token.
pub fn authorization(token: &Token) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(token.as_bytes()));
    Zeroizing::new(format!("{SCHEME} token=\"{}\"", *encoded))
}

/// The token that a value of `Authorization` presents; `None` if it is of another scheme. Parameters that we do not know
/// are passed over.
///
/// # Errors
/// [`MalformedHeader`].
pub fn read_authorization(value: &str) -> Result<Option<Token>, MalformedHeader> {
    if parameters::first_scheme(value).is_some_and(|name| !name.eq_ignore_ascii_case(SCHEME)) {
        return Ok(None);
    }
    let schemes = parameters::read(value).ok_or(MalformedHeader)?;
    let [scheme] = &schemes[..] else { return Err(MalformedHeader) };
    let text = scheme.parameter("token").ok_or(MalformedHeader)?;
    let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| MalformedHeader)?);
    Token::from_bytes(&bytes).map(Some).ok_or(MalformedHeader)
}

/// What a service asks for, as a client read it. Nothing in it is trusted: the client compares it with what it knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedChallenge {
    /// The bytes of the challenge.
    pub challenge: Vec<u8>,
    /// The bytes of the public key that the token is to be issued under.
    pub token_key: Vec<u8>,
}

impl ReceivedChallenge {
    /// The challenge in a problem's body.
    ///
    /// # Errors
    /// [`MalformedHeader`] if a member is not as it would be in the header.
    pub fn of_problem(members: &TokenChallengeMembers) -> Result<Self, MalformedHeader> {
        Self::decode(&members.challenge, &members.token_key)
    }

    fn decode(challenge: &str, token_key: &str) -> Result<Self, MalformedHeader> {
        let decode = |text: &str| BASE64.decode(text).map_err(|_| MalformedHeader);
        Ok(Self { challenge: decode(challenge)?, token_key: decode(token_key)? })
    }

    /// Whether it asks for tokens that answer `challenge`.
    pub fn is(&self, challenge: &TokenChallenge) -> bool {
        self.challenge == challenge.as_bytes()
    }

    /// The public key, if it is one.
    pub fn public_key(&self) -> Option<TokenPublicKey> {
        TokenPublicKey::from_bytes(&self.token_key)
    }
}

/// The challenge and the key as a problem's body has them.
pub fn challenge_members(challenge: &TokenChallenge, key: &TokenPublicKey) -> TokenChallengeMembers {
    TokenChallengeMembers { challenge: BASE64.encode(challenge.as_bytes()), token_key: BASE64.encode(key.as_bytes()) }
}

/// The value of `WWW-Authenticate` that asks for a token.
pub fn www_authenticate(members: &TokenChallengeMembers) -> String {
    format!("{SCHEME} challenge=\"{}\", token-key=\"{}\"", members.challenge, members.token_key)
}

/// The challenges for tokens in a value of `WWW-Authenticate`. Those of other schemes, and parameters that we do not know,
/// are passed over.
///
/// # Errors
/// [`MalformedHeader`].
pub fn read_www_authenticate(value: &str) -> Result<Vec<ReceivedChallenge>, MalformedHeader> {
    let schemes = parameters::read(value).ok_or(MalformedHeader)?;
    let of_tokens = schemes.iter().filter(|scheme| scheme.name.eq_ignore_ascii_case(SCHEME));
    let challenge = |scheme: &parameters::Scheme<'_>| {
        let members = scheme.parameter("challenge").zip(scheme.parameter("token-key"));
        let (challenge, token_key) = members.ok_or(MalformedHeader)?;
        ReceivedChallenge::decode(challenge, token_key)
    };
    of_tokens.map(challenge).collect()
}

#[cfg(test)]
mod tests;
