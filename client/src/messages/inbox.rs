//! What a client keeps of its queue and the messages from it. No I/O.

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::queue::{QueueId, QueueMessage, QueueReader, ReadMessage, Reading, ReadingError};
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::time::Timestamp;
use vestibule_test_messages::{MessageName, MessageText};

use super::{Received, ReceivedMessage};

/// The version of [`Inbox`]'s form.
const VERSION: u16 = 1;

/// Once so many messages wait for the application, no more are fetched: it may never come.
const MOST_WAITING: usize = 500;

/// The client's end of its queue, and what came out of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inbox {
    version: u16,
    /// Whose queue it is.
    qs_client_id: QsClientId,
    reader: QueueReader,
    /// What the application has not acknowledged, oldest first.
    waiting: Vec<Waiting>,
    /// The ordinary KeyPackages that have opened a message, whose private parts are to go.
    used: Vec<Bytes>,
    /// The messages that last-resort KeyPackages have opened, and would again.
    opened: Vec<OpenedBefore>,
}

/// A message that the application has not acknowledged.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    sequence: u64,
    /// None if it cannot be opened.
    message: Option<KeptMessage>,
}

/// What a message says, and who does.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptMessage {
    pub(super) from: ClientId,
    pub(super) text: MessageText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedBefore {
    name: Bytes,
    /// From when on the KeyPackage opens nothing any more.
    until: Timestamp,
}

impl Inbox {
    /// The inbox of a client whose queue was never read.
    pub(super) fn new(qs_client_id: QsClientId, reader: QueueReader) -> Self {
        Self { version: VERSION, qs_client_id, reader, waiting: Vec::new(), used: Vec::new(), opened: Vec::new() }
    }

    /// Whether this program can read it.
    pub(crate) fn is_of_known_version(&self) -> bool {
        self.version <= VERSION
    }

    pub(super) fn is_of(&self, qs_client_id: &QsClientId) -> bool {
        self.qs_client_id == *qs_client_id
    }

    /// The number of the first message that was not read.
    pub(super) fn next_sequence(&self) -> u64 {
        self.reader.next_sequence()
    }

    /// Whether the application should look at what there is before more is fetched.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// Takes the messages of a page out of the queue's encryption; what is in them is for [`Inbox::keep`].
    ///
    /// # Errors
    /// [`ReadingError`]; nothing is read then.
    pub(super) fn read(&mut self, page: &[QueueMessage]) -> Result<Vec<ReadMessage>, ReadingError> {
        let Reading { messages, reader } = self.reader.read(QueueId::of_qs_client(&self.qs_client_id), page)?;
        self.reader = reader;
        Ok(messages)
    }

    /// Keeps a message for the application, or that there was one.
    pub(super) fn keep(&mut self, sequence: u64, message: Option<KeptMessage>) {
        self.waiting.push(Waiting { sequence, message });
    }

    /// Notes that an ordinary KeyPackage was used.
    pub(super) fn note_used(&mut self, reference: &Bytes) {
        self.used.push(reference.clone());
    }

    /// Notes that a message was opened with a KeyPackage that opens it until some time. Gives `false` if it was before.
    pub(super) fn note_opened(&mut self, name: &MessageName, until: Timestamp) -> bool {
        let is_new = !self.opened.iter().any(|opened| opened.name.0 == name.as_bytes());
        if is_new {
            self.opened.push(OpenedBefore { name: Bytes(name.as_bytes().to_vec()), until });
        }
        is_new
    }

    /// Whether a KeyPackage was used, and its private part is not to be used again.
    pub(super) fn has_used(&self, reference: &Bytes) -> bool {
        self.used.contains(reference)
    }

    /// The KeyPackages whose private parts are to go.
    pub(super) fn used(&self) -> &[Bytes] {
        &self.used
    }

    /// Forgets which KeyPackages were used: their private parts are gone.
    pub(super) fn forget_used(&mut self) {
        self.used.clear();
    }

    /// Forgets the names of messages that nothing opens any more.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.opened.retain(|opened| now < opened.until);
    }

    /// Forgets what the application has acknowledged. Gives `false` if there was nothing of it.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.sequence > sequence);
        self.waiting.len() < before
    }

    /// What there is for the application.
    pub(super) fn received(&self, has_more: bool) -> Received {
        let message = |waiting: &Waiting| {
            let KeptMessage { from, text } = waiting.message.as_ref()?;
            Some(ReceivedMessage { sequence: waiting.sequence, from: from.clone(), text: text.clone() })
        };
        Received {
            messages: self.waiting.iter().filter_map(message).collect(),
            unreadable: self.waiting.iter().filter(|waiting| waiting.message.is_none()).count(),
            last_sequence: self.waiting.last().map(|waiting| waiting.sequence),
            has_more,
        }
    }
}
