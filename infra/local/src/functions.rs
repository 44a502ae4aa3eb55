//! The functions' code.

use std::pin::Pin;

use vestibule_backend::{Environment, EventHandler, StartError};

/// A function's code, to be started in the environment that `template.yaml` describes.
#[derive(Clone, Copy, Debug)]
pub struct FunctionEntry {
    /// The name of its binary.
    pub name: &'static str,
    /// Starts it.
    pub start: fn(Environment) -> Starting,
}

/// A function on its way to take events.
pub type Starting = Pin<Box<dyn Future<Output = Result<EventHandler, StartError>> + Send>>;

/// Every function of this repository.
pub const FUNCTIONS: &[FunctionEntry] = &[];
