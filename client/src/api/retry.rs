//! When a request is sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{CryptoRng, Rng as _, RngCore};
use tokio::sync::Notify;
use vestibule_protocol::clock::Clock;
use vestibule_protocol::time::Timestamp;

/// How long the client sleeps at most before it looks at the clock again, which a suspended computer's timers do not know.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How often and how soon a request is sent again: exponential backoff with full jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with every attempt.
    pub first_wait: Duration,
    /// The longest wait before any attempt.
    pub longest_wait: Duration,
    /// The longest `Retry-After` that is waited for. A server that asks for more gets no second attempt.
    pub longest_retry_after: Duration,
}

/// Five attempts, spread over at most three seconds unless the server asks for more: somebody is waiting.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(2),
            longest_retry_after: Duration::from_secs(20),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after `attempts` attempts, or `None` if the last was the last.
    pub(super) fn wait_after(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Option<Duration> {
        if attempts >= self.attempts || retry_after.is_some_and(|asked| asked > self.longest_retry_after) {
            return None;
        }
        let ceiling = self.first_wait.saturating_mul(1 << (attempts - 1).min(16)).min(self.longest_wait);
        let jittered = ceiling.mul_f64(rng.gen_range(0.0..=1.0));
        // Jitter comes on top, so that all who were told the same time do not come back at once.
        Some(retry_after.unwrap_or_default() + jittered)
    }

    /// How long to wait after `failures` failures in a row of something that is tried until its time is over.
    pub(crate) fn wait_without_end(&self, failures: u32, rng: &mut (impl RngCore + CryptoRng)) -> Duration {
        let patient = Self { attempts: u32::MAX, ..*self };
        patient.wait_after(failures.max(1), None, rng).unwrap_or(self.longest_wait)
    }
}

/// How the client waits: really, or in tests not at all. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    skipped: Option<Arc<Mutex<Vec<Duration>>>>,
    clock_moved: Arc<Notify>,
}

impl Waiting {
    /// Waiting that takes time.
    pub fn real() -> Self {
        Self::default()
    }

    /// Waiting that takes no time and is remembered.
    pub fn skipped() -> Self {
        Self { skipped: Some(Arc::default()), ..Self::default() }
    }

    /// The waits that were skipped, in order.
    pub fn waits(&self) -> Vec<Duration> {
        let waits = self.skipped.as_ref().map(|waits| waits.lock().unwrap_or_else(PoisonError::into_inner).clone());
        waits.unwrap_or_default()
    }

    pub(crate) async fn wait(&self, duration: Duration) {
        match &self.skipped {
            Some(waits) => waits.lock().unwrap_or_else(PoisonError::into_inner).push(duration),
            None => tokio::time::sleep(duration).await,
        }
    }

    /// Waits until `clock` shows `moment`. Where waiting is skipped, that is when a test moved the clock and
    /// [said so](Self::clock_moved).
    pub(crate) async fn until(&self, moment: Timestamp, clock: &Clock) {
        loop {
            // Made before the clock is read, so that no move of it is missed.
            let moved = self.clock_moved.notified();
            let left = moment.seconds().saturating_sub(clock.now().seconds());
            if left == 0 {
                return;
            }
            match &self.skipped {
                Some(_) => moved.await,
                None => tokio::time::sleep(Duration::from_secs(left).min(LONGEST_SLEEP)).await,
            }
        }
    }

    /// Has everybody who waits for a moment look at the clock, after a test moved it.
    pub fn clock_moved(&self) {
        self.clock_moved.notify_waiters();
    }
}
