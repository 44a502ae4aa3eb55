//! How an identity comes into being: with the user's first client alone.

use vestibule_identity::Identity;
use vestibule_protocol::symmetric::DeviceLabelKey;

use super::change::{Sent, keep_pending, send_pending};
use super::{IdentityFailure, OwnKeys};
use crate::error::Error;
use crate::home::{IdentityState, PendingChange, Sharing};
use crate::session::Session;

/// The number of the generation that an identity begins with.
const FIRST_GENERATION: u64 = 1;

/// Starts the user's identity, if this client is not in it: it is the first then, or one of before there were identities.
pub(crate) async fn ensure_started(session: &mut Session<'_>) -> Result<(), Error> {
    let account = session.account();
    if account.has_identity() {
        return Ok(());
    }
    if !account.is_registered() {
        return Err(account.incomplete());
    }
    if account.identity.is_none() {
        make(session)?;
    }
    let identity = session.account().identity.as_ref().expect("it was made above");
    if identity.pending.is_none() {
        start(session)?;
    }
    match send_pending(session).await? {
        Sent::Accepted => Ok(()),
        Sent::Superseded => Err(IdentityFailure::Copied.into()),
    }
}

fn make(session: &mut Session<'_>) -> Result<(), Error> {
    let identity = IdentityState {
        member: None,
        pending: None,
        device_label_key: DeviceLabelKey::generate(&mut session.connection.randomness.clone()),
        added_at: session.now(),
        seen: Vec::new(),
        leaving: Vec::new(),
        excluded: Vec::new(),
        sharing: Sharing::default(),
    };
    session.change_account(|account| account.identity = Some(identity))
}

fn start(session: &mut Session<'_>) -> Result<(), Error> {
    let account = session.account();
    let mut randomness = session.connection.randomness.clone();
    let own = OwnKeys::of(account, &mut randomness)?;
    let started = Identity::start(&account.user_name, FIRST_GENERATION, None, &own.keys(account), &mut randomness);
    let (identity, group_info) = started.map_err(IdentityFailure::NotMade)?;
    keep_pending(session, PendingChange::start(identity, group_info))
}
