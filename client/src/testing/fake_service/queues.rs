//! The queues of the queuing service in this process: the real ratchet, no disk.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{DequeueResponse, EnqueueQsMessageRequest};
use vestibule_protocol::keys::{HpkePrivateKey, HpkePublicKey, QsClientRecordKey, VerifyingKey};
use vestibule_protocol::limits::QUEUE_PAGE_LENGTH;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::{Enqueued, QueueId, QueueKeys, QueueMessage, QueueRatchet};
use vestibule_protocol::queue_config::open_queue_config;
use vestibule_protocol::queuing::{QsClientId, QsClientRecord};
use vestibule_protocol::request_signature::RequestSignature;

use crate::transport::Request;

/// The queues, by the ids of their owners.
#[derive(Default)]
pub(crate) struct FakeQueues {
    queues: BTreeMap<String, FakeQueue>,
    /// The requests whose messages are in a queue.
    sent: BTreeSet<[u8; 32]>,
}

struct FakeQueue {
    owner_key: VerifyingKey<QsClientRecordKey>,
    ratchet: QueueRatchet,
    messages: Vec<QueueMessage>,
}

impl FakeQueues {
    /// Makes the queue of a client, if that is what a request is about.
    pub(super) fn note(&mut self, request: &Request) {
        #[derive(Deserialize)]
        struct Creation {
            client_record: Bytes,
            queue: QueueKeys,
        }
        let creates = request.path == "/v1/qs/users"
            || (request.path.starts_with("/v1/qs/users/") && request.path.ends_with("/clients"));
        let Some(Creation { client_record, queue }) =
            creates.then(|| serde_json::from_slice(&request.body).ok()).flatten()
        else {
            return;
        };
        let record = QsClientRecord::verify_self_signed(&client_record.0).unwrap();
        self.create(record.payload().verifying_key, &queue);
    }

    /// Makes the queue of the client with this key, unless there is one.
    fn create(&mut self, owner_key: VerifyingKey<QsClientRecordKey>, keys: &QueueKeys) {
        let qs_client_id = QsClientId::of(&owner_key);
        let encryption_key = HpkePublicKey::from_bytes(&keys.encryption_key.0).unwrap();
        let id = QueueId::of_qs_client(&qs_client_id);
        let ratchet = QueueRatchet::new(id, encryption_key, keys.ratchet_key.clone(), 0);
        let queue = FakeQueue { owner_key, ratchet, messages: Vec::new() };
        self.queues.entry(qs_client_id.to_string()).or_insert(queue);
    }

    /// Removes the queue of a client, as if the client had been deleted.
    pub(crate) fn remove(&mut self, qs_client_id: &str) {
        self.queues.remove(qs_client_id);
    }

    /// Puts something into the queue of a client.
    pub(crate) fn put(&mut self, qs_client_id: &str, content: &[u8], rng: &mut StdRng) {
        let queue = self.queues.get_mut(qs_client_id).unwrap();
        let Enqueued { messages, ratchet } = queue.ratchet.enqueue(content, rng).unwrap();
        queue.messages.extend(messages);
        queue.ratchet = ratchet;
    }

    /// How many messages wait in the queue of a client, key updates among them.
    pub(crate) fn waiting(&self, qs_client_id: &str) -> usize {
        self.queues[qs_client_id].messages.len()
    }

    /// Puts a message into the queue that its queue config leads to, if `pay` succeeds. Gives whose that is.
    pub(super) fn enqueue(
        &mut self,
        request: &Request,
        queue_config_key: &HpkePrivateKey,
        pay: impl FnOnce() -> Result<(), Problem>,
        rng: &mut StdRng,
    ) -> Result<String, Problem> {
        let body: EnqueueQsMessageRequest = serde_json::from_slice(&request.body).unwrap();
        let invalid = || Problem::new(ProblemType::QueueConfigInvalid, "invalid");
        let queue_config = open_queue_config(&body.queue_config.0, queue_config_key).ok_or_else(invalid)?;
        let qs_client_id = queue_config.claim().qs_client_id.to_string();
        let queue = self.queues.get(&qs_client_id).ok_or_else(queue_unknown)?;
        queue_config.verify(&queue.owner_key).map_err(|_| invalid())?;
        pay()?;
        if self.sent.insert(Sha256::digest(&request.body).into()) {
            self.put(&qs_client_id, &body.message.0, rng);
        }
        Ok(qs_client_id)
    }

    /// A page of a client's queue. All before it is deleted.
    pub(super) fn dequeue(&mut self, request: &Request, signature: &RequestSignature) -> Result<Value, Problem> {
        let (path, query) = request.path.split_once('?').unwrap();
        let id = path.split('/').nth(4).unwrap();
        let from: u64 = query.strip_prefix("from=").unwrap().parse().unwrap();
        let queue = self.queues.get_mut(id).ok_or_else(queue_unknown)?;
        assert_eq!(signature.key_id(), id);
        signature.verify(&queue.owner_key).map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))?;
        let next_sequence = queue.ratchet.next_sequence();
        if from > next_sequence {
            return Err(Problem::new(ProblemType::QueueSequenceAhead, "ahead"));
        }
        queue.messages.retain(|message| message.sequence >= from);
        let messages = queue.messages.iter().take(QUEUE_PAGE_LENGTH).cloned().collect();
        Ok(json!(DequeueResponse { messages, next_sequence }))
    }
}

fn queue_unknown() -> Problem {
    Problem::new(ProblemType::QueueUnknown, "unknown")
}
