//! A session as an item.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::key_server::{SessionId, StoredSession};
use vestibule_protocol::name::UserName;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;

use super::sessions::{session_unknown, session_used};
use super::user_partition;
use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item};
use crate::sealing::{Sealable, SealingKeys};

pub(super) const SEALED_SESSION: &str = "sealed_session";
pub(super) const REQUEST_HASH: &str = "request_hash";
pub(super) const SEALED_RESPONSE: &str = "sealed_response";

impl Sealable for StoredSession {
    const TYPE_NAME: &'static str = "KeyServerSession";
}

/// A session as it was read.
pub struct SessionItem {
    sealed_session: Option<Vec<u8>>,
    request_hash: Option<Vec<u8>>,
    sealed_response: Option<Vec<u8>>,
}

impl SessionItem {
    pub(super) fn read(item: &Item) -> Result<Self, Problem> {
        let attribute = |name| item.get_bytes(name).map(<[u8]>::to_vec);
        let session = Self {
            sealed_session: attribute(SEALED_SESSION),
            request_hash: attribute(REQUEST_HASH),
            sealed_response: attribute(SEALED_RESPONSE),
        };
        let is_used = session.request_hash.is_some() && session.sealed_response.is_some();
        if is_used != session.sealed_session.is_none() {
            return Err(corrupt_item("a session"));
        }
        Ok(session)
    }

    /// The response to the request of this hash, if the session was used with it; none if it was not used yet.
    ///
    /// # Errors
    /// [`ProblemType::SessionUsed`](vestibule_protocol::problem::ProblemType::SessionUsed) if another request came over it.
    pub fn answer_to(&self, request_hash: &[u8; 32]) -> Result<Option<Bytes>, Problem> {
        match &self.request_hash {
            Some(other) if other != request_hash => Err(session_used()),
            _ => Ok(self.sealed_response.clone().map(Bytes)),
        }
    }

    /// The session itself, if it is the one with this name that was opened for this user, and not over.
    ///
    /// # Errors
    /// [`session_unknown`].
    pub fn open(
        &self,
        sealing_keys: &SealingKeys,
        user_name: &UserName,
        session_id: &SessionId,
        now: Timestamp,
    ) -> Result<StoredSession, Problem> {
        let session = self.sealed_session.as_ref().and_then(|sealed| sealing_keys.open::<StoredSession>(sealed));
        session.filter(|session| session.is_for(user_name, session_id, now)).ok_or_else(session_unknown)
    }
}

/// The item of a session that was opened.
pub(super) fn new_item(user_name: &UserName, session: &StoredSession, sealed_session: &Bytes) -> Item {
    key(user_name, session.session_id()).bytes(SEALED_SESSION, sealed_session).time(EXPIRES_AT, session.expires_at())
}

pub(super) fn key(user_name: &UserName, session_id: &SessionId) -> Item {
    Item::keyed(user_partition(user_name), format!("SESSION#{session_id}"))
}

pub(super) fn is_alive(item: &Item, now: Timestamp) -> bool {
    item.get_time(EXPIRES_AT).is_some_and(|expires_at| now < expires_at)
}
