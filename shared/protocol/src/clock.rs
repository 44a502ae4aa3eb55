//! The clock that clients and functions read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Timestamp;

/// A clock: the system's, or one that stands still until a test moves it. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual_seconds: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that shows `now` until it is moved.
    pub fn manual(now: Timestamp) -> Self {
        Self { manual_seconds: Some(Arc::new(AtomicU64::new(now.seconds()))) }
    }

    /// The time it shows.
    pub fn now(&self) -> Timestamp {
        match &self.manual_seconds {
            Some(seconds) => Timestamp::from_seconds(seconds.load(Ordering::SeqCst)),
            None => Timestamp::now(),
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    ///
    /// If it is the system's, which nobody here moves: a test that needs it moved would hold for nothing.
    pub fn advance(&self, duration: Duration) {
        let seconds = self.manual_seconds.as_ref().expect("a clock that stands still until it is moved");
        seconds.fetch_add(duration.as_secs(), Ordering::SeqCst);
    }
}
