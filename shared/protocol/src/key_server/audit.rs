//! The audit log: what was done with a user's storage key and password, for its owner to read.
//!
//! The entries are a chain of hashes that begins with the user: whoever remembers the newest entry it saw can tell whether
//! the log was altered before it, or cut.

use tls_codec::{Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::limits::AUDIT_ENTRY_LIFETIME;
use crate::name::UserId;
use crate::signed::labelled_hash;
use crate::time::Timestamp;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum AuditAction {
    /// The storage key was stored.
    RegistrationCompleted = 1,
    /// The storage key was retrieved, after a login with the password.
    StorageKeyRetrieved = 2,
    /// This log was read, after a login with the password.
    AuditLogRead = 3,
    /// The password was changed, after a login with the old one.
    PasswordChanged = 4,
}

impl AuditAction {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegistrationCompleted => "registration-completed",
            Self::StorageKeyRetrieved => "storage-key-retrieved",
            Self::AuditLogRead => "audit-log-read",
            Self::PasswordChanged => "password-changed",
        }
    }
}

/// How it ended.
///
/// A login with a wrong password leaves no entry: in OPAQUE it is the client that notices, and it says nothing more. All
/// that the server learns of it is that a session was opened and not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum AuditOutcome {
    /// The password was right, and it was done.
    Succeeded = 1,
}

impl AuditOutcome {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
        }
    }
}

/// An entry of an audit log.
///
/// ```text
/// struct {
///     uint64 sequence;            // from 1, without gaps
///     uint64 at;                  // seconds since 1970-01-01T00:00:00Z
///     AuditAction action;         // uint8
///     AuditOutcome outcome;       // uint8
///     opaque previous_hash[32];
/// } AuditEntry;                   // 50 bytes
///
/// hash(entry)                 = SHA-256 under the label "AuditEntry"
/// previous_hash of entry 1    = SHA-256 of the user id's 16 bytes under the label "AuditLog"
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AuditEntry {
    /// Its number: the first is 1.
    pub sequence: u64,
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub action: AuditAction,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The hash of the entry before it.
    pub previous_hash: [u8; 32],
}

/// The end of a log: what the next entry follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AuditHead {
    /// The entry's number; 0 before the first.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Before a user's first entry.
    pub fn before_first(user_id: &UserId) -> Self {
        Self { sequence: 0, hash: labelled_hash("AuditLog", user_id.as_bytes()) }
    }

    /// The entry that says that `action` was done now.
    pub fn next(&self, at: Timestamp, action: AuditAction, outcome: AuditOutcome) -> AuditEntry {
        AuditEntry { sequence: self.sequence.saturating_add(1), at, action, outcome, previous_hash: self.hash }
    }

    /// Whether `entry` is the next one after this.
    pub fn is_followed_by(&self, entry: &AuditEntry) -> bool {
        self.sequence.checked_add(1) == Some(entry.sequence) && self.hash == entry.previous_hash
    }
}

impl AuditEntry {
    /// The log's head when this is its newest entry.
    pub fn head(&self) -> AuditHead {
        let bytes = self.tls_serialize_detached().expect("it is within TLS's limits");
        AuditHead { sequence: self.sequence, hash: labelled_hash("AuditEntry", &bytes) }
    }
}

/// What the owner can say of an audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// It goes on from the entry that was the newest when it was last seen.
    Intact,
    /// It does not hold together, or does not go on from there: somebody altered it or cut entries off.
    Altered,
    /// It holds together, and there is nothing to compare it with.
    Unknown,
}

impl Chain {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Altered => "altered",
            Self::Unknown => "unknown",
        }
    }
}

/// Judges the entries of a user's audit log, which must be newest first, at the time `now`: by themselves, and by the newest
/// entry that was seen before.
pub fn check_audit_log(entries: &[AuditEntry], user_id: &UserId, seen: Option<&AuditEntry>, now: Timestamp) -> Chain {
    let links = entries.windows(2).all(|pair| pair[1].head().is_followed_by(&pair[0]));
    let Some(oldest) = entries.last() else { return Chain::Altered };
    let begins = oldest.sequence > 1 || AuditHead::before_first(user_id).is_followed_by(oldest);
    if !links || !begins {
        return Chain::Altered;
    }
    let Some(seen) = seen else { return Chain::Unknown };
    if seen.head().is_followed_by(oldest) || entries.contains(seen) {
        return Chain::Intact;
    }
    // What came after the one that was seen can be missing only when it is older than logs are kept.
    let may_have_expired = now >= seen.at.saturating_add(AUDIT_ENTRY_LIFETIME);
    let is_out_of_reach = oldest.sequence.saturating_sub(1) > seen.sequence;
    if may_have_expired && is_out_of_reach { Chain::Unknown } else { Chain::Altered }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn user_id(seed: u64) -> UserId {
        UserId::generate(&mut StdRng::seed_from_u64(seed))
    }

    /// A log of `length` entries, newest first.
    fn log(length: u64) -> Vec<AuditEntry> {
        let mut entries: Vec<AuditEntry> = Vec::new();
        for number in 0..length {
            let head = entries.first().map_or(AuditHead::before_first(&user_id(1)), AuditEntry::head);
            let at = Timestamp::from_seconds(1_800_000_000 + number);
            entries.insert(0, head.next(at, AuditAction::StorageKeyRetrieved, AuditOutcome::Succeeded));
        }
        entries
    }

    /// Not long after the last entry.
    const NOW: Timestamp = Timestamp::from_seconds(1_800_001_000);

    fn check(entries: &[AuditEntry], seen: Option<AuditEntry>) -> Chain {
        check_audit_log(entries, &user_id(1), seen.as_ref(), NOW)
    }

    #[test]
    fn a_log_that_goes_on_from_what_was_seen_is_intact() {
        let entries = log(5);
        for seen in &entries {
            assert_eq!(check(&entries, Some(*seen)), Chain::Intact);
        }
        // The oldest entries may be gone, up to the one that was seen.
        assert_eq!(check(&entries[..3], Some(entries[3])), Chain::Intact);
    }

    #[test]
    fn a_log_without_anything_to_compare_with_is_unknown() {
        let entries = log(5);
        assert_eq!(check(&entries, None), Chain::Unknown);
    }

    #[test]
    fn what_is_missing_must_have_expired() {
        let entries = log(5);
        let seen = entries[4];
        assert_eq!(check(&entries[..2], Some(seen)), Chain::Altered, "too young to be missing");
        let expired = seen.at.saturating_add(AUDIT_ENTRY_LIFETIME);
        assert_eq!(check_audit_log(&entries[..2], &user_id(1), Some(&seen), expired), Chain::Unknown);
        assert_eq!(check_audit_log(&entries[..4], &user_id(1), Some(&seen), expired), Chain::Intact);
        let rewritten = AuditEntry { at: Timestamp::from_seconds(3), ..seen };
        assert_eq!(check_audit_log(&entries, &user_id(1), Some(&rewritten), expired), Chain::Altered);
    }

    #[test]
    fn a_log_that_was_altered_or_cut_anywhere_is_altered() {
        let entries = log(5);
        let seen = Some(entries[1]);
        assert_eq!(check(&[], None), Chain::Altered);
        assert_eq!(check(&entries[2..], seen), Chain::Altered, "the newest were cut off");
        for position in 0..5 {
            let mut altered = entries.clone();
            altered[position].at = Timestamp::from_seconds(1);
            // The newest entry is vouched for by nobody yet.
            let wanted = if position == 0 { Chain::Intact } else { Chain::Altered };
            assert_eq!(check(&altered, seen), wanted);
            let mut without = entries.clone();
            without.remove(position);
            let is_seen = position == 0 || position == 4;
            assert_eq!(check(&without, seen) == Chain::Altered, !is_seen, "{position}");
        }
        let rewritten: Vec<_> =
            log(6).into_iter().map(|entry| AuditEntry { at: Timestamp::from_seconds(2), ..entry }).collect();
        assert_eq!(check(&rewritten, None), Chain::Altered);
    }

    #[test]
    fn a_log_of_another_user_is_altered() {
        assert_eq!(check_audit_log(&log(3), &user_id(2), None, NOW), Chain::Altered);
    }

    #[test]
    fn a_log_that_was_made_anew_is_altered_to_whoever_saw_the_old_one() {
        let seen = log(5)[0];
        let head = AuditHead::before_first(&user_id(1));
        let mut entries =
            vec![head.next(Timestamp::from_seconds(7), AuditAction::AuditLogRead, AuditOutcome::Succeeded)];
        for _ in 0..6 {
            let next =
                entries[0].head().next(Timestamp::from_seconds(8), AuditAction::AuditLogRead, AuditOutcome::Succeeded);
            entries.insert(0, next);
        }
        assert_eq!(check(&entries, None), Chain::Unknown);
        assert_eq!(check(&entries, Some(seen)), Chain::Altered);
    }
}
