//! How a device's connection comes to be the one over which it is reached, and how it ceases to.

use aws_sdk_dynamodb::Client;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::RendezvousTicket;
use vestibule_protocol::rendezvous::frame::RelayFrame;
use vestibule_protocol::time::Timestamp;

use super::mailboxes::Mailboxes;
use super::{Side, connection_items, tickets};
use crate::websocket::{ConnectionId, Connections};
use crate::{Environment, StartError};

/// Lets devices in and out.
pub struct Admission {
    client: Client,
    table: String,
    mailboxes: Mailboxes,
    connections: Connections,
}

impl Admission {
    /// The mailboxes in the table named by `RS_TABLE`, and the connections of the API at `RS_CONNECTIONS_URL`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing or no such URL.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        let (client, table) = (environment.dynamodb(), environment.variable("RS_TABLE")?.to_owned());
        Ok(Self {
            mailboxes: Mailboxes { client: client.clone(), table: table.clone() },
            client,
            table,
            connections: Connections::new(environment, "RS_CONNECTIONS_URL")?,
        })
    }

    /// Makes a connection the one of the side that the ticket opens: one read, two writes. The one before it is closed.
    /// A device whose mailbox has ended is let in to be told so.
    ///
    /// # Errors
    /// [`ProblemType::MailboxTicketRefused`], or the problem of a failed call.
    pub async fn connect(
        &self,
        ticket: &RendezvousTicket,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let side = tickets::read(&self.client, &self.table, &ticket.hash(), now).await?.ok_or_else(|| {
            Problem::new(ProblemType::MailboxTicketRefused, "this ticket opens no mailbox (any more)")
        })?;
        // First, so that there is no connection of which `$disconnect` could not tell whose it was.
        connection_items::put(&self.client, &self.table, connection, side, now).await?;
        let Side { mailbox_id, role } = side;
        if let Ok(before) = self.mailboxes.connect(&mailbox_id, role, connection, now).await?
            && let Some(replaced) = &before.device(role).connection
            && replaced != connection
        {
            // If it stays open it is not posted to, and closed when something comes over it.
            let _ = self.connections.close(replaced).await;
        }
        Ok(())
    }

    /// Forgets a connection that has ended, and tells the other device if that was its device's: one read, two writes,
    /// one post. Where a later connection has taken its place, nothing else happens.
    ///
    /// # Errors
    /// The problem of a failed call.
    pub async fn disconnect(&self, connection: &ConnectionId, now: Timestamp) -> Result<(), Problem> {
        let side = connection_items::read(&self.client, &self.table, connection, now).await?;
        let Some(Side { mailbox_id, role }) = side else { return Ok(()) };
        if let Ok(mailbox) = self.mailboxes.disconnect(&mailbox_id, role, connection).await?
            && mailbox.outcome(now).is_none()
            && let Some(peer) = &mailbox.device(role.peer()).connection
        {
            // One that cannot be told misses what it can do without.
            let _ = self.connections.post(peer, &RelayFrame::PeerLeft {}.to_json()).await;
        }
        connection_items::delete(&self.client, &self.table, connection).await
    }
}
