//! The local cloud.
#![deny(missing_docs)]

mod arn;
mod aws;
mod fault;
pub mod policy;
mod private_file;
mod route;
mod service_call;
pub mod template;
