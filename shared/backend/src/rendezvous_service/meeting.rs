//! How two devices come to have a mailbox: one creates it under a code, the other joins by the code, once.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use rand::{CryptoRng, RngCore};
use vestibule_protocol::limits::RENDEZVOUS_LIFETIME;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::frame::MailboxOutcome;
use vestibule_protocol::rendezvous::{MailboxId, RendezvousCode, RendezvousTicketHash, Role};
use vestibule_protocol::time::Timestamp;

use super::mailbox_item::{Mailbox, new_item};
use super::tickets::ticket_taken;
use super::{Side, codes, expiry, mailboxes, tickets};
use crate::dynamodb::{Item, failed_call, is_condition_failed, put_new, try_again};
use crate::{Environment, StartError};

/// Codes, and the mailboxes to which they lead.
pub struct Meetings {
    client: Client,
    table: String,
}

/// What a new device has got.
#[derive(Clone, Copy)]
pub struct Created {
    /// The code.
    pub code: RendezvousCode,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// Until when the code can be joined.
    pub ends_at: Timestamp,
}

/// What an existing device has joined.
#[derive(Clone, Copy)]
pub struct Joined {
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// Until when it lasts.
    pub ends_at: Timestamp,
}

impl Meetings {
    /// The meetings in the table named by `RS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("RS_TABLE")?.to_owned() })
    }

    /// Creates a mailbox under a code that is free: one transaction, and one more for each code that is taken. The same
    /// ticket again gets what it got before.
    ///
    /// # Errors
    /// [`ProblemType::RendezvousTicketTaken`] if the ticket is an existing device's, or the problem of a failed call.
    pub async fn create(
        &self,
        ticket_hash: &RendezvousTicketHash,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Created, Problem> {
        let mailbox_id = MailboxId::generate(rng);
        for code in codes::candidates(rng) {
            let created = Created { code, mailbox_id, ends_at: now.saturating_add(RENDEZVOUS_LIFETIME) };
            let Some(reasons) = self.transact(self.creation(ticket_hash, &created, now)).await? else {
                return Ok(created);
            };
            if is_condition_failed(reasons.get(1)) {
                let ticket = reasons[1].item.clone().map(Item::from).unwrap_or_default();
                return tickets::read_created(&ticket)?.ok_or_else(ticket_taken);
            }
            if !is_condition_failed(reasons.first()) {
                return Err(try_again());
            }
        }
        tracing::error!("no rendezvous code is free");
        Err(try_again())
    }

    /// Lets an existing device join the new one that waits under a code: one read and one transaction. The same ticket
    /// again gets the same mailbox, any other is refused.
    ///
    /// # Errors
    /// [`ProblemType::RendezvousCodeUnknown`], [`ProblemType::RendezvousCodeExpired`],
    /// [`ProblemType::RendezvousCodeJoined`], [`ProblemType::RendezvousTicketTaken`], or the problem of a failed call.
    pub async fn join(
        &self,
        code: RendezvousCode,
        ticket_hash: &RendezvousTicketHash,
        now: Timestamp,
    ) -> Result<Joined, Problem> {
        let mailbox_id = codes::read(&self.client, &self.table, code, now).await?.ok_or_else(code_unknown)?;
        let ends_at = now.saturating_add(RENDEZVOUS_LIFETIME);
        let side = Side { mailbox_id, role: Role::ExistingDevice };
        let join = mailboxes::join(&self.table, &mailbox_id, ticket_hash, ends_at, now);
        let ticket = tickets::put(&self.table, ticket_hash, side, now);
        let items =
            vec![TransactWriteItem::builder().update(join).build(), TransactWriteItem::builder().put(ticket).build()];
        let Some(reasons) = self.transact(items).await? else { return Ok(Joined { mailbox_id, ends_at }) };
        if is_condition_failed(reasons.first()) {
            let mailbox = reasons[0].item.clone().map(|item| Mailbox::read(&item.into())).transpose()?;
            return joined_before(mailbox_id, mailbox.as_ref(), ticket_hash, now);
        }
        Err(if is_condition_failed(reasons.get(1)) { ticket_taken() } else { try_again() })
    }

    /// The parts of the transaction. [`Meetings::create`] tells by the position which condition failed.
    fn creation(
        &self,
        ticket_hash: &RendezvousTicketHash,
        created: &Created,
        now: Timestamp,
    ) -> Vec<TransactWriteItem> {
        let Created { code, mailbox_id, ends_at } = created;
        let side = Side { mailbox_id: *mailbox_id, role: Role::NewDevice };
        [
            codes::take(&self.table, *code, mailbox_id, now),
            tickets::put_created(&self.table, ticket_hash, side, created, now),
            put_new(&self.table, new_item(mailbox_id, ticket_hash, *ends_at, expiry(now))),
        ]
        .into_iter()
        .map(|put| TransactWriteItem::builder().put(put).build())
        .collect()
    }

    /// Nothing if all of it happened, else why it did not.
    async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<Option<Vec<CancellationReason>>, Problem> {
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(items)).send().await else {
            return Ok(None);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                Ok(Some(canceled.cancellation_reasons().to_vec()))
            }
            _ => Err(failed_call("TransactWriteItems", &error)),
        }
    }
}

/// What there is to say of a mailbox that cannot be joined (any more).
fn joined_before(
    mailbox_id: MailboxId,
    mailbox: Option<&Mailbox>,
    ticket_hash: &RendezvousTicketHash,
    now: Timestamp,
) -> Result<Joined, Problem> {
    let mailbox = mailbox.ok_or_else(code_unknown)?;
    match mailbox.device(Role::ExistingDevice).ticket_hash {
        Some(joined) if joined == *ticket_hash => Ok(Joined { mailbox_id, ends_at: mailbox.ends_at }),
        Some(_) => {
            let detail = "this code has been used; ask for another one on the new device";
            Err(Problem::new(ProblemType::RendezvousCodeJoined, detail))
        }
        None if mailbox.outcome(now) == Some(MailboxOutcome::Lonely) => {
            let detail = "this code is not valid any more; ask for another one on the new device";
            Err(Problem::new(ProblemType::RendezvousCodeExpired, detail))
        }
        // The new device has given up, and waits no more.
        None => Err(code_unknown()),
    }
}

fn code_unknown() -> Problem {
    Problem::new(ProblemType::RendezvousCodeUnknown, "compare the code with the one on the new device")
}
