//! Dying on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stops a run at a chosen point, with no cleanup, as `kill -9` would: a test that burns through every point in turn
/// and then runs again without a fuse has killed the client everywhere.
///
/// The points lie before and after every request, and before, within and after every write to disk. Once a fuse has
/// blown, every later point stops too. Clones are the same fuse.
#[derive(Clone, Debug, Default)]
pub struct Fuse {
    points_left: Option<Arc<AtomicUsize>>,
}

/// The [`Fuse`] has blown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("stopped by its fuse {0}")]
pub struct Stopped(&'static str);

impl Fuse {
    /// A fuse that never blows.
    pub fn none() -> Self {
        Self::default()
    }

    /// A fuse that lets `points` points pass and blows at the next.
    pub fn after(points: usize) -> Self {
        Self { points_left: Some(Arc::new(AtomicUsize::new(points))) }
    }

    /// Passes a point, or stops there.
    pub(crate) fn reach(&self, point: &'static str) -> Result<(), Stopped> {
        let Some(points_left) = &self.points_left else { return Ok(()) };
        let passed = points_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        passed.map(|_| ()).map_err(|_| Stopped(point))
    }

    /// Whether it has blown, or would at the next point.
    #[cfg(test)]
    pub(crate) fn is_burnt(&self) -> bool {
        self.points_left.as_ref().is_some_and(|points_left| points_left.load(Ordering::SeqCst) == 0)
    }
}
