//! How an event reaches a function, on Lambda and in the local cloud.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

/// A started function, as the Lambda service sees it: an event's JSON in, an answer's JSON out.
pub type EventHandler =
    Arc<dyn Fn(Value) -> Pin<Box<dyn Future<Output = Result<Value, lambda_http::Error>> + Send>> + Send + Sync>;
