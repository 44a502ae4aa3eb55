//! What Vestibule's clients and functions say to each other.
#![deny(missing_docs)]

pub mod time;
