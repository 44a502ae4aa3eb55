//! The relay: what it does with a frame of a device (docs/protocol.md, section 20).
//!
//! Every frame costs one read. On top of that, a message two writes and a post to the other device (and `stored`); an
//! acknowledgement and the first `finish` a write; `resume` a query if there are messages to send again. What ends the
//! mailbox costs a write, a post to each device, a write for each 25 messages and a last one that clears it up.
//!
//! **Crashes.** A message is posted before it is counted as stored, so whoever is told `stored` need not care any more; until
//! then the device sends it again. A mailbox is ended before anybody is told, and keeps the connections until all are,
//! so that the next frame finds what was left undone.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::limits::{MAX_MAILBOX_LENGTH, MAX_MAILBOX_MESSAGES, MAX_RELAY_MESSAGE_LENGTH};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::rendezvous::frame::{AuthenticatedFrame, DeviceFrame, MailboxOutcome, RelayFrame};
use vestibule_protocol::rendezvous::{MailboxId, Role};
use vestibule_protocol::time::Timestamp;

use super::mailbox_item::{Mailbox, outcome_name};
use super::mailboxes::{Changed, Mailboxes};
use super::messages;
use crate::dynamodb::try_again;
use crate::metrics::{self, Metric};
use crate::websocket::{ConnectionError, ConnectionId, Connections};
use crate::{Environment, StartError};

/// The relay.
pub struct Relay {
    mailboxes: Mailboxes,
    connections: Connections,
}

/// A frame's sender, who has shown the ticket.
struct Sender<'a> {
    mailbox_id: MailboxId,
    role: Role,
    /// Over which the frame came.
    connection: &'a ConnectionId,
    now: Timestamp,
}

impl Relay {
    /// The mailboxes in the table named by `RS_TABLE`, and the connections of the API at `RS_CONNECTIONS_URL`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing or no such URL.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        let mailboxes =
            Mailboxes { client: environment.dynamodb(), table: environment.variable("RS_TABLE")?.to_owned() };
        Ok(Self { mailboxes, connections: Connections::new(environment, "RS_CONNECTIONS_URL")? })
    }

    /// Does what a frame asks for. Whoever sent it is told, over the same connection, what came of it.
    ///
    /// # Errors
    /// The problem that the sender was told of.
    pub async fn receive(&self, connection: &ConnectionId, text: &str, now: Timestamp) -> Result<(), Problem> {
        let (number, result) = match AuthenticatedFrame::from_json(text) {
            Ok(frame) => {
                let number = match frame.frame {
                    DeviceFrame::Message { number, .. } => Some(number),
                    _ => None,
                };
                (number, self.obey(connection, frame, now).await)
            }
            Err(error) => (None, Err(Problem::new(ProblemType::MalformedFrame, error))),
        };
        let Err(problem) = result else { return Ok(()) };
        let refused = RelayFrame::Refused { number, problem: problem.document() };
        // A device that does not hear it sends the frame again when it has reconnected.
        let _ = self.connections.post(connection, &refused.to_json()).await;
        Err(problem)
    }

    async fn obey(&self, connection: &ConnectionId, frame: AuthenticatedFrame, now: Timestamp) -> Result<(), Problem> {
        let AuthenticatedFrame { mailbox_id, ticket, frame } = frame;
        let mailbox = self.mailboxes.read(&mailbox_id, now).await?.ok_or_else(|| {
            Problem::new(ProblemType::MailboxUnknown, "there is no such mailbox; begin again with another code")
        })?;
        let role = mailbox
            .role_of(&ticket.hash())
            .ok_or_else(|| Problem::new(ProblemType::MailboxTicketRefused, "this ticket does not open this mailbox"))?;
        let sender = Sender { mailbox_id, role, connection, now };
        if mailbox.outcome(now).is_some() {
            return self.settle(&sender, mailbox).await;
        }
        match frame {
            DeviceFrame::Resume { received } => self.resume(&sender, mailbox, received).await,
            DeviceFrame::Message { number, payload } => self.store(&sender, mailbox, number, &payload).await,
            DeviceFrame::Acknowledge { received } => {
                if let Some(ended) = self.acknowledge(&sender, &mailbox, received).await? {
                    return self.settle(&sender, ended).await;
                }
                self.close_unless_current(&sender, &mailbox).await;
                Ok(())
            }
            DeviceFrame::Finish {} => self.finish(&sender, mailbox).await,
            DeviceFrame::Abort {} => match self.mailboxes.abort(&mailbox_id, now).await? {
                Ok(ended) => self.settle_anew(&sender, ended).await,
                Err(other) => self.settle(&sender, other.ok_or_else(try_again)?).await,
            },
        }
    }

    async fn resume(&self, sender: &Sender<'_>, mailbox: Mailbox, received: u32) -> Result<(), Problem> {
        let Sender { mailbox_id, role, connection, now } = *sender;
        let mailbox = match &mailbox.device(role).connection {
            Some(current) if current == connection => mailbox,
            Some(_) => {
                self.close_unless_current(sender, &mailbox).await;
                return Ok(());
            }
            // It was thought to be gone, perhaps because something was posted before `$connect` was answered.
            None => match self.mailboxes.reconnect(&mailbox_id, role, connection, now).await? {
                Ok(mailbox) => mailbox,
                Err(Some(other)) if other.outcome(now).is_none() => {
                    self.close_unless_current(sender, &other).await;
                    return Ok(());
                }
                Err(other) => return self.settle(sender, other.ok_or_else(try_again)?).await,
            },
        };
        let (own, peer) = (mailbox.device(role), mailbox.device(role.peer()));
        let resumed = RelayFrame::Resumed {
            stored: own.stored_without_gap(),
            peer_connected: peer.connection.is_some(),
            expires_at: mailbox.ends_at,
        };
        self.tell(sender, role, connection, &resumed).await;

        let first = received.max(own.received);
        if peer.stored.range(first..).next().is_some() {
            let Mailboxes { client, table } = &self.mailboxes;
            for (number, payload) in messages::read(client, table, &mailbox_id, role.peer(), first).await? {
                // What is not counted was not taken; whoever counts it finds this connection.
                if peer.stored.contains(&number)
                    && !self.tell(sender, role, connection, &RelayFrame::Message { number, payload }).await
                {
                    return Ok(());
                }
            }
        }
        if let Some(peers) = &peer.connection {
            let arrived = RelayFrame::PeerArrived { expires_at: mailbox.ends_at };
            self.tell(sender, role.peer(), peers, &arrived).await;
        }
        match self.acknowledge(sender, &mailbox, received).await? {
            Some(ended) => self.settle(sender, ended).await,
            None => Ok(()),
        }
    }

    async fn store(&self, sender: &Sender<'_>, mailbox: Mailbox, number: u32, payload: &Bytes) -> Result<(), Problem> {
        let Sender { mailbox_id, role, connection, now } = *sender;
        let length = payload.0.len();
        let is_counted = mailbox.device(role).stored.contains(&number);
        let total = mailbox.device(role).length + length as u64;
        let is_too_much = !is_counted && total > MAX_MAILBOX_LENGTH as u64;
        if number >= MAX_MAILBOX_MESSAGES || length > MAX_RELAY_MESSAGE_LENGTH || is_too_much {
            return Err(mailbox_full());
        }
        let Mailboxes { client, table } = &self.mailboxes;
        messages::put(client, table, &mailbox_id, role, number, payload, mailbox.expires_at).await?;

        let message = RelayFrame::Message { number, payload: payload.clone() };
        let posted = self.post_to_peer(sender, &mailbox, number, None, &message).await;
        let mut current = mailbox;
        if !is_counted {
            current = match self.mailboxes.store(&mailbox_id, role, number, length, now).await? {
                Ok(current) => current,
                Err(Some(other)) if other.outcome(now).is_some() => return self.settle(sender, other).await,
                // The same frame, handled at the same time.
                Err(Some(other)) if other.device(role).stored.contains(&number) => other,
                Err(_) => return Err(mailbox_full()),
            };
            // A device that connected in between may have resumed before the message was counted.
            self.post_to_peer(sender, &current, number, posted, &message).await;
        }
        self.tell(sender, role, connection, &RelayFrame::Stored { number }).await;
        self.close_unless_current(sender, &current).await;
        Ok(())
    }

    /// Posts a message to the other device, if it is connected and does not have it; not over a connection over which it
    /// was posted before. Gives the connection.
    async fn post_to_peer(
        &self,
        sender: &Sender<'_>,
        mailbox: &Mailbox,
        number: u32,
        posted: Option<ConnectionId>,
        message: &RelayFrame,
    ) -> Option<ConnectionId> {
        let peer = mailbox.device(sender.role.peer());
        let connection = peer.connection.as_ref().filter(|_| number >= peer.received)?;
        if posted.as_ref() != Some(connection) {
            self.tell(sender, sender.role.peer(), connection, message).await;
        }
        Some(connection.clone())
    }

    /// Notes what a device has. Gives the mailbox if that has ended meanwhile.
    async fn acknowledge(
        &self,
        sender: &Sender<'_>,
        mailbox: &Mailbox,
        received: u32,
    ) -> Result<Option<Mailbox>, Problem> {
        let Sender { mailbox_id, role, now, .. } = *sender;
        // What was never stored cannot have been received.
        let received = received.min(mailbox.device(role.peer()).stored_without_gap());
        if received <= mailbox.device(role).received {
            return Ok(None);
        }
        match self.mailboxes.acknowledge(&mailbox_id, role, received, now).await? {
            Ok(_) => Ok(None),
            Err(other) => Ok(other.filter(|other| other.outcome(now).is_some())),
        }
    }

    async fn finish(&self, sender: &Sender<'_>, mut mailbox: Mailbox) -> Result<(), Problem> {
        let Sender { mailbox_id, role, now, .. } = *sender;
        // Between the look and the write the other device may finish, once.
        for _ in 0..2 {
            let is_last = mailbox.device(role.peer()).has_finished;
            if !is_last && mailbox.device(role).has_finished {
                break;
            }
            match self.mailboxes.finish(&mailbox_id, role, is_last, now).await? {
                Ok(ended) if is_last => return self.settle_anew(sender, ended).await,
                Ok(_) => break,
                Err(Some(other)) if other.outcome(now).is_some() => return self.settle(sender, other).await,
                Err(other) => mailbox = other.ok_or_else(try_again)?,
            }
        }
        self.close_unless_current(sender, &mailbox).await;
        Ok(())
    }

    /// As [`Relay::settle`], of a mailbox that this very frame has ended.
    async fn settle_anew(&self, sender: &Sender<'_>, mailbox: Mailbox) -> Result<(), Problem> {
        if let Some(outcome) = mailbox.outcome(sender.now) {
            metrics::count(Metric::Links, outcome_name(outcome), 1);
            tracing::info!(outcome = outcome_name(outcome), "a mailbox has ended");
        }
        self.settle(sender, mailbox).await
    }

    /// Tells both devices that the mailbox has ended, and leaves nothing of it but that.
    async fn settle(&self, sender: &Sender<'_>, mut mailbox: Mailbox) -> Result<(), Problem> {
        let Sender { mailbox_id, role, connection, now } = *sender;
        let mut outcome = mailbox.outcome(now).ok_or_else(try_again)?;
        if !mailbox.is_outcome_written() {
            mailbox = self.write_outcome(sender, outcome).await?;
            outcome = mailbox.outcome(now).ok_or_else(try_again)?;
        }
        let ended = RelayFrame::Ended { outcome }.to_json();
        let others = [Role::NewDevice, Role::ExistingDevice].map(|role| mailbox.device(role).connection.as_ref());
        let others = others.into_iter().flatten().filter(|other| *other != connection);
        for told in [connection].into_iter().chain(others) {
            if let Err(ConnectionError::Failed(_)) = self.connections.post(told, &ended).await {
                // Then it reconnects, and asks.
                let _ = self.connections.close(told).await;
            }
        }
        if mailbox.has_leftovers() && self.clear(&mailbox_id, &mailbox).await.is_err() {
            tracing::warn!(
                role = super::role_name(role),
                "what is left of a mailbox waits for its next frame, or expires"
            );
        }
        Ok(())
    }

    /// Writes down that time was up.
    async fn write_outcome(&self, sender: &Sender<'_>, outcome: MailboxOutcome) -> Result<Mailbox, Problem> {
        let changed: Changed = self.mailboxes.expire(&sender.mailbox_id, outcome, sender.now).await?;
        if changed.is_ok() {
            metrics::count(Metric::Links, outcome_name(outcome), 1);
            tracing::info!(outcome = outcome_name(outcome), "a mailbox has ended");
        }
        changed.or_else(|other| other.ok_or_else(try_again))
    }

    /// The messages go first: the mailbox knows their numbers.
    async fn clear(&self, mailbox_id: &MailboxId, mailbox: &Mailbox) -> Result<(), Problem> {
        let Mailboxes { client, table } = &self.mailboxes;
        messages::delete(client, table, mailbox_id, mailbox).await?;
        self.mailboxes.clear(mailbox_id).await.map(drop)
    }

    /// Posts a frame to a device, and says whether that may have reached it. A device that cannot be reached is closed, so
    /// that it reconnects and resumes, and forgotten, and the other one is told.
    async fn tell(&self, sender: &Sender<'_>, role: Role, connection: &ConnectionId, frame: &RelayFrame) -> bool {
        let Err(error) = self.connections.post(connection, &frame.to_json()).await else { return true };
        if let ConnectionError::Failed(_) = error {
            let _ = self.connections.close(connection).await;
        }
        let forgotten = self.mailboxes.disconnect(&sender.mailbox_id, role, connection).await;
        if let Ok(Ok(mailbox)) = forgotten
            && let Some(other) = &mailbox.device(role.peer()).connection
        {
            let _ = self.connections.post(other, &RelayFrame::PeerLeft {}.to_json()).await;
        }
        false
    }

    /// Closes the connection over which a frame came if it is not the one over which its device is reached: a device that
    /// uses it would wait for what is posted elsewhere. It reconnects and resumes.
    async fn close_unless_current(&self, sender: &Sender<'_>, mailbox: &Mailbox) {
        if mailbox.device(sender.role).connection.as_ref() != Some(sender.connection) {
            let _ = self.connections.close(sender.connection).await;
        }
    }
}

fn mailbox_full() -> Problem {
    let detail = format!(
        "a device may store {MAX_MAILBOX_MESSAGES} messages of {MAX_RELAY_MESSAGE_LENGTH} bytes, together \
         {MAX_MAILBOX_LENGTH} bytes"
    );
    Problem::new(ProblemType::MailboxFull, detail)
}
