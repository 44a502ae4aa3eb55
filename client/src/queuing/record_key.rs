//! The key of the user's record, which any of the user's devices may change.

use crate::error::Error;
use crate::identity::catch_up;
use crate::session::Session;

/// Follows the user's devices, because the service does not take the key of the user's record that this one has. Gives whether
/// it has another one now: the others tell it with the change.
///
/// # Errors
/// As [`catch_up`].
pub(crate) async fn learn_record_key(session: &mut Session<'_>) -> Result<bool, Error> {
    let rotation = |session: &Session<'_>| session.account().own_secrets().map(|secrets| secrets.rotation);
    let before = rotation(session);
    catch_up(session).await?;
    Ok(rotation(session) != before)
}
