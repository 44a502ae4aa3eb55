//! What opens a mailbox of the relay: its id and a ticket.

use std::fmt;

use rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::encoding::{self, SecretBytes as _, equal_in_constant_time};
use crate::signed::labelled_hash;
use crate::symmetric::{RendezvousTicket, SYMMETRIC_SECRET_LENGTH};
use crate::text_form::bytes_text_form;

/// The WebSocket subprotocol (RFC 6455, section 1.9) that devices ask for and the relay agrees to.
pub const RELAY_SUBPROTOCOL: &str = "vestibule.relay.1";

/// How the second subprotocol begins, which is not one: it brings the ticket.
const TICKET_SUBPROTOCOL_PREFIX: &str = "vestibule.ticket.";

/// The text is not a mailbox id: 32 bytes as 43 characters of base64url are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a mailbox id is 32 bytes in base64url without padding")]
pub struct MailboxIdError;

/// A mailbox of the relay: 32 random bytes, to which a rendezvous code leads. Base64url in text and JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MailboxId([u8; 32]);

impl MailboxId {
    /// A fresh one.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut id = Self([0; 32]);
        rng.fill_bytes(&mut id.0);
        id
    }

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

bytes_text_form!(MailboxId, MailboxIdError);

/// What the relay keeps of a [`RendezvousTicket`]: a labelled SHA-256 hash, 32 bytes. Compared in constant time.
#[derive(Clone, Copy)]
pub struct RendezvousTicketHash([u8; 32]);

impl RendezvousTicketHash {
    /// The hash with these bytes, or `None` if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for RendezvousTicketHash {
    fn eq(&self, other: &Self) -> bool {
        equal_in_constant_time(&self.0, &other.0)
    }
}

impl Eq for RendezvousTicketHash {}

impl fmt::Debug for RendezvousTicketHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encoding::encode(&self.0))
    }
}

impl RendezvousTicket {
    /// The ticket's hash.
    pub fn hash(&self) -> RendezvousTicketHash {
        RendezvousTicketHash(labelled_hash("RendezvousTicket", self.as_bytes()))
    }

    /// The `Sec-WebSocket-Protocol` header with which a device connects: [`RELAY_SUBPROTOCOL`], to which the relay
    /// agrees, and the ticket. Not in the URL, because URLs end up in logs.
    pub fn to_subprotocols(&self) -> Zeroizing<String> {
        let ticket = Zeroizing::new(encoding::encode(self.as_bytes()));
        Zeroizing::new(format!("{RELAY_SUBPROTOCOL}, {TICKET_SUBPROTOCOL_PREFIX}{}", ticket.as_str()))
    }

    /// The ticket in a `Sec-WebSocket-Protocol` header, or `None` if it does not ask for [`RELAY_SUBPROTOCOL`] and
    /// bring exactly one ticket.
    pub fn from_subprotocols(header: &str) -> Option<Self> {
        let mut subprotocols = header.split(',').map(str::trim);
        let asks_for_relay = subprotocols.clone().any(|subprotocol| subprotocol == RELAY_SUBPROTOCOL);
        let mut tickets = subprotocols.by_ref().filter_map(|text| text.strip_prefix(TICKET_SUBPROTOCOL_PREFIX));
        let ticket = tickets.next()?;
        if !asks_for_relay || tickets.next().is_some() || ticket.len() > 2 * SYMMETRIC_SECRET_LENGTH {
            return None;
        }
        Self::from_secret_bytes(&Zeroizing::new(encoding::decode(ticket)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_ticket_travels_beside_the_subprotocol() {
        let ticket = RendezvousTicket::generate(&mut StdRng::seed_from_u64(1));
        let header = ticket.to_subprotocols();
        assert!(header.starts_with("vestibule.relay.1, vestibule.ticket."));
        assert_eq!(RendezvousTicket::from_subprotocols(&header).unwrap().hash(), ticket.hash());
        let text = header.rsplit('.').next().unwrap();
        for refused in [
            String::new(),
            "vestibule.relay.1".to_owned(),
            format!("vestibule.ticket.{text}"),
            format!("vestibule.relay.2, vestibule.ticket.{text}"),
            format!("vestibule.relay.1, vestibule.ticket.{}", &text[1..]),
            format!("{}, vestibule.ticket.{text}", header.as_str()),
        ] {
            assert!(RendezvousTicket::from_subprotocols(&refused).is_none(), "{refused}");
        }
    }

    #[test]
    fn another_ticket_has_another_hash() {
        let rng = &mut StdRng::seed_from_u64(1);
        let (ticket, other) = (RendezvousTicket::generate(rng), RendezvousTicket::generate(rng));
        assert_ne!(ticket.hash(), other.hash());
        assert_eq!(RendezvousTicketHash::from_bytes(ticket.hash().as_bytes()), Some(ticket.hash()));
        assert_eq!(RendezvousTicketHash::from_bytes(&[0; 31]), None);
    }

    proptest! {
        #[test]
        fn a_mailbox_id_has_one_text(bytes: [u8; 32], noise in "[A-Za-z0-9_-]{40,45}") {
            let id = MailboxId(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            if let Ok(id) = noise.parse::<MailboxId>() {
                prop_assert_eq!(id.to_string(), noise);
            }
        }
    }
}
