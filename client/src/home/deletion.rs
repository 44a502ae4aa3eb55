//! What the state holds of an account that is being deleted.

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::secret;

use super::KeptRequest;

/// How far the deletion of an account has come. Once it has begun there is no way back.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Deletion {
    /// The queuing service and the key server may or may not have deleted what they had.
    Begun,
    /// They have, and the user may or may not exist: the answer to the request tells.
    Finishing {
        /// The body of the request to delete the user.
        #[serde(with = "secret")]
        request: KeptRequest,
        /// Whether the pseudonym could be deleted.
        is_pseudonym_deleted: bool,
    },
}
