//! JSON with secrets in it.

use std::io::{self, Write};

use serde::Serialize;
use zeroize::Zeroizing;

/// Writes `value` as JSON, into a buffer of exactly its length: one that grew would leave copies of secrets behind where it
/// was before.
pub(crate) fn to_secret_json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).expect("what is written is made of what JSON can say");
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, value).expect("it was written once already");
    json
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
