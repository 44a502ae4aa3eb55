//! Pins the behaviour of WebSocket APIs against what AWS documents.

mod disturbances;
mod ends;
mod handshakes;
mod management;
mod messages;
mod support;
