//! The local cloud: the APIs, functions, tables, secrets and permissions of `template.yaml`, in one process.
//!
//! Every event reaches a function as on AWS, and every SDK call of a function passes one seam which knows who calls.
//! There the function's policy is enforced, and tests count calls and make them fail.
#![deny(missing_docs)]

mod api_gateway;
mod arn;
mod attribute_value;
mod aws;
mod cloud;
pub mod environment_file;
mod fault;
mod functions;
mod http_api;
mod http_server;
mod invoke_api;
mod lambda;
mod lambda_service;
mod lifeline;
mod limits;
mod operator;
pub mod policy;
mod private_file;
mod provision;
mod route;
mod service_call;
mod snapshot;
mod state_directory;
mod tables;
pub mod template;
#[cfg(test)]
mod testing;
mod websocket_api;

pub use crate::aws::capacity::Capacity;
pub use crate::aws::secrets::Secrets;
pub use crate::cloud::{LocalCloud, LocalCloudBuilder, LocalCloudError};
pub use crate::fault::Fault;
pub use crate::functions::{FUNCTIONS, FunctionEntry, Starting};
pub use crate::http_api::Delivery;
pub use crate::lambda::InvocationError;
pub use crate::lambda_service::ColdStart;
pub use crate::limits::{Limits, WebSocketLimits};
pub use crate::operator::Operator;
pub use crate::provision::provision;
pub use crate::route::Route;
pub use crate::service_call::{Service, ServiceCall};
pub use crate::snapshot::Snapshot;
pub use crate::websocket_api::{Disturbance, Transfer, TransferKind};
