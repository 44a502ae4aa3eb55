//! A message that is being sent. No I/O.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::limits::ENQUEUE_MEMORY;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::time::Timestamp;
use vestibule_test_messages::MessageText;

use super::Sent;
use crate::home::KeptRequest;

/// The version of [`Outbox`]'s form.
const VERSION: u16 = 1;

/// A message on its way to a user's devices.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbox {
    version: u16,
    /// Who sends it.
    client_id: ClientId,
    /// What the same call is known by.
    digest: Bytes,
    to: UserName,
    /// When it was made.
    since: Timestamp,
    deliveries: Vec<Delivery>,
}

/// What one device gets.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Delivery {
    /// The service may or may not have it: the answer to the request tells.
    Waiting {
        /// The body of the request.
        #[serde(with = "secret")]
        request: KeptRequest,
    },
    /// It is in the device's queue.
    Done,
    /// The device's queue does not take it.
    Refused,
}

impl Outbox {
    /// A message of `client_id` to the devices that these requests are for.
    pub(super) fn new(
        client_id: ClientId,
        digest: &CallDigest,
        to: UserName,
        since: Timestamp,
        requests: Vec<KeptRequest>,
    ) -> Self {
        let deliveries = requests.into_iter().map(|request| Delivery::Waiting { request }).collect();
        Self { version: VERSION, client_id, digest: Bytes(digest.0.to_vec()), to, since, deliveries }
    }

    /// Whether this program can read it.
    pub(crate) fn is_of_known_version(&self) -> bool {
        self.version <= VERSION
    }

    /// Whether it is a message of this client that can still be sent. After a day the service does not know requests again,
    /// and whoever was told a day ago that something went wrong does not expect it to be sent today.
    pub(super) fn is_current(&self, client_id: &ClientId, now: Timestamp) -> bool {
        self.client_id == *client_id && now < self.since.saturating_add(ENQUEUE_MEMORY)
    }

    /// Whether it is what this call is to send.
    pub(super) fn is_of(&self, digest: &CallDigest) -> bool {
        self.digest.0 == digest.0
    }

    pub(super) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Notes what became of a delivery; its request is forgotten.
    pub(super) fn settle(&mut self, index: usize, outcome: Delivery) {
        self.deliveries[index] = outcome;
    }

    /// What came of it, once nothing waits any more.
    pub(super) fn sent(&self) -> Sent {
        let count = |wanted: fn(&Delivery) -> bool| self.deliveries.iter().filter(|delivery| wanted(delivery)).count();
        Sent {
            to: self.to.clone(),
            devices: count(|delivery| matches!(delivery, Delivery::Done)),
            unreachable: count(|delivery| matches!(delivery, Delivery::Refused)),
        }
    }
}

/// What a call to send something is known by when it is made again: SHA-256 over code and text.
pub(super) struct CallDigest([u8; 32]);

impl CallDigest {
    pub(super) fn of(code: &FriendshipCode, text: &MessageText) -> Self {
        let mut hash = Sha256::new();
        let code = code.to_text();
        for part in [code.as_bytes(), text.as_str().as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}
