//! The rendezvous service's state: codes, tickets and mailboxes in `RsTable`. Nothing in it says who meets whom.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `CODE#<code>` | `CODE` | `mailbox_id` S, `expires_at` N |
//! | `TICKET#<ticket hash>` | `TICKET` | `mailbox_id` S, `role` S, `expires_at` N; the new device's also `code` N, `ends_at` N |
//! | `MAILBOX#<mailbox id>` | `MAILBOX` | `ends_at` N, `expires_at` N, `outcome` S, and for each role (`mailbox_item`) `…_ticket_hash` B, `…_connection` S, `…_stored` NS, `…_length` N, `…_received` N, `…_finished` N |
//! | | `MESSAGE#<role>#<number, 3 digits>` | `payload` B, `expires_at` N |
//! | `CONNECTION#<connection id>` | `CONNECTION` | `mailbox_id` S, `role` S, `expires_at` N |
//! | `BUCKET#<name>` | `BUCKET` | a source's creations or a client's joins in a window ([`crate::rate_limit`]) |
//!
//! Everything goes at `expires_at`, [`RENDEZVOUS_RETENTION`] after it was made: until then the code
//! rests, and the mailbox answers with its outcome. `ends_at` is when the mailbox takes nothing more; joining moves it.
//!
//! **The mailbox's item is where things happen.** A message's bytes are written first; it is in the mailbox once its
//! number is in `…_stored`. A connection is there once it is in `…_connection`. Both are changes of one item, so of a
//! message and a connection one comes first: either the connection's `resume` finds the message, or whoever stores the
//! message finds the connection to post it to.

mod admission;
mod codes;
mod connection_items;
mod mailbox_item;
mod mailboxes;
mod meeting;
mod messages;
mod relay;
mod tickets;

pub use admission::Admission;
pub use meeting::{Created, Joined, Meetings};
pub use relay::Relay;

use vestibule_protocol::limits::RENDEZVOUS_RETENTION;
use vestibule_protocol::rendezvous::{MailboxId, Role};
use vestibule_protocol::time::Timestamp;

use crate::dynamodb::{EXPIRES_AT, Item};

const MAILBOX_ID: &str = "mailbox_id";
const ROLE: &str = "role";

/// When all that belongs to a rendezvous that begins now is forgotten.
fn expiry(now: Timestamp) -> Timestamp {
    now.saturating_add(RENDEZVOUS_RETENTION)
}

/// The item, if it has not expired.
fn alive(item: Item, now: Timestamp) -> Option<Item> {
    item.get_time(EXPIRES_AT).is_some_and(|expires_at| now < expires_at).then_some(item)
}

/// What leads to one side of a mailbox: a ticket or a connection.
#[derive(Clone, Copy)]
struct Side {
    mailbox_id: MailboxId,
    role: Role,
}

impl Side {
    fn write(self, item: Item) -> Item {
        item.string(MAILBOX_ID, self.mailbox_id.to_string()).string(ROLE, role_name(self.role))
    }

    fn read(item: &Item) -> Option<Self> {
        let role = match item.get_string(ROLE)? {
            "new-device" => Role::NewDevice,
            "existing-device" => Role::ExistingDevice,
            _ => return None,
        };
        Some(Self { mailbox_id: item.get_string(MAILBOX_ID)?.parse().ok()?, role })
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::NewDevice => "new-device",
        Role::ExistingDevice => "existing-device",
    }
}
