//! Reading the audit log.

use vestibule_protocol::key_server::{AuditEntry, AuditLogPage, Chain, check_audit_log};
use vestibule_protocol::limits::AUDIT_PAGE_LENGTH;
use vestibule_protocol::name::UserId;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::time::Timestamp;

use super::KeyServer;
use crate::error::Error;

/// A user's audit log, as the key server shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditLog {
    /// Its entries, newest first; those that are older than logs are kept are missing. The first is this reading's own.
    pub entries: Vec<AuditEntry>,
    /// What this device can say of it.
    pub chain: Chain,
}

/// What a device knows of a log before it reads it.
pub(crate) struct Known {
    pub(crate) user_id: UserId,
    /// The newest entry that it has seen.
    pub(crate) newest_entry: Option<AuditEntry>,
}

/// Reads all of the log, and judges it at the time `now` by what is known.
pub(crate) async fn read_audit_log(
    key_server: &KeyServer<'_>,
    password: Password,
    known: Option<Known>,
    now: Timestamp,
) -> Result<AuditLog, Error> {
    let AuditLogPage { user_id, mut entries } = key_server.read_audit_log_page(password.clone(), None).await?;
    let mut is_whole = is_last_page(&entries);
    let mut is_of_one_user = known.as_ref().is_none_or(|known| known.user_id == user_id);
    while let Some(oldest) = entries.last().filter(|_| !is_whole).map(|entry| entry.sequence) {
        let page = key_server.read_audit_log_page(password.clone(), Some(oldest)).await?;
        // A page that does not go on from the one before is the last: nothing that comes after it would be believed.
        is_whole = is_last_page(&page.entries) || !goes_on_from(oldest, &page.entries);
        is_of_one_user &= page.user_id == user_id;
        entries.extend(page.entries);
    }
    let seen = known.and_then(|known| known.newest_entry);
    let chain = match is_of_one_user {
        true => check_audit_log(&entries, &user_id, seen.as_ref(), now),
        false => Chain::Altered,
    };
    Ok(AuditLog { entries, chain })
}

/// Whether there is nothing before the entries of this page.
fn is_last_page(page: &[AuditEntry]) -> bool {
    page.len() < AUDIT_PAGE_LENGTH || page.last().is_none_or(|oldest| oldest.sequence <= 1)
}

/// Whether the page begins right before the entry with the number `oldest`, and gets further.
fn goes_on_from(oldest: u64, page: &[AuditEntry]) -> bool {
    let begins = page.first().is_some_and(|entry| entry.sequence.checked_add(1) == Some(oldest));
    begins && page.last().is_some_and(|entry| entry.sequence < oldest)
}
