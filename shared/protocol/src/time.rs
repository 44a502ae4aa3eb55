//! Points in time and periods of validity, in whole seconds since the Unix epoch.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

mod rfc_3339;

pub use rfc_3339::Rfc3339;

/// One day. Whatever is stored or published longer than a request lives is rounded to it (design: exact times are
/// a way to tell which two records were made by one person).
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What counts as a month where a record says in which one it was used: 30 days, beginning with the Unix epoch.
pub const MONTH: Duration = Duration::from_secs(30 * DAY.as_secs());

/// Seconds since 1970-01-01T00:00:00Z, as a `uint64` on the wire.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    TlsSerialize,
    TlsDeserializeBytes,
    TlsSize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `seconds` after the Unix epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The system's clock. Everything but the outermost layer takes a `Timestamp` instead of calling this.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since_epoch.as_secs())
    }

    /// Seconds since the Unix epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// 00:00 UTC of the same day.
    pub const fn start_of_day(self) -> Self {
        Self(self.0 - self.0 % DAY.as_secs())
    }

    /// Whether this is 00:00 UTC of some day.
    pub const fn is_start_of_day(self) -> bool {
        self.0.is_multiple_of(DAY.as_secs())
    }

    /// The first second of the same [`MONTH`].
    pub const fn start_of_month(self) -> Self {
        Self(self.0 - self.0 % MONTH.as_secs())
    }

    /// The point `duration` later, at most the end of time.
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// The point `duration` earlier, at least the epoch.
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// This as RFC 3339 writes it, in UTC: `2027-01-15T08:00:00Z`.
    pub const fn rfc_3339(self) -> Rfc3339 {
        Rfc3339(self)
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}s", self.0)
    }
}

/// When something is valid: from `not_before` until the second before `not_after`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExpirationData {
    /// The first second of validity.
    pub not_before: Timestamp,
    /// The first second after validity.
    pub not_after: Timestamp,
}

impl ExpirationData {
    /// Validity of `lifetime` from `not_before` on.
    pub const fn starting(not_before: Timestamp, lifetime: Duration) -> Self {
        Self { not_before, not_after: not_before.saturating_add(lifetime) }
    }

    /// Whether `now` lies inside.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether all of this lies inside `outer`. An empty or reversed period lies inside nothing.
    pub fn is_within(&self, outer: &Self) -> bool {
        outer.not_before <= self.not_before && self.not_before < self.not_after && self.not_after <= outer.not_after
    }

    /// How long this is; zero if it is reversed.
    pub fn lifetime(&self) -> Duration {
        self.not_after.saturating_since(self.not_before)
    }

    /// Whether both ends are 00:00 UTC and the lifetime is one of `days`.
    pub fn is_whole_days(&self, days: RangeInclusive<u64>) -> bool {
        self.not_before.is_start_of_day()
            && self.not_after.is_start_of_day()
            && days.contains(&(self.lifetime().as_secs() / DAY.as_secs()))
    }
}
