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
    // Nothing that comes after a page that does not hold together would be believed, and a server could go on for ever.
    let mut is_whole = is_last_page(&entries) || !is_linked(&entries);
    let mut is_of_one_user = known.as_ref().is_none_or(|known| known.user_id == user_id);
    while let Some(oldest) = entries.last().filter(|_| !is_whole).map(|entry| entry.sequence) {
        let page = key_server.read_audit_log_page(password.clone(), Some(oldest)).await?;
        is_of_one_user &= page.user_id == user_id;
        let joint = entries.len() - 1;
        is_whole = is_last_page(&page.entries) || !is_of_one_user;
        entries.extend(page.entries);
        is_whole |= !is_linked(&entries[joint..]);
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

/// Whether each of these entries follows the one after it.
fn is_linked(entries: &[AuditEntry]) -> bool {
    entries.windows(2).all(|pair| pair[1].head().is_followed_by(&pair[0]))
}
