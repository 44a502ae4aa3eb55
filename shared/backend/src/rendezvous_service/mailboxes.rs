//! What changes a mailbox: each change is one conditional write of its one item, which tells what is there afterwards, or
//! what stood in the way.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, Update};
use vestibule_protocol::limits::MAX_MAILBOX_LENGTH;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::rendezvous::frame::MailboxOutcome;
use vestibule_protocol::rendezvous::{MailboxId, RendezvousTicketHash, Role};
use vestibule_protocol::time::Timestamp;

use super::alive;
use super::mailbox_item::{
    CONNECTION, ENDS_AT, FINISHED, LENGTH, Mailbox, OUTCOME, RECEIVED, STORED, TICKET_HASH, attribute, key,
    outcome_name,
};
use crate::dynamodb::{Item, PARTITION_KEY, bytes, failed_call, number};
use crate::websocket::ConnectionId;

/// The mailboxes of the relay.
#[derive(Clone)]
pub(super) struct Mailboxes {
    pub(super) client: Client,
    pub(super) table: String,
}

/// What came of a change: the mailbox after it, or the one that did not meet its condition, if there is one at all.
pub(super) type Changed = Result<Mailbox, Option<Mailbox>>;

/// A change of a mailbox's item.
struct Change<'a> {
    mailbox_id: &'a MailboxId,
    update: String,
    condition: String,
    values: Vec<(&'static str, AttributeValue)>,
    returns: ReturnValue,
}

/// The mailbox is there, has not been ended, and its time is not up (`:now`).
fn open() -> String {
    format!("attribute_exists({PARTITION_KEY}) AND attribute_not_exists({OUTCOME}) AND {ENDS_AT} > :now")
}

impl Mailboxes {
    /// A mailbox: one read.
    pub(super) async fn read(&self, mailbox_id: &MailboxId, now: Timestamp) -> Result<Option<Mailbox>, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key(mailbox_id).into())).send().await;
        let answer = answer.map_err(|error| failed_call("GetItem", &error))?;
        answer.item.and_then(|item| alive(item.into(), now)).map(|item| Mailbox::read(&item)).transpose()
    }

    /// Makes a connection a device's, whatever connection it had before, and gives the mailbox as it was.
    pub(super) async fn connect(
        &self,
        mailbox_id: &MailboxId,
        role: Role,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let change = Change {
            mailbox_id,
            update: format!("SET {} = :connection", attribute(role, CONNECTION)),
            condition: open(),
            values: vec![(":connection", text(connection)), time(now)],
            returns: ReturnValue::AllOld,
        };
        self.change(change).await
    }

    /// Makes a connection a device's that has none.
    pub(super) async fn reconnect(
        &self,
        mailbox_id: &MailboxId,
        role: Role,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let name = attribute(role, CONNECTION);
        let change = Change {
            mailbox_id,
            update: format!("SET {name} = :connection"),
            condition: format!("{} AND (attribute_not_exists({name}) OR {name} = :connection)", open()),
            values: vec![(":connection", text(connection)), time(now)],
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    /// Forgets a device's connection, if it is still this one.
    pub(super) async fn disconnect(
        &self,
        mailbox_id: &MailboxId,
        role: Role,
        connection: &ConnectionId,
    ) -> Result<Changed, Problem> {
        let name = attribute(role, CONNECTION);
        let change = Change {
            mailbox_id,
            update: format!("REMOVE {name}"),
            condition: format!("{name} = :connection"),
            values: vec![(":connection", text(connection))],
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    /// Counts a message of `length` bytes among a device's, once.
    pub(super) async fn store(
        &self,
        mailbox_id: &MailboxId,
        role: Role,
        message: u32,
        length: usize,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let [stored, total] = [STORED, LENGTH].map(|name| attribute(role, name));
        let room = MAX_MAILBOX_LENGTH.saturating_sub(length);
        let change = Change {
            mailbox_id,
            update: format!("ADD {stored} :numbers, {total} :length"),
            condition: format!(
                "{} AND NOT contains({stored}, :number) AND (attribute_not_exists({total}) OR {total} <= :room)",
                open()
            ),
            values: vec![
                (":number", number(message.into())),
                (":numbers", AttributeValue::Ns(vec![message.to_string()])),
                (":length", number(length as u64)),
                (":room", number(room as u64)),
                time(now),
            ],
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    /// Notes how many of the other device's messages a device has.
    pub(super) async fn acknowledge(
        &self,
        mailbox_id: &MailboxId,
        role: Role,
        received: u32,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let name = attribute(role, RECEIVED);
        let change = Change {
            mailbox_id,
            update: format!("SET {name} = :received"),
            condition: format!("{} AND (attribute_not_exists({name}) OR {name} < :received)", open()),
            values: vec![(":received", number(received.into())), time(now)],
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    /// Notes that a device is finished; `is_last` says whether the other one has been noted before. If so, that ends it.
    pub(super) async fn finish(
        &self,
        mailbox_id: &MailboxId,
        role: Role,
        is_last: bool,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let [own, peers] = [role, role.peer()].map(|role| attribute(role, FINISHED));
        let mut values = vec![(":finished", number(1)), time(now)];
        let (ends, condition) = if is_last {
            values.push((":outcome", outcome_value(MailboxOutcome::Linked)));
            (format!(", {OUTCOME} = :outcome"), format!("attribute_exists({peers})"))
        } else {
            (String::new(), format!("attribute_not_exists({peers})"))
        };
        let change = Change {
            mailbox_id,
            update: format!("SET {own} = :finished{ends}"),
            condition: format!("{} AND {condition}", open()),
            values,
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    /// Ends a mailbox because a device gives up.
    pub(super) async fn abort(&self, mailbox_id: &MailboxId, now: Timestamp) -> Result<Changed, Problem> {
        self.end(mailbox_id, MailboxOutcome::Aborted, open(), now).await
    }

    /// Writes down that a mailbox's time was up.
    pub(super) async fn expire(
        &self,
        mailbox_id: &MailboxId,
        outcome: MailboxOutcome,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let is_over = format!("attribute_not_exists({OUTCOME}) AND {ENDS_AT} <= :now");
        self.end(mailbox_id, outcome, is_over, now).await
    }

    async fn end(
        &self,
        mailbox_id: &MailboxId,
        outcome: MailboxOutcome,
        condition: String,
        now: Timestamp,
    ) -> Result<Changed, Problem> {
        let change = Change {
            mailbox_id,
            update: format!("SET {OUTCOME} = :outcome"),
            condition,
            values: vec![(":outcome", outcome_value(outcome)), time(now)],
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    /// Leaves of a mailbox that has ended its outcome, and the tickets that may ask for it.
    pub(super) async fn clear(&self, mailbox_id: &MailboxId) -> Result<Changed, Problem> {
        let names = [Role::NewDevice, Role::ExistingDevice]
            .into_iter()
            .flat_map(|role| [CONNECTION, STORED, LENGTH, RECEIVED, FINISHED].map(|name| attribute(role, name)));
        let change = Change {
            mailbox_id,
            update: format!("REMOVE {}", names.collect::<Vec<_>>().join(", ")),
            condition: format!("attribute_exists({OUTCOME})"),
            values: Vec::new(),
            returns: ReturnValue::AllNew,
        };
        self.change(change).await
    }

    async fn change(&self, change: Change<'_>) -> Result<Changed, Problem> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(change.mailbox_id).into()))
            .update_expression(change.update)
            .condition_expression(change.condition)
            .return_values(change.returns)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, value) in change.values {
            request = request.expression_attribute_values(name, value);
        }
        match request.send().await {
            Ok(answer) => Ok(Ok(Mailbox::read(&Item::from(answer.attributes.unwrap_or_default()))?)),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let existing = failed.item.clone().map(Item::from);
                    Ok(Err(existing.map(|item| Mailbox::read(&item)).transpose()?))
                }
                _ => Err(failed_call("UpdateItem", &error)),
            },
        }
    }
}

/// The part of a transaction that lets an existing device into a mailbox in which a new device waits alone.
pub(super) fn join(
    table: &str,
    mailbox_id: &MailboxId,
    ticket_hash: &RendezvousTicketHash,
    ends_at: Timestamp,
    now: Timestamp,
) -> Update {
    let name = attribute(Role::ExistingDevice, TICKET_HASH);
    let (now_name, now) = time(now);
    Update::builder()
        .table_name(table)
        .set_key(Some(key(mailbox_id).into()))
        .update_expression(format!("SET {name} = :ticket_hash, {ENDS_AT} = :ends_at"))
        .condition_expression(format!("{} AND attribute_not_exists({name})", open()))
        .expression_attribute_values(":ticket_hash", bytes(ticket_hash.as_bytes()))
        .expression_attribute_values(":ends_at", number(ends_at.seconds()))
        .expression_attribute_values(now_name, now)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("table, key and expression are given")
}

fn time(now: Timestamp) -> (&'static str, AttributeValue) {
    (":now", number(now.seconds()))
}

fn text(connection: &ConnectionId) -> AttributeValue {
    AttributeValue::S(connection.as_str().to_owned())
}

fn outcome_value(outcome: MailboxOutcome) -> AttributeValue {
    AttributeValue::S(outcome_name(outcome).to_owned())
}
