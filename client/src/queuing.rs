//! What a client does at the queuing service, where it is a pseudonym.

mod claim;
mod creation;
mod keys;
mod listening;
mod publication;
mod record_key;
mod supply;
mod user_record;

pub use claim::ClaimedKeyPackage;
pub(crate) use claim::{claim, claim_packages};
pub(crate) use creation::{ensure_created, new_client, new_user};
pub use keys::QsKeysError;
pub(crate) use keys::get_keys;
pub(crate) use listening::Listener;
pub use listening::ListeningError;
pub(crate) use publication::{
    DAYS_KEPT_AFTER_EXPIRY, client_credential, ensure_published, publish, publish_if_overtaken,
};
pub use publication::{DEFAULT_KEY_PACKAGES, Published};
pub(crate) use record_key::learn_record_key;
pub use supply::{KeyPackageSupply, LOW_SUPPLY};
pub(crate) use supply::{refill, supply};
pub(crate) use user_record::{UserRecord, is_not_ours, update_request};

use vestibule_protocol::endpoint::QsClientPath;
use vestibule_protocol::keys::QsClientRecordKey;
use vestibule_protocol::queuing::QsClientId;

use crate::api::RequestSigner;
use crate::error::Error;
use crate::home::{Account, Pseudonym, QueuingServiceState};

#[cfg(test)]
mod tests;

/// The client at the queuing service, as soon as it exists there.
pub(crate) struct OwnClient<'a> {
    account: &'a Account,
    pub(crate) pseudonym: &'a Pseudonym,
    pub(crate) qs_client_id: QsClientId,
}

impl<'a> OwnClient<'a> {
    /// # Errors
    /// [`Error::RegistrationUnderWay`], [`Error::NotAtQueuingService`] if it does not exist.
    pub(crate) fn of(account: &'a Account) -> Result<Self, Error> {
        match &account.pseudonym {
            Some(pseudonym) if let QueuingServiceState::Created { qs_client_id, .. } = pseudonym.queuing_service => {
                Ok(Self { account, pseudonym, qs_client_id })
            }
            _ => Err(account.incomplete()),
        }
    }

    fn path(&self) -> QsClientPath {
        QsClientPath { qs_client_id: self.qs_client_id }
    }

    pub(crate) fn signer(&self) -> RequestSigner<'a, QsClientRecordKey> {
        RequestSigner {
            key: &self.pseudonym.client_record_key,
            key_id: self.qs_client_id.to_string(),
            domain: self.account.user_name.domain().clone(),
        }
    }
}
