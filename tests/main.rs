//! End-to-end tests: one test binary, one module per feature.

mod budgets;
mod client;
mod clients;
mod command_line;
mod documents;
mod faults;
mod identity;
mod key_server;
mod keys;
mod linking;
mod listening;
mod messages;
mod metrics;
mod permissions;
mod processes;
mod provisioning;
mod queues;
mod queuing_service;
mod registration;
mod rendezvous;
mod scenarios;
mod secrecy;
mod tokens;
