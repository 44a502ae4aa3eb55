//! The local cloud.
#![deny(missing_docs)]

mod arn;
pub mod policy;
pub mod route;
pub mod template;
