//! Tokens: how clients take them, and what is refused.

mod allowances;
mod bad_requests;
mod rotation;
mod separation;
