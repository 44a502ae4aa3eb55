//! What tests see of the calls and do to them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::capacity::{self, CapacityOfFunctions};
use crate::fault::{Fault, FaultPlan};
use crate::service_call::ServiceCall;

/// Enough to show what is wrong; a loop of denied calls must not fill the memory.
const REMEMBERED_DENIALS: usize = 1_000;

/// Remembers the latest calls and denials, and asks the plan for faults.
pub(crate) struct Watch {
    remembered_calls: usize,
    calls: Mutex<VecDeque<ServiceCall>>,
    denials: Mutex<VecDeque<String>>,
    plan: RwLock<Option<Arc<FaultPlan>>>,
    capacity: Mutex<Option<CapacityOfFunctions>>,
}

impl Watch {
    pub(crate) fn new(remembered_calls: usize) -> Self {
        Self {
            remembered_calls,
            calls: Mutex::default(),
            denials: Mutex::default(),
            plan: RwLock::default(),
            capacity: Mutex::default(),
        }
    }

    /// Remembers a call and says what happens to it.
    pub(crate) fn pass(&self, call: &ServiceCall) -> Option<Fault> {
        push_bounded(&mut lock(&self.calls), call.clone(), self.remembered_calls);
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner).clone();
        plan.and_then(|plan| plan(call))
    }

    /// Logs and remembers that a call was denied.
    pub(crate) fn deny(&self, message: String) {
        tracing::error!("{message}");
        push_bounded(&mut lock(&self.denials), message, REMEMBERED_DENIALS);
    }

    /// Adds up capacity from now on, and gives what was added up before.
    pub(crate) fn measure_capacity(&self) -> CapacityOfFunctions {
        lock(&self.capacity).replace(CapacityOfFunctions::new()).unwrap_or_default()
    }

    pub(super) fn measures_capacity(&self) -> bool {
        lock(&self.capacity).is_some()
    }

    pub(super) fn add_capacity(&self, function: &str, operation: &str, answer: &[u8]) {
        if let Some(consumed) = lock(&self.capacity).as_mut() {
            capacity::add(consumed, function, operation, answer);
        }
    }

    pub(crate) fn calls(&self) -> Vec<ServiceCall> {
        lock(&self.calls).iter().cloned().collect()
    }

    pub(crate) fn forget_calls(&self) {
        lock(&self.calls).clear();
    }

    pub(crate) fn denials(&self) -> Vec<String> {
        lock(&self.denials).iter().cloned().collect()
    }

    pub(crate) fn set_plan(&self, plan: Option<Arc<FaultPlan>>) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = plan;
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").finish_non_exhaustive()
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, element: T, limit: usize) {
    queue.push_back(element);
    while queue.len() > limit {
        queue.pop_front();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
