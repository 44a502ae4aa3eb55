//! What the state holds of the client at the queuing service, where it is a pseudonym, and of what friends are given.

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::secret;
use vestibule_protocol::keys::{QsClientRecordKey, SigningKey};
use vestibule_protocol::queuing::{QsClientId, QsUserId};
use vestibule_protocol::symmetric::PushTokenKey;
use vestibule_protocol::time::Timestamp;

use super::{KeptRequest, OwnQueue, UserSecrets};

/// The client at the queuing service.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pseudonym {
    /// What it has in common with the user's other clients.
    #[serde(flatten)]
    pub(crate) user_secrets: UserSecrets,
    /// The key of the client's record.
    #[serde(with = "secret")]
    pub(crate) client_record_key: SigningKey<QsClientRecordKey>,
    /// The client's queue at the queuing service as it was created; none from the moment that there is an
    /// [`Inbox`](crate::messages::Inbox). These keys would open everything that ever was in the queue.
    pub(crate) queue: Option<OwnQueue>,
    /// Under what the client's push token is stored.
    #[serde(with = "secret")]
    pub(crate) push_token_key: PushTokenKey,
    pub(crate) queuing_service: QueuingServiceState,
    pub(crate) publications: Publications,
}

/// How far the client's creation at the queuing service has come.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum QueuingServiceState {
    /// The client may or may not exist, and if it is the user's first, the user: the answer to the request tells.
    Creating {
        /// The body of the request to create it, or both.
        #[serde(with = "secret")]
        request: KeptRequest,
    },
    /// They exist.
    Created { qs_user_id: QsUserId, qs_client_id: QsClientId },
}

/// The KeyPackages that friends can claim.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publications {
    /// The generations that were published and whose private parts are kept, oldest first.
    pub(crate) published: Vec<Generation>,
    pub(crate) under_way: Option<PublicationUnderWay>,
}

impl Publications {
    /// The numbers of the generations whose packages friends may have claimed, newest first: those that were published, and
    /// one that may have been.
    pub(crate) fn generations(&self) -> impl Iterator<Item = u64> {
        let under_way = self.under_way.iter().map(|publication| publication.generation);
        under_way.chain(self.published.iter().rev().copied()).map(|generation| generation.number)
    }

    /// Notes that the client has a credential of another signer than all that was made so far.
    pub(crate) fn signer_changed(&mut self) {
        let under_way = self.under_way.iter_mut().map(|publication| &mut publication.generation);
        under_way.chain(&mut self.published).for_each(|generation| generation.has_former_signer = true);
    }
}

/// A generation of KeyPackages. Its private parts are in a file of its own.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    /// Which rotation of the friendship encryption key whose they are is encrypted under.
    #[serde(default)]
    pub(crate) rotation: u64,
    /// Whether the client's credential in its packages has another signer than the one that the client has now: one that may be
    /// revoked.
    #[serde(default)]
    pub(crate) has_former_signer: bool,
    /// When the first of its packages expires.
    pub(crate) not_after: Timestamp,
}

/// A generation that may or may not be published: the answer to the request tells.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicationUnderWay {
    pub(crate) generation: Generation,
    /// How many ordinary packages it has.
    pub(crate) count: usize,
    /// The body of the request to publish it.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
}
