//! A mailbox as an item. The attributes of the two devices begin with `new_` and `existing_`:
//!
//! | attribute | |
//! |---|---|
//! | `…_ticket_hash` B | what opens the device's side; the existing device's is there once the code is joined |
//! | `…_connection` S | the device's connection, if it has one |
//! | `…_stored` NS | the numbers of the device's messages |
//! | `…_length` N | how many bytes they have together |
//! | `…_received` N | how many of the other device's messages it has acknowledged |
//! | `…_finished` N | 1 once it is finished |

use std::collections::BTreeSet;

use vestibule_protocol::problem::Problem;
use vestibule_protocol::rendezvous::frame::MailboxOutcome;
use vestibule_protocol::rendezvous::{MailboxId, RendezvousTicketHash, Role};
use vestibule_protocol::time::Timestamp;

use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item};
use crate::websocket::ConnectionId;

pub(super) const ENDS_AT: &str = "ends_at";
pub(super) const OUTCOME: &str = "outcome";

/// What belongs to a device goes by these names, with the device in front.
pub(super) const TICKET_HASH: &str = "ticket_hash";
pub(super) const CONNECTION: &str = "connection";
pub(super) const STORED: &str = "stored";
pub(super) const LENGTH: &str = "length";
pub(super) const RECEIVED: &str = "received";
pub(super) const FINISHED: &str = "finished";

/// The name of an attribute of a device.
pub(super) fn attribute(role: Role, name: &str) -> String {
    match role {
        Role::NewDevice => format!("new_{name}"),
        Role::ExistingDevice => format!("existing_{name}"),
    }
}

/// A mailbox as it was read.
#[derive(Clone)]
pub(super) struct Mailbox {
    /// When it ends if nobody ends it before.
    pub(super) ends_at: Timestamp,
    /// When it is forgotten.
    pub(super) expires_at: Timestamp,
    outcome: Option<MailboxOutcome>,
    new_device: Device,
    existing_device: Device,
}

/// What a mailbox knows of one of the devices.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) ticket_hash: Option<RendezvousTicketHash>,
    pub(super) connection: Option<ConnectionId>,
    /// The numbers of its messages.
    pub(super) stored: BTreeSet<u32>,
    /// How many bytes they have together.
    pub(super) length: u64,
    /// How many of the other device's messages it has acknowledged.
    pub(super) received: u32,
    pub(super) has_finished: bool,
}

impl Mailbox {
    pub(super) fn read(item: &Item) -> Result<Self, Problem> {
        let read = || {
            let outcome = match item.get_string(OUTCOME) {
                Some(text) => Some(outcome_of(text)?),
                None => None,
            };
            Some(Self {
                ends_at: item.get_time(ENDS_AT)?,
                expires_at: item.get_time(EXPIRES_AT)?,
                outcome,
                new_device: Device::read(item, Role::NewDevice)?,
                existing_device: Device::read(item, Role::ExistingDevice)?,
            })
        };
        read().ok_or_else(|| corrupt_item("a mailbox"))
    }

    /// How it has ended; none if it has not. Of one whose time is up without anybody having said so, this says it too.
    pub(super) fn outcome(&self, now: Timestamp) -> Option<MailboxOutcome> {
        let by_time = || match self.existing_device.ticket_hash {
            None => MailboxOutcome::Lonely,
            Some(_) => MailboxOutcome::Expired,
        };
        self.outcome.or_else(|| (self.ends_at <= now).then(by_time))
    }

    /// Whether its item says how it has ended.
    pub(super) fn is_outcome_written(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether an end that was written has left something to be done.
    pub(super) fn has_leftovers(&self) -> bool {
        let has = |device: &Device| device.connection.is_some() || !device.stored.is_empty() || device.has_finished;
        has(&self.new_device) || has(&self.existing_device)
    }

    pub(super) fn device(&self, role: Role) -> &Device {
        match role {
            Role::NewDevice => &self.new_device,
            Role::ExistingDevice => &self.existing_device,
        }
    }

    /// The device whose ticket it is. Looks at both, in constant time.
    pub(super) fn role_of(&self, hash: &RendezvousTicketHash) -> Option<Role> {
        let is_of = |device: &Device| device.ticket_hash.as_ref().is_some_and(|of_device| of_device == hash);
        match (is_of(&self.new_device), is_of(&self.existing_device)) {
            (true, false) => Some(Role::NewDevice),
            (false, true) => Some(Role::ExistingDevice),
            // A ticket is one side's: taking it is a condition of creating and joining.
            _ => None,
        }
    }
}

impl Device {
    fn read(item: &Item, role: Role) -> Option<Self> {
        let attribute = |name| attribute(role, name);
        let ticket_hash = match item.get_bytes(&attribute(TICKET_HASH)) {
            Some(bytes) => Some(RendezvousTicketHash::from_bytes(bytes)?),
            None => None,
        };
        let stored = item.get_numbers(&attribute(STORED))?;
        Some(Self {
            ticket_hash,
            connection: item.get_string(&attribute(CONNECTION)).map(|id| ConnectionId::from(id.to_owned())),
            stored: stored.into_iter().map(u32::try_from).collect::<Result<_, _>>().ok()?,
            length: item.get_number(&attribute(LENGTH)).unwrap_or_default(),
            received: item.get_number(&attribute(RECEIVED)).unwrap_or_default().try_into().ok()?,
            has_finished: item.get_number(&attribute(FINISHED)).is_some(),
        })
    }

    /// How many of its messages are stored without a gap.
    pub(super) fn stored_without_gap(&self) -> u32 {
        (0..).find(|number| !self.stored.contains(number)).unwrap_or_default()
    }
}

/// The item of a mailbox that a new device creates.
pub(super) fn new_item(
    mailbox_id: &MailboxId,
    ticket_hash: &RendezvousTicketHash,
    ends_at: Timestamp,
    expires_at: Timestamp,
) -> Item {
    key(mailbox_id)
        .bytes(&attribute(Role::NewDevice, TICKET_HASH), ticket_hash.as_bytes())
        .time(ENDS_AT, ends_at)
        .time(EXPIRES_AT, expires_at)
}

pub(super) fn key(mailbox_id: &MailboxId) -> Item {
    Item::keyed(partition(mailbox_id), "MAILBOX")
}

/// The partition of a mailbox: its item and its messages.
pub(super) fn partition(mailbox_id: &MailboxId) -> String {
    format!("MAILBOX#{mailbox_id}")
}

pub(super) const fn outcome_name(outcome: MailboxOutcome) -> &'static str {
    match outcome {
        MailboxOutcome::Linked => "linked",
        MailboxOutcome::Lonely => "lonely",
        MailboxOutcome::Aborted => "aborted",
        MailboxOutcome::Expired => "expired",
    }
}

fn outcome_of(name: &str) -> Option<MailboxOutcome> {
    let outcomes = [MailboxOutcome::Linked, MailboxOutcome::Lonely, MailboxOutcome::Aborted, MailboxOutcome::Expired];
    outcomes.into_iter().find(|outcome| outcome_name(*outcome) == name)
}
