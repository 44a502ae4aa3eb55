//! SPAKE2, and all that this crate knows of the `spake2` crate: `Ed25519Group`, whose messages and key are those of
//! Python's `spake2` package (docs/decisions/0030).
//!
//! The crate takes any point that decompresses. Here a point that is not in its one encoding, not in the prime-order
//! subgroup, or the identity is refused before the crate sees it. A wrong password is not an error: it gives another
//! key, which key confirmation finds out.

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity as _;
use rand::{CryptoRng, RngCore};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use tls_codec::{Serialize as _, TlsSerialize, TlsSize, VLByteSlice};
use zeroize::Zeroizing;

use super::{Pairing, Role};
use crate::credential::ProtocolVersion;
use crate::name::Domain;
use crate::symmetric::RendezvousSharedKey;

/// Length of a message in bytes: `A` or `B`, and a point.
pub(super) const MESSAGE_LENGTH: usize = 33;

/// A SPAKE2 message.
pub(super) type Message = [u8; MESSAGE_LENGTH];

/// Why the peer's message is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MessageError {
    /// It has the wrong length.
    Length,
    /// It is not from the other side.
    Side,
    /// It is no point, or not in the one encoding that the point has.
    Encoding,
    /// It is the identity, or has a component of small order.
    Order,
}

/// One side of an exchange whose own message is made. It takes one message of the peer: one guess.
pub(super) struct Exchange {
    state: Spake2<Ed25519Group>,
    peer_side: u8,
    message: Message,
}

impl Exchange {
    /// Begins an exchange: the new device is SPAKE2's A, the existing one B. Draws 64 bytes.
    pub(super) fn start(role: Role, pairing: &Pairing, domain: &Domain, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let password = Password::new(pairing.random_string.as_bytes());
        let [id_a, id_b] = [Role::NewDevice, Role::ExistingDevice]
            .map(|role| Identity::new(&identity(role, pairing.code.number(), domain)));
        let (state, message) = match role {
            Role::NewDevice => Spake2::start_a_with_rng(&password, &id_a, &id_b, rng),
            Role::ExistingDevice => Spake2::start_b_with_rng(&password, &id_a, &id_b, rng),
        };
        let message = message.try_into().expect("a message of this group has 33 bytes");
        Self { state, peer_side: side(role.peer()), message }
    }

    /// The message for the peer.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// Takes the peer's message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub(super) fn finish(self, peer_message: &[u8]) -> Result<RendezvousSharedKey, MessageError> {
        check(peer_message, self.peer_side)?;
        let key = Zeroizing::new(self.state.finish(peer_message).map_err(|_| MessageError::Encoding)?);
        Ok(RendezvousSharedKey::from_bytes(key.as_slice().try_into().expect("SHA-256 gives 32 bytes")))
    }
}

/// The first byte of a message.
fn side(role: Role) -> u8 {
    match role {
        Role::NewDevice => b'A',
        Role::ExistingDevice => b'B',
    }
}

/// What SPAKE2 takes for the name of a device: an exchange with another code, deployment, version or in the other role
/// gives another key.
fn identity(role: Role, code: u32, domain: &Domain) -> Vec<u8> {
    #[derive(TlsSerialize, TlsSize)]
    struct RendezvousIdentity<'a> {
        label: VLByteSlice<'a>,
        version: ProtocolVersion,
        role: Role,
        code: u32,
        domain: Domain,
    }
    let label = VLByteSlice(b"Vestibule 1.0 RendezvousIdentity");
    let identity =
        RendezvousIdentity { label, version: ProtocolVersion::Vestibule1, role, code, domain: domain.clone() };
    identity.tls_serialize_detached().expect("it is short")
}

fn check(message: &[u8], expected_side: u8) -> Result<(), MessageError> {
    let message: &Message = message.try_into().map_err(|_| MessageError::Length)?;
    let (side, encoding) = message.split_first().ok_or(MessageError::Length)?;
    if *side != expected_side {
        return Err(MessageError::Side);
    }
    let encoding = CompressedEdwardsY::from_slice(encoding).map_err(|_| MessageError::Length)?;
    let point = encoding.decompress().ok_or(MessageError::Encoding)?;
    if point.compress() != encoding {
        return Err(MessageError::Encoding);
    }
    if point.is_identity() || !point.is_torsion_free() {
        return Err(MessageError::Order);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
