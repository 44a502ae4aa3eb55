//! What the state holds of the client's connection packages: the private halves of their keys.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use vestibule_protocol::encoding::secret;
use vestibule_protocol::keys::HpkePrivateKey;
use vestibule_protocol::time::{DAY, Timestamp};

use super::KeptRequest;

/// For how many days keys are kept after their packages have expired: what was encrypted to one in the last minute may have
/// been waiting since.
const DAYS_KEPT_AFTER_EXPIRY: u32 = 30;

/// The connection packages that a client has published, and is publishing.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionPackages {
    /// The index of the next package that the client publishes: as many as it ever has.
    pub(crate) next_index: u64,
    /// When those expire that are handed out. Not known of packages that were published before this was kept.
    pub(crate) not_after: Option<Timestamp>,
    /// Those whose keys are kept, oldest first.
    pub(crate) batches: Vec<ConnectionBatch>,
    pub(crate) under_way: Option<ConnectionPublication>,
}

/// Connection packages that are published together.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionBatch {
    /// The index of the first of them.
    pub(crate) first_index: u64,
    /// When they expire.
    pub(crate) not_after: Option<Timestamp>,
    /// The private halves of their keys, in the packages' order.
    pub(crate) keys: Vec<ConnectionKey>,
}

/// The private half of a connection package's key.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ConnectionKey(#[serde(with = "secret")] pub(crate) HpkePrivateKey);

/// Packages that may or may not be published: the answer to the request tells.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionPublication {
    pub(crate) batch: ConnectionBatch,
    /// The body of the request to publish them.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
}

impl ConnectionBatch {
    /// The index behind the last of them.
    pub(crate) fn end(&self) -> u64 {
        self.first_index + self.keys.len() as u64
    }

    /// Whether nobody can have encrypted anything to them that is still to be read.
    fn is_over(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|not_after| not_after.saturating_add(DAY * DAYS_KEPT_AFTER_EXPIRY) <= now)
    }
}

impl ConnectionPackages {
    /// The first packages of a client that registers.
    pub(crate) fn registered(batch: ConnectionBatch) -> Self {
        Self { next_index: batch.end(), not_after: batch.not_after, batches: vec![batch], under_way: None }
    }

    /// Those of a client of before it was kept which is which: what its registration brought, if it had one.
    fn of_keys(keys: Vec<ConnectionKey>) -> Self {
        if keys.is_empty() {
            return Self::default();
        }
        Self::registered(ConnectionBatch { first_index: 0, not_after: None, keys })
    }

    /// Notes that the packages under way are published.
    pub(crate) fn complete(&mut self) {
        let batch = self.under_way.take().expect("there are some under way").batch;
        (self.next_index, self.not_after) = (batch.end(), batch.not_after);
        for former in &mut self.batches {
            // They were made before these, to last as long.
            former.not_after = former.not_after.or(batch.not_after);
        }
        self.batches.push(batch);
    }

    /// Notes that others are published under the indexes of the packages under way, or behind them. `were_sent` says that
    /// these may have been published first: then their keys are kept.
    pub(crate) fn pass_over(&mut self, were_sent: bool) {
        let batch = self.under_way.take().expect("there are some under way").batch;
        self.next_index = batch.end();
        self.not_after = None;
        if were_sent {
            self.batches.push(batch);
        }
    }

    /// Whether there are keys that are of no use any more.
    pub(crate) fn can_be_tidied(&self, now: Timestamp) -> bool {
        self.batches.iter().any(|batch| batch.is_over(now))
    }

    /// Drops them.
    pub(crate) fn tidy(&mut self, now: Timestamp) {
        self.batches.retain(|batch| !batch.is_over(now));
    }
}

/// Reads what was kept, by an older version the keys alone.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ConnectionPackages, D::Error> {
    struct EitherForm;

    impl<'de> Visitor<'de> for EitherForm {
        type Value = ConnectionPackages;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("connection packages, or a list of their keys")
        }

        fn visit_map<A: MapAccess<'de>>(self, packages: A) -> Result<Self::Value, A::Error> {
            ConnectionPackages::deserialize(MapAccessDeserializer::new(packages))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, keys: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(keys)).map(ConnectionPackages::of_keys)
        }
    }

    deserializer.deserialize_any(EitherForm)
}
