//! How a message gets into a queue.
//!
//! Whoever enqueues reads the queue's item, encrypts under its ratchet key, and puts in one transaction the message, the
//! next ratchet key in the place of that one, and what remembers the request, on condition that the queue is as it was read.
//! Of many who do so at once, one comes through; the others find in the answer what the queue is now, wait for a random
//! moment and try again.

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use vestibule_protocol::encoding::SecretBytes as _;
use vestibule_protocol::limits::{ENQUEUE_MEMORY, MAX_QUEUE_MESSAGES, QUEUE_LIFETIME};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::{Enqueued, QueueRatchet};
use vestibule_protocol::time::{DAY, Timestamp};

use super::listeners::no_other_than;
use super::{CIPHERTEXT, NEXT_SEQUENCE, Queue, QueueName, Queues, RATCHET_KEY, expiry, queue_unknown};
use crate::dynamodb::{
    EXPIRES_AT, Item, TransactionPart as _, bytes, failed_call, is_condition_failed, number, put_if_none_lives,
    transact, try_again,
};
use crate::redemption::Payment;
use crate::websocket::ConnectionId;

/// How often it is tried, all in all within about 3 seconds of waiting.
const ATTEMPTS: u32 = 20;

impl Queues {
    /// Puts a message into a queue that was just read, and spends the token that pays for it, if it takes one: one
    /// transaction, and another and perhaps a read whenever somebody else was faster. The request with this hash puts it
    /// there once, for [`ENQUEUE_MEMORY`] at least, and with the same token for as long as that is good; repeated with
    /// another token it does not spend that.
    ///
    /// Gives who waits for it, if somebody does. Of a repetition nobody is to be told: otherwise whoever sends a request again
    /// and again would have its owner fetch again and again.
    ///
    /// # Errors
    /// [`ProblemType::MessageTooLarge`], [`ProblemType::QueueFull`], [`ProblemType::TokenSpent`],
    /// [`ProblemType::QueueUnknown`] if it is gone meanwhile, [`ProblemType::TemporarilyUnavailable`] if others were always
    /// faster, or the problem of a failed call; nothing is stored or spent then.
    pub async fn enqueue(
        &self,
        name: &QueueName,
        mut queue: Queue,
        message: &[u8],
        request_hash: &[u8; 32],
        payment: Option<&Payment>,
        now: Timestamp,
    ) -> Result<Option<ConnectionId>, Problem> {
        for attempt in 0..ATTEMPTS {
            let Enqueued { messages, ratchet } = queue
                .ratchet
                .enqueue(message, &mut self.randomness.clone())
                .map_err(|error| Problem::new(ProblemType::MessageTooLarge, error))?;
            if ratchet.next_sequence() - queue.first_sequence > MAX_QUEUE_MESSAGES {
                if self.was_sent(name, request_hash, now).await? {
                    return Ok(None);
                }
                let detail = "its owner has to fetch some first; try again in some days";
                return Err(Problem::new(ProblemType::QueueFull, detail));
            }
            let messages = messages.iter().map(|message| {
                let item = name.message_key(message.sequence).bytes(CIPHERTEXT, &message.ciphertext);
                self.put(item.time(EXPIRES_AT, expiry(now).saturating_add(QUEUE_LIFETIME)))
            });
            let forgotten_at = now.start_of_day().saturating_add(ENQUEUE_MEMORY + DAY);
            let sent = name.sent_key(request_hash).time(EXPIRES_AT, forgotten_at);
            let parts =
                [put_if_none_lives(&self.table, sent, now).part(), self.advance(name, &queue, &ratchet, now).part()];
            let parts = parts.into_iter().chain(payment.map(Payment::put)).chain(messages).collect();
            let Err(reasons) = transact(&self.client, parts).await? else { return Ok(queue.listener) };
            if is_condition_failed(reasons.first()) {
                return Ok(None);
            }
            if let Some(payment) = payment
                && payment.is_repeated(reasons.get(2))?
            {
                return Ok(None);
            }
            self.pause(attempt).await;
            let current = reasons.into_iter().nth(1).filter(|reason| is_condition_failed(Some(reason)));
            queue = match current {
                Some(reason) => {
                    let item = reason.item.map(Item::from).ok_or_else(queue_unknown)?;
                    Queue::read(name, &item, now)?.ok_or_else(queue_unknown)?
                }
                // Two transactions met, and neither says what came of the other.
                None => self.read(name, now).await?,
            };
        }
        tracing::warn!("a queue had so many senders at once that one of them has to try again");
        Err(try_again())
    }

    /// Whether the request with this hash has put its message there: one read.
    async fn was_sent(&self, name: &QueueName, request_hash: &[u8; 32], now: Timestamp) -> Result<bool, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(name.sent_key(request_hash).into())).send().await;
        let item = answer.map_err(|error| failed_call("GetItem", &error))?.item.map(Item::from);
        Ok(item.and_then(|item| item.get_time(EXPIRES_AT)).is_some_and(|expires_at| now < expires_at))
    }

    fn put(&self, item: Item) -> TransactWriteItem {
        Put::builder().table_name(&self.table).set_item(Some(item.into())).build().expect("an item is given").part()
    }

    /// The part of the transaction that forgets the ratchet key of the messages that it stores. It fails if the queue is not
    /// as it was read, or somebody has begun to listen since.
    fn advance(&self, name: &QueueName, current: &Queue, next: &QueueRatchet, now: Timestamp) -> Update {
        let (same_listener, listener) = no_other_than(current.listener.as_ref());
        let values = listener.into_iter().map(|listener| (":listener".to_owned(), listener)).collect();
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(name.key().into()))
            .update_expression(format!("SET {RATCHET_KEY} = :key, {NEXT_SEQUENCE} = :next"))
            .condition_expression(format!("{NEXT_SEQUENCE} = :current AND {EXPIRES_AT} > :now AND {same_listener}"))
            .set_expression_attribute_values(Some(values))
            .expression_attribute_values(":key", bytes(&next.ratchet_key().to_secret_bytes()))
            .expression_attribute_values(":next", number(next.next_sequence()))
            .expression_attribute_values(":current", number(current.ratchet.next_sequence()))
            .expression_attribute_values(":now", number(now.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are given")
    }
}
