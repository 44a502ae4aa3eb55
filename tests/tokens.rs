//! Tokens: how clients take them, what is paid for with them, and what is refused.

mod allowances;
mod bad_requests;
mod payments;
mod rotation;
mod separation;
mod till;
mod together;
