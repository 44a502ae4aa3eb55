//! Rate limits: buckets in the service's table, counted up by one conditional write.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use vestibule_protocol::encoding;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::{DAY, Timestamp};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::dynamodb::{EXPIRES_AT, Item, failed_call, number, without_retries};
use crate::keyed_hash::keyed_hash;
use crate::{Environment, StartError};

/// What is limited, and to how much.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The limit's name; buckets of different limits have nothing in common.
    pub name: &'static str,
    /// How many are allowed in a window.
    pub allowed: u64,
    /// The length of the windows into which time is divided.
    pub window: Duration,
}

impl Limit {
    fn window_start(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_seconds(now.seconds() - now.seconds() % self.window.as_secs())
    }
}

/// The secret that names a service's buckets: HMAC-SHA-256, 32 bytes. Whoever reads the table without it cannot tell
/// whose bucket is whose.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct BucketKey([u8; 32]);

impl BucketKey {
    /// The key with these bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The partition key of the bucket that counts `subject` under `limit` at `now`. It is made with the day's secret,
    /// so that the buckets of two days cannot be matched even by whoever got hold of one day's.
    pub fn bucket(&self, limit: &Limit, subject: &[u8], now: Timestamp) -> String {
        let day = now.seconds() / DAY.as_secs();
        let daily_secret = keyed_hash(&self.0, &[b"Vestibule 1.0 bucket secret", &day.to_be_bytes()]);
        let window_start = limit.window_start(now).seconds().to_be_bytes();
        let name = keyed_hash(&daily_secret, &[limit.name.as_bytes(), &window_start, subject]);
        format!("BUCKET#{}", encoding::encode(&name))
    }
}

/// Counts uses in a service's table.
pub struct RateLimiter {
    client: aws_sdk_dynamodb::Client,
    table: String,
    /// What stands before the buckets' partition keys, so that a policy can be confined to these buckets.
    prefix: &'static str,
}

impl RateLimiter {
    /// A limiter that keeps its buckets in the table named by the environment variable `table_variable`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment, table_variable: &str) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable(table_variable)?.to_owned(), prefix: "" })
    }

    /// The same with buckets whose partition keys begin with `prefix`.
    pub fn with_prefix(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// Counts one use of `subject` under `limit`: one write.
    ///
    /// # Errors
    /// [`ProblemType::RateLimited`] when the window's allowance is used up, with the time until the next one; the
    /// problem of a failed call otherwise.
    pub async fn count(&self, key: &BucketKey, limit: &Limit, subject: &[u8], now: Timestamp) -> Result<(), Problem> {
        let window_end = limit.window_start(now).saturating_add(limit.window);
        // ADD is not idempotent: a retry inside the SDK could count twice, so there is none.
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Item::keyed(format!("{}{}", self.prefix, key.bucket(limit, subject, now)), "BUCKET").into()))
            .update_expression(format!("ADD used :one SET {EXPIRES_AT} = :window_end"))
            .condition_expression("attribute_not_exists(used) OR used < :allowed")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":allowed", number(limit.allowed))
            .expression_attribute_values(":window_end", number(window_end.seconds()))
            .customize()
            .config_override(without_retries())
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) {
            let seconds = window_end.saturating_since(now).as_secs().max(1);
            let detail = format!("the allowance is used up; the next begins in {seconds} seconds");
            return Err(Problem::new(ProblemType::RateLimited, detail).retry_after(seconds));
        }
        Err(failed_call("UpdateItem", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { name: "registrations", allowed: 3, window: Duration::from_secs(3600) };
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_bucket_is_one_subjects_for_one_limit_and_window() {
        let key = BucketKey::new([1; 32]);
        let bucket = key.bucket(&LIMIT, b"192.0.2.1", NOW);
        assert_eq!(bucket, key.bucket(&LIMIT, b"192.0.2.1", NOW.saturating_add(Duration::from_secs(1))));
        assert_ne!(bucket, key.bucket(&LIMIT, b"192.0.2.2", NOW));
        assert_ne!(bucket, key.bucket(&LIMIT, b"192.0.2.1", NOW.saturating_add(LIMIT.window)));
        assert_ne!(bucket, key.bucket(&Limit { name: "logins", ..LIMIT }, b"192.0.2.1", NOW));
        assert_ne!(bucket, BucketKey::new([2; 32]).bucket(&LIMIT, b"192.0.2.1", NOW));
    }
}
