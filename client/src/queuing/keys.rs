//! The queuing service's own keys.

use vestibule_protocol::credential::{AsCredential, CredentialError};
use vestibule_protocol::endpoint::GetQsKeys;
use vestibule_protocol::queuing::QsKeys;

use crate::error::Error;
use crate::session::Session;

/// Why the queuing service's keys are not acceptable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QsKeysError {
    /// It has none at all.
    #[error("the queuing service has no keys")]
    Missing,
    /// None of them holds.
    #[error("none of the queuing service's keys is acceptable: {0}")]
    Refused(CredentialError),
}

/// Gets the queuing service's keys and gives those that `root` certifies, newest first; at least one.
///
/// The request says nothing of who asks: to the queuing service no user of the authentication service is known.
pub(crate) async fn get_keys(session: &Session<'_>, root: &AsCredential) -> Result<Vec<QsKeys>, Error> {
    let offered = session.queuing_service.call::<GetQsKeys>(&(), &[]).await?.qs_keys;
    let mut reason = QsKeysError::Missing;
    let mut keys = Vec::new();
    for bytes in offered {
        match QsKeys::verify_chain(&bytes.0, root, session.now()) {
            Ok(verified) => keys.push(verified),
            Err(error) => reason = QsKeysError::Refused(error),
        }
    }
    if keys.is_empty() { Err(reason.into()) } else { Ok(keys) }
}
