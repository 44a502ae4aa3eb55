//! End-to-end tests: one test binary, one module per feature.

mod documents;
mod registration;
