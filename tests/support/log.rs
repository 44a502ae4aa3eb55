//! What this process logs.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Everything that was logged in this process since the first call, at every level that the functions can be set to: by
/// this test and by those that run beside it. A log of one test alone cannot be had, for the functions' threads are not
/// the test's.
pub fn captured_log() -> String {
    static CAPTURE: OnceLock<()> = OnceLock::new();
    CAPTURE.get_or_init(|| {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Writer);
        let filter = vestibule_backend::log_filter(LevelFilter::TRACE);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
        tracing::subscriber::set_global_default(subscriber).expect("nothing else captures logs");
    });
    String::from_utf8_lossy(&LOG.lock().expect("no holder panics")).into_owned()
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("no holder panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
