//! Opening what has come with the private parts of KeyPackages.

use vestibule_protocol::time::{DAY, Timestamp};
use vestibule_test_messages::{SenderTrust, TestMessage};

use super::inbox::{Inbox, KeptMessage};
use crate::error::Error;
use crate::home::PrivateKeyPackages;
use crate::queuing::DAYS_KEPT_AFTER_EXPIRY;
use crate::session::Session;

/// The private parts of all KeyPackages that friends may have claimed.
pub(super) struct PrivateParts(Vec<PrivateKeyPackages>);

impl PrivateParts {
    pub(super) fn load(session: &Session<'_>) -> Result<Self, Error> {
        let pseudonym = session.account().pseudonym.iter();
        let generations = pseudonym.flat_map(|pseudonym| pseudonym.publications.generations());
        let load = |number| session.home.load_key_packages(number).map_err(Error::from);
        generations.map(load).collect::<Result<_, _>>().map(Self)
    }

    /// Opens a message, and notes in the inbox what it was opened with. `None` if it is no message for this device, by
    /// somebody to be trusted, or one that was opened before.
    ///
    /// A KeyPackage counts as used when it has opened a message that is accepted, and not before: everybody who has seen the
    /// KeyPackage can make one that is not.
    pub(super) fn open(
        &self,
        content: &[u8],
        inbox: &mut Inbox,
        trust: SenderTrust<'_>,
        now: Timestamp,
    ) -> Option<KeptMessage> {
        let message = TestMessage::from_bytes(content).ok()?;
        let mut packages = self.0.iter().flat_map(|generation| &generation.packages);
        let package = packages.find(|package| {
            let is_kept = now < package.not_after.saturating_add(DAY * DAYS_KEPT_AFTER_EXPIRY);
            is_kept && message.is_for(&package.reference.0) && !inbox.has_used(&package.reference)
        })?;
        let opened = message.open(package, trust, now).ok()?;
        if package.is_last_resort {
            let until = package.not_after.saturating_add(DAY * DAYS_KEPT_AFTER_EXPIRY);
            inbox.note_opened(&opened.name, until).then_some(())?;
        } else {
            inbox.note_used(&package.reference);
        }
        Some(KeptMessage { from: opened.from, text: opened.text })
    }
}

/// Removes the private parts of KeyPackages that were used. What they have opened is on disk.
pub(super) fn drop_used(session: &Session<'_>, inbox: &mut Inbox) -> Result<(), Error> {
    if inbox.used().is_empty() {
        return Ok(());
    }
    for mut generation in PrivateParts::load(session)?.0 {
        let before = generation.packages.len();
        generation.packages.retain(|package| !inbox.has_used(&package.reference));
        if generation.packages.len() < before {
            session.home.store_key_packages(&generation)?;
        }
    }
    // On disk they are forgotten when the inbox is next written.
    inbox.forget_used();
    Ok(())
}
