//! Codes: which mailbox a person's number leads to.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Put;
use rand::{CryptoRng, RngCore};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::rendezvous::{MAX_RENDEZVOUS_CODE_BITS, MailboxId, RENDEZVOUS_CODE_BITS, RendezvousCode};
use vestibule_protocol::time::Timestamp;

use super::{MAILBOX_ID, alive, expiry};
use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call, put_if_none_lives};

/// How many codes of 16 bits are tried. With half of them in use, one creation in 32 gets a wider one.
const NARROW_ATTEMPTS: usize = 5;
/// By how many bits each code that is tried after them is wider than the one before.
const WIDENING: usize = 2;

/// The codes to try, one after the other, until one is free. They end: if the widest is taken, something else is wrong.
pub(super) fn candidates(rng: &mut (impl RngCore + CryptoRng)) -> impl Iterator<Item = RendezvousCode> {
    let narrow = std::iter::repeat_n(RENDEZVOUS_CODE_BITS, NARROW_ATTEMPTS);
    let wider = (RENDEZVOUS_CODE_BITS..=MAX_RENDEZVOUS_CODE_BITS).step_by(WIDENING).skip(1);
    narrow.chain(wider).map(|bits| RendezvousCode::generate(bits, rng))
}

/// The part of a transaction that takes a code, unless it leads to a mailbox or rests.
pub(super) fn take(table: &str, code: RendezvousCode, mailbox_id: &MailboxId, now: Timestamp) -> Put {
    let item = key(code).string(MAILBOX_ID, mailbox_id.to_string()).time(EXPIRES_AT, expiry(now));
    put_if_none_lives(table, item, now)
}

/// Where a code leads, or led until a while ago: one read.
pub(super) async fn read(
    client: &Client,
    table: &str,
    code: RendezvousCode,
    now: Timestamp,
) -> Result<Option<MailboxId>, Problem> {
    let request = client.get_item().table_name(table).consistent_read(true).set_key(Some(key(code).into()));
    let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
    let Some(item) = answer.item.and_then(|item| alive(item.into(), now)) else { return Ok(None) };
    let mailbox_id = item.get_string(MAILBOX_ID).and_then(|id| id.parse().ok());
    mailbox_id.map(Some).ok_or_else(|| corrupt_item("a rendezvous code"))
}

fn key(code: RendezvousCode) -> Item {
    Item::keyed(format!("CODE#{code}"), "CODE")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn codes_are_narrow_until_that_has_failed_five_times_and_then_grow_to_32_bits() {
        let widest = |number: usize| {
            let codes = (0..200).map(|seed| candidates(&mut StdRng::seed_from_u64(seed)).nth(number));
            codes.map(|code| code.map_or(0, |code| 32 - code.number().leading_zeros())).max().unwrap()
        };
        let widths: Vec<u32> = (0..14).map(widest).collect();
        assert_eq!(widths, [16, 16, 16, 16, 16, 18, 20, 22, 24, 26, 28, 30, 32, 0]);
    }
}
