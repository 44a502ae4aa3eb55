//! What the end-to-end tests share. The tests themselves are in `main.rs` and its modules.
