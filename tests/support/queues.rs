//! Queues from both ends, request by request.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClientQueuePath, DequeueMessages, DequeueQsMessages, DequeueResponse, EnqueueMessage, EnqueueMessageRequest,
    EnqueueQsMessage, EnqueueQsMessageRequest, PublishConnectionPackages, PublishConnectionPackagesRequest,
    QsQueuePath,
};
use vestibule_protocol::hpke;
use vestibule_protocol::keys::HpkePrivateKey;
use vestibule_protocol::queue::{QueueId, QueueKeys, QueueReader, RatchetKey};
use vestibule_protocol::queue_config::QueueConfig;

use crate::{Applicant, Call, Pseudonym, TestCloud, json_body};

/// The call that puts a message into the queue of a leaf, paid for.
pub fn sending_call(queue_config: &Bytes, message: &[u8]) -> Call {
    let request = EnqueueQsMessageRequest { queue_config: queue_config.clone(), message: Bytes(message.to_vec()) };
    Call::new::<EnqueueQsMessage>(&(), json_body(&request)).paid()
}

/// The owner's end of a queue, and what came out of it.
pub struct Inbox {
    queue_id: QueueId,
    reader: QueueReader,
    /// What was read, in order.
    pub messages: Vec<Vec<u8>>,
}

impl Inbox {
    /// The number from which on the queue was not read yet.
    pub fn position(&self) -> u64 {
        self.reader.next_sequence()
    }

    /// Reads a page and keeps what is new in it.
    pub fn take(&mut self, page: &DequeueResponse) {
        let reading = self.reader.read(self.queue_id, &page.messages).expect("the page can be read");
        self.messages.extend(reading.messages.into_iter().map(|message| message.content.to_vec()));
        self.reader = reading.reader;
    }

    /// Whether there is more than what was read, when this page was made.
    pub fn is_behind(&self, page: &DequeueResponse) -> bool {
        self.position() < page.next_sequence
    }
}

impl Pseudonym {
    /// A queue config of the client, made with the key that its record has at first.
    pub fn queue_config(&mut self) -> Bytes {
        let config = QueueConfig::issue(self.qs_client_id(), &self.push_token_key, &self.client_record_key);
        self.seal(&config)
    }

    /// A queue config that is encrypted to the queuing service.
    pub fn seal(&mut self, config: &QueueConfig) -> Bytes {
        let key = self.qs_keys.payload().queue_config_key;
        Bytes(hpke::seal(&key, &QueueConfig::hpke_info(), b"", &config.to_bytes().0, &mut self.rng))
    }

    /// The client's end of its queue.
    pub fn inbox(&self) -> Inbox {
        Inbox {
            queue_id: QueueId::of_qs_client(&self.qs_client_id()),
            reader: QueueReader::new(self.queue_decryption_key.clone(), self.queue_ratchet_key.clone()),
            messages: Vec::new(),
        }
    }

    /// The call that asks for the client's messages from a number on, signed.
    pub fn fetching_call(&self, cloud: &TestCloud, from: u64) -> Call {
        let path = QsQueuePath { qs_client_id: self.qs_client_id(), from };
        self.sign(cloud, &Call::new::<DequeueQsMessages>(&path, Vec::new()))
    }

    /// Fetches one page, without keeping anything.
    pub async fn fetch(&self, cloud: &TestCloud, from: u64) -> DequeueResponse {
        cloud.send(&self.fetching_call(cloud, from)).await.success()
    }

    /// Fetches until nothing is left, and acknowledges it.
    pub async fn fetch_all(&self, cloud: &TestCloud, inbox: &mut Inbox) {
        loop {
            let page: DequeueResponse =
                cloud.send_until_answered(&self.fetching_call(cloud, inbox.position())).await.success();
            let is_last = page.messages.is_empty() && !inbox.is_behind(&page);
            inbox.take(&page);
            if is_last {
                return;
            }
        }
    }

    /// Puts messages into the client's queue, one after the other.
    pub async fn receive(&mut self, cloud: &TestCloud, messages: impl IntoIterator<Item = Vec<u8>>) {
        let queue_config = self.queue_config();
        for message in messages {
            let answer = cloud.send(&sending_call(&queue_config, &message)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}

impl Applicant {
    /// The call with which a stranger writes to this client.
    pub fn writing_call(&self, message: &[u8]) -> Call {
        let request = EnqueueMessageRequest { client_uuid: self.client_id.uuid, message: Bytes(message.to_vec()) };
        Call::new::<EnqueueMessage>(&self.user_path(), json_body(&request))
    }

    /// The call that asks for what strangers wrote, from a number on, signed.
    pub fn fetching_call(&self, cloud: &TestCloud, from: u64) -> Call {
        let path = ClientQueuePath { client_id: self.client_id.clone(), from };
        self.sign(cloud, &Call::new::<DequeueMessages>(&path, Vec::new()))
    }

    /// What publishes `count` connection packages from an index on; with the first comes a queue.
    pub fn connection_publication(
        &mut self,
        cloud: &TestCloud,
        first_index: u64,
        count: usize,
    ) -> PublishConnectionPackagesRequest {
        PublishConnectionPackagesRequest {
            first_index,
            connection_packages: (0..count).map(|_| self.connection_package(cloud).to_bytes()).collect(),
            queue: (first_index == 0).then(|| self.new_queue()),
        }
    }

    /// The call that publishes connection packages, signed.
    pub fn publishing_call(&self, cloud: &TestCloud, publication: &PublishConnectionPackagesRequest) -> Call {
        self.sign(cloud, &Call::new::<PublishConnectionPackages>(&self.client_path(), json_body(publication)))
    }

    /// Publishes connection packages and gives them.
    pub async fn publish(&mut self, cloud: &TestCloud, first_index: u64, count: usize) -> Vec<Bytes> {
        let publication = self.connection_publication(cloud, first_index, count);
        let answer = cloud.send(&self.publishing_call(cloud, &publication)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        publication.connection_packages
    }

    /// The keys of a queue that the client makes, and whose end it has from now on.
    pub(crate) fn new_queue(&mut self) -> QueueKeys {
        let decryption_key = HpkePrivateKey::generate(&mut self.rng);
        let queue = QueueKeys {
            encryption_key: Bytes(decryption_key.public_key().as_bytes().to_vec()),
            ratchet_key: RatchetKey::generate(&mut self.rng),
        };
        self.queue = Some((decryption_key, queue.clone()));
        queue
    }

    /// The client's end of its direct queue, which it must have made.
    pub fn inbox(&self) -> Inbox {
        let (decryption_key, QueueKeys { ratchet_key, .. }) = self.queue.as_ref().expect("it has made a queue");
        Inbox {
            queue_id: QueueId::of_client(&self.client_id),
            reader: QueueReader::new(decryption_key.clone(), ratchet_key.clone()),
            messages: Vec::new(),
        }
    }
}
