//! The rendezvous service: codes, tickets, and the relay.

mod codes;
mod connections;
mod ends;
mod joins;
mod messages;
mod secrecy;
mod sessions;
