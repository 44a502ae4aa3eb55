//! End-to-end tests: one test binary, one module per feature.

mod budgets;
mod documents;
mod faults;
mod permissions;
mod queuing_service;
mod registration;
mod scenarios;
