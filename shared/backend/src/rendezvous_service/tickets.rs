//! Tickets: which side of which mailbox a secret opens. Only its hash is kept.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Put;
use vestibule_protocol::encoding::encode;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::{RendezvousCode, RendezvousTicketHash};
use vestibule_protocol::time::Timestamp;

use super::{Created, Side, alive, expiry};
use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call, put_if_none_lives};

const CODE: &str = "code";
const ENDS_AT: &str = "ends_at";

/// The part of a transaction that puts an existing device's ticket.
pub(super) fn put(table: &str, hash: &RendezvousTicketHash, side: Side, now: Timestamp) -> Put {
    put_if_none_lives(table, item(hash, side, now), now)
}

/// The part of a transaction that puts a new device's ticket, with what the device was answered.
pub(super) fn put_created(
    table: &str,
    hash: &RendezvousTicketHash,
    side: Side,
    created: &Created,
    now: Timestamp,
) -> Put {
    let item = item(hash, side, now).number(CODE, created.code.number().into()).time(ENDS_AT, created.ends_at);
    put_if_none_lives(table, item, now)
}

/// What the new device with this ticket was answered; none if it is an existing device's ticket.
pub(super) fn read_created(item: &Item) -> Result<Option<Created>, Problem> {
    let read = || {
        let Side { mailbox_id, .. } = Side::read(item)?;
        let Some(code) = item.get_number(CODE) else { return Some(None) };
        let code = RendezvousCode::from_number(u32::try_from(code).ok()?);
        Some(Some(Created { code, mailbox_id, ends_at: item.get_time(ENDS_AT)? }))
    };
    read().ok_or_else(|| corrupt_item("a rendezvous ticket"))
}

/// What a ticket opens: one read.
pub(super) async fn read(
    client: &Client,
    table: &str,
    hash: &RendezvousTicketHash,
    now: Timestamp,
) -> Result<Option<Side>, Problem> {
    let request = client.get_item().table_name(table).consistent_read(true).set_key(Some(key(hash).into()));
    let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
    let Some(item) = answer.item.and_then(|item| alive(item.into(), now)) else { return Ok(None) };
    Side::read(&item).map(Some).ok_or_else(|| corrupt_item("a rendezvous ticket"))
}

/// The problem of a ticket that opens something else.
pub(super) fn ticket_taken() -> Problem {
    Problem::new(ProblemType::RendezvousTicketTaken, "this ticket opens something else; make a fresh one")
}

fn item(hash: &RendezvousTicketHash, side: Side, now: Timestamp) -> Item {
    side.write(key(hash)).time(EXPIRES_AT, expiry(now))
}

fn key(hash: &RendezvousTicketHash) -> Item {
    Item::keyed(format!("TICKET#{}", encode(hash.as_bytes())), "TICKET")
}
