//! Vestibule's client: a device's end of everything, and the `vestibule` command line on it.
#![deny(missing_docs)]

mod api;
mod fuse;
mod home;
mod randomness;
mod server_url;
mod text;
mod transport;

pub use api::{Api, ApiError, Connection, RequestSigner, RetryPolicy, Waiting};
pub use fuse::{Fuse, Stopped};
pub use home::HomeError;
pub use randomness::Randomness;
pub use server_url::{ServerUrl, ServerUrlError};
pub use transport::{HttpTransport, Request, Response, Sending, Transport, TransportError};
